"""Labels by name, scores as numbers, class names in Parquet metadata."""

import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from transforms.examples.adapters.labels import as_numbers, class_names, label_texts
from transforms.sources.column_paths import PathError, parse_path

NAMES = ("neutral", "entailment", "contradiction")


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ([1, 0, -1, None], NAMES, ["entailment", "neutral", None, None]),
        ([1, 7], NAMES, ["entailment", "7"]),
        ([3, 0], None, ["3", "0"]),
        ([1.0, 2.0, math.nan, -1.0, 0.5], None, ["1", "2", None, None, "0.5"]),
        ([True, False, None], ("no", "yes"), ["yes", "no", None]),
        ([" entailment ", "1", "-", "", "-1", None], NAMES, ["entailment", "entailment", None, None, None, None]),
        (["1", "0"], ("0", "1"), ["1", "0"]),
        (["²"], NAMES, ["²"]),
    ],
)
def test_labels_are_told_by_name(values: list[Any], names: tuple[str, ...] | None, expected: list[str | None]) -> None:
    assert label_texts(pa.array(values), names).to_pylist() == expected


def test_a_list_of_labels_keeps_those_that_are_there() -> None:
    labels = pa.array([[0, 2], [-1, 1], [], None, [None]], pa.list_(pa.int64()))
    assert label_texts(labels, NAMES).to_pylist() == [["neutral", "contradiction"], ["entailment"], [], [], []]


def test_labels_of_a_slice_are_its_own() -> None:
    assert label_texts(pa.array([[0], [1]]).slice(1), NAMES).to_pylist() == [["entailment"]]


def test_a_column_without_any_label_is_null() -> None:
    assert label_texts(pa.nulls(2), NAMES).to_pylist() == [None, None]


@pytest.mark.parametrize("values", [[{"a": 1}], [[[1]]], [[{"a": 1}]]])
def test_labels_that_are_records_are_refused(values: list[Any]) -> None:
    with pytest.raises(PathError, match="a label is wanted"):
        label_texts(pa.array(values))


def test_numbers_come_from_numeric_columns() -> None:
    assert as_numbers(pa.array([1, None], pa.int32())).values.to_pylist() == [1.0, None]
    assert as_numbers(pa.array([0.5, math.nan])).values.to_pylist() == [0.5, None]
    assert as_numbers(pa.array([True, False])).values.to_pylist() == [1.0, 0.0]
    assert as_numbers(pa.nulls(1)).values.to_pylist() == [None]


def test_numbers_come_from_text_that_spells_them() -> None:
    values, malformed = as_numbers(pa.array(["3.8", " 4 ", "-1", "+.5e1", "1.", "", " - ", None, "four", "1,5", "0x1"]))
    assert values.to_pylist() == [3.8, 4.0, -1.0, 5.0, 1.0, None, None, None, None, None, None]
    assert malformed.to_pylist() == [False] * 8 + [True] * 3


@pytest.mark.parametrize("values", [[[1]], [{"a": 1}]])
def test_other_columns_are_no_numbers(values: list[Any]) -> None:
    with pytest.raises(PathError, match="a number is wanted, but the column holds"):
        as_numbers(pa.array(values))


CLASS = {"_type": "ClassLabel", "names": ["a", "b"]}
VALUE = {"dtype": "int64", "_type": "Value"}


def schema_of(features: Any) -> pa.Schema:
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([("label", pa.int64())], metadata=metadata)


@pytest.mark.parametrize(
    ("features", "path"),
    [
        ({"label": CLASS}, "label"),
        ({"label": {"x": CLASS}}, "label.x"),
        ({"label": [{"x": CLASS}]}, "label[].x"),
        ({"label": {"feature": CLASS, "_type": "Sequence"}}, "label[]"),
        ({"label": {"feature": CLASS, "_type": "List"}}, "label"),
        ({"label": {"feature": {"x": CLASS}, "_type": "Sequence"}}, "label.x[]"),
    ],
)
def test_class_names_stand_in_the_metadata(features: Any, path: str) -> None:
    assert class_names(schema_of(features), parse_path(path)) == ("a", "b")


@pytest.mark.parametrize(
    ("features", "path"),
    [
        ({"label": VALUE}, "label"),
        ({}, "label"),
        ({"label": CLASS}, "label[0].x"),
        ([], "label"),
        ({"label": None}, "label.x"),
    ],
)
def test_without_class_names_there_are_none(features: Any, path: str) -> None:
    assert class_names(schema_of(features), parse_path(path)) is None


@pytest.mark.parametrize("metadata", [None, {"huggingface": "{"}, {"huggingface": "[]"}, {"pandas": "{}"}])
def test_metadata_that_says_nothing_is_no_error(metadata: dict[str, str] | None) -> None:
    assert class_names(pa.schema([("label", pa.int64())], metadata=metadata), parse_path("label")) is None


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(4), pa.binary_view()])
def test_labels_in_bytes_are_the_text_that_they_spell(kind: pa.DataType) -> None:
    values = pa.array([b"rosa", None, b"rosa", b"bleu"], kind)
    assert label_texts(values).to_pylist() == ["rosa", None, "rosa", "bleu"]
    if kind != pa.binary(4):
        assert label_texts(pa.array([b"1", b"-1", b"\xc3\xa9"], kind), ("a", "b")).to_pylist() == ["b", None, "\u00e9"]
    lists = pa.array([[b"rosa", b"bleu"], []], pa.list_(kind))
    assert label_texts(lists).to_pylist() == [["rosa", "bleu"], []]


def test_bytes_that_are_no_text_are_no_labels() -> None:
    with pytest.raises(PathError, match=r"a label is wanted .text or number., but binary here is no text"):
        label_texts(pa.array([b"rosa", b"\xff\xfe"]))


def test_decimals_are_numbers_and_whole_ones_are_ids() -> None:
    decimals = pa.array([Decimal("0.0"), Decimal("1.0"), Decimal("1.5"), None, Decimal("-1.0")], pa.decimal128(5, 1))
    assert label_texts(decimals).to_pylist() == ["0", "1", "1.5", None, None]
    assert label_texts(decimals, ["no", "yes"]).to_pylist() == ["no", "yes", "1.5", None, None]
    assert as_numbers(decimals).values.to_pylist() == [0.0, 1.0, 1.5, None, -1.0]


def test_ids_of_classes_as_a_table_with_a_gap_writes_them() -> None:
    texts = pa.array(["0.0", "1.0", "", "2.0"])
    assert label_texts(texts, ["no", "yes"]).to_pylist() == ["no", "yes", None, "2"]
    assert label_texts(texts).to_pylist() == ["0.0", "1.0", None, "2.0"], "names of classes without a list of them"
