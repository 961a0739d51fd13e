"""The work folder: keyed by what its stages follow from, held by one run, cleared of what killed runs left."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines import workplace
from pipelines.workplace import StageFolder, Workplace, absolute, clear_temporary, code_digest, digest
from schemas.content_names import content_name
from schemas.errors import OutputError
from transforms.flow.files import sha256
from transforms.flow.manifests import sealed
from transforms.flow.parts import write_part

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
    (folder / "manifest.json").write_text(json.dumps(sealed({"counts": {}, "files": named})))


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
    assert stage.manifest() == sealed({"counts": {}, "files": {}})


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


@pytest.mark.parametrize(("out", "work"), [("a", "other"), ("other", "a/.work"), ("a", None)])
def test_two_runs_share_neither_out_nor_a_work_folder(tmp_path: Path, out: str, work: str | None) -> None:
    first = Workplace(str(tmp_path / "a"), None)
    second = Workplace(str(tmp_path / out), work and str(tmp_path / work))
    with first.locked(), pytest.raises(OutputError, match=f"another run is at work in {tmp_path}/a"), second.locked():
        pass
    with second.locked():
        pass


def test_two_runs_with_work_folders_of_their_own_and_one_out_are_refused(tmp_path: Path) -> None:
    one, two = (Workplace(str(tmp_path / "out"), str(tmp_path / name)) for name in ("one", "two"))
    with one.locked(), pytest.raises(OutputError, match=f"at work in {tmp_path}/out;"), two.locked():
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
    _write(
        work,
        "mine-1111111111111111/mined/a.parquet",
        "prepare-2222222222222222/parts/b.parquet",
        "store/key/00-ff/v.parquet",
        "notes/x",
        ".lock",
    )
    _write(work, "packed/x", "mine.txt", "mine-copy/x")
    _complete(work / "pack-3333333333333333", shards=["finetune/a.parquet"])
    _write(work, "pack-3333333333333333/finetune/a.parquet")
    Workplace(str(tmp_path), None).clear_unfinished()
    assert _files(work) == {
        "store/key/00-ff/v.parquet",
        "notes/x",
        ".lock",
        "packed/x",
        "mine.txt",
        "mine-copy/x",
        "pack-3333333333333333/manifest.json",
        "pack-3333333333333333/finetune/a.parquet",
    }


def test_of_a_completed_stage_what_its_manifest_does_not_name_is_removed(tmp_path: Path) -> None:
    stage = tmp_path / ".work" / "prepare-1111111111111111"
    _complete(stage, kept=["kept/1.parquet"], rejections=["toy/r.parquet"], vectors=["00-ff/v.parquet"])
    _write(stage, "kept/1.parquet", "kept/2.parquet", "rejections/toy/r.parquet", "rejections/toy/s.parquet")
    _write(stage, "kept/.tmp-3", "parts/4.parquet", "toy/r.parquet")
    Workplace(str(tmp_path), None).clear_unfinished()
    assert _files(stage) == {"manifest.json", "kept/1.parquet", "rejections/toy/r.parquet"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read (Expecting value"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("\xff", "cannot be read"),
        ("[]", "is not what was written"),
        ("{}", "is not what was written"),
        ("null", "is not what was written"),
        ('{"counts": {}, "files": {}}', "is not what was written"),
        (json.dumps(sealed({"counts": {}, "files": {}}) | {"counts": {"a": 1}}), "is not what was written"),
    ],
)
def test_a_stage_whose_manifest_is_damaged_is_removed_and_named(tmp_path: Path, text: str, why: str) -> None:
    place = Workplace(str(tmp_path), None)
    stage = place.stage("mine", {})
    _write(Path(stage.path), "mined/a.parquet")
    (Path(stage.path) / "manifest.json").write_bytes(text.encode("latin-1"))
    (line,) = place.clear_unfinished()
    assert line.startswith(f"damaged: {Path(stage.path).name}: manifest.json {why}")
    assert stage.manifest() is None
    assert not Path(stage.path).exists()


_KINDS = ("kept", "corpus", "mined", "rejections", "vectors", "shards")


def _finish(place: Workplace, store: Path) -> tuple[StageFolder, dict[str, Path]]:
    """A finished stage with a file of each kind, by kind."""
    stage, rows = place.stage("mine", {}), pa.table({"a": list(range(1000))})
    part = f"{write_part(f'{stage.path}/kept', rows):016x}.parquet"
    paths = {kind: f"{kind}/{part}" for kind in ("kept", "corpus", "mined")}
    whole = content_name((Path(stage.path) / "kept" / part).read_bytes())
    paths |= {"rejections": f"toy/{whole}.parquet", "vectors": f"00-ff/{whole}.parquet", "shards": "finetune/x.parquet"}
    below = {"rejections": Path(stage.path, "rejections"), "vectors": store}
    files = {kind: below.get(kind, Path(stage.path)) / path for kind, path in paths.items()}
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((Path(stage.path) / "kept" / part).read_bytes())
    records = {kind: [{"path": path, "rows": 1000}] for kind, path in paths.items()}
    records["shards"][0]["sha256"] = sha256(files["shards"].read_bytes())
    Path(stage.path, "manifest.json").write_text(json.dumps(sealed({"counts": {}, "files": records})))
    return stage, files


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(data)


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit in the data": lambda path: _flip(path, 100),
    "a bit in the footer": lambda path: _flip(path, -100),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES)
def test_a_stage_with_a_damaged_file_is_removed_and_the_line_names_the_file(
    tmp_path: Path, kind: str, damage: Callable[[Path], object]
) -> None:
    place, store = Workplace(str(tmp_path), None), tmp_path / "store"
    stage, files = _finish(place, store)
    manifest, lines = place.sound_manifest(stage, str(store))
    assert (manifest, lines) == (stage.manifest(), [])
    damage(files[kind])
    manifest, (line,) = place.sound_manifest(stage, str(store))
    assert manifest is None
    assert line.startswith("damaged: mine: ")
    assert files[kind].name in line
    assert line.endswith("; the stage is made again")
    assert not Path(stage.path).exists()


def test_damaged_vectors_are_removed_and_nothing_else(tmp_path: Path) -> None:
    place, store = Workplace(str(tmp_path), None), tmp_path / "store"
    _, files = _finish(place, store)
    _write(store, "README", "00-ff/notes.txt", "00-ff/copy.parquet", "old-er/0123456789abcdef.parquet")
    before = _files(store)
    assert place.mend_store(str(store)) == []
    assert place.mend_store(str(tmp_path / "none")) == []
    _flip(files["vectors"], 50)
    (line,) = place.mend_store(str(store))
    assert line.startswith(f"damaged: vector store: 00-ff/{files['vectors'].name} holds other bytes")
    assert _files(store) == before - {f"00-ff/{files['vectors'].name}"}


def test_vectors_lie_in_the_store_and_stay(tmp_path: Path) -> None:
    work = tmp_path / ".work"
    _complete(work / "embed-1111111111111111", vectors=["00-ff/v.parquet"])
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
    filesystem = _put(
        f"{work}/mine-1111111111111111/a",
        f"{work}/pack-2222222222222222/s.parquet",
        f"{work}/pack-2222222222222222/t.parquet",
        f"{work}/store/v",
    )
    manifest = {"counts": {}, "files": {"shards": [{"path": "s.parquet"}]}}
    filesystem.pipe_file(f"{work}/pack-2222222222222222/manifest.json", json.dumps(sealed(manifest)).encode())
    Workplace(memory, None).clear_unfinished()
    assert set(filesystem.find(work)) == {
        f"{work}/pack-2222222222222222/{name}" for name in ("s.parquet", "manifest.json")
    } | {f"{work}/store/v"}
