"""What end-to-end tests share: the tiny teacher, and one run over the whole sample."""

from pathlib import Path

import pytest

from tests.e2e.running import SMALL, curate
from tests.e2e.teacher import save_tiny_teacher


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="session")
def sample_out(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """OUT of ``CATEGORY=all`` on the sample. Tests read it and leave it as it is."""
    out = tmp_path_factory.mktemp("sample") / "out"
    curate(out, teacher, "all")
    return out


@pytest.fixture(scope="session")
def small_out(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """OUT of an undisturbed run over ``SMALL``. Tests read it and leave it as it is."""
    out = tmp_path_factory.mktemp("small") / "out"
    curate(out, teacher, SMALL)
    return out
