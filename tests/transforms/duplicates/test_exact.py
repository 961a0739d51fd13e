"""Exact duplicates against a plain reading of the rule; conflicts; scopes; the same decisions from any parts."""

import random
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.rows import canonical_rows, run_decisions, write_parts
from transforms.duplicates.exact import RemoveExactDuplicates, decide_exact, key_rows
from transforms.duplicates.scopes import DedupScope
from transforms.keeping.decisions import with_labels
from transforms.text.matching import matching_form

SCOPES = {
    "w": DedupScope(across=False),
    "v": DedupScope(across=False, priority=2),
    "first": DedupScope(priority=-1),
    "asks": DedupScope(compare="query"),
    "finds": DedupScope(compare="positives"),
}
ROW = st.fixed_dictionaries(
    {
        "dataset": st.sampled_from(["a", "b", *SCOPES]),
        "query": st.sampled_from(["One?", "one", "ONE!", "two"]),
        "positives": st.lists(st.sampled_from(["Yes.", "yes", "no"]), max_size=2),
        "negatives": st.lists(st.just("n"), max_size=1),
        "label": st.sampled_from([None, None, "x", "y"]),
        "score": st.sampled_from([None, None, 1.0]),
    }
)


def decide(rows: list[dict[str, Any]], scopes: dict[str, DedupScope] = SCOPES) -> dict[int, tuple[str, bytes | None]]:
    """``row -> (reason, kept id)``."""
    found = decide_exact(key_rows(canonical_rows(rows), 5, scopes), scopes).decisions.to_pylist()
    assert {row["part"] for row in found} <= {5}
    assert len({row["row"] for row in found}) == len(found)
    return {row["row"]: (row["reason"], row["kept_id"]) for row in found}


def plain_key(row: dict[str, Any], scope: DedupScope) -> tuple[Any, ...]:
    query = matching_form(row["query"]) if scope.compare != "positives" else None
    positives = tuple(sorted(map(matching_form, row["positives"]))) if scope.compare != "query" else None
    return scope.compare, None if scope.across else row["dataset"], query, positives


def plain_decide(rows: list[dict[str, Any]]) -> dict[int, tuple[str, bytes | None]]:
    table = canonical_rows(rows).to_pylist()
    scopes = [SCOPES.get(row["dataset"], DedupScope()) for row in table]
    keys = [plain_key(row, scope) for row, scope in zip(table, scopes, strict=True)]
    said, marked, says = defaultdict(set), [], any(row["label"] or row["score"] for row in table)
    for row, key in zip(table, keys, strict=True):
        marked.append((row["query"].lower(), tuple(sorted(map(str.lower, row["positives"])))) if says else None)
        for besides in ((), (marked[-1],)):
            said[row["dataset"], key, *besides].add((row["label"], row["score"]) if key[0] == "both" else None)
    decided, groups = {}, defaultdict(list)
    for number, (row, key) in enumerate(zip(table, keys, strict=True)):
        apart = marked[number] if len(said[row["dataset"], key]) > 1 else None
        if len(said[row["dataset"], key, marked[number]]) > 1:
            decided[number] = ("CONFLICTING_LABEL", None)
        else:
            texts = [row["query"], *row["positives"], *row["negatives"]]
            rank = (scopes[number].priority, -len(texts), -sum(map(len, texts)), row["id"], number)
            groups[key, row["label"], apart].append((rank, number))
    for group in groups.values():
        (_, survivor), *others = sorted(group)
        decided |= {number: ("EXACT_DUPLICATE", table[survivor]["id"]) for _, number in others}
    return decided


@settings(deadline=None)
@given(st.lists(ROW, max_size=12))
def test_the_same_as_the_plain_rule(rows: list[dict[str, Any]]) -> None:
    assert decide(rows) == plain_decide(rows)


def test_case_punctuation_and_the_order_of_positives_do_not_matter() -> None:
    rows = [{"query": "Who?", "positives": ["A b.", "c"]}, {"query": "who", "positives": ["C!", "a B"]}]
    assert len(decide(rows)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"positives": ["another answer"]},
        {"positives": ["the answer", "another answer"]},
        {"positives": ["the answer", "the answer"]},
        {"query": "another question"},
        {"positives": ["die Antwort"], "language": "de"},
        {"query": "the answer", "positives": ["the question"]},
        {"dataset": "w"},
    ],
)
def test_other_texts_are_other_rows(other: dict[str, Any]) -> None:
    row = {"query": "the question", "positives": ["the answer"]}
    assert decide([row, row | other]) == {}
    assert len(decide([row, row])) == 1


def test_one_text_with_two_labels_loses_all_its_rows_in_its_dataset_only() -> None:
    labels = [("w", "x"), ("w", "y"), ("w", "x"), ("v", "x"), ("v", "y!"), ("a", "x")]
    queries = ["Fine!", "fine", "FINE", "fine", "other", "fine"]
    rows = [{"query": q, "dataset": d, "label": label} for (d, label), q in zip(labels, queries, strict=True)]
    assert decide(rows) == dict.fromkeys((1, 2), ("CONFLICTING_LABEL", None))  # "Fine!" has another mark


@pytest.mark.parametrize(
    ("one", "other"),
    [("what a result :)", "what a result :("), ("-5 degrees", "5 degrees"), ("tonight?", "tonight.")],
)
def test_texts_whose_labels_hang_on_marks_stay(one: str, other: str) -> None:
    rows = [{"query": one, "label": "x"}, {"query": other, "label": "y"}]
    assert decide(rows) == {}
    assert len(decide([*rows, {"query": one.upper(), "label": "x"}])) == 1
    assert set(decide([*rows, {"query": other, "label": "x"}])) == {1, 2}
    assert len(decide([{"query": text, "label": "x"} for text in (one, other)])) == 1


