"""Any row of the layout that an entry declares, nulls and blanks included, ends kept, merged or rejected."""

from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalog import LocatedEntry
from schemas.reasons import RejectReason as Why
from tests.transforms.examples.adapters.helpers import adapted, counted, grouped, locate

TEXT = (
    st.none()
    | st.sampled_from(["", " ", "a", "<p></p>", "A first line\nand more", "é\u0301. ", "-1", "1"])
    | st.text(max_size=4)
)
TEXTS = st.none() | st.lists(TEXT, max_size=3)
NUMBER = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 1.0, 4.0, float("nan"), float("inf")])
LABEL = st.none() | st.integers(-1, 3)
TURN = st.none() | st.fixed_dictionaries({"role": TEXT | st.sampled_from(["user", "assistant"]), "content": TEXT})

STRING, FLOAT, INT, STRINGS = pa.string(), pa.float64(), pa.int64(), pa.list_(pa.string())
PASSAGE = pa.struct([("title", STRING), ("text", STRING)])
RECORD = pa.struct([("role", STRING), ("content", STRING)])


class Layout(NamedTuple):
    """An entry, its columns with their types and values, and the reasons that its adapter may give."""

    located: LocatedEntry
    columns: dict[str, tuple[pa.DataType, Any]]
    reasons: set[Why]
    config: str = "default"


def passages() -> Any:
    return st.none() | st.lists(st.none() | st.fixed_dictionaries({"title": TEXT, "text": TEXT}), max_size=3)


GROUP = {Why.EMPTY_QUERY, Why.EMPTY_POSITIVE, Why.UNLABELLED, Why.CONFLICTING_LABEL}
TRIPLET = {"query": "q", "positive": ["p[].title", "p[].text"], "negative": "n[]", "instruction": "i"}
LAYOUTS = {
    "pair": Layout(
        locate("pair", {"query": ["q", "p"], "positive": "p"}), {"q": (STRING, TEXT), "p": (STRING, TEXT)}, set()
    ),
    "pair, leads": Layout(
        locate("pair", {"positive": "p"}, {"query": "lead", "passage": "lead"}),
        {"p": (STRING, TEXT)},
        {Why.NO_LEAD, Why.EMPTY_POSITIVE},
    ),
    "triplet": Layout(
        locate("triplet", TRIPLET, {"split_instruction": True}),
        {"q": (STRING, TEXT), "p": (pa.list_(PASSAGE), passages()), "n": (STRINGS, TEXTS), "i": (STRING, TEXT)},
        set(),
    ),
    "qa_context": Layout(
        locate("qa_context", {"question": "q", "context": "c[]", "answers": "a[]"}),
        {"q": (STRING, TEXT), "c": (STRINGS, TEXTS), "a": (STRINGS, TEXTS)},
        {Why.UNANSWERABLE},
    ),
    "qa_context, passages": Layout(
        locate("qa_context", {"question": "q", "context": "c[]", "answers": "a"}, {"context": "passages"}),
        {"q": (STRING, TEXT), "c": (STRINGS, TEXTS), "a": (STRING, TEXT)},
        {Why.UNANSWERABLE, Why.ANSWER_NOT_IN_CONTEXT},
    ),
    "qa_multi": Layout(
        locate("qa_multi", {"question": "q", "answers": ["a", "b"], "scores": ["x", "y"]}),
        {"q": (STRING, TEXT), "a": (STRING, TEXT), "b": (STRING, TEXT), "x": (FLOAT, NUMBER), "y": (FLOAT, NUMBER)},
        {Why.TIE, Why.UNLABELLED},
    ),
    "nli": Layout(
        locate(
            "nli",
            {"premise": "p", "hypothesis": "h", "label": "l"},
            label_names=["entailment", "neutral", "contradiction"],
        ),
        {"p": (STRING, TEXT), "h": (STRING, TEXT), "l": (INT, LABEL)},
        GROUP | {Why.NEUTRAL, Why.NO_POSITIVE},
    ),
    "scored_pair": Layout(
        locate("scored_pair", {"text_a": "a", "text_b": "b", "score": "s"}, {"positive_min": 4, "negative_max": 0}),
        {"a": (STRING, TEXT), "b": (STRING, TEXT), "s": (FLOAT, NUMBER)},
        GROUP | {Why.BELOW_THRESHOLD},
    ),
    "scored_pair, text": Layout(
        locate("scored_pair", {"text_a": "#2", "text_b": "#4", "score": "#5"}, {"positive_min": 1}),
        {"#2": (STRING, TEXT), "#4": (STRING, TEXT), "#5": (STRING, TEXT)},
        GROUP | {Why.BELOW_THRESHOLD, Why.WRONG_TYPE},
    ),
    "graded": Layout(
        locate(
            "graded", {"query": "q", "candidate": "c", "grade": "g"}, {"positive_grades": [2], "negative_grades": [0]}
        ),
        {"q": (STRING, TEXT), "c": (STRING, TEXT), "g": (INT, LABEL)},
        GROUP | {Why.NO_POSITIVE, Why.UNUSED_GRADE},
    ),
    "choice": Layout(
        locate("choice", {"query": "q", "choices": "c[]", "label": "l"}),
        {"q": (STRING, TEXT), "c": (STRINGS, TEXTS), "l": (INT, LABEL)},
        {Why.UNLABELLED},
    ),
    "choice, named": Layout(
        locate("choice", {"query": "q", "choices": {"a": "b", "1": "c"}, "label": "l"}),
        {"q": (STRING, TEXT), "b": (STRING, TEXT), "c": (STRING, TEXT), "l": (STRING, TEXT)},
        {Why.UNLABELLED},
    ),
    "labeled": Layout(
        locate("labeled", {"text": ["t", "u"], "label": "l"}),
        {"t": (STRING, TEXT), "u": (STRING, TEXT), "l": (STRINGS, TEXTS)},
        {Why.UNLABELLED},
    ),
    "labeled, first token": Layout(
        locate("labeled", {"text": "t", "label": "l"}, {"label": "first_token"}),
        {"t": (STRING, TEXT), "l": (STRING, TEXT)},
        {Why.UNLABELLED},
    ),
    "bitext": Layout(
        locate(
            "bitext",
            {"text_a": "{code_a}", "text_b": "{code_b}", "quality": "q"},
            {"min_quality": 0.7, "directions": "by_hash"},
        ),
        {"en": (STRING, TEXT), "fr": (STRING, TEXT), "q": (FLOAT, NUMBER)},
        {Why.LOW_QUALITY},
        "en-fr",
    ),
    "dialogue": Layout(
        locate("dialogue", {"dialogue": "d"}),
        {"d": (pa.list_(RECORD), st.none() | st.lists(TURN, max_size=4))},
        {Why.NO_TURN},
    ),
    "dialogue, reference": Layout(
        locate("dialogue", {"dialogue": "d", "reference": "r"}, {"positive": "reference"}),
        {"d": (STRING, TEXT | st.just("<User>: a <Bot>: b")), "r": (STRING, TEXT)},
        {Why.NO_TURN},
    ),
    "dialogue, texts": Layout(locate("dialogue", {"dialogue": "d[]"}), {"d": (STRINGS, TEXTS)}, {Why.NO_TURN}),
}


