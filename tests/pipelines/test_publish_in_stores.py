"""Publishing into real stores: what a reader finds between any two requests, and what survives faults."""

import json
from typing import Any

import pytest

from pipelines.publish import clear_unnamed, publish_run, read_manifest
from pipelines.verify import shard_faults, verify
from schemas.errors import OutputError
from schemas.manifest import DatasetRecord, Manifest, ShardRecord
from tests.fault_proxy import LOST, Fault
from tests.stores import Store, any_store, hasty, store
from transforms.flow import stores
from transforms.flow.files import publish, sha256
from transforms.flow.params import RetryParams

__all__ = ["any_store", "hasty", "store"]

STAGES = ("prepare", "embed", "mine", "pack")


def _publish(work: str, out: str, texts: dict[str, dict[str, str]], rejected: dict[str, str]) -> Manifest:
    """Publish datasets of shards with these texts, and rejected rows."""
    folders = {stage: f"{work}/{stage}" for stage in STAGES}
    records = []
    for name, shards in texts.items():
        paths = {f"finetune/sts/{name}/part-{number}.parquet": text.encode() for number, text in shards.items()}
        for path, data in paths.items():
            publish(f"{folders['pack']}/{path}", data)
        found = [ShardRecord(path=path, rows=1, sha256=sha256(data)) for path, data in paths.items()]
        facts: dict[str, Any] = {"stage": "finetune", "task_type": "sts", "source": "s", "revision": None}
        records.append(DatasetRecord(name=name, symmetric=True, instruction=None, shards=found, **facts))
    files: dict[str, Any] = {stage: {"files": {}} for stage in STAGES}
    files["prepare"]["files"]["rejections"] = [{"path": f"{name}/r", "rows": 1} for name in rejected]
    for name, text in rejected.items():
        publish(f"{folders['prepare']}/rejections/{name}/r", text.encode())
    return publish_run(out, Manifest(config={}, code="", libraries={}, datasets=records), folders, files)


def _wrong(files: dict[str, bytes]) -> list[str]:
    """What a manifest among files names and is not there as it says; none without a manifest."""
    manifest = Manifest.model_validate(json.loads(files["manifest.json"])) if "manifest.json" in files else None
    named = {shard.path: shard.sha256 for record in (manifest.datasets if manifest else []) for shard in record.shards}
    return [path for path, digest in named.items() if path not in files or sha256(files[path]) != digest]


def test_at_no_moment_does_a_manifest_name_what_is_not_there(store: Store) -> None:
    """A first run, one that replaces a dataset by fewer shards and adds one, and one that changes nothing."""
    out, wrong, moments = store.place("moments/out"), [], []

    def look(method: str, path: str) -> None:
        if method in ("PUT", "POST", "DELETE"):
            moments.append(path)
            wrong.extend((method, path, each) for each in _wrong(store.files("moments/out")))

    store.proxy.after = look
    _publish(store.place("moments/1"), out, {"a": {"1": "old", "2": "old"}, "b": {"1": "bee"}}, {"a": "x", "b": "y"})
    _publish(store.place("moments/2"), out, {"a": {"1": "new"}, "c": {"1": "sea"}}, {"c": "z"})
    _publish(store.place("moments/3"), out, {"a": {"1": "new"}, "c": {"1": "sea"}}, {"c": "z"})
    store.proxy.after = lambda method, path: None
    assert len(moments) > 15
    assert wrong == []
    files = store.files("moments/out")
    shards = {path: data for path, data in files.items() if path.startswith("finetune/")}
    assert shards == {
        "finetune/sts/a/part-1.parquet": b"new",
        "finetune/sts/b/part-1.parquet": b"bee",
        "finetune/sts/c/part-1.parquet": b"sea",
    }
    assert {path for path in files if path.startswith("rejections/")} == {"rejections/b/r", "rejections/c/r"}


@pytest.mark.parametrize("kind", [500, 503, 429, LOST])
def test_faults_in_the_middle_leave_the_same_files(store: Store, hasty: None, kind: int | str) -> None:
    """Every third request fails."""
    texts = {"a": {"1": "one", "2": "two"}, "b": {"1": "bee"}}
    folder = f"faults-{kind}"
    store.proxy.faults = [Fault(kind, every=3)]
    _publish(store.place(f"{folder}/work"), store.place(f"{folder}/out"), texts, {"a": "x"})
    assert store.proxy.met[kind] > 1
    files = store.files(f"{folder}/out")
    assert _wrong(files) == []
    assert len(files) == 5


def test_a_publish_that_a_store_refuses_leaves_a_true_manifest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "RETRY", RetryParams(attempts=1))
    out = store.place("refused/out")
    _publish(store.place("refused/1"), out, {"a": {"1": "old", "2": "old"}, "b": {"1": "bee"}}, {})
    store.proxy.faults = [Fault(403, methods="PUT|POST", path="refused.*out.*part-2|copy.*part-2|rewriteTo.*part-2")]
    with pytest.raises(OutputError, match="may not do that"):
        _publish(store.place("refused/2"), out, {"a": {"1": "new", "2": "new"}}, {})
    assert _wrong(store.files("refused/out")) == []
    store.proxy.faults = []
    assert [record.name for record in (read_manifest(out) or Manifest(config={}, code="", libraries={})).datasets] == [
        "b"
    ]
    _publish(store.place("refused/2"), out, {"a": {"1": "new", "2": "new"}}, {})
    assert _wrong(store.files("refused/out")) == []
    assert len(store.files("refused/out")) == 4


def test_shards_that_no_manifest_names_are_removed(store: Store) -> None:
    out = store.place("unnamed/out")
    _publish(store.place("unnamed/work"), out, {"a": {"1": "one"}}, {})
    before = store.files("unnamed/out")
    publish(f"{out}/finetune/sts/b/part-00000-of-00001.parquet", b"left behind")
    clear_unnamed(out)
    assert store.files("unnamed/out") == before


def test_verify_reads_what_a_run_only_looks_for(store: Store) -> None:
    out = store.place("verified/out")
    _publish(store.place("verified/work"), out, {"a": {"1": "one", "2": "two"}}, {})
    assert verify(out) == []
    publish(f"{out}/finetune/sts/a/part-1.parquet", b"eno")
    assert shard_faults(out) == {}
    assert [(found.path, found.what) for found in verify(out)] == [
        ("finetune/sts/a/part-1.parquet", "holds other bytes than it was written with (3 bytes)")
    ]
