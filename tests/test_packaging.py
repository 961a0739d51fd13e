"""The wheel holds the packages and their data and nothing else; the pins cover what it requires."""

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ("catalog", "mining", "pipelines", "schemas", "trainer", "transforms")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


def image_files() -> list[str]:
    """What the Dockerfile copies from the tree, in so far as .dockerignore lets it through."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    admitted = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    return [name for line in lines for name in line.split() if name in admitted]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel of what the image is built from, in a place of its own: older builds' remains would be picked up."""
    tree = tmp_path_factory.mktemp("tree")
    for name in image_files():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree)
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    run = subprocess.run(
        [sys.executable, "-c", build, str(tree / "dist")], cwd=tree, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return zipfile.Path(tree / "dist" / run.stdout.splitlines()[-1])


def files_in(wheel: zipfile.Path) -> set[str]:
    return {name for name in wheel.root.namelist() if not name.endswith("/")}


def source_files(*folders: str) -> set[str]:
    """All files below the folders but Python's caches, as paths from the root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found if path.is_file()}


def test_wheel_holds_the_six_packages_and_no_tests(wheel: zipfile.Path) -> None:
    tops = {name.split("/")[0] for name in files_in(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_every_file_of(package: str, wheel: zipfile.Path) -> None:
    """A folder of modules without `__init__.py` and data of an undeclared kind are what gets lost."""
    assert source_files(package) - files_in(wheel) == set()


def test_wheel_holds_catalog_and_sample(wheel: zipfile.Path) -> None:
    names = files_in(wheel)
    assert any(name.startswith("catalog/finetune/") and name.endswith(".yaml") for name in names)
    assert {"catalog/evaluation/mteb-chinese.yaml", "catalog/evaluation/training-datasets.yaml"} <= set(names)
    assert any(name.startswith("catalog/sample/") for name in names)


def test_wheel_holds_the_presets_where_they_are_found(wheel: zipfile.Path, tmp_path: Path) -> None:
    wheel.root.extractall(tmp_path)
    shown = {path.name: path.read_text("utf-8") for path in (ROOT / "configs").iterdir()}
    installed = tmp_path / "pipelines" / "configs"
    assert {path.name: path.read_text("utf-8") for path in installed.iterdir()} == shown
    script = "from pipelines.configuration.layers import PRESETS, load; load('strict', [], {}); print(PRESETS)"
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == str(installed), run.stderr


def metadata(wheel: zipfile.Path) -> list[tuple[str, str]]:
    (path,) = (name for name in files_in(wheel) if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.root.read(path).decode()).items()


def requirements(wheel: zipfile.Path) -> list[Requirement]:
    return [Requirement(value) for key, value in metadata(wheel) if key == "Requires-Dist"]


def test_wheel_names_python_licence_and_command(wheel: zipfile.Path) -> None:
    fields = dict(metadata(wheel))
    assert fields["Name"] == "kalm-curation"
    assert fields["Requires-Python"] == ">=3.11"
    assert fields["License-Expression"] == "Apache-2.0"
    (points,) = (name for name in files_in(wheel) if name.endswith("entry_points.txt"))
    assert "kalm = pipelines.command:run" in wheel.root.read(points).decode()


def test_the_image_runs_commands_that_the_wheel_has(wheel: zipfile.Path) -> None:
    (points,) = (name for name in files_in(wheel) if name.endswith("entry_points.txt"))
    commands = set(re.findall(r"^(\S+) = ", wheel.root.read(points).decode(), re.MULTILINE))
    run = set(re.findall(r"^ +(kalm\S*)", (ROOT / "deploy" / "image" / "install").read_text("utf-8"), re.MULTILINE))
    assert run
    assert run <= commands


def test_both_devices_of_the_image_are_made_the_same_way() -> None:
    stages = re.split(r"^FROM .* AS (\w+)\n", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    steps = {
        name: [line for line in text.splitlines() if line.startswith(("RUN", "COPY", "USER", "WORKDIR", "ENTRYPOINT"))]
        for name, text in zip(stages[1::2], stages[2::2], strict=True)
    }
    assert steps["cpu"] == steps["gpu"]
    assert steps["cpu"][-2:] == ["USER 1000", 'ENTRYPOINT ["/opt/apache/beam/boot"]']


def test_the_image_holds_the_beam_of_the_pins() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^ARG BEAM_VERSION=(.+)$", text, re.MULTILINE) == [PINS["apache-beam"]]


def test_wheel_has_the_extras_that_setup_and_image_name(wheel: zipfile.Path) -> None:
    extras = {value for key, value in metadata(wheel) if key == "Provides-Extra"}
    assert {"gpu", "train", "gcp", "aws", "dev"} <= extras


def test_every_requirement_is_pinned_within_its_range(wheel: zipfile.Path) -> None:
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    required = requirements(wheel)
    assert len(required) > 20
    unmet = [str(item) for item in required if not item.specifier.contains(pins[canonicalize_name(item.name)])]
    assert unmet == []


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.!+]*", line)] == []
    assert len({canonicalize_name(line.split("==")[0]) for line in lines}) == len(lines)
