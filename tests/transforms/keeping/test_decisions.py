"""Decisions, caps and the order of reasons."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.readmission import NOBODY, Readmission
from schemas.rows import CANONICAL, row_ids
from tests.transforms.rows import canonical_rows, write_parts
from tests.transforms.steps import outputs, shuffle, tally, together
from transforms.duplicates.exact import DecideExact, KeyRows
from transforms.flow.batches import by_partition, first_words, partitions_of
from transforms.flow.files import read_parquet
from transforms.flow.parts import DECISIONS
from transforms.flow.tagged import FILES_TAG
from transforms.keeping.decisions import (
    CAP_KEYS,
    ApplyDecisions,
    ApplySpec,
    CapRows,
    apply_decisions,
    cap_counts,
    first_decisions,
    overrule,
)

REASONS = ["EXACT_DUPLICATE", "NEAR_DUPLICATE", "CONFLICTING_LABEL", "CAPPED"]


def canonical(queries: list[str], dataset: str = "d") -> pa.Table:
    """Canonical rows with these queries."""
    row = {"dataset": dataset, "language": "en", "positives": ["p"], "negatives": [], "other_labels": []}
    rows = [row | {"id": b"\0" * 16, "query": q, "provenance": f"f#{i}"} for i, q in enumerate(queries)]
    table = pa.Table.from_pylist(rows, CANONICAL)
    return table.set_column(1, CANONICAL.field("id"), row_ids(table))


def _decisions(pairs: list[tuple[int, str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"row": r, "reason": reason, "detail": "", "kept_id": None} for r, reason in pairs], DECISIONS
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(REASONS)), max_size=30))
def test_every_row_is_kept_or_rejected_once(pairs: list[tuple[int, str]]) -> None:
    rows = canonical([f"query {i}" for i in range(10)])
    kept, rejected = apply_decisions(rows, _decisions(pairs), "prepare")
    gone = {row for row, _ in pairs}
    assert kept.column("query").to_pylist() == [f"query {i}" for i in range(10) if i not in gone]
    assert sorted(rejected.column("query").to_pylist()) == sorted(f"query {i}" for i in gone)


def test_the_reason_that_comes_first_holds_whatever_the_order() -> None:
    pairs = [(3, "CAPPED"), (3, "NEAR_DUPLICATE"), (3, "CONFLICTING_LABEL"), (1, "CAPPED")]
    for order in (pairs, pairs[::-1]):
        assert [(d["row"], d["reason"]) for d in first_decisions(_decisions(order)).to_pylist()] == [
            (1, "CAPPED"),
            (3, "CONFLICTING_LABEL"),
        ]


@pytest.mark.parametrize("cap", [0, 1, 7, 40, 100])
@pytest.mark.parametrize("num_ranges", [1, 4, 32])
def test_a_cap_leaves_the_smallest_ids_whatever_the_ranges(cap: int, num_ranges: int) -> None:
    rows = canonical([f"query {i}" for i in range(40)])
    columns = [rows.column("dataset"), rows.column("id"), pa.array([5] * 40), pa.array(range(40), pa.int32())]
    keys = pa.table(columns, schema=CAP_KEYS)
    keyed = list(by_partition(keys, partitions_of(first_words(keys.column("id")), num_ranges)))
    counts: dict[str, int] = {}
    for pair in keyed:
        for key, number in cap_counts(pair):
            counts[key] = counts.get(key, 0) + number
    step = CapRows({"d": cap})
    gone = {
        row["row"] for n, batch in keyed for _, found in step.process((n, [batch]), counts) for row in found.to_pylist()
    }
    smallest = sorted(range(40), key=lambda i: rows.column("id")[i].as_py())[:cap]
    assert set(range(40)) - gone == set(smallest)


def test_rejections_keep_texts_provenance_and_the_kept_row(tmp_path: Path) -> None:
    decisions = pa.Table.from_pylist(
        [{"row": 0, "reason": "EXACT_DUPLICATE", "detail": "same", "kept_id": b"k" * 16}], DECISIONS
    )
    _, rejected = apply_decisions(canonical(["a question"]), decisions, "prepare")
    row = rejected.to_pylist()[0]
    assert (row["query"], row["positives"], row["provenance"], row["kept_id"]) == (
        "a question",
        ["p"],
        "f#0",
        "6b" * 16,
    )


@pytest.mark.parametrize("seed", range(4))
def test_rows_whose_sets_of_labels_overlap_become_one_row_with_all_of_them(tmp_path: Path, seed: int) -> None:
    """The way of a row from its part through the exact keys and back, in whatever order rows and batches come."""
    said = [("set off", ["a", "b"]), ("Set off!", ["b", "c"]), ("set off", ["c", "d", "e"]), ("stay", ["a"])]
    random.Random(seed).shuffle(said)
    rows = canonical_rows([{"query": text, "label": s[0], "other_labels": s[1:]} for text, s in said])
    places = write_parts(tmp_path / "parts", rows, 2)
    keyed = [pair for place in places for pair in KeyRows(f"{tmp_path}/parts", {}, 3).work(place)]
    decided = [pair for group in shuffle(keyed, seed) for pair in DecideExact({}).process(group)]
    spec = ApplySpec(folder=str(tmp_path), progress=None, caps={}, num_partitions=1)
    together = shuffle([*places, *decided], seed)
    records = [item for group in together for item in outputs(ApplyDecisions(spec, None).work(group))[FILES_TAG]]
    kept = [read_parquet(f"{tmp_path}/{r['path']}") for r in map(json.loads, records) if r["kind"] == "kept"]
    found = {row["query"].lower().strip("!"): row for row in pa.concat_tables(kept).to_pylist()}
    assert {text: sorted([row["label"], *row["other_labels"]]) for text, row in found.items()} == {
        "set off": ["a", "b", "c", "d", "e"],
        "stay": ["a"],
    }
    assert found["set off"]["label"] == "c", "the row with the most labels stays, and its own first one first"
    assert {row["id"] for row in found.values()} <= set(rows.column("id").to_pylist())


def _wanted(rows: pa.Table, places: list[int]) -> Readmission:
    return Readmission.of(rows.column("id")[place].as_py().hex() for place in places)


def test_decisions_about_wanted_rows_are_overruled_and_counted_by_their_first_reason() -> None:
    rows = canonical([f"query {i}" for i in range(5)])
    decisions = _decisions([(0, "NEAR_DUPLICATE"), (1, "CONFLICTING_LABEL"), (1, "CAPPED"), (2, "CAPPED")])
    found = overrule(rows, decisions, _wanted(rows, [0, 1, 4]))
    assert found.readmitted == {"d": {"NEAR_DUPLICATE": 1, "CONFLICTING_LABEL": 1}}
    assert [(d["row"], d["reason"]) for d in found.decisions.to_pylist()] == [(2, "CAPPED")]
    assert overrule(rows, decisions, NOBODY).decisions is decisions


def test_the_copy_of_a_kept_row_goes_whoever_wants_it() -> None:
    rows = canonical(["same", "same", "other"])
    copy, other = (rows.column("id")[place].as_py() for place in (0, 2))
    decisions = pa.Table.from_pylist(
        [
            {"row": row, "reason": "EXACT_DUPLICATE", "detail": "", "kept_id": kept}
            for row, kept in ((1, copy), (2, copy))
        ],
        DECISIONS,
    )
    found = overrule(rows, decisions, Readmission.of([copy.hex(), other.hex()]))
    assert found.decisions.column("row").to_pylist() == [1]
    assert found.readmitted == {"d": {"EXACT_DUPLICATE": 1}}


def _decided_at_home(folder: Path, rows: pa.Table, readmission: Readmission) -> dict[str, int]:
    """What exact deduplication and its decisions at home make of rows, a row to a part."""
    addresses = write_parts(folder / "parts", rows, 1)
    keys = [keyed for element in addresses for keyed in KeyRows(str(folder / "parts"), {}, 4).work(element)]
    decided = [d for keyed in shuffle(keys) for d in DecideExact({}, readmission).process(keyed)]
    spec = ApplySpec(folder=str(folder), progress=None, caps={}, num_partitions=1, readmission=readmission)
    return tally(
        together(*(outputs(ApplyDecisions(spec, None).work(each)) for each in shuffle([*addresses, *decided])))
    )


@pytest.mark.parametrize("wanted", [False, True])
def test_of_wanted_copies_that_duplicate_another_row_one_stays(tmp_path: Path, wanted: bool) -> None:
    texts = ["a question", "A question!", "A question!"]
    rows = canonical_rows(
        [{"query": q, "negatives": ["n"] * (not n), "provenance": f"f#{n}"} for n, q in enumerate(texts)]
    )
    counts = _decided_at_home(tmp_path, rows, _wanted(rows, [1]) if wanted else NOBODY)
    kept = {"d\tkept\t": 2, "d\treadmitted\tEXACT_DUPLICATE": 1, "d\trejected\tEXACT_DUPLICATE": 1}
    met = {f"d\tmet\t{rows.column('id')[1].as_py().hex()}\t": 2}
    assert counts == (kept | met if wanted else {"d\tkept\t": 1, "d\trejected\tEXACT_DUPLICATE": 2})


@pytest.mark.parametrize("wanted", [False, True])
def test_of_wanted_copies_that_contradict_another_row_one_stays(tmp_path: Path, wanted: bool) -> None:
    rows = canonical_rows(
        [{"query": "a question", "label": label, "provenance": f"f#{n}"} for n, label in enumerate(("x", "x", "y"))]
    )
    readmission = _wanted(rows, [0]) if wanted else NOBODY
    counts = _decided_at_home(tmp_path, rows, readmission)
    if wanted:
        assert counts == {
            "d\tkept\t": 1,
            "d\treadmitted\tCONFLICTING_LABEL": 1,
            "d\trejected\tCONFLICTING_LABEL": 1,
            "d\trejected\tEXACT_DUPLICATE": 1,
            f"d\tmet\t{rows.column('id')[0].as_py().hex()}\t": 2,
        }
    else:
        assert counts == {"d\trejected\tCONFLICTING_LABEL": 3}
