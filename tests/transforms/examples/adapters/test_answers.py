"""Adapters ``qa_context`` and ``qa_multi``."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import CatalogError
from schemas.reasons import RejectReason
from tests.transforms.examples.adapters.helpers import adapted, batch, kept, locate, reasons
from transforms.examples.adapters.answers import MAX_POSITIVES, rank_answers, split_contexts

SQUAD = {"question": "question", "context": "context", "answers": "answers.text[]"}
LISTS = pa.list_(pa.string())


def test_the_context_of_an_answered_question_is_its_positive() -> None:
    answers = [{"text": ["x"]}, {"text": []}, {"text": [" ", None]}, None]
    rows = batch(
        {"answers": pa.struct([("text", LISTS)])}, question=["a", "b", "c", "d"], context=["p"] * 4, answers=answers
    )
    result = adapted(locate("qa_context", SQUAD), rows)
    assert kept(result, "query", "positives", "negatives") == [("a", ["p"], [])]
    assert reasons(result) == {"1": "UNANSWERABLE", "2": "UNANSWERABLE", "3": "UNANSWERABLE"}


def test_joined_contexts_are_one_passage() -> None:
    located = locate("qa_context", {"question": "q", "context": "c.parts[]", "answers": "answer"}, {"context": "join"})
    rows = batch(q=["a", "b"], c=[{"parts": ["x", "", None, "y"]}, {"parts": []}], answer=["yes", "no"])
    assert kept(adapted(located, rows), "positives") == [["x\ny"], [""]]


def passages(contexts: list[Any], answers: list[Any]) -> Any:
    located = locate("qa_context", {"question": "q", "context": "c", "answers": "a"}, {"context": "passages"})
    return adapted(located, batch({"c": LISTS}, q=["q"] * len(contexts), c=contexts, a=answers))


def test_passages_that_hold_an_answer_are_positives_and_the_others_negatives() -> None:
    result = passages([["in Paris.", "in Rome", "PARIS again", " "]], ["paris"])
    assert kept(result, "positives", "negatives") == [(["in Paris.", "PARIS again"], ["in Rome"])]


def test_passages_beyond_the_fifth_that_hold_an_answer_are_left_out() -> None:
    result = passages([[f"paris {n}" for n in range(7)] + ["rome"]], ["Paris"])
    assert kept(result, "positives", "negatives") == [([f"paris {n}" for n in range(5)], ["rome"])]


def test_passages_without_an_answer_in_them_are_rejected_with_their_texts() -> None:
    result = passages([["rome", "london"], ["rome"], []], ["paris", None, "paris"])
    assert reasons(result) == {"0": "ANSWER_NOT_IN_CONTEXT", "1": "UNANSWERABLE"}
    assert result.rejections.column("negatives").to_pylist() == [["rome", "london"], ["rome"]]
    assert kept(result, "positives") == [[]]


WORD = st.sampled_from(["a", "A", "b", "ab", "ß", "SS", "c"])


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.tuples(st.lists(WORD, max_size=8), st.lists(WORD, min_size=1, max_size=2)), max_size=5))
def test_every_passage_is_positive_negative_or_one_too_many(rows: list[tuple[list[str], list[str]]]) -> None:
    positives, negatives = split_contexts([row[0] for row in rows], [row[1] for row in rows])
    for (contexts, answers), found, others in zip(rows, positives.to_pylist(), negatives.to_pylist(), strict=True):
        holding = [text for text in contexts if any(answer.casefold() in text.casefold() for answer in answers)]
        assert found == holding[:MAX_POSITIVES]
        assert sorted(holding + others) == sorted(contexts)


@pytest.mark.parametrize(
    ("answers", "scores", "best", "lower", "reason"),
    [
        (["x", "y"], [0.5, -0.5], ["x"], ["y"], None),
        (["x", "y", "z"], [1, 1, 0], ["x", "y"], ["z"], None),
        (["x", "y"], [1, 1], ["x", "y"], [], RejectReason.TIE),
        (["x"], [-1], ["x"], [], None),
        (["x", None, " "], [2, 1, 0], ["x"], [], None),
        (["x", None, " "], [0, 1, 2], [], ["x"], None),
        (["x", "y"], [1, None], ["x", "y"], [], RejectReason.UNLABELLED),
        (["x", ""], [1, None], ["x"], [], None),
        ([None], [1], [], [], None),
        ([], [], [], [], None),
    ],
)
def test_answers_are_ranked_by_their_scores(
    answers: list[str | None],
    scores: list[float | None],
    best: list[str],
    lower: list[str],
    reason: RejectReason | None,
) -> None:
    assert rank_answers(answers, scores) == (best, lower, reason)


WEBGPT = {"question": "question.full_text", "answers": ["answer_0", "answer_1"], "scores": ["score_0", "score_1"]}


def test_the_better_answer_is_the_positive() -> None:
    rows = batch(
        question=[{"full_text": "q"}] * 4,
        answer_0=["x", "x", "x", None],
        answer_1=["y", "y", "y", None],
        score_0=[0.3, 0.0, None, 0.0],
        score_1=[-0.3, 0.0, 1.0, 0.0],
    )
    result = adapted(locate("qa_multi", WEBGPT, {"ties": "drop"}), rows)
    assert kept(result, "query", "positives", "negatives") == [("q", ["x"], ["y"]), ("q", [], [])]
    assert reasons(result) == {"1": "TIE", "2": "UNLABELLED"}


def test_answers_and_scores_may_stand_in_lists() -> None:
    located = locate("qa_multi", {"question": "q", "answers": "a.text[]", "scores": "a.score[]"})
    answers = [{"text": ["x", "y"], "score": [3, 9]}, {"text": ["x"], "score": [1, 2]}, {"text": [], "score": []}, None]
    result = adapted(located, batch(q=["a", "b", "c", "d"], a=answers))
    assert kept(result, "query", "positives", "negatives") == [("a", ["y"], ["x"]), ("c", [], []), ("d", [], [])]
    assert reasons(result) == {"1": "WRONG_TYPE"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"scores": "s"}, "scores, .* a list of scores is wanted, but the path gives int64"),
        ({"scores": "words"}, "scores, .* a number is wanted, but the column holds list<"),
        ({"scores": {"x": "s"}}, "scores, .* not a mapping"),
        ({"answers": ["a", "a"]}, "answers.0, .* one text is wanted, but the path gives a list"),
    ],
)
def test_columns_that_do_not_fit_are_errors_of_the_entry(columns: dict[str, Any], message: str) -> None:
    located = locate("qa_multi", {"question": "q", "answers": "a", "scores": "n"} | columns)
    rows = batch(q=["q"], a=[["x"]], n=[[1]], s=[1], words=[[["one"]]])
    with pytest.raises(CatalogError, match=message):
        adapted(located, rows)


@pytest.mark.parametrize("names", [["SUPPORTED", "NOT_ENOUGH_INFO"], ["REFUTED", "NOT_ENOUGH_INFO"]])
def test_classes_in_place_of_scores_are_refused_by_name(names: list[str]) -> None:
    """Words, which pyarrow cannot read as numbers."""
    located = locate("qa_multi", {"question": "q", "answers": "a", "scores": "n"})
    with pytest.raises(CatalogError, match=f"these are the classes {', '.join(sorted(names))}; adapter graded"):
        adapted(located, batch(q=["q"], a=[["x", "y"]], n=[names]))