def test_one_pair_with_two_scores_is_a_conflict() -> None:
    rows = [{"positives": ["p"], "score": score} for score in (0.9, 0.8)]
    assert {reason for reason, _ in decide(rows).values()} == {"CONFLICTING_LABEL"}


@pytest.mark.parametrize(
    ("dataset", "texts", "detail"),
    [
        ("asks", {"positives": ["another"]}, "the same query, but for case and punctuation, as a row of asks"),
        ("finds", {"query": "other"}, "the same positives, but for case and punctuation, as a row of finds"),
        ("a", {"query": "ONE?"}, "the same texts, but for case and punctuation, as a row of a"),
    ],
)
def test_what_was_compared_is_told_and_texts_that_were_not_contradict_nothing(
    dataset: str, texts: dict[str, Any], detail: str
) -> None:
    row: dict[str, Any] = {"dataset": dataset, "query": "one", "positives": ["yes"], "score": 1.0}
    rows = [row, row | texts | {"score": 1.0 if dataset == "a" else 0.9}]
    (found,) = decide_exact(key_rows(canonical_rows(rows), 5, SCOPES), SCOPES).decisions.to_pylist()
    assert (found["reason"], found["detail"]) == ("EXACT_DUPLICATE", detail)


def test_the_dataset_of_lowest_number_survives_then_the_row_that_says_most() -> None:
    rows: list[dict[str, Any]] = [
        {"dataset": "b", "query": "one", "negatives": ["n1", "n2", "n3"]},
        {"dataset": "first", "query": "One"},
        {"dataset": "first", "query": "one", "negatives": ["n"]},
        {"dataset": "first", "query": "'one'"},
    ]
    kept = canonical_rows(rows).column("id")[2].as_py()
    assert decide(rows) == dict.fromkeys((0, 1, 3), ("EXACT_DUPLICATE", kept))


def test_no_rows() -> None:
    assert decide_exact(key_rows(canonical_rows([]), 1, {}), {}).decisions.num_rows == 0


@pytest.mark.parametrize(("rows_per_part", "num_partitions"), [(7, 1), (50, 4), (3, 32)])
def test_decisions_come_home_whatever_the_parts(tmp_path: Path, rows_per_part: int, num_partitions: int) -> None:
    generator = random.Random(3)
    rows = [
        {"dataset": "abw"[k % 3], "query": f"Question {generator.randrange(12)}", "provenance": f"f#{k}"}
        | ({"label": "xy"[generator.randrange(2)]} if k % 3 == 2 else {"positives": ["answer", "a"][: k % 2 + 1]})
        for k in range(50)
    ]
    table = canonical_rows(rows)
    addresses = write_parts(tmp_path / "parts", table, rows_per_part)
    transform = RemoveExactDuplicates(folder=str(tmp_path / "parts"), scopes=SCOPES, num_partitions=num_partitions)
    found = run_decisions(addresses, transform, tmp_path / "out")
    offsets = {part: k * rows_per_part for k, (part, _) in enumerate(addresses)}
    by_row = {offsets[row["part"]] + row["row"]: (row["reason"], row["kept_id"]) for row in found}
    assert 0 < len(by_row) < 50
    assert _without_ties(by_row, table) == _without_ties(decide(rows), table)


def _without_ties(decided: dict[int, tuple[str, bytes | None]], table: pa.Table) -> list[tuple[Any, ...]]:
    """Which copy of a row goes is a matter of its address; that all but one go is not."""
    ids = table.column("id").to_pylist()
    return sorted((ids[row], reason, kept or b"") for row, (reason, kept) in decided.items())


@pytest.mark.parametrize(
    ("sets", "kept", "reasons"),
    [
        ([["deny", "transfer"], ["transfer", "deny"]], 1, {"EXACT_DUPLICATE"}),
        ([["deny"], ["deny", "transfer"]], 1, {"EXACT_DUPLICATE"}),
        ([["a", "b"], ["c", "b"], ["c"]], 1, {"EXACT_DUPLICATE"}),
        ([["a", "b"], ["c", "d"]], 0, {"CONFLICTING_LABEL"}),
        ([["a", "b"], ["b", "c"], ["d"]], 0, {"CONFLICTING_LABEL"}),
        ([["a"], ["b"]], 0, {"CONFLICTING_LABEL"}),
    ],
)
def test_labels_are_sets(sets: list[list[str]], kept: int, reasons: set[str]) -> None:
    rows = canonical_rows([{"query": "one text", "label": s[0], "other_labels": s[1:]} for s in sets])
    for order in (rows, rows.take(pa.array(range(rows.num_rows))[::-1])):
        decided, united = decide_exact(key_rows(order, 0, {}), {})
        assert order.num_rows - decided.num_rows == kept
        assert set(decided.column("reason").to_pylist()) == reasons
        if kept:
            (left,) = set(range(order.num_rows)) - set(decided.column("row").to_pylist())
            assert len(order.column("other_labels")[left]) == max(map(len, sets)) - 1, "the one with the most labels"
            stays = with_labels(order, united.drop_columns("part")).slice(left, 1).to_pylist()[0]
            assert [stays["label"], *stays["other_labels"]] == [
                stays["label"],
                *sorted({*chain(*sets)} - {stays["label"]}),
            ]
            assert (united.num_rows == 1) == (len({*chain(*sets)}) > max(map(len, sets)))
