"""Adapter ``beir``, from its three kinds of file to examples, the passages joined by a plain dictionary."""

from typing import Any

import pyarrow as pa
import pytest

from schemas.errors import CatalogError
from schemas.rows import fields_hash
from tests.transforms.examples.adapters.helpers import (
    adapted,
    batch,
    grouped,
    kept,
    locate,
    make_raw,
    make_unit,
    reasons,
)
from transforms.examples.adapters import Adapted, adapt
from transforms.examples.grouping import MEMBERS, Grouped, group_members

COLUMNS = {
    "corpus": {"config": "corpus", "split": "corpus", "id": "_id", "text": ["title", "text"]},
    "queries": {"config": "queries", "split": "queries", "id": "_id", "text": "text"},
    "qrels": {
        "config": "default",
        "split": "train",
        "query_id": "query-id",
        "corpus_id": "corpus-id",
        "score": "score",
    },
}
BEIR = locate("beir", COLUMNS)


def judgments(*rows: tuple[Any, Any, Any], located: Any = BEIR) -> Adapted:
    columns = dict(zip(("query-id", "corpus-id", "score"), map(list, zip(*rows, strict=True)), strict=True))
    return adapted(located, pa.record_batch(columns), role="qrels")


def queries(**texts: str | None) -> Adapted:
    return adapted(BEIR, batch({"text": pa.string()}, _id=list(texts), text=list(texts.values())), role="queries")


def corpus(**texts: str | None) -> Adapted:
    size = len(texts)
    return adapted(
        BEIR, batch({"text": pa.string()}, _id=list(texts), title=[""] * size, text=list(texts.values())), role="corpus"
    )


def join(passages: Adapted, *members: Adapted) -> Grouped:
    """Give judgments the texts of their passages, as the pipeline does by part."""
    found = zip(
        *(passages.passages.column(name).to_pylist() for name in ("dataset", "passage_id", "text")), strict=True
    )
    texts = {fields_hash((dataset, number)): text for dataset, number, text in found}
    table = pa.Table.from_batches([result.members for result in members])
    joined = pa.array([texts.get(key) for key in table.column("passage").to_pylist()], pa.string())
    return group_members(table.set_column(MEMBERS.get_field_index("text"), MEMBERS.field("text"), joined))


def test_a_corpus_gives_a_passage_for_each_row() -> None:
    rows = batch(_id=["7", "8", None, "9"], title=["T", "", "T", None], text=["x", "y", "z", None])
    result = adapted(BEIR, rows, role="corpus")
    assert result.passages.to_pylist() == [
        {"dataset": "toy", "passage_id": "7", "text": "T\nx"},
        {"dataset": "toy", "passage_id": "8", "text": "y"},
        {"dataset": "toy", "passage_id": "", "text": "T\nz"},
        {"dataset": "toy", "passage_id": "9", "text": ""},
    ]
    assert result.num_read == 0
    assert result.unusable.column("provenance").to_pylist()[0].endswith("#2")


def test_queries_are_members_and_not_counted() -> None:
    rows = batch({"text": pa.string()}, _id=[1, None], text=["what?", "lost"])
    result = adapted(BEIR, rows, role="queries")
    assert result.members.column("role").to_pylist() == ["query"]
    assert result.members.column("group").to_pylist() == [fields_hash(("toy", "1"))]
    assert (result.num_read, result.unusable.num_rows) == (0, 1)


def test_judgments_meet_queries_and_passages() -> None:
    qrels = judgments(("q1", "p1", 1.0), ("q1", "p2", 2.0), ("q1", "p3", 0.0), ("q2", "p3", 0.0))
    assert qrels.num_read == 4
    groups = join(corpus(p1="one", p2="two", p3="three"), queries(q1="what?", q2="who?", q3="unjudged"), qrels)
    ((query, positives, negatives, language),) = kept(groups, "query", "positives", "negatives", "language")
    assert (query, sorted(positives), negatives, language) == ("what?", ["one", "two"], ["three"], "en")
    assert groups.merged == {"toy": 2}
    assert reasons(groups) == {"3": "NO_POSITIVE"}
    assert groups.rejections.column("query").to_pylist() == ["who?"]
    assert groups.rejections.column("detail").to_pylist() == ["query q2 passage p3 score 0"]


def test_the_example_has_the_score_and_place_of_its_carrier() -> None:
    groups = join(corpus(p1="one"), queries(q1="what?"), judgments(("q1", "p1", 3.0)))
    ((score, provenance),) = kept(groups, "score", "provenance")
    assert (score, provenance[-2:]) == (3.0, "#0")


