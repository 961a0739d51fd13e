"""The last look at rows: which are rejected, how they hold an evaluation query, and what is seen of which set."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.rows import QUERIES
from tests.transforms.rows import canonical_rows
from transforms.flow.counts import overlap_counts
from transforms.flow.files import parquet_bytes, publish
from transforms.leaks.decontaminate import EvaluationIndex
from transforms.leaks.evaluation_sightings import count_sightings
from transforms.leaks.leak_check import LeakCheck, Leaks
from transforms.leaks.params import DecontaminateParams

RIVER = "Which river flows through the old harbour of Antwerp?"
FERRY = "How long does it take to charge an electric ferry?"
INTENT = "I lost my card on the ferry this morning"
ASKED = [("claims", RIVER), ("questions", RIVER), ("questions", FERRY)]


@pytest.fixture
def check(tmp_path: Path) -> LeakCheck:
    rows = [{"evaluation_set": name, "text": text, "whole": False} for name, text in ASKED]
    rows += [{"evaluation_set": "intents", "text": INTENT, "whole": True}]
    publish(str(tmp_path / "queries.parquet"), parquet_bytes(pa.Table.from_pylist(rows, QUERIES)))
    return LeakCheck(queries=str(tmp_path / "queries.parquet"), params=DecontaminateParams())


def _decided(leaks: Leaks) -> dict[int, str]:
    assert set(leaks.decisions.column("reason").to_pylist()) <= {"LEAKED_EVALUATION"}
    return {row["row"]: row["detail"] for row in leaks.decisions.to_pylist()}


def test_a_row_is_rejected_by_its_query_or_any_positive(check: LeakCheck) -> None:
    rows = canonical_rows(
        [
            {"query": "WHICH river flows through the old harbour of Antwerp"},
            {"query": "Where is Antwerp?"},
            {"query": "ferries", "positives": [FERRY, "an hour"]},
            {"query": "boats", "positives": ["an hour", FERRY]},
            {"query": "How long does it take to chagre an electric ferry?"},
            {"query": f"Please answer without any haste: {FERRY} Give a number of minutes."},
        ]
    )
    details = _decided(check(rows))
    assert details == {
        0: f"the query holds the query {RIVER!r} of evaluation sets claims, questions (exact, containment 1.00)",
        2: f"the positive holds the query {FERRY!r} of evaluation set questions (exact, containment 1.00)",
        3: f"the positive holds the query {FERRY!r} of evaluation set questions (exact, containment 1.00)",
        4: details[4],
        5: f"the query holds the query {FERRY!r} of evaluation set questions (contained, containment 1.00)",
    }
    assert "of evaluation set questions (edited, containment 0." in details[4]


def test_an_equal_text_goes_before_one_that_holds_a_query(check: LeakCheck) -> None:
    row = {"query": f"{FERRY} I ask since last week, and nobody knows.", "positives": ["no", RIVER]}
    (detail,) = _decided(check(canonical_rows([row]))).values()
    assert detail.startswith(f"the positive holds the query {RIVER!r} of evaluation sets claims, questions (exact")


def test_both_texts_of_a_judged_pair_are_looked_at_and_given_negatives_are_not(check: LeakCheck) -> None:
    pair = {"query": "boats", "positives": ["ships"], "negatives": [FERRY]}
    assert _decided(check(canonical_rows([pair]))) == {}
    assert "the other text holds the query" in _decided(check(canonical_rows([pair | {"score": 0.1}])))[0]


def test_texts_of_other_tasks_are_found_as_wholes_only(check: LeakCheck) -> None:
    rows = [
        {"query": INTENT.upper(), "positives": [], "label": "lost"},
        {"query": "where to?", "positives": ["I lost the card on the ferry this morning"]},
        {"query": "where to?", "positives": [f"Listen. {INTENT}. What now?"]},
    ]
    details = _decided(check(canonical_rows(rows)))
    assert details[0] == f"the query holds the query {INTENT!r} of evaluation set intents (exact, containment 1.00)"
    assert "of evaluation set intents (edited" in details[1]
    assert 2 not in details


@pytest.mark.parametrize(
    "frame",
    [
        "Instruct: Given a question, retrieve passages.\nQuery: {}",
        "Instruct: Given a question, retrieve passages. Query: {}",
        "query: {}",
        "Represent this sentence for searching relevant passages: {}",
        "为这个句子生成表示以用于检索相关文章：{}",
        "task: search result | query: {}",
    ],
)
def test_a_prompt_frame_is_taken_off_before_texts_are_compared(check: LeakCheck, frame: str) -> None:
    rows = canonical_rows([{"query": frame.format(INTENT)}, {"query": frame.format(FERRY)}])
    details = _decided(check(rows))
    assert [detail.partition("(")[2][:5] for detail in details.values()] == ["exact", "exact"]


def test_each_set_that_has_the_query_saw_it(check: LeakCheck) -> None:
    rows = [{"query": RIVER}, {"query": RIVER.lower()}, {"query": FERRY, "dataset": "e"}, {"query": "other"}]
    leaks = check(canonical_rows(rows))
    assert overlap_counts(list(count_sightings(leaks.sightings))) == {
        "d": {"claims": {"exact": 2, "queries": 1}, "questions": {"exact": 2, "queries": 1}},
        "e": {"questions": {"exact": 1, "queries": 1}},
    }


def test_nothing_is_seen_in_ordinary_rows(check: LeakCheck) -> None:
    leaks = check(canonical_rows([{"query": "Where is Antwerp?", "positives": []}]))
    assert (leaks.decisions.num_rows, leaks.sightings.num_rows) == (0, 0)


def test_parts_that_begin_together_build_one_index(check: LeakCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    built, both = [], threading.Barrier(2)
    build = EvaluationIndex.build

    def counted(*arguments: Any) -> EvaluationIndex:
        built.append(arguments)
        return build(*arguments)

    def begin(query: str) -> int:
        both.wait()
        return check(canonical_rows([{"query": query}])).decisions.num_rows

    monkeypatch.setattr(EvaluationIndex, "build", counted)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(begin, [RIVER, FERRY])) == [1, 1]
    assert len(built) == 1
