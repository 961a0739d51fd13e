"""Sightings are counted once for each thing that was seen, whatever their order."""

from collections import Counter
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.flow.counts import overlap_counts
from transforms.leaks.evaluation_sightings import (
    SIGHTINGS,
    CountSightings,
    count_sightings,
    distinct,
    sightings_by_range,
)

SIGHTING = st.fixed_dictionaries(
    {
        "high": st.sampled_from([0, 5 << 61, 2**64 - 1]),
        "low": st.integers(0, 1),
        "dataset": st.sampled_from(["a", "b"]),
        "evaluation_set": st.sampled_from(["One", "Two"]),
        "kind": st.sampled_from(["exact", "contained", "edited", "positives", "corpus"]),
    }
)


def _naive(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    leaks = [row for row in rows if row["kind"] not in ("positives", "corpus")]
    seen = Counter((row["dataset"], row["evaluation_set"], row["kind"]) for row in leaks)
    queries = {(row["dataset"], row["evaluation_set"], row["high"], row["low"]) for row in leaks}
    seen.update((dataset, name, "queries") for dataset, name, _, _ in queries)
    passages = {tuple(row[name] for name in SIGHTINGS.names) for row in rows if row not in leaks}
    seen.update((dataset, name, kind) for _, _, dataset, name, kind in passages)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (dataset, name, what), number in seen.items():
        found.setdefault(dataset, {}).setdefault(name, {})[what] = number
    return found


@given(st.lists(SIGHTING, max_size=30))
def test_rows_are_counted_each_and_what_they_saw_once(rows: list[dict[str, Any]]) -> None:
    assert overlap_counts(list(count_sightings(pa.Table.from_pylist(rows, SIGHTINGS)))) == _naive(rows)


@given(st.lists(SIGHTING, max_size=30))
def test_the_counts_are_the_same_whatever_the_ranges(rows: list[dict[str, Any]]) -> None:
    batches: dict[int, list[pa.RecordBatch]] = {}
    for key, batch in sightings_by_range(pa.Table.from_pylist(rows, SIGHTINGS), 7):
        batches.setdefault(key, []).append(batch)
    counts = [count for keyed in batches.items() for count in CountSightings().process(keyed)]
    assert overlap_counts(counts) == _naive(rows)


def test_distinct_keeps_the_columns_in_their_order() -> None:
    table = pa.table({"x": [1, 1, 2], "y": ["a", "a", "b"], "z": [7, 8, 9]})
    rows = distinct(table, ["y", "x"]).to_pylist()
    assert sorted(map(tuple, (row.items() for row in rows))) == [(("y", "a"), ("x", 1)), (("y", "b"), ("x", 2))]
