from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.reasons import RejectReason
from transforms.cleaning.filters import REASONS, Filtered, filter_rows
from transforms.cleaning.params import FilterParams
from transforms.text.matching import matching_form

PARAMS = FilterParams(max_characters=40)
TEXTS = pa.list_(pa.string())

#: Texts with what is wrong with them as a query that needs two units, and as any other text that needs one.
FACTS: dict[str | None, tuple[RejectReason | None, RejectReason | None]] = {
    None: (RejectReason.EMPTY_QUERY, RejectReason.EMPTY_POSITIVE),
    "": (RejectReason.EMPTY_QUERY, RejectReason.EMPTY_POSITIVE),
    "?!": (RejectReason.TOO_SHORT, RejectReason.TOO_SHORT),
    "Bridge": (RejectReason.TOO_SHORT, None),
    "x" * 12: (RejectReason.TOO_SHORT, RejectReason.REPETITIVE),
    "桥": (RejectReason.TOO_SHORT, None),
    "a text of more than forty characters is long": (RejectReason.TOO_LONG, RejectReason.TOO_LONG),
    "ha ha ha ha ha": (RejectReason.REPETITIVE, RejectReason.REPETITIVE),
    "!!!!!!!!!!!": (RejectReason.REPETITIVE, RejectReason.REPETITIVE),
    "The old bridge.": (None, None),
    "the old BRIDGE": (None, None),
    "the\nold bridge": (None, None),
    "很好吃": (None, None),
    "很好吃！": (None, None),
    "a new road": (None, None),
}
texts = st.sampled_from(list(FACTS))
lists = st.one_of(st.none(), st.lists(texts, max_size=5))
rows = st.lists(st.tuples(texts, lists, lists), min_size=1, max_size=6)


def run(
    *items: tuple[str | None, list[str | None] | None, list[str | None] | None],
    min_query_units: int = 2,
    needs_positive: bool = True,
    params: FilterParams = PARAMS,
) -> Filtered:
    query, positives, negatives = zip(*items, strict=True)
    return filter_rows(
        pa.array(query, pa.string()),
        pa.array(positives, TEXTS),
        pa.array(negatives, TEXTS),
        min_query_units=min_query_units,
        needs_positive=needs_positive,
        params=params,
    )


def judged_by_hand(
    query: str | None, positives: list[str | None], needs_positive: bool
) -> tuple[RejectReason | None, list[str | None]]:
    """The rule in plain words: fault of the query, else what became of the positives; the first in order wins."""
    fault = FACTS[query][0]
    seen = {matching_form(query)} if query and fault is None else set()
    kept, faults = [], set()
    for text in positives:
        wrong = FACTS[text][1]
        if wrong is None and seen and matching_form(text or "") == matching_form(query or ""):
            wrong = RejectReason.QUERY_IS_POSITIVE
        if wrong is not None:
            faults |= {wrong}
        elif matching_form(text or "") not in seen:
            seen.add(matching_form(text or ""))
            kept.append(text)
    told = faults - {RejectReason.EMPTY_POSITIVE} or {RejectReason.EMPTY_POSITIVE}
    found = {fault} - {None} | (told if needs_positive and not kept else set())
    return min(found, key=REASONS.index, default=None), kept


@settings(deadline=None, max_examples=60)
@given(rows, st.booleans())
def test_equals_the_rule_in_plain_words(items: list[tuple], needs_positive: bool) -> None:  # type: ignore[type-arg]
    result = run(*items, needs_positive=needs_positive)
    for index, (query, positives, _) in enumerate(items):
        reason, kept = judged_by_hand(query, positives or [], needs_positive)
        assert result.reasons[index].as_py() == reason
        assert (result.details[index].as_py() is None) == (reason is None)
        assert result.positives[index].as_py() == kept


