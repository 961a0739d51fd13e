from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms.sources.readers.shape import (
    NULL,
    Shape,
    arrow_type,
    has_objects,
    kind_of,
    learn,
    majority,
    misfit,
    number_text,
    settled,
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text("aé字", max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.lists(values, max_size=12), st.lists(values, max_size=12))
@example([], [2**53 + 1, 0.0])
@example([2**64 - 1], [-1, 0.5])
def test_whatever_fits_a_shape_becomes_an_arrow_array(sample: list[Any], later: list[Any]) -> None:
    shape = majority(sample)
    admitted = []
    for value in [*sample, *later]:
        learnt = learn(shape, value)
        if misfit(value, learnt, "x") is None:
            shape = learnt
            admitted.append(value)
    array = pa.array([settled(value, shape) for value in admitted], arrow_type(shape))
    array.validate(full=True)
    for value, got in zip(admitted, array.to_pylist(), strict=True):
        assert is_same(got, value)


def is_same(got: Any, value: Any) -> bool:
    """Whether Arrow gave the value back: a missing key as null, a number that no type of number holds as its text."""
    if isinstance(value, dict):
        return all(is_same(got[key], value.get(key)) for key in {**got, **value})
    if isinstance(value, list):
        return len(got) == len(value) and all(map(is_same, got, value))
    if isinstance(got, str) and not isinstance(value, str | bool | None):
        return bool(got == number_text(value))
    return bool(got == value)


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=12))
def test_the_majority_keeps_the_most_frequent_kind(sample: list[Any]) -> None:
    counts: dict[str, int] = {}
    for value in sample:
        if value is not None:
            counts[kind_of(value)] = counts.get(kind_of(value), 0) + 1
    assert counts.get(majority(sample).kind, 0) == max(counts.values(), default=0)


def test_text_wins_a_tie() -> None:
    assert majority([1, "a"]).kind == "text"
    assert majority([]) is NULL
    assert majority([None, None]) is NULL


def test_a_misfit_names_the_path_and_both_kinds() -> None:
    shape = majority([{"text": ["a"], "start": 1}])
    assert misfit({"text": ["a", 3]}, shape, "answers") == "answers.text[] holds a number where the column holds text"
    assert misfit("a", shape, "answers") == "answers holds text where the column holds an object"
    assert misfit({"text": None, "start": None}, shape, "answers") is None


def test_learning_widens_only_where_there_is_news() -> None:
    shape = majority([{"a": 1, "b": None, "c": []}])
    assert learn(shape, {"a": 7}) is shape
    assert learn(shape, "text") is shape
    learnt = learn(shape, {"a": 1.5, "b": "x", "c": [True], "d": 1})
    assert arrow_type(learnt) == pa.struct(
        [("a", pa.float64()), ("b", pa.string()), ("c", pa.list_(pa.bool_())), ("d", pa.int64())]
    )


def test_objects_are_found_at_any_depth() -> None:
    assert has_objects(majority([[[{"a": 1}]]]))
    assert not has_objects(majority([[["a"]]]))
    assert not has_objects(Shape("text"))
