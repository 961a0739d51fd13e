"""The work folder: keyed by what its stages follow from, held by one run, cleared of what killed runs left."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines import workplace
from pipelines.workplace import StageFolder, Workplace, absolute, clear_temporary, code_digest, digest
from schemas.errors import OutputError

ROOT = Path(__file__).parents[2]


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def _complete(folder: Path, **files: list[str]) -> None:
    """A stage's manifest that names files by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {kind: [{"path": path, "rows": 1} for path in paths] for kind, paths in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"counts": {}, "files": named}))


@pytest.fixture
def memory() -> Iterator[str]:
    """A place on a file system of objects."""
    place = "memory://workplace"
    yield place
    filesystem = MemoryFileSystem()
    if filesystem.exists("/workplace"):
        filesystem.rm("/workplace", recursive=True)


def test_a_digest_follows_from_the_value_whatever_the_order_of_its_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": "für"}) != digest({"a": "fur"})
    assert len({digest(value) for value in (None, 0, "", [], {}, "0", False, [0])}) == 8
    assert len(digest("x")) == 32


def test_the_digest_of_the_code_follows_from_every_source_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("deep/c.py", "3"), ("note.txt", "4")):
        _write(tmp_path / "schemas", name)
        (tmp_path / "schemas" / name).write_text(text)
        monkeypatch.setattr(workplace, "__file__", str(tmp_path / "pipelines" / "workplace.py"))
        code_digest.cache_clear()
        found.append(code_digest())
    code_digest.cache_clear()
    assert len(set(found)) == 4
    assert found[3] == found[4], "only sources count"


def test_a_stages_folder_is_named_by_stage_and_key(tmp_path: Path) -> None:
    place = Workplace(str(tmp_path / "out"), None)
    stage = place.stage("mine", {"limit": 5, "teacher": "x"})
    assert stage.path == f"{tmp_path}/out/.work/mine-{stage.key[:16]}"
    assert stage.progress == f"{stage.path}/progress"
    assert stage == place.stage("mine", {"teacher": "x", "limit": 5})


@pytest.mark.parametrize(("name", "facts"), [("mine", {"limit": 6}), ("pack", {"limit": 5}), ("mine", {"limit": "5"})])
def test_another_stage_or_other_facts_have_another_folder(tmp_path: Path, name: str, facts: dict[str, Any]) -> None:
    place = Workplace(str(tmp_path), None)
    assert place.stage(name, facts).key != place.stage("mine", {"limit": 5}).key


def test_other_code_has_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Workplace(str(tmp_path), None)
    before = place.stage("mine", {}).key
    monkeypatch.setattr(workplace, "code_digest", lambda: "other")
    assert place.stage("mine", {}).key != before


def test_local_places_are_absolute_and_urls_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert (absolute("out"), absolute("~/out")) == (f"{tmp_path}/out", f"{tmp_path}/home/out")
    assert absolute("gs://bucket/out/") == "gs://bucket/out"
    assert Workplace("out", "elsewhere").work == f"{tmp_path}/elsewhere"


def test_a_stage_is_there_once_its_manifest_is(tmp_path: Path) -> None:
    stage = Workplace(str(tmp_path), None).stage("mine", {})
    assert stage.manifest() is None
    _complete(Path(stage.path))
    assert stage.manifest() == {"counts": {}, "files": {}}


