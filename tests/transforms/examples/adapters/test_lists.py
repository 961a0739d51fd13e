"""Lists of texts."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.examples.adapters.lists import (
    as_lists,
    empty_lists,
    filter_lists,
    first_and_rest,
    null_as_empty,
    present_texts,
)

TEXTS = pa.list_(pa.string())
LISTS = st.lists(st.none() | st.lists(st.none() | st.sampled_from(["", " ", "a", "b"]), max_size=4), max_size=8)


def test_one_text_is_a_list_of_it_alone() -> None:
    assert as_lists(pa.array(["a", None], pa.string())).to_pylist() == [["a"], [None]]
    assert empty_lists(2).to_pylist() == [[], []]
    assert null_as_empty(pa.array([None, ["a"]], TEXTS)).to_pylist() == [[], ["a"]]


@settings(deadline=None, max_examples=50)
@given(rows=LISTS, start=st.integers(0, 3))
def test_present_texts_are_those_that_are_not_blank(rows: list[list[str | None] | None], start: int) -> None:
    lists = pa.array(rows, TEXTS).slice(start)
    assert present_texts(lists).to_pylist() == [
        [text for text in row or [] if text and text.strip()] for row in rows[start:]
    ]


@settings(deadline=None, max_examples=50)
@given(rows=LISTS, start=st.integers(0, 3))
def test_first_and_rest_take_a_list_apart(rows: list[list[str | None] | None], start: int) -> None:
    first, rest = first_and_rest(pa.array(rows, TEXTS).slice(start))
    assert first.to_pylist() == [row[0] if row else None for row in rows[start:]]
    assert rest.to_pylist() == [(row or [])[1:] for row in rows[start:]]


def test_filter_lists_takes_replaced_elements() -> None:
    lists, flat = pa.array([["a", "b"], None, ["c"]], TEXTS), pa.array(["A", "B", "C"])
    assert filter_lists(lists, flat, pa.array([True, False, True])).to_pylist() == [["A"], [], ["C"]]
