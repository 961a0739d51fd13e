"""Batches: the coder, the limits of an element, and range partitions."""

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.flow.batches import (
    MAX_BYTES,
    RecordBatchCoder,
    by_partition,
    first_words,
    partitions_of,
    split_batches,
)

ROWS = st.lists(st.tuples(st.integers(0, 2**63 - 1), st.text(max_size=20)), max_size=50)


def _table(rows: list[tuple[int, str]]) -> pa.Table:
    return pa.table({"n": pa.array([r[0] for r in rows], pa.int64()), "t": pa.array([r[1] for r in rows], pa.string())})


@given(ROWS)
def test_coder_round_trip_is_deterministic(rows: list[tuple[int, str]]) -> None:
    coder = RecordBatchCoder()
    batch = pa.RecordBatch.from_pydict(_table(rows).to_pydict(), schema=_table([]).schema)
    assert coder.decode(coder.encode(batch)) == batch
    assert coder.encode(batch) == coder.encode(coder.decode(coder.encode(batch)))


def test_a_slice_is_written_without_its_buffer() -> None:
    whole = pa.RecordBatch.from_pydict({"t": ["x" * 1000] * 5000})
    assert len(RecordBatchCoder().encode(whole.slice(10, 5))) < 10_000


def test_size_for_the_counters_is_that_of_the_buffers_and_asks_for_no_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pa.RecordBatch.from_pydict({"t": ["x" * 1000] * 50})
    monkeypatch.setattr(RecordBatchCoder, "encode", None)
    assert 50_000 < RecordBatchCoder().get_impl().estimate_size(batch) < 51_000


def test_coder_is_registered_for_batches_in_keyed_elements() -> None:
    coder = beam.coders.registry.get_coder(beam.typehints.KV[int, pa.RecordBatch])
    assert isinstance(coder.value_coder(), RecordBatchCoder)


@given(ROWS, st.integers(1, 7))
def test_split_keeps_every_row_in_order(rows: list[tuple[int, str]], max_rows: int) -> None:
    batches = list(split_batches(_table(rows), max_rows))
    assert all(0 < batch.num_rows <= max_rows for batch in batches)
    assert [r for batch in batches for r in batch.to_pylist()] == _table(rows).to_pylist()


def test_no_batch_outgrows_an_element_though_one_row_is_much_longer_than_the_rest() -> None:
    table = pa.table({"t": ["x"] * 4000 + ["y" * (MAX_BYTES - 100)] * 3 + ["x"] * 4000})
    batches = list(split_batches(table))
    assert all(batch.nbytes <= MAX_BYTES + 100_000 for batch in batches)
    assert sum(batch.num_rows for batch in batches) == table.num_rows


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=40), st.integers(1, 300))
def test_partitions_are_ranges_of_hashes(hashes: list[bytes], num_partitions: int) -> None:
    partitions = partitions_of(first_words(pa.array(sorted(hashes), pa.binary(16))), num_partitions)
    assert ((partitions >= 0) & (partitions < num_partitions)).all()
    assert (np.diff(partitions) >= 0).all()


def test_first_words_sees_the_offset_of_a_slice() -> None:
    array = pa.array([bytes([i]) * 16 for i in range(5)], pa.binary(16))
    assert first_words(array.slice(2, 2)).tolist() == [0x0202020202020202, 0x0303030303030303]


def test_first_words_refuses_nulls() -> None:
    with pytest.raises(ValueError, match="1 of 2 hashes are null"):
        first_words(pa.array([None, b"x" * 16], pa.binary(16)))


@given(ROWS)
def test_by_partition_gives_each_row_once_under_its_key(rows: list[tuple[int, str]]) -> None:
    table = _table(rows)
    keyed = list(by_partition(table, table.column("n").to_numpy() % 5))
    assert all(set(np.array(batch.column("n").to_pylist()) % 5) == {key} for key, batch in keyed)
    assert sorted(r["n"] for _, batch in keyed for r in batch.to_pylist()) == sorted(r[0] for r in rows)
