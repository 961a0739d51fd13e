"""A store at rest: ranges of keys, each key once."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import text_hash
from schemas.vectors import MAX_PARTITIONS, key_range, num_store_partitions, unique_by
from transforms.flow.batches import first_words, partitions_of


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


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_unique_by_keeps_the_first_of_equal_rows(rows: list[tuple[int, int]]) -> None:
    table = pa.table({"k": pa.array([r[0] for r in rows], pa.int64()), "v": pa.array([r[1] for r in rows], pa.int64())})
    first: dict[int, int] = {}
    for key, value in rows:
        first.setdefault(key, value)
    assert [(r["k"], r["v"]) for r in unique_by(table, "k").to_pylist()] == sorted(first.items())
