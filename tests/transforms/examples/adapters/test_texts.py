"""Texts, blank texts, and the texts of several paths joined."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.examples.adapters.texts import as_text, as_texts, is_blank, join_texts
from transforms.sources.column_paths import PathError

TEXTS = pa.list_(pa.string())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_any_kind_of_text_becomes_string(kind: pa.DataType) -> None:
    texts = as_texts(pa.array(["a", None], kind))
    assert texts.type == pa.string()
    assert texts.to_pylist() == ["a", None]


def test_a_column_without_any_value_is_null_texts() -> None:
    assert as_text(pa.nulls(2)).to_pylist() == [None, None]
    assert as_texts(pa.array([[], None], pa.list_(pa.null()))).to_pylist() == [[], None]


@pytest.mark.parametrize(
    ("values", "named"),
    [([1], "int64"), ([0.5], "double"), ([True], "bool"), ([{"a": "b"}], "struct"), ([[1]], "list<")],
)
def test_other_types_are_refused_by_name(values: list[Any], named: str) -> None:
    with pytest.raises(PathError, match=f"text is wanted, but the column holds {named}"):
        as_texts(pa.array(values))


def test_a_list_is_refused_where_one_text_is_wanted() -> None:
    with pytest.raises(PathError, match=r"one text is wanted, but the path gives a list .*\[0\] takes its first"):
        as_text(pa.array([["a"]]))


def test_blank_is_null_or_nothing_but_white_space() -> None:
    texts = pa.array(["a", "", " \n\t\u3000", None, " b "])
    assert is_blank(texts).to_pylist() == [False, True, True, True, False]


def test_texts_are_joined_by_a_newline_without_blank_ones() -> None:
    title, text = pa.array(["t", "", None, " ", None]), pa.array(["x", "x", "x", "x", " "])
    assert join_texts([title, text]).to_pylist() == ["t\nx", "x", "x", "x", None]


def test_lists_are_joined_element_by_element() -> None:
    titles = pa.array([["t", ""], [], None, [None]], TEXTS)
    texts = pa.array([["x", "y"], [], None, [None]], TEXTS)
    assert join_texts([titles, texts]).to_pylist() == [["t\nx", "y"], [], None, [None]]


def test_lists_of_unequal_lengths_are_joined_as_far_as_each_goes() -> None:
    titles, texts = pa.array([["t"], None], TEXTS), pa.array([["x", "y"], ["z"]], TEXTS)
    assert join_texts([titles, texts]).to_pylist() == [["t\nx", "y"], ["z"]]


def test_a_text_and_a_list_cannot_be_joined() -> None:
    with pytest.raises(PathError, match="must all give one text, or all give lists"):
        join_texts([pa.array(["a"]), pa.array([["b"]])])


def test_slices_are_joined_by_what_they_hold() -> None:
    lists = pa.array([["skipped"], ["a", "b"], ["c"]], TEXTS).slice(1)
    assert join_texts([lists, lists]).to_pylist() == [["a\na", "b\nb"], ["c\nc"]]


BLANKABLE = st.none() | st.sampled_from(["", " ", "a", "b c", "\n"])


def joined(*texts: str | None) -> str | None:
    return "\n".join(text for text in texts if text and text.strip()) or None


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.tuples(BLANKABLE, BLANKABLE, BLANKABLE), max_size=8))
def test_joining_agrees_with_joining_each_row(rows: list[tuple[str | None, ...]]) -> None:
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(3)]
    assert join_texts(columns).to_pylist() == [joined(*row) for row in rows]


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.lists(st.tuples(BLANKABLE, BLANKABLE), max_size=3), max_size=6))
def test_joining_lists_agrees_with_joining_each_element(rows: list[list[tuple[str | None, str | None]]]) -> None:
    first, second = (pa.array([[pair[i] for pair in row] for row in rows], TEXTS) for i in range(2))
    assert join_texts([first, second]).to_pylist() == [[joined(*pair) for pair in row] for row in rows]
