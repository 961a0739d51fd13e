"""Files on real servers of both kinds of stores, behind a proxy that fails."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import schemas.filesystems
from schemas.errors import ConfigError, DamageError, OutputError
from schemas.filesystems import filesystem_of
from tests.fault_proxy import CUT, LOST, STALLED, Fault, Kind
from tests.stores import BUCKET, Store, any_store, forget, hasty, store
from transforms.flow import stores
from transforms.flow.content import KnownFile, find_faults
from transforms.flow.files import exists, parquet_bytes, publish, read_bytes, read_json, read_parquet, write_json
from transforms.flow.manifests import read_stage_manifest, sealed
from transforms.flow.params import RetryParams
from transforms.sources.file_digests import file_digest
from transforms.sources.params import RangeParams
from transforms.sources.ranges import RangeFile

__all__ = ["any_store", "hasty", "store"]

TABLE = pa.table({"n": range(5000), "text": [f"row {n}" for n in range(5000)]})
DATA = bytes(range(256)) * 4000


def _read_range(place: str) -> bytes:
    file = RangeFile(place, RangeParams(piece=100_000, retry=RetryParams(first_wait=0.01)))
    file.prefetch([(0, len(DATA))])
    return file.read(len(DATA)) or b""


READS: dict[str, Callable[[str], Any]] = {
    "read_bytes": read_bytes,
    "exists": exists,
    "read_parquet": lambda place: read_parquet(place, ["n"]),
    "ranges": _read_range,
}


def _put_by_hand(store: Store, path: str, data: bytes) -> str:
    store.beside().pipe_file(f"{BUCKET}/{path}", data)
    return store.place(path)


@pytest.mark.parametrize("kind", [500, 503, 429, CUT, STALLED])
@pytest.mark.parametrize("read", READS)
def test_reading_goes_on_after_a_fault(store: Store, hasty: None, kind: Kind, read: str) -> None:
    data = bytes(parquet_bytes(TABLE)) if read == "read_parquet" else DATA
    place = _put_by_hand(store, f"reading/{read}", data)
    expected = READS[read](place)
    methods = "HEAD|GET" if isinstance(kind, int) or read == "exists" else "GET"
    store.proxy.faults = [Fault(kind, methods=methods, path="reading", times=1)]
    found = READS[read](place)
    assert found.equals(expected) if read == "read_parquet" else found == expected
    assert store.proxy.met == {kind: 1}


@pytest.mark.parametrize("kind", [500, 503, 429, LOST])
def test_writing_goes_on_after_a_fault(store: Store, hasty: None, kind: Kind) -> None:
    store.proxy.faults = [Fault(kind, methods="PUT|POST", times=1)]
    publish(store.place(f"writing/{kind}"), DATA)
    assert store.files("writing")[str(kind)] == DATA
    assert store.proxy.met == {kind: 1}


def test_a_store_that_never_takes_a_file_is_told_and_keeps_the_old_one(store: Store, hasty: None) -> None:
    place = store.place("failing/a.json")
    write_json(place, {"old": 1})
    store.proxy.faults = [Fault(503, methods="PUT|POST")]
    with pytest.raises(OutputError, match=f"writing {place} failed 2 times, .*start again with the same command"):
        write_json(place, {"new": 1})
    store.proxy.faults = []
    assert read_json(place) == {"old": 1}
    assert list(store.files("failing")) == ["a.json"]


def test_a_store_that_does_not_answer_is_no_damage(store: Store, hasty: None) -> None:
    """Else what is sound would be removed and made again."""
    place = store.place("stage/manifest.json")
    write_json(place, sealed({"files": {}}))
    store.proxy.faults = [Fault(503)]
    for look in (
        lambda: read_stage_manifest(store.place("stage")),
        lambda: find_faults([KnownFile(path=place, shown="manifest")]),
        lambda: read_parquet(place),
        lambda: exists(place),
    ):
        with pytest.raises(OutputError, match="failed 2 times"):
            look()


def test_what_is_not_there_is_told_apart_from_what_is_refused(store: Store, hasty: None) -> None:
    place = store.place("nothing/here.parquet")
    assert read_bytes(place) is None
    assert read_json(place) is None
    assert not exists(place)
    assert [fault.what for fault in find_faults([KnownFile(path=place, shown="x")])] == ["is gone"]
    with pytest.raises(DamageError, match="removed while the run was at work"):
        read_parquet(place)
    store.proxy.faults = [Fault(403)]
    with pytest.raises(OutputError, match="these credentials may not do that"):
        exists(place)
    assert sum(store.proxy.met.values()) < 5, "a refusal is not asked again"


def test_a_bucket_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(OutputError, match=r"cannot write \w+://nobody-made-this/a: there is no such bucket"):
        publish(f"{store.name}://nobody-made-this/a", b"")


def test_what_another_process_wrote_is_seen(store: Store) -> None:
    """fsspec would remember the listing in which it was not there yet, and say that it is gone."""
    place = store.place("listed/a")
    publish(place, b"1")
    filesystem, inner = filesystem_of(store.place("listed"))
    assert len(filesystem.ls(inner, detail=False)) == 1
    other = _put_by_hand(store, "listed/b", b"2")
    assert exists(other)
    assert len(filesystem_of(store.place("listed"))[0].ls(inner, detail=False)) == 2


def test_a_digest_changes_with_the_file_and_with_nothing_else(store: Store) -> None:
    place = _put_by_hand(store, "digested/a", b"1")
    digests = [file_digest(*filesystem_of(place))]
    filesystem_of(place)[0].find(filesystem_of(store.place("digested"))[1], detail=True)
    digests.append(file_digest(*filesystem_of(place)))
    forget()
    digests.append(file_digest(*filesystem_of(place)))
    assert len(set(digests)) == 1
    _put_by_hand(store, "digested/a", b"2")
    assert file_digest(*filesystem_of(place)) != digests[0]


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store) -> None:
    if store.name == "gs":
        pytest.skip("gcsfs asks the machine's own server for credentials, and then as nobody")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    forget()
    with pytest.raises(OutputError, match="no credentials were found: for s3:// set AWS_ACCESS_KEY_ID"):
        publish(store.place("a"), b"")


def test_what_a_library_raised_unasked_is_told_too(store: Store) -> None:
    """Of a listing, say: no fault of the program. Other errors are left as they are."""
    store.proxy.faults = [Fault(403)]
    filesystem, inner = filesystem_of(store.place("listing"))
    with pytest.raises(OSError) as caught:  # noqa: PT011  libraries have words of their own
        filesystem.ls(inner)
    told = stores.failure_of_store(caught.value)
    assert told is not None
    assert "these credentials may not do that" in told.message
    assert stores.failure_of_store(OSError("disk")) is None
    assert stores.failure_of_store(ZeroDivisionError()) is None


def test_a_protocol_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(schemas.filesystems, "url_to_fs", lacking)
    with pytest.raises(ConfigError, match=r"Install s3fs.*pip install 'kalm-curation\[s3\]'"):
        filesystem_of("s3://bucket/a")


def test_an_unknown_protocol_is_no_fault_of_the_program() -> None:
    with pytest.raises(ConfigError, match="hdsf:// cannot be used here"):
        filesystem_of("hdsf://host/a")


def test_json_is_read_as_it_was_written(store: Store) -> None:
    write_json(store.place("json/a.json"), {"b": "ü", "a": [1]})
    assert json.loads(store.files("json")["a.json"]) == read_json(store.place("json/a.json")) == {"b": "ü", "a": [1]}
