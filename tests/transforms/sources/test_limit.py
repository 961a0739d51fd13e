"""LIMIT: the same rows whatever the files, exactly N of them, ties included."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.sources.limit import HASHES, Threshold, row_hashes, smallest, text_hashes, threshold

UNITS = st.lists(st.lists(st.integers(0, 12), max_size=12), min_size=1, max_size=5)


def _offered(units: list[list[int]], limit: int, distinct: bool) -> pa.Table:
    rows = [
        (int(value), number)
        for number, hashes in enumerate(units)
        for value in smallest(np.array(hashes, np.uint64), limit, distinct)
    ]
    columns = [pa.array([r[0] for r in rows], pa.uint64()), pa.array([r[1] for r in rows], pa.uint64())]
    return pa.table(columns, schema=HASHES)


@given(UNITS, st.integers(1, 20))
def test_exactly_the_smallest_rows_are_taken(units: list[list[int]], limit: int) -> None:
    every = sorted(value for hashes in units for value in hashes)
    if not every:
        return
    found = threshold(_offered(units, limit, distinct=False), limit, distinct=False)
    assert Threshold.from_json(found.to_json()) == found
    taken = [
        value
        for number, hashes in enumerate(units)
        for value, keep in zip(hashes, found.mask(np.array(hashes, np.uint64), number), strict=True)
        if keep
    ]
    assert sorted(taken) == every[:limit]


@given(UNITS, st.integers(1, 20))
def test_of_distinct_ids_every_row_of_the_smallest_is_taken(units: list[list[int]], limit: int) -> None:
    every = {value for hashes in units for value in hashes}
    if not every:
        return
    found = threshold(_offered(units, limit, distinct=True), limit, distinct=True)
    wanted = set(sorted(every)[:limit])
    for number, hashes in enumerate(units):
        mask = found.mask(np.array(hashes, np.uint64), number)
        assert [value in wanted for value in hashes] == mask.tolist()


def test_a_units_ties_are_counted_over_its_batches() -> None:
    found = Threshold(hash=5, ties={7: 2})
    first = found.mask(np.array([5, 1], np.uint64), 7, taken=0)
    second = found.mask(np.array([5, 5], np.uint64), 7, taken=1)
    assert first.tolist() == [True, True]
    assert second.tolist() == [True, False]


def test_hashes_follow_the_values_not_the_order_of_columns() -> None:
    one = pa.RecordBatch.from_pydict({"a": ["x", None], "b": [1, 2]})
    other = pa.RecordBatch.from_pydict({"b": [1, 2], "a": ["x", None]})
    assert row_hashes(one).tolist() == row_hashes(other).tolist()
    assert len(set(row_hashes(one).tolist())) == 2


def test_an_id_hashes_alike_as_number_and_as_text() -> None:
    assert text_hashes([12, 7]).tolist() == text_hashes(["12", "7"]).tolist()
