"""Source rows by the entry's keys, the columns an entry needs, and errors that say where to mend it."""

from typing import Any

import pyarrow as pa
import pytest

from schemas.errors import CatalogError, find_message
from tests.transforms.examples.adapters.helpers import CATALOG_FILE, FILE, adapted, batch, locate, make_unit
from transforms.examples.adapters import source_columns
from transforms.examples.adapters.source import Source, stem

PAIR = {"query": ["title", "meta.sub title"], "positive": "text[0]"}
BEIR = {
    "corpus": {"config": "corpus", "split": "corpus", "id": "_id", "text": ["title", "text"]},
    "queries": {"config": "queries", "split": "queries", "id": "qid", "text": "text"},
    "qrels": {
        "config": "default",
        "split": "train",
        "query_id": "query-id",
        "corpus_id": "corpus-id",
        "score": "score",
    },
}


def test_an_entry_needs_its_top_level_columns_once_each() -> None:
    located = locate("pair", PAIR | {"language": "lang", "extra": ["unread (by anyone)"]})
    assert source_columns(located, "rows") == {
        "title": f"{CATALOG_FILE}:11",
        "meta": f"{CATALOG_FILE}:11",
        "text": f"{CATALOG_FILE}:12",
        "lang": f"{CATALOG_FILE}:13",
    }
    twice = locate("triplet", {"query": "q", "positive": ["p[].title", "p[].text"], "negative": "p[].text"})
    assert list(source_columns(twice, "rows")) == ["q", "p"]


def test_columns_of_files_without_a_header_and_of_text_files() -> None:
    assert list(source_columns(locate("scored_pair", {"text_a": "#2", "text_b": "#4", "score": "#5"}), "rows")) == [
        "#2",
        "#4",
        "#5",
    ]
    assert list(source_columns(locate("labeled", {"text": "line", "label": "@stem"}), "rows")) == ["line"]


def test_choices_under_names_are_columns_too() -> None:
    located = locate("choice", {"query": "A", "choices": {"B": "first", "C": "second"}, "label": "label"})
    assert list(source_columns(located, "rows")) == ["A", "first", "second", "label"]


@pytest.mark.parametrize(
    ("role", "columns"),
    [
        ("corpus", ["_id", "title", "text"]),
        ("queries", ["qid", "text", "lang"]),
        ("qrels", ["query-id", "corpus-id", "score"]),
    ],
)
def test_each_role_of_beir_has_columns_of_its_own(role: str, columns: list[str]) -> None:
    assert list(source_columns(locate("beir", BEIR | {"language": "lang"}), role)) == columns


def test_columns_named_by_a_code_follow_the_configuration() -> None:
    located = locate("bitext", {"text_a": "{code_a}", "text_b": "t.{code_b}"}, source={"configs": ["en-de", "en-fr"]})
    assert list(source_columns(located, "rows")) == ["en", "t"]
    assert list(source_columns(located, "rows", "fr-nl")) == ["fr", "t"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"query": "a[", "positive": "b"}, r"toy\.yaml:11: path 'a\[' is not understood from '\['"),
        (
            {"query": "t.{code_a}", "positive": "b"},
            r"toy\.yaml:11: path .*needs a configuration named <code_a>-<code_b>",
        ),
    ],
)
def test_a_path_that_is_none_is_reported_where_it_stands(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        source_columns(locate("pair", columns), "rows")


def message_of(located: Any, rows: pa.RecordBatch) -> str:
    with pytest.raises(CatalogError) as error:
        adapted(located, rows)
    found = find_message(str(error.value))
    assert found is not None
    return found[0]


def test_a_missing_column_names_file_column_columns_and_catalog_line() -> None:
    message = message_of(locate("pair", {"query": "titel", "positive": "text"}), batch(title=["a"], text=["b"]))
    assert (
        message
        == f"{CATALOG_FILE}:11: query, read from {FILE} of toy: there is no column 'titel'; the columns are title, text"
    )


@pytest.mark.parametrize(
    ("values", "named"),
    [([1], "int64"), ([True], "bool"), ([[{"text": "x"}]], "list<"), ([{"text": "x"}], "struct<"), ([0.5], "double")],
)
def test_a_column_of_another_type_is_named_with_it(values: list[Any], named: str) -> None:
    message = message_of(locate("pair", {"query": "q", "positive": "text"}), batch(q=values, text=["b"]))
    assert message.startswith(
        f"{CATALOG_FILE}:11: query, read from {FILE} of toy: text is wanted, but the column holds {named}"
    )
    assert message.endswith("(path q)")


def test_mixed_texts_and_lists_cannot_be_joined() -> None:
    located = locate("triplet", {"query": "q", "positive": ["q", "p[]"]})
    assert "these give both" in message_of(located, batch(q=["a"], p=[["b"]]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"query": {"x": "q"}, "positive": "q"}, "a path, or a list of paths to join, is wanted here, not a mapping"),
    ],
)
def test_columns_of_the_wrong_form_are_errors_of_the_entry(columns: dict[str, Any], message: str) -> None:
    assert message in message_of(locate("pair", columns), batch(q=["a"]))


def test_several_paths_where_one_is_wanted_are_an_error() -> None:
    located = locate("labeled", {"text": "t", "label": ["a", "b"]})
    assert "label, read from" in message_of(located, batch(t=["x"], a=["y"], b=["z"]))
    assert "one path is wanted here, not several" in message_of(located, batch(t=["x"], a=["y"], b=["z"]))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a/law.stackexchange.com.txt.gz", "law.stackexchange.com"),
        ("AskScience.jsonl", "AskScience"),
        ("a/b/train_1.csv.zst", "train_1"),
        ("plain", "plain"),
        ("a/.txt", ".txt"),
    ],
)
def test_the_stem_is_the_name_without_endings_of_formats(file: str, expected: str) -> None:
    assert stem(file) == expected


def test_provenance_counts_from_the_rows_numbers() -> None:
    source = Source(
        located=locate("pair", {"query": "q", "positive": "q"}),
        unit=make_unit(),
        rows=batch(q=["a", "b"]),
        numbers=pa.array([5, 9]),
    )
    assert source.provenance().to_pylist() == [f"{FILE}#5", f"{FILE}#9"]
