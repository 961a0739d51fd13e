"""The texts of a part against a plain walk over its rows: addresses, roles, prompts and hashes."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import text_hash
from tests.transforms.rows import canonical_rows
from transforms.examples.read_rows import CORPUS
from transforms.text.matching import matching_form
from transforms.text.part_texts import (
    AS_PASSAGE,
    AS_QUERY,
    NEGATIVES,
    POSITIVES,
    QUERY,
    TEXT,
    TEXT_ROWS,
    Prompts,
    cluster_hashes,
    first_texts,
    texts_of_corpus,
    texts_of_rows,
)

PROMPTS = Prompts(queries={"a": "Instruct: A\nQuery: ", "b": ""}, passages={"a": "", "b": "passage: "})
PART = 2**62 + 5

TEXTS = st.lists(st.text("abc ", max_size=3), max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"dataset": st.sampled_from("abc"), "query": st.text("abc", max_size=3), "positives": TEXTS, "negatives": TEXTS}
    ),
    max_size=6,
)


def _expected(dataset: str, row: int, field: str, element: int, role: str, text: str) -> dict[str, Any]:
    before = {("a", AS_QUERY): "Instruct: A\nQuery: ", ("b", AS_PASSAGE): "passage: "}.get((dataset, role), "")
    address = {"dataset": dataset, "part": PART, "row": row, "field": field, "element": element}
    hashes = {"hash": text_hash(text), "key": text_hash(before + text)}
    return address | {"role": role, "text": text, "prompt": before} | hashes


def _walk(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [_expected(row["dataset"], n, QUERY, 0, AS_QUERY, row["query"]) for n, row in enumerate(rows)]
    for n, row in enumerate(rows):
        if not row["positives"]:
            found.append(_expected(row["dataset"], n, QUERY, 0, AS_PASSAGE, row["query"]))
    for field in (POSITIVES, NEGATIVES):
        for n, row in enumerate(rows):
            found += [_expected(row["dataset"], n, field, i, AS_PASSAGE, text) for i, text in enumerate(row[field])]
    return found


@given(ROWS)
def test_every_text_of_every_row_is_there_with_its_address_and_hashes(rows: list[dict[str, Any]]) -> None:
    texts = texts_of_rows(canonical_rows(rows), PART, PROMPTS)
    assert texts.schema == TEXT_ROWS
    assert texts.to_pylist() == _walk(rows)


@given(ROWS, ROWS, st.integers(0, 6), st.integers(0, 6))
def test_rows_may_lie_in_slices_and_chunks(
    one: list[dict[str, Any]], other: list[dict[str, Any]], skip: int, take: int
) -> None:
    table = pa.concat_tables([canonical_rows(one).slice(skip), canonical_rows(other).slice(0, take)])
    assert texts_of_rows(table, PART, PROMPTS).to_pylist() == _walk(one[skip:] + other[:take])


@pytest.mark.parametrize("sliced", [False, True])
def test_of_a_corpus_the_passages_that_were_drawn_and_say_something_are_there(sliced: bool) -> None:
    passages = [
        {"dataset": "b", "passage_id": str(n), "text": text, "sampled": sampled}
        for n, (text, sampled) in enumerate([("one", True), ("two", False), ("", True), ("four", True)])
    ]
    table = pa.Table.from_pylist(passages, CORPUS)
    table = pa.concat_tables([table.slice(0, 3), table.slice(3)]) if sliced else table
    assert texts_of_corpus(table, PART, PROMPTS).to_pylist() == [
        _expected("b", row, TEXT, 0, AS_PASSAGE, text) for row, text in ((0, "one"), (3, "four"))
    ]


def test_a_corpus_that_says_nothing_has_no_texts() -> None:
    assert texts_of_corpus(CORPUS.empty_table(), PART, PROMPTS).num_rows == 0


def test_a_text_without_a_prompt_is_stored_under_its_own_hash() -> None:
    (text, *_) = texts_of_rows(canonical_rows([{"dataset": "c", "query": "x"}]), PART, PROMPTS).to_pylist()
    assert text["key"] == text["hash"] == text_hash("x")


def test_the_prompt_follows_dataset_and_role() -> None:
    assert PROMPTS.of("a", AS_QUERY) == "Instruct: A\nQuery: "
    assert PROMPTS.of("b", AS_PASSAGE) == "passage: "
    assert PROMPTS.of("unknown", AS_QUERY) == ""


@given(st.lists(st.text(max_size=8), max_size=5))
def test_texts_that_match_share_a_cluster(texts: list[str]) -> None:
    chunked = pa.chunked_array([pa.array(texts[:2], pa.string()), pa.array(texts[2:], pa.string())])
    expected = [text_hash(matching_form(text)) for text in texts]
    assert cluster_hashes(chunked).to_pylist() == expected
    assert cluster_hashes(pa.array(texts, pa.string())).to_pylist() == expected


def test_case_spacing_and_punctuation_do_not_tell_clusters_apart() -> None:
    same, other = cluster_hashes(pa.array(["What, is THIS?", "what is this", "what is that"])).to_pylist()[1:]
    assert cluster_hashes(pa.array(["What, is THIS?"])).to_pylist() == [same]
    assert same != other


LIST = pa.list_(pa.string())
LISTS = st.lists(st.none() | st.lists(st.none() | st.text("ab", max_size=2), max_size=3), max_size=8)


@given(LISTS, st.integers(0, 8), st.integers(0, 8))
def test_the_first_text_of_each_list_also_of_a_slice(
    lists: list[list[str | None] | None], start: int, size: int
) -> None:
    found = first_texts(pa.array(lists, LIST).slice(start, size))
    assert found.type == pa.string()
    assert found.to_pylist() == [texts[0] if texts else None for texts in lists[start : start + size]]


def test_the_first_text_of_what_hides_below_a_null_is_null() -> None:
    lists = pa.ListArray.from_arrays(
        pa.array([0, 2, 3], pa.int32()), pa.array(["a", "b", "c"]), mask=pa.array([True, False])
    )
    assert first_texts(lists).to_pylist() == [None, "c"]
