"""The vector store: ranges of keys that fit together whatever the number of partitions."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import text_hash
from transforms.flow.batches import first_words, partitions_of
from transforms.vectors.vector_store import (
    MAX_PARTITIONS,
    key_range,
    num_store_partitions,
    read_vectors,
    unique_by,
    vector_schema,
    write_vectors,
)


def _vectors(texts: list[str], fill: bytes = b"\1") -> pa.Table:
    keys = sorted(text_hash(text) for text in texts)
    return pa.table([pa.array(keys, pa.binary(16)), pa.array([fill * 4] * len(keys), pa.binary(4))], vector_schema(2))


@given(st.integers(0, 10**9))
def test_the_number_of_partitions_is_a_power_of_two_that_divides_the_byte_ranges(texts: int) -> None:
    number = num_store_partitions(texts)
    assert 2 <= number <= MAX_PARTITIONS
    assert MAX_PARTITIONS % number == 0


@pytest.mark.parametrize("num_partitions", [2, 8, 256])
def test_a_key_lies_in_the_byte_range_of_its_partition(num_partitions: int) -> None:
    keys = pa.array([text_hash(str(i)) for i in range(500)], pa.binary(16))
    for key, partition in zip(keys.to_pylist(), partitions_of(first_words(keys), num_partitions).tolist(), strict=True):
        low, high = key_range(partition, num_partitions)
        assert low <= key[0] <= high


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


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_unique_by_keeps_the_first_of_equal_rows(rows: list[tuple[int, int]]) -> None:
    table = pa.table({"k": pa.array([r[0] for r in rows], pa.int64()), "v": pa.array([r[1] for r in rows], pa.int64())})
    first: dict[int, int] = {}
    for key, value in rows:
        first.setdefault(key, value)
    assert [(r["k"], r["v"]) for r in unique_by(table, "k").to_pylist()] == sorted(first.items())
