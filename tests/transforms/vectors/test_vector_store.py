"""The vector store: ranges of keys that fit together whatever the number of partitions."""

from pathlib import Path

import pyarrow as pa
import pytest

from schemas.rows import text_hash
from schemas.vectors import vector_schema
from transforms.flow.batches import first_words, partitions_of
from transforms.vectors.vector_store import read_vectors, write_vectors


def _vectors(texts: list[str], fill: bytes = b"\1") -> pa.Table:
    keys = sorted(text_hash(text) for text in texts)
    return pa.table([pa.array(keys, pa.binary(16)), pa.array([fill * 4] * len(keys), pa.binary(4))], vector_schema(2))


@pytest.mark.parametrize(("written", "read"), [(2, 8), (8, 2), (4, 4)])
def test_a_store_is_read_in_other_partitions_than_it_was_written_in(tmp_path: Path, written: int, read: int) -> None:
    table = _vectors([str(i) for i in range(300)])
    partitions = partitions_of(first_words(table.column("key")), written)
    for number in range(written):
        write_vectors(str(tmp_path), number, written, table.filter(pa.array(partitions == number)))
    found = pa.concat_tables([read_vectors(str(tmp_path), number, read, 2) for number in range(read)])
    assert found.sort_by("key").to_pylist() == table.to_pylist()


def test_an_absent_store_is_empty(tmp_path: Path) -> None:
    assert read_vectors(f"{tmp_path}/none", 0, 2, 2).num_rows == 0


def test_a_key_that_was_written_twice_is_read_once(tmp_path: Path) -> None:
    for fill in (b"\1", b"\2"):
        write_vectors(str(tmp_path), 0, 1, _vectors(["a", "b"], fill))
    assert read_vectors(str(tmp_path), 0, 1, 2).num_rows == 2
