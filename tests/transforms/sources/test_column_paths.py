"""Paths against an oracle that walks plain Python values, and each form and error by example."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.sources.column_paths import Each, Element, Field, PathError, Values, parse_path, resolve_path


def resolve(text: str, values: list[Any], kind: pa.DataType | None = None, config: str = "") -> list[Any]:
    path = parse_path(text, config)
    return resolve_path(path, pa.record_batch({path.column: pa.array(values, kind)})).to_pylist()


def test_parse_gives_the_column_and_its_steps() -> None:
    path = parse_path("gold evidence.*.parts[][1].text")
    assert path.column == "gold evidence"
    assert path.steps == (Values(), Field("parts"), Each(), Element(1), Field("text"))


@pytest.mark.parametrize("text", ["#2", "line", "@stem", "query-id", "_id", "Hard Negative Document", "id 1"])
def test_parse_takes_odd_names_as_they_are(text: str) -> None:
    assert parse_path(text).column == text
    assert parse_path(text).steps == ()


@pytest.mark.parametrize("text", ["", ".a", "[]", "a..b", "a[", "a[x]", "a[-1]", "a.", "a[]b", "a{b"])
def test_parse_refuses_what_is_no_path_and_shows_the_forms(text: str) -> None:
    with pytest.raises(PathError, match=r"a path is a, a\.b, a\[\]"):
        parse_path(text)


def test_codes_are_filled_from_the_name_of_the_configuration() -> None:
    assert parse_path("translation.{code_a}", "eng_Latn-fra_Latn").steps == (Field("eng_Latn"),)
    assert parse_path("translation.{code_b}", "eng_Latn-fra_Latn").steps == (Field("fra_Latn"),)
    assert parse_path("{code_b}", "en-de").column == "de"


@pytest.mark.parametrize("config", ["", "default", "a-b-c", "-fr", "en-"])
def test_codes_need_a_configuration_of_two_codes(config: str) -> None:
    with pytest.raises(PathError, match="<code_a>-<code_b>"):
        parse_path("translation.{code_a}", config)


def test_unknown_codes_are_refused() -> None:
    with pytest.raises(PathError, match=r"only \{code_a\} and \{code_b\}"):
        parse_path("translation.{lang}", "en-de")


def test_field_of_a_struct_keeps_nulls() -> None:
    assert resolve("a.b", [{"b": "x"}, None, {"b": None}]) == ["x", None, None]


def test_field_below_a_masked_struct_is_null() -> None:
    masked = pa.StructArray.from_arrays([pa.array(["p", "q"])], ["b"], mask=pa.array([False, True]))
    assert resolve_path(parse_path("a.b"), pa.record_batch({"a": masked})).to_pylist() == ["p", None]


def test_every_element_keeps_the_structure_of_lists() -> None:
    rows = [[{"b": "1"}, {"b": None}, None], None, [], [{"b": "2"}]]
    assert resolve("a[].b", rows) == [["1", None, None], None, [], ["2"]]


def test_lists_in_lists_give_one_list_for_each_row() -> None:
    assert resolve("a[].b[]", [[{"b": ["1", "2"]}, {"b": None}, {"b": ["3"]}], []]) == [["1", "2", "3"], []]


def test_one_element_is_null_where_the_list_is_shorter() -> None:
    assert resolve("a[1]", [["x", "y"], ["x"], [], None]) == ["y", None, None, None]
    assert resolve("a[][1]", [[["i", "t"], ["i"]], [], None]) == [["t", None], [], None]


def test_elements_of_a_slice_are_its_own() -> None:
    rows = pa.record_batch({"a": pa.array([["0"], ["1", "2"], None, ["3"]])}).slice(1)
    assert resolve_path(parse_path("a[0]"), rows).to_pylist() == ["1", None, "3"]
    assert resolve_path(parse_path("a[]"), rows).to_pylist() == [["1", "2"], None, ["3"]]


def test_values_of_a_map_in_its_order() -> None:
    kind = pa.map_(pa.string(), pa.struct([("text", pa.string())]))
    rows = [[("7", {"text": "x"}), ("2", {"text": "y"})], None, []]
    assert resolve("gold evidence.*.text", rows, kind) == [["x", "y"], None, []]


def test_values_of_an_object_whose_keys_differ_from_row_to_row() -> None:
    rows = [{"0": {"text": "x"}, "1": {"text": "y"}}, {"1": {"text": "z"}}, {}, None]
    assert resolve("a.*.text", rows) == [["x", "y"], ["z"], [], None]


def test_values_of_an_object_may_differ_in_their_fields() -> None:
    rows = [{"p": {"text": "x", "n": 1, "k": ["a"]}, "q": {"text": "y", "n": 0.5, "k": []}, "r": {"text": "z"}}]
    assert resolve("a.*.text", rows) == [["x", "y", "z"]]
    assert resolve("a.*.n", rows) == [[1.0, 0.5, None]]
    assert resolve("a.*.k[]", rows) == [["a"]]


def test_values_of_an_object_of_different_types_are_an_error() -> None:
    with pytest.raises(PathError, match="different types: string, int64"):
        resolve("a.*", [{"p": "x", "q": 1}])


def test_a_key_of_a_map() -> None:
    rows = [[("en", "x"), ("fr", "y")], [("en", "z")], None]
    assert resolve("a.{code_b}", rows, pa.map_(pa.string(), pa.string()), "en-fr") == ["y", None, None]


def test_dictionaries_and_other_lists_are_plain_values() -> None:
    encoded = pa.array(["x", None, "x"]).dictionary_encode()
    assert resolve_path(parse_path("a"), pa.record_batch({"a": encoded})).to_pylist() == ["x", None, "x"]
    assert resolve("a[1]", [["x", "y"], None], pa.large_list(pa.string())) == ["y", None]
    assert resolve("a[]", [["x", "y"], ["z", None]], pa.list_(pa.string(), 2)) == [["x", "y"], ["z", None]]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.b", [None, None]), ("a[0]", [None, None]), ("a[].b", [None, None]), ("a.*.b", [None, None])],
)
def test_below_a_column_without_any_value_everything_is_null(path: str, expected: list[Any]) -> None:
    assert resolve(path, [None, None], pa.null()) == expected


def test_objects_that_are_all_empty_have_no_fields_to_miss() -> None:
    assert resolve("a.b.c", [{}, None], pa.struct([])) == [None, None]
    assert resolve("a.*.b", [{}, None], pa.struct([])) == [[], None]


def test_a_path_that_names_no_column_shows_the_columns() -> None:
    with pytest.raises(PathError, match="no column 'titel'; the columns are title, text"):
        resolve_path(parse_path("titel"), pa.record_batch({"title": ["a"], "text": ["b"]}))


def test_a_path_that_names_no_field_shows_the_fields() -> None:
    with pytest.raises(PathError, match=r"'answers\.txt': there is no field 'txt'; the fields there are text, start"):
        resolve("answers.txt", [{"text": "a", "start": 1}])


@pytest.mark.parametrize(
    ("path", "values", "message"),
    [
        ("a.b", [["x"]], r"it is a list: write \[\]\.b for every element, \[0\]\.b for one"),
        ("a.b", ["x"], r"\.b needs a struct or a map, but finds string"),
        ("a[]", ["x"], r"\[\] needs a list, but finds string"),
        ("a[2]", [{"b": 1}], r"\[2\] needs a list, but finds struct"),
        ("a.*", ["x"], r"\.\* needs a map or a struct, but finds string"),
    ],
)
def test_a_step_that_does_not_fit_names_the_type_it_finds(path: str, values: list[Any], message: str) -> None:
    with pytest.raises(PathError, match=message):
        resolve(path, values)


def walk(value: Any, steps: tuple[Any, ...]) -> Any:
    """The oracle: what a path means for one row. Lists come back flat, as ``resolve_path`` gives them."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, Field):
        return walk(None if value is None else value[step.name], rest)
    if isinstance(step, Element):
        return walk(value[step.index] if value is not None and len(value) > step.index else None, rest)
    found = []
    for element in value or []:
        below = walk(element, rest)
        found += (below or []) if any(isinstance(later, Each) for later in rest) else [below]
    return None if value is None else found


TEXT = st.none() | st.text(max_size=3)
PAIR = st.none() | st.lists(TEXT, max_size=3)
RECORD = st.none() | st.fixed_dictionaries({"b": TEXT, "c": PAIR})
KIND = pa.struct([("b", pa.string()), ("c", pa.list_(pa.string()))])


@pytest.mark.parametrize("path", ["a[].b", "a[].c[]", "a[].c[1]", "a[].c[0]", "a[]", "a[1].b", "a[0].c", "a[0].c[]"])
@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.none() | st.lists(RECORD, max_size=3), max_size=6))
def test_resolving_agrees_with_walking_each_row(path: str, rows: list[Any]) -> None:
    assert resolve(path, rows, pa.list_(KIND)) == [walk(row, parse_path(path).steps) for row in rows]