@settings(deadline=None, max_examples=60)
@given(rows)
def test_negatives_say_nothing_that_the_row_says_already(items: list[tuple]) -> None:  # type: ignore[type-arg]
    result = run(*items)
    for index, (query, _, negatives) in enumerate(items):
        kept = result.negatives[index].as_py()
        others = [query] if FACTS[query][0] is None else []
        forms = [matching_form(text) for text in [*others, *result.positives[index].as_py(), *kept]]
        assert len(set(forms)) == len(forms)
        fit = {matching_form(text) for text in negatives or [] if FACTS[text][1] is None}
        assert {matching_form(text) for text in kept} == fit - set(forms[: len(forms) - len(kept)])


@settings(deadline=None, max_examples=60)
@given(rows)
def test_rows_are_judged_one_by_one(items: list[tuple]) -> None:  # type: ignore[type-arg]
    together = run(*items)
    for index, item in enumerate(items):
        alone = run(item)
        for name in ("positives", "negatives", "reasons", "details"):
            assert getattr(alone, name)[0].as_py() == getattr(together, name)[index].as_py()


@pytest.mark.parametrize(
    ("item", "reason", "detail"),
    [
        ((None, ["x y"], None), "EMPTY_QUERY", "query: null"),
        (("", None, None), "EMPTY_QUERY", "query: no text after normalisation"),
        (("the old bridge", None, None), "EMPTY_POSITIVE", "none of 0 positives holds text"),
        (("Bridge", [None, ""], None), "EMPTY_POSITIVE", "none of 2 positives holds text"),
        (("Bridge", ["x y"], None), "TOO_SHORT", "query: 1 word units, the minimum is 2"),
        (("x y", ["...", None], None), "TOO_SHORT", "positive: 0 word units, the minimum is 1"),
        (("x y", ["z " * 30], None), "TOO_LONG", "positive: 60 characters, the maximum is 40"),
        (("x y", ["!!!!!!!!", "z " * 30], None), "TOO_LONG", "positive: 60 characters, the maximum is 40"),
        (("spam spam spam spam", ["x y"], None), "REPETITIVE", "query: 'spam' 4 times"),
        (("x y", ["X, y!"], None), "QUERY_IS_POSITIVE", "the positive matches the query"),
        (("x y", ["X y", "x\ny"], None), "QUERY_IS_POSITIVE", "every positive matches the query"),
    ],
)
def test_details_hold_the_measured_value(item: tuple, reason: str, detail: str) -> None:  # type: ignore[type-arg]
    result = run(item)
    assert (result.reasons.to_pylist(), result.details.to_pylist()) == ([reason], [detail])


def test_symbols_tell_texts_apart() -> None:
    result = run(("the C language", ["the C# language", "the C++ language"], ["the C language", "The C# Language"]))
    assert result.positives.to_pylist() == [["the C# language", "the C++ language"]]
    assert result.negatives.to_pylist() == [[]]


def test_labelled_texts_of_one_word_are_whole() -> None:
    result = run(
        ("Refund?", None, None), ("桥", None, None), ("?", None, None), min_query_units=1, needs_positive=False
    )
    assert result.reasons.to_pylist() == [None, None, "TOO_SHORT"]


def test_no_rows() -> None:
    empty = pa.array([], TEXTS)
    kwargs = {"min_query_units": 2, "needs_positive": True, "params": PARAMS}
    result = filter_rows(pa.array([], pa.string()), empty, empty, **kwargs)  # type: ignore[arg-type]
    assert (len(result.reasons), len(result.positives), len(result.negatives)) == (0, 0, 0)


def test_slices_are_judged_as_they_stand() -> None:
    query, lists = pa.array(["?", "x y", "z w"]), pa.array([["?"], ["a"], ["b", None]], TEXTS)
    kwargs = {"min_query_units": 2, "needs_positive": True, "params": PARAMS}
    result = filter_rows(query[1:], lists[1:], lists[1:], **kwargs)  # type: ignore[arg-type]
    assert result.reasons.to_pylist() == [None, None]
    assert result.positives.to_pylist() == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_query_units", 0), ("min_text_units", 51), ("max_characters", 0), ("min_repeats", 1), ("max_period", 0)],
)
def test_thresholds_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be at least"):
        replace(PARAMS, **{name: value})