@pytest.mark.parametrize(("score", "reason"), [(0.5, "BELOW_THRESHOLD"), (1.0, "BELOW_THRESHOLD")])
def test_scores_between_nothing_and_the_minimum_are_below_it(score: float, reason: str) -> None:
    located = locate("beir", COLUMNS, {"min_score": 2})
    qrels = judgments(("q1", "p1", 2.0), ("q1", "p2", score), located=located)
    groups = join(corpus(p1="one", p2="two"), queries(q1="what?"), qrels)
    assert kept(groups, "positives", "negatives") == [(["one"], [])]
    assert reasons(groups) == {"1": reason}


def test_missing_queries_and_passages_are_dangling() -> None:
    qrels = judgments(("q1", "p1", 1.0), ("q1", "lost", 1.0), ("lost", "p1", 1.0), (None, "p1", 1.0), ("q1", " ", 1.0))
    assert reasons(qrels) == {"3": "DANGLING_ID", "4": "DANGLING_ID"}
    groups = join(corpus(p1="one"), queries(q1="what?"), qrels)
    assert kept(groups, "positives") == [["one"]]
    assert reasons(groups) == {"1": "DANGLING_ID", "2": "DANGLING_ID"}
    assert sorted(groups.rejections.column("detail").to_pylist()) == [
        "there is no such passage: query q1 passage lost score 1",
        "there is no such query: query lost passage p1 score 1",
    ]


def test_a_query_whose_only_positive_is_missing_has_none() -> None:
    qrels = judgments(("q1", "lost", 1.0), ("q1", "p1", 0.0))
    groups = join(corpus(p1="one"), queries(q1="what?"), qrels)
    assert reasons(groups) == {"0": "DANGLING_ID", "1": "NO_POSITIVE"}


def test_queries_and_passages_without_text_say_so() -> None:
    qrels = judgments(("q1", "p1", 1.0), ("q2", "blank", 1.0), ("q2", "p1", 1.0))
    groups = join(corpus(p1="one", blank=" "), queries(q1=None, q2="what?"), qrels)
    assert kept(groups, "query") == ["what?"]
    assert reasons(groups) == {"0": "EMPTY_QUERY", "1": "EMPTY_POSITIVE"}


def test_ids_meet_whether_they_are_numbers_or_texts() -> None:
    for number in (4, 4.0, " 4 "):
        groups = join(corpus(**{"4": "one"}), queries(**{"4": "what?"}), judgments((number, number, 1)))
        assert kept(groups, "positives") == [["one"]]


def test_a_list_of_relevant_passages_needs_no_scores() -> None:
    qrels = {"files": "*train*", "query_id": "id", "corpus_id": "docid"}
    located = locate("beir", COLUMNS | {"qrels": qrels})
    result = adapted(located, batch(id=["q1"], docid=["p1"]), role="qrels")
    assert kept(join(corpus(p1="one"), queries(q1="what?"), result), "positives", "score") == [(["one"], 1.0)]


def test_scores_that_are_missing_or_no_numbers_are_rejected() -> None:
    assert reasons(judgments(("q", "p", "high"), ("q", "p", None))) == {"0": "WRONG_TYPE", "1": "UNLABELLED"}


def test_a_language_column_stands_with_the_queries() -> None:
    located = locate("beir", COLUMNS | {"language": "lang"}, languages=["mul"])
    texts = adapted(located, batch(_id=["q1"], text=["quoi?"], lang=["fr"]), role="queries")
    qrels = judgments(("q1", "p1", 1.0), located=located)
    assert kept(join(corpus(p1="un"), texts, qrels), "language") == ["fr"]


def test_broken_rows_of_a_corpus_stand_outside_the_count() -> None:
    broken = [{"number": 4, "reason": "MALFORMED_ROW", "detail": "not JSON", "raw": "{"}]
    rows = batch(_id=["p1"], title=["T"], text=["x"])
    for role in ("corpus", "queries"):
        result = adapt(BEIR, make_unit(role=role), make_raw(rows, broken))
        assert (result.num_read, result.rejections.num_rows) == (0, 0)
        assert result.unusable.column("raw").to_pylist() == ["{"]
    qrels = pa.record_batch({"query-id": ["q"], "corpus-id": ["p"], "score": [1]})
    assert adapt(BEIR, make_unit(role="qrels"), make_raw(qrels, broken)).num_read == 2


def test_ids_that_are_neither_numbers_nor_texts_are_an_error() -> None:
    with pytest.raises(CatalogError, match=r"qrels\.query_id, .*an id is wanted .*holds list"):
        judgments((["q"], "p", 1))


def test_no_groups_without_members() -> None:
    assert grouped(corpus(p1="x")).rows.num_rows == 0
