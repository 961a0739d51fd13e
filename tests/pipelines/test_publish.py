"""Publishing: OUT's manifest names only what is there as it says, at every moment; what a second run makes is added."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fsspec.core import url_to_fs
from fsspec.implementations.memory import MemoryFileSystem

from pipelines import publish
from pipelines.publish import (
    STAGES,
    absent_records,
    clear_unnamed,
    merged_records,
    publish_run,
    read_manifest,
    training_datasets,
)
from schemas.errors import OutputError
from schemas.manifest import DatasetRecord, EvaluationSetRecord, Manifest
from transforms.flow.files import sha256

PLACE = ("finetune", "retrieval")


@dataclass
class _Made:
    """Stage folders as a run leaves them, with ``shards`` and ``rejections`` of each dataset by name of the file."""

    work: str
    shards: Mapping[str, Mapping[str, str]]
    rejections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    absent: tuple[tuple[str, str], ...] = ()
    sets: Mapping[str, int] = field(default_factory=dict)
    trained: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def folders(self) -> dict[str, str]:
        return {stage: f"{self.work}/{stage}-1" for stage in STAGES}

    def place(self, name: str) -> tuple[str, str]:
        return self.places.get(name, PLACE)

    def write(self) -> dict[str, Any]:
        """Write the files; gives the manifests of the stages."""
        counts = {name: {"read": 3, "kept": 3} for name in self.shards}
        stages: dict[str, Any] = {stage: {"counts": dict(counts), "files": {}} for stage in STAGES}
        for name, files in self.shards.items():
            for file, text in files.items():
                path = f"{'/'.join(self.place(name))}/{name}/{file}"
                _put(f"{self.folders['pack']}/{path}", text)
                record = {"path": path, "rows": 3, "dataset": name, "sha256": sha256(text.encode())}
                stages["pack"]["files"].setdefault("shards", []).append(record)
        for name, files in self.rejections.items():
            for file, text in files.items():
                _put(f"{self.folders['mine']}/rejections/{name}/{file}", text)
                record = {"path": f"{name}/{file}", "rows": 1, "dataset": name}
                stages["mine"]["files"].setdefault("rejections", []).append(record)
        return stages

    def publish(self, out: str) -> Manifest:
        """Write the files and publish them."""
        stages = self.write()
        records = merged_records([self._record(name) for name in sorted(self.shards)], stages)
        manifest = Manifest(
            config={},
            code="c",
            libraries={},
            datasets=records,
            absent=absent_records(self.absent),
            evaluation_sets=[EvaluationSetRecord(name=n, source="s", queries=q) for n, q in self.sets.items()],
            training_datasets=training_datasets(records),
        )
        return publish_run(out, manifest, self.folders, stages)

    def _record(self, name: str) -> DatasetRecord:
        stage, task_type = self.place(name)
        return DatasetRecord(
            name=name,
            stage=stage,
            task_type=task_type,
            source="sample",
            revision=None,
            symmetric=False,
            instruction=None,
            checked=sorted(self.sets),
            training_datasets=self.trained.get(name, []),
        )


def _put(place: str, text: str) -> None:
    filesystem, inner = url_to_fs(place)
    filesystem.makedirs(inner.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(inner, text.encode())


def _there(out: str) -> dict[str, str]:
    """Everything below OUT but its manifest, by path."""
    filesystem, root = url_to_fs(out)
    files = {path.removeprefix(f"{root}/"): filesystem.cat_file(path).decode() for path in filesystem.find(root)}
    return {path: text for path, text in files.items() if path != "manifest.json"}


def _named(out: str) -> dict[str, str]:
    """The shards that OUT's manifest names, and their digests."""
    manifest = read_manifest(out)
    records = manifest.datasets if manifest else []
    return {shard.path: shard.sha256 for record in records for shard in record.shards}


def _is_true(out: str) -> bool:
    """Whether the manifest names only files that are there as it says."""
    there = _there(out)
    return all(path in there and sha256(there[path].encode()) == digest for path, digest in _named(out).items())


