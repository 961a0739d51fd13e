"""Files that are known by their content: any other byte is found, whatever the kind of name."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import xxhash
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from schemas.content_names import content_name, is_named_by_content
from transforms.flow import content
from transforms.flow.content import (
    KnownFile,
    find_faults,
    made_once,
    part_number,
)
from transforms.flow.files import read_parquet, sha256


@given(st.binary())
def test_names_are_the_hash_of_the_content(data: bytes) -> None:
    assert content_name(data) == f"{xxhash.xxh3_64_intdigest(data):016x}"
    assert 0 <= part_number(data) < 2**63
    assert is_named_by_content(f"{content_name(data)}.parquet")
    assert is_named_by_content(f"{part_number(data):016x}.parquet")


@pytest.mark.parametrize(
    "name", ["README", "x.parquet", "0123.parquet", "0123456789abcdef.parquet.bak", "0123456789ABCDEF.parquet"]
)
def test_other_names_say_nothing(name: str) -> None:
    assert not is_named_by_content(name)


@pytest.mark.parametrize("number", [1, 9])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_every_file_with_another_byte_is_found_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, chunk: int
) -> None:
    monkeypatch.setattr(content, "_CHUNK_BYTES", chunk)
    files, damaged = [], []
    for i in range(number):
        data = bytes([i]) * 100
        for name, digest in (
            (f"{content_name(data)}.parquet", ""),
            (f"{part_number(data):016x}.parquet", ""),
            (f"key-{content_name(data)}.parquet", ""),
            (f"shard-{i}", sha256(data)),
        ):
            for folder, text in (("sound", data), ("damaged", data[:50] + b"x" + data[51:])):
                path = tmp_path / folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(text)
                files.append(KnownFile(path=str(path), shown=f"{folder}/{name}", sha256=digest))
                damaged += [files[-1]] if folder == "damaged" else []
    faults = find_faults(files)
    assert [fault.file for fault in faults] == damaged
    assert all("holds other bytes than it was written with (100 bytes)" in str(fault) for fault in faults)


def test_what_is_gone_or_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "0123456789abcdef.parquet").mkdir()
    names = ["0123456789abcdef.parquet", "none"]
    faults = find_faults([KnownFile(path=str(tmp_path / name), shown=name) for name in names])
    assert [str(fault) for fault in faults] == [f"{names[0]} cannot be read (Is a directory)", "none is gone"]


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://content"
    filesystem = MemoryFileSystem()
    if filesystem.exists("/content"):
        filesystem.rm("/content", recursive=True)


def test_of_objects_in_a_store_only_those_that_are_gone_are_found(memory: str) -> None:
    MemoryFileSystem().pipe_file("/content/0123456789abcdef.parquet", b"x")
    names = ["0123456789abcdef.parquet", "none"]
    assert [f.what for f in find_faults([KnownFile(path=f"{memory}/{n}", shown=n) for n in names])] == ["is gone"]


@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_table_is_made_once_and_again_where_it_is_damaged(where: str, tmp_path: Path, memory: str) -> None:
    stem, made = f"{tmp_path if where == 'local' else memory}/key", []

    def make() -> pa.Table:
        made.append(1)
        return pa.table({"a": [1, 2]})

    path = made_once(stem, make)
    assert made_once(stem, make) == path
    assert read_parquet(path).to_pylist() == [{"a": 1}, {"a": 2}]
    assert len(made) == 1
    assert made_once(f"{stem}2", make) != path
    if where == "local":
        Path(path).write_bytes(Path(path).read_bytes()[:-1])
        assert made_once(stem, make) == path
        assert len(made) == 3
        assert read_parquet(path).num_rows == 2
