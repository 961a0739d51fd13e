"""The measurement of training's memory, on few rows: what it reads, holds and tells."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.training_memory import (
    BATCH,
    DATASETS,
    look_up,
    read,
    reading_lines,
    soft_line,
    step,
    step_line,
    write_shards,
    write_store,
)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return value


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", 2003)


def test_reading_holds_sixteen_bytes_a_row(manifest, capsys):
    read(manifest)
    found = told(capsys)
    assert found["rows"] == 2003
    assert found["held"] == pytest.approx(16, abs=0.01)
    assert found["before"] <= found["opened"] <= found["ordered"]
    assert found["repeats"] == 0
    assert reading_lines([found])[0][:1] == ("2,003",)


def test_the_store_has_a_vector_for_each_text(manifest, capsys):
    write_store(manifest)
    look_up(manifest)
    found = told(capsys)
    assert (found["rows"], found["vectors"]) == (2003, 3 * 2003)
    assert soft_line(found)[1] == "6,009 of 384 dimensions"


@pytest.mark.slow
def test_a_step_is_timed_and_counted(tmp_path, capsys):
    step(write_shards(tmp_path / "shards", BATCH * DATASETS), 2, "tiny")
    found = told(capsys)
    assert found["tokens"] > 100
    assert found["first"] > 0
    assert found["second"] > 0
    assert step_line(found, 2)[0].startswith("2 rows of 3 texts")