def _shard(name: str, file: str, place: tuple[str, str] = PLACE) -> str:
    return f"{place[0]}/{place[1]}/{name}/{file}"


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder here, and one on a file system of objects."""
    if request.param == "local":
        yield str(tmp_path)
        return
    yield "memory://publish"
    filesystem = MemoryFileSystem()
    if filesystem.exists("/publish"):
        filesystem.rm("/publish", recursive=True)


def test_shards_and_rejections_get_their_final_names_and_the_manifest_says_so(root: str) -> None:
    made = _Made(f"{root}/work", {"a": {"1": "one", "2": "two"}, "b": {"1": "bee"}}, {"a": {"r": "refused"}})
    manifest = made.publish(f"{root}/out")
    assert _there(f"{root}/out") == {
        _shard("a", "1"): "one",
        _shard("a", "2"): "two",
        _shard("b", "1"): "bee",
        "rejections/a/r": "refused",
    }
    assert read_manifest(f"{root}/out") == manifest
    assert [record.name for record in manifest.datasets] == ["a", "b"]
    assert list(manifest.datasets[0].stages) == list(STAGES)
    assert _is_true(f"{root}/out")


def test_a_second_category_adds_to_a_first(root: str) -> None:
    out = f"{root}/out"
    _Made(f"{root}/one", {"b": {"1": "bee"}}, {"b": {"r": "refused"}}).publish(out)
    manifest = _Made(f"{root}/two", {"a": {"1": "one"}, "c": {"1": "sea"}}).publish(out)
    assert [record.name for record in manifest.datasets] == ["a", "b", "c"]
    assert _there(out) == {
        _shard("a", "1"): "one",
        _shard("b", "1"): "bee",
        _shard("c", "1"): "sea",
        "rejections/b/r": "refused",
    }
    assert _is_true(out)


def test_a_dataset_that_is_made_again_replaces_what_it_was(root: str) -> None:
    out = f"{root}/out"
    _Made(
        f"{root}/one", {"a": {"1": "old", "2": "old"}, "b": {"1": "bee"}}, {"a": {"r": "x"}, "b": {"r": "y"}}
    ).publish(out)
    _Made(f"{root}/two", {"a": {"1": "new"}}, {"a": {"s": "z"}}).publish(out)
    assert _there(out) == {
        _shard("a", "1"): "new",
        _shard("b", "1"): "bee",
        "rejections/a/s": "z",
        "rejections/b/r": "y",
    }
    assert _is_true(out)


def test_a_dataset_that_moved_leaves_nothing_where_it_was(root: str) -> None:
    out, moved = f"{root}/out", ("pretrain", "sts")
    _Made(f"{root}/one", {"a": {"1": "old"}}).publish(out)
    _Made(f"{root}/two", {"a": {"1": "new"}}, places={"a": moved}).publish(out)
    assert _there(out) == {_shard("a", "1", moved): "new"}


def test_a_dataset_that_lost_its_rows_has_no_shards(root: str) -> None:
    out = f"{root}/out"
    _Made(f"{root}/one", {"a": {"1": "old"}}).publish(out)
    manifest = _Made(f"{root}/two", {"a": {}}).publish(out)
    assert _there(out) == {}
    assert manifest.dataset("a").shards == []


def test_publishing_twice_changes_nothing(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    made = _Made(str(tmp_path / "work"), {"a": {"1": "one"}}, {"a": {"r": "x"}})
    first = made.publish(out)
    numbers = {path: (tmp_path / "out" / path).stat().st_ino for path in _there(out)}
    data = (tmp_path / "out" / "manifest.json").read_bytes()
    made.work = str(tmp_path / "again")
    assert made.publish(out) == first
    assert (tmp_path / "out" / "manifest.json").read_bytes() == data
    assert {path: (tmp_path / "out" / path).stat().st_ino for path in _there(out)} == numbers


@pytest.mark.parametrize("gone", [_shard("a", "1"), "rejections/a/r"])
def test_what_somebody_removed_is_put_back(tmp_path: Path, gone: str) -> None:
    out = str(tmp_path / "out")
    made = _Made(str(tmp_path / "work"), {"a": {"1": "one"}}, {"a": {"r": "x"}})
    made.publish(out)
    before = _there(out)
    (tmp_path / "out" / gone).unlink()
    made.publish(out)
    assert _there(out) == before


class _Killed(BaseException):
    """The end of a process, as far as the files can tell."""


@pytest.mark.parametrize("step", ["place", "_remove", "write_manifest"])
@pytest.mark.parametrize("last", range(5))
def test_a_publish_that_is_cut_off_leaves_a_manifest_that_is_true(
    root: str, monkeypatch: pytest.MonkeyPatch, step: str, last: int
) -> None:
    out, real, calls = f"{root}/out", getattr(publish, step), []
    _Made(f"{root}/one", {"a": {"1": "old", "2": "old"}, "b": {"1": "bee"}}, {"a": {"r": "x"}}).publish(out)
    made = _Made(f"{root}/two", {"a": {"1": "new", "3": "new"}, "c": {"1": "sea"}}, {"a": {"s": "z"}})

    def cut_off(*args: Any) -> Any:
        if len(calls) == last:
            raise _Killed
        calls.append(args)
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(publish, step, cut_off)
        try:
            made.publish(out)
        except _Killed:
            assert "b" in {
                record.name for record in (read_manifest(out) or Manifest(config={}, code="", libraries={})).datasets
            }
        assert _is_true(out)
    made.publish(out)
    assert _is_true(out)
    assert set(_named(out)) == {_shard("a", "1"), _shard("a", "3"), _shard("b", "1"), _shard("c", "1")}
    assert set(_there(out)) == {*_named(out), "rejections/a/s"}


def test_a_file_is_linked_where_that_is_possible(tmp_path: Path) -> None:
    made = _Made(str(tmp_path / "work"), {"a": {"1": "one"}})
    made.publish(str(tmp_path / "out"))
    path = _shard("a", "1")
    assert (tmp_path / "out" / path).samefile(Path(made.folders["pack"]) / path)


def test_a_file_is_copied_where_it_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    made = _Made(str(tmp_path / "work"), {"a": {"1": "one"}})
    made.publish(str(tmp_path / "out"))
    path = _shard("a", "1")
    assert not (tmp_path / "out" / path).samefile(Path(made.folders["pack"]) / path)
    assert _there(str(tmp_path / "out")) == {path: "one"}


@pytest.mark.parametrize("out_is_local", [True, False])
def test_work_and_out_may_lie_on_different_file_systems(tmp_path: Path, root: str, out_is_local: bool) -> None:
    places = (f"{tmp_path}/here", f"{root}/there")
    out, work = places if out_is_local else places[::-1]
    _Made(work, {"a": {"1": "one"}}, {"a": {"r": "x"}}).publish(out)
    assert _there(out) == {_shard("a", "1"): "one", "rejections/a/r": "x"}
    assert _is_true(out)


def test_a_place_where_a_file_stands_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "finetune").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*/finetune/retrieval/a/1: .*OUT=<folder>"):
        _Made(str(tmp_path / "work"), {"a": {"1": "one"}}).publish(str(tmp_path / "out"))


def test_what_is_absent_is_remembered_until_it_is_there(root: str) -> None:
    out = f"{root}/out"
    gone = (("b", "no folder"), ("c", "config x"), ("c", "config y"))
    _Made(f"{root}/one", {"a": {"1": "one"}}, absent=gone).publish(out)
    manifest = _Made(f"{root}/two", {"b": {"1": "bee"}}, absent=(("d", "no folder"),)).publish(out)
    assert [(record.name, record.detail) for record in manifest.absent] == [
        ("c", "config x"),
        ("c", "config y"),
        ("d", "no folder"),
    ]
    manifest = _Made(f"{root}/three", {"c": {"1": "sea"}}, absent=(("c", "config y"),)).publish(out)
    assert [(record.name, record.detail) for record in manifest.absent] == [("c", "config y"), ("d", "no folder")]


def test_evaluation_sets_stay_while_a_dataset_was_compared_with_them(root: str) -> None:
    out = f"{root}/out"
    gone = (("evaluation/Two", "no folder"), ("evaluation/Three", "no folder"))
    _Made(f"{root}/one", {"a": {"1": "one"}}, absent=gone, sets={"One": 1}).publish(out)
    manifest = _Made(f"{root}/two", {"b": {"1": "bee"}}, sets={"One": 5, "Two": 2}).publish(out)
    assert {record.name: record.queries for record in manifest.evaluation_sets} == {"One": 5, "Two": 2}
    assert [record.name for record in manifest.absent] == ["evaluation/Three"]
    assert [record.checked for record in manifest.datasets] == [["One"], ["One", "Two"]]
    manifest = _Made(f"{root}/three", {"b": {"1": "bee"}}).publish(out)
    assert [record.name for record in manifest.evaluation_sets] == ["One"]


def test_a_model_card_declares_all_datasets_that_have_rows(root: str) -> None:
    out, names = f"{root}/out", {"a": ["SciFact"], "b": ["NQ", "SciFact"], "c": ["ArguAna"]}
    _Made(f"{root}/one", {"a": {"1": "one"}, "c": {}}, trained=names).publish(out)
    manifest = _Made(f"{root}/two", {"b": {"1": "bee"}}, trained=names).publish(out)
    assert manifest.training_datasets == ["NQ", "SciFact"]


def test_what_is_absent_is_said_once_and_by_name() -> None:
    records = absent_records([("b", "y"), ("a", "x"), ("b", "y"), ("a", "w")])
    assert [(record.name, record.detail) for record in records] == [("a", "w"), ("a", "x"), ("b", "y")]


def test_records_take_the_counts_of_each_stage_and_the_shards_of_pack() -> None:
    plain = {"name": "a", "stage": "finetune", "task_type": "sts", "source": "s", "revision": None}
    record = DatasetRecord(**plain, symmetric=True, instruction=None)
    stages: dict[str, Any] = {stage: {"counts": {"a": {"read": 2, "kept": 2}}, "files": {}} for stage in STAGES}
    stages["embed"]["counts"]["a"]["distinct_texts"] = 5
    stages["pack"]["files"]["shards"] = [
        {"path": f"{name}.parquet", "rows": 2, "dataset": name, "sha256": "0"} for name in ("a", "b")
    ]
    (merged,) = merged_records([record], stages)
    assert [shard.path for shard in merged.shards] == ["a.parquet"]
    assert merged.stages["embed"].distinct_texts == 5
    assert record.shards == [], "the record that was given stays as it was"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"version": 1, "colour": "red"}', "colour: unknown key"),
        ("{cut off", "line 1"),
        ("[1, 2]", "valid dictionary"),
        ("\x80\x81", "codec"),
    ],
)
def test_a_manifest_that_is_not_ours_is_left_alone(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(OutputError, match="is not a manifest that this version can read") as caught:
        _Made(str(tmp_path / "work"), {"a": {"1": "one"}}).publish(str(tmp_path))
    assert why in caught.value.message
    assert path.read_bytes() == text.encode("latin-1")


def test_the_manifest_is_json_with_sorted_keys(tmp_path: Path) -> None:
    _Made(str(tmp_path / "work"), {"a": {"1": "one"}}).publish(str(tmp_path / "out"))
    value = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert list(value) == sorted(value)
    assert read_manifest(str(tmp_path / "none")) is None


def test_shards_that_no_manifest_names_are_removed_and_nothing_else(root: str) -> None:
    out = f"{root}/out"
    _Made(f"{root}/one", {"a": {"1": "old"}}, {}).publish(out)
    before = _there(out)
    _put(f"{out}/finetune/retrieval/b/part-00000-of-00001.parquet", "left behind")
    _put(f"{out}/finetune/retrieval/b/notes.parquet", "somebody's own")
    clear_unnamed(out)
    assert _there(out) == before | {"finetune/retrieval/b/notes.parquet": "somebody's own"}
    clear_unnamed(f"{root}/none")