_HOLD = """
import sys
from pipelines.workplace import Workplace
with Workplace(sys.argv[1], None).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_holds_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with (
                pytest.raises(
                    OutputError, match=r"another run is at work in .*/\.work; wait for it, or choose another"
                ),
                Workplace(str(tmp_path), None).locked(),
            ):
                pass
        finally:
            other.kill()
            other.wait()
    with Workplace(str(tmp_path), None).locked():
        pass


def test_a_folder_is_free_again_when_its_run_ends_or_fails(tmp_path: Path) -> None:
    place = Workplace(str(tmp_path), None)
    with pytest.raises(KeyError), place.locked():
        raise KeyError
    with place.locked(), Workplace(str(tmp_path / "other"), None).locked():
        pass


def test_a_place_where_a_file_stands_is_refused_before_anything_runs(tmp_path: Path) -> None:
    _write(tmp_path, "out")
    with (
        pytest.raises(OutputError, match="a file stands where a folder is needed: choose another place with OUT="),
        Workplace(str(tmp_path / "out"), None).locked(),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_permission_is_refused_before_anything_runs(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission to write there"), Workplace(str(tmp_path), None).locked():
        pass


def test_stages_without_a_manifest_are_removed_and_nothing_else(tmp_path: Path) -> None:
    work = tmp_path / ".work"
    _write(work, "mine-1/mined/a.parquet", "prepare-2/parts/b.parquet", "store/key/00-ff/v.parquet", "notes/x", ".lock")
    _write(work, "packed/x", "mine.txt")
    _complete(work / "pack-3", shards=["finetune/a.parquet"])
    _write(work, "pack-3/finetune/a.parquet")
    Workplace(str(tmp_path), None).clear_unfinished()
    assert _files(work) == {
        "store/key/00-ff/v.parquet",
        "notes/x",
        ".lock",
        "packed/x",
        "mine.txt",
        "pack-3/manifest.json",
        "pack-3/finetune/a.parquet",
    }


def test_of_a_completed_stage_what_its_manifest_does_not_name_is_removed(tmp_path: Path) -> None:
    stage = tmp_path / ".work" / "prepare-1"
    _complete(stage, kept=["kept/1.parquet"], rejections=["toy/r.parquet"], vectors=["00-ff/v.parquet"])
    _write(stage, "kept/1.parquet", "kept/2.parquet", "rejections/toy/r.parquet", "rejections/toy/s.parquet")
    _write(stage, "kept/.tmp-3", "parts/4.parquet", "toy/r.parquet")
    Workplace(str(tmp_path), None).clear_unfinished()
    assert _files(stage) == {"manifest.json", "kept/1.parquet", "rejections/toy/r.parquet"}


def test_vectors_lie_in_the_store_and_stay(tmp_path: Path) -> None:
    work = tmp_path / ".work"
    _complete(work / "embed-1", vectors=["00-ff/v.parquet"])
    _write(work, "store/key/00-ff/v.parquet", "store/key/00-ff/w.parquet")
    Workplace(str(tmp_path), None).clear_unfinished()
    assert _files(work / "store") == {"key/00-ff/v.parquet", "key/00-ff/w.parquet"}


def test_there_may_be_nothing_to_clear(tmp_path: Path) -> None:
    Workplace(str(tmp_path), None).clear_unfinished()
    assert list(tmp_path.iterdir()) == []


def test_a_completed_stage_lets_go_of_what_it_needed_while_it_ran(tmp_path: Path) -> None:
    place = Workplace(str(tmp_path), None)
    stage = place.stage("prepare", {})
    _write(Path(stage.path), "parts/1.parquet", "survivors/2.parquet", "progress/7.rows", "kept/3.parquet", "corpus/4")
    place.tidy(stage)
    place.tidy(stage)
    assert _files(Path(stage.path)) == {"kept/3.parquet", "corpus/4"}


def test_temporary_files_of_killed_runs_are_removed_from_out(tmp_path: Path) -> None:
    _write(tmp_path, "finetune/sts/a/.tmp-part-0.parquet", "finetune/sts/a/part-0.parquet", ".tmp-1", "tmp-2")
    clear_temporary(str(tmp_path))
    assert _files(tmp_path) == {"finetune/sts/a/part-0.parquet", "tmp-2"}
    clear_temporary(str(tmp_path / "none"))


def _put(*places: str) -> MemoryFileSystem:
    filesystem = MemoryFileSystem()
    for place in places:
        filesystem.pipe_file(place, b"x")
    return filesystem


def test_on_an_object_store_there_is_no_lock_and_no_progress(memory: str) -> None:
    place = Workplace(memory, None)
    stage = place.stage("mine", {})
    assert isinstance(stage, StageFolder)
    assert (stage.path, stage.progress) == (f"{memory}/.work/mine-{stage.key[:16]}", None)
    with place.locked(), place.locked():
        pass
    clear_temporary(memory)


def test_an_object_store_is_cleared_alike(memory: str) -> None:
    work = "/workplace/.work"
    filesystem = _put(f"{work}/mine-1/a", f"{work}/pack-2/s.parquet", f"{work}/pack-2/t.parquet", f"{work}/store/v")
    manifest = {"counts": {}, "files": {"shards": [{"path": "s.parquet"}]}}
    filesystem.pipe_file(f"{work}/pack-2/manifest.json", json.dumps(manifest).encode())
    Workplace(memory, None).clear_unfinished()
    assert set(filesystem.find(work)) == {f"{work}/pack-2/{name}" for name in ("s.parquet", "manifest.json")} | {
        f"{work}/store/v"
    }
