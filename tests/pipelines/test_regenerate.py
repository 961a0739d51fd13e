"""What a rebuilt sample is compared with: exact where it must be, by shares elsewhere, and told by row and cause."""

import copy
from typing import Any

import pyarrow as pa
import pytest

from pipelines import regenerate as module
from pipelines.regenerate import TOLERANCE, Agreement, agreement, explanations, lenient, main, strict

EXACT, ANEW = "finetune/retrieval/trecqa/part-0.parquet", "finetune/retrieval/fever/part-0.parquet"
GOLDEN: dict[str, Any] = {
    "prepared": {"trecqa": {"read": 9, "kept": 8}, "fever": {"read": 100, "kept": 100}},
    "shards": {EXACT: "aa", ANEW: "bb"},
    "code": "kalm 1",
    "config": "c",
    "libraries": {"torch": "2"},
    "teacher": {"name": "minilm"},
}


def other(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(GOLDEN) | changes


def rows(negatives: dict[int, list[int]]) -> pa.Table:
    """Rows of ``fever`` by number, with the numbers of their negatives."""
    columns = {
        "dataset": pa.array(["fever"] * len(negatives)),
        "id": pa.array([number.to_bytes(16) for number in negatives], pa.binary(16)),
        "negatives": pa.array([[n.to_bytes(8) for n in own] for own in negatives.values()], pa.list_(pa.binary(8))),
    }
    return pa.table(columns)


HUNDRED = {number: [1, 2, 3, 4] for number in range(100)}


def test_what_is_committed_must_be_equal() -> None:
    assert strict(GOLDEN, other()) == []
    (counts,) = strict(GOLDEN, other(prepared={**GOLDEN["prepared"], "trecqa": {"read": 9, "kept": 7}}))
    assert counts.startswith("trecqa: prepare gave {'read': 9, 'kept': 7}, committed is")
    assert strict(GOLDEN, other(shards={EXACT: "xx", ANEW: "yy"})) == [f"{EXACT}: sha256 xx, committed is aa"]


def test_what_was_embedded_anew_may_differ_a_little_and_each_row_that_does_is_named() -> None:
    anew = other(shards={EXACT: "aa", ANEW: "yy"})
    found = lenient(rows(HUNDRED), GOLDEN, anew, rows(HUNDRED | {7: [1, 2, 3, 9]}))
    assert found.beyond == []
    (line,) = found.within
    assert line == (
        f"fever: 100.0% of rows and 99.5% of negatives agree (at least {TOLERANCE:.0%} must); "
        f"rows that differ: {7:032x}"
    )
    assert lenient(rows(HUNDRED), GOLDEN, anew, rows(HUNDRED)) == ([], [], ["fever"])
    assert lenient(rows(HUNDRED), GOLDEN, other(), rows({})) == ([], [], [])  # equal shards need no second look


@pytest.mark.parametrize(
    "found",
    [{number: [1, 2, 3, 9] for number in range(100)}, {number: [1, 2, 3, 4] for number in range(90)}],
    ids=["negatives", "rows"],
)
def test_more_than_a_little_is_a_difference(found: dict[int, list[int]]) -> None:
    differences = lenient(rows(HUNDRED), GOLDEN, other(shards={EXACT: "aa", ANEW: "yy"}), rows(found))
    assert differences.within == []
    assert differences.beyond[0].startswith("fever: ")
    assert " more" in differences.beyond[0]  # the first few ids, and how many there are besides


def test_shares_are_of_the_union_and_rows_of_one_side_alone_differ() -> None:
    a, b, c = (bytes([number]) for number in range(3))
    assert agreement({a: {a, b}, b: {a}}, {a: {a, c}, c: {a}}) == Agreement(1 / 3, 1 / 3, [a, b, c])
    assert agreement({}, {}) == Agreement(1.0, 1.0, [])
    assert agreement({a: set()}, {a: set()}) == Agreement(1.0, 1.0, [])


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"code": "kalm 2"}, "code differs: kalm 2, committed with kalm 1"),
        ({"config": "d"}, "config differs: d, committed with c"),
        ({"teacher": None}, "teacher differs: None, committed with {'name': 'minilm'}"),
        ({"libraries": {"torch": "3"}}, "library torch differs: 3, committed with 2"),
        ({}, "code, config, teacher and libraries are the committed ones: look at the data"),
    ],
)
def test_what_else_differs_is_named_as_the_cause(changes: dict[str, Any], cause: str) -> None:
    told, hint = explanations(GOLDEN, other(**changes))
    assert told == cause
    assert "ACCEPT=1" in hint


def test_a_run_with_other_values_is_not_committed(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "curate", lambda command: pytest.fail("was made in vain"))
    assert main(["--update", "--set=teacher.backend=openvino"]) == 2
    assert "leave --set out" in capsys.readouterr().err
