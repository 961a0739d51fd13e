"""Ids of rows: they follow from what a row says, from all of it, and from nothing else."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import ADAPTED, CANONICAL, MINED, SHARD, fields_hash, row_ids, text_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
FIELDS = st.lists(st.none() | TEXT, max_size=5)
ROWS = st.fixed_dictionaries(
    {
        "dataset": TEXT,
        "language": TEXT,
        "instruction": st.none() | TEXT,
        "query": TEXT,
        "positives": st.lists(TEXT, max_size=3),
        "negatives": st.lists(TEXT, max_size=3),
        "label": st.none() | TEXT,
        "other_labels": st.lists(TEXT, max_size=3),
        "score": st.none() | st.floats(allow_nan=False),
    }
)
PLAIN: dict[str, Any] = {
    "dataset": "d",
    "language": "en",
    "instruction": None,
    "query": "q",
    "positives": ["p"],
    "negatives": [],
    "label": None,
    "other_labels": [],
    "score": None,
}


def _ids(rows: Sequence[dict[str, Any]]) -> list[bytes]:
    given_rows = [{"id": b"\0" * 16, "provenance": "f#0"} | row for row in rows]
    ids: list[bytes] = row_ids(pa.Table.from_pylist(given_rows, CANONICAL)).to_pylist()
    return ids


def test_a_text_is_known_by_the_hash_of_its_utf8() -> None:
    assert text_hash("für") == xxhash.xxh3_128_digest("für".encode())


@given(FIELDS, FIELDS)
def test_fields_hash_alike_only_when_they_are_equal(one: list[str | None], other: list[str | None]) -> None:
    assert (fields_hash(one) == fields_hash(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([None], [""]),
        ([None, ""], ["", None]),
        (["ab", "c"], ["a", "bc"]),
        (["a"], ["a", ""]),
        (["1\x1fa"], ["", "a"]),
        (["a\x1f"], ["a", "\x1f"]),
        ([], [None]),
    ],
)
def test_fields_do_not_collide_by_joining(one: list[str | None], other: list[str | None]) -> None:
    assert fields_hash(one) != fields_hash(other)


@given(ROWS, ROWS)
def test_rows_have_one_id_only_when_they_say_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second, again = _ids([one, other, dict(one)])
    assert first == again
    assert (first == second) == (repr(one) == repr(other))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "e"),
        ("language", "de"),
        ("instruction", ""),
        ("query", "Q"),
        ("positives", []),
        ("positives", ["p", ""]),
        ("negatives", ["n"]),
        ("label", ""),
        ("label", "1"),
        ("other_labels", ["x"]),
        ("score", 0.0),
        ("score", 1.0),
    ],
)
def test_everything_a_row_says_is_part_of_its_id(field: str, value: Any) -> None:
    first, second = _ids([PLAIN, PLAIN | {field: value}])
    assert first != second


def test_texts_that_change_sides_change_the_id() -> None:
    rows = [PLAIN | {"positives": ["a"], "negatives": ["b"]}, PLAIN | {"positives": ["a", "b"], "negatives": []}]
    rows += [PLAIN | {"positives": [], "negatives": ["a", "b"]}, PLAIN | {"positives": ["b"], "negatives": ["a"]}]
    assert len(set(_ids(rows))) == len(rows)


def test_where_a_row_came_from_is_no_part_of_its_id() -> None:
    assert len(set(_ids([PLAIN | {"provenance": "a#1"}, PLAIN | {"provenance": "b#2"}]))) == 1


def test_ids_are_the_same_in_every_run() -> None:
    assert _ids([PLAIN])[0].hex() == "9b7dd6488758542dedd208b3e9e417c8"


def test_an_adapted_row_is_a_canonical_one_without_dataset_and_id() -> None:
    assert ADAPTED.names == [name for name in CANONICAL.names if name not in ("dataset", "id")]
    assert all(ADAPTED.field(name).type == CANONICAL.field(name).type for name in ADAPTED.names)


def test_provenance_reaches_no_shard() -> None:
    assert "provenance" not in SHARD.names
    assert "provenance" not in MINED.names


_NAMES = ("dataset", "language", "instruction", "query", "positives", "negatives", "label", "other_labels", "score")
_TEXT = st.text(alphabet=st.sampled_from(list('ab"\\/\n\t\x00\x1f\x7fé语😀, []')), max_size=6)
_ROW = st.fixed_dictionaries(
    {
        "dataset": _TEXT,
        "language": _TEXT,
        "instruction": st.none() | _TEXT,
        "query": _TEXT,
        "positives": st.lists(_TEXT, max_size=3),
        "negatives": st.lists(_TEXT, max_size=2),
        "label": st.none() | _TEXT,
        "other_labels": st.lists(_TEXT, max_size=2),
        "score": st.sampled_from([None, 0.0, 0.1, 1.0, 4.2]),
    }
)


@given(st.lists(_ROW, max_size=5))
def test_ids_are_those_of_the_rows_as_json(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, pa.schema([CANONICAL.field(name) for name in _NAMES]))
    values = [[row[name] for name in _NAMES] for row in table.to_pylist()]
    expected = [xxhash.xxh3_128_digest(json.dumps(row, ensure_ascii=False).encode()) for row in values]
    assert row_ids(table).to_pylist() == expected
    assert row_ids(table.slice(1)).to_pylist() == expected[1:]