@st.composite
def batches(draw: st.DrawFn, columns: dict[str, tuple[pa.DataType, Any]]) -> pa.RecordBatch:
    rows = draw(st.lists(st.tuples(*(values for _, values in columns.values())), max_size=6))
    kinds = zip(columns, columns.values(), strict=True)
    return pa.record_batch(
        {name: pa.array([row[i] for row in rows], kind) for i, (name, (kind, _)) in enumerate(kinds)}
    )


@pytest.mark.parametrize("name", LAYOUTS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_every_row_is_accounted_for(name: str, data: st.DataObject) -> None:
    layout = LAYOUTS[name]
    rows = data.draw(batches(layout.columns))
    result = adapted(layout.located, rows, config=layout.config)
    assert result.num_read == rows.num_rows
    groups = grouped(result)
    reasons = counted(result) + counted(groups)
    assert result.rows.num_rows + groups.rows.num_rows + sum(groups.merged.values()) + reasons.total() == rows.num_rows
    assert set(reasons) <= set(layout.reasons)
    for batch in (result.rows, groups.rows, result.rejections, groups.rejections):
        batch.validate(full=True)


@pytest.mark.parametrize("name", LAYOUTS)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_rows_do_not_depend_on_their_batch(name: str, data: st.DataObject) -> None:
    layout = LAYOUTS[name]
    rows = data.draw(batches(layout.columns))
    together = adapted(layout.located, rows, config=layout.config)
    alone = [adapted(layout.located, rows.slice(i, 1), config=layout.config) for i in range(rows.num_rows)]
    for part in ("rows", "members", "rejections"):
        whole = getattr(together, part).drop_columns("provenance")
        pieces = [getattr(result, part).drop_columns("provenance") for result in alone]
        assert pa.Table.from_batches(pieces, whole.schema).equals(pa.Table.from_batches([whole]))


QUERY_ID = st.none() | st.sampled_from(["1", "2", " ", ""])
BEIR = locate(
    "beir",
    {
        "corpus": {"id": "id", "text": ["title", "text"]},
        "queries": {"id": "id", "text": "text"},
        "qrels": {"query_id": "q", "corpus_id": "c", "score": "s"},
    },
    {"min_score": 1},
)
ROLES = {
    "corpus": {"id": (STRING, QUERY_ID), "title": (STRING, TEXT), "text": (STRING, TEXT)},
    "queries": {"id": (STRING, QUERY_ID), "text": (STRING, TEXT)},
    "qrels": {"q": (STRING, QUERY_ID), "c": (STRING, QUERY_ID), "s": (FLOAT, NUMBER)},
}


@pytest.mark.parametrize("role", ROLES)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_every_row_of_beir_is_accounted_for(role: Any, data: st.DataObject) -> None:
    rows = data.draw(batches(ROLES[role]))
    result = adapted(BEIR, rows, role=role)
    assert result.num_read == (rows.num_rows if role == "qrels" else 0)
    assert result.passages.num_rows == (rows.num_rows if role == "corpus" else 0)
    groups = grouped(result)
    if role == "qrels":
        reasons = counted(result) + counted(groups)
        assert reasons.total() == rows.num_rows
        assert set(reasons) <= {Why.DANGLING_ID, Why.UNLABELLED}
