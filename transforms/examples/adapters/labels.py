"""Labels by name and scores as numbers, whatever type the source keeps them in."""

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.examples.adapters.lists import filter_lists
from transforms.sources.column_paths import ColumnPath, Each, Element, Field, PathError

#: What sources write where a label is missing.
_MISSING = frozenset({"", "-", "-1"})
_WHOLE_FRACTION = re.compile(r"[+-]?\d+\.0+")
_NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_NULL_TEXT = pa.scalar(None, pa.string())


def label_texts(values: pa.Array, names: Sequence[str] | None = None) -> pa.Array:
    """Labels as texts, ``string`` or ``list<string>``; null where there is none (null, -1, ``-`` or blank).

    A class id becomes its name where ``names`` has one for it, else the number as text; a whole fraction or decimal is
    the whole number. Text that is itself a name
    stays; text that is an id (as in CSV files) is named too. Lists keep their labels but for missing ones. Raises
    PathError for structs and lists of lists.
    """
    if pa.types.is_list(values.type):
        flat = _flat_labels(values.flatten(), names)
        return filter_lists(values, flat, flat.is_valid())
    return _flat_labels(values, names)


def _flat_labels(values: pa.Array, names: Sequence[str] | None) -> pa.StringArray:
    if pa.types.is_nested(values.type) or pa.types.is_temporal(values.type):
        raise PathError(f"a label is wanted (text or number), but the column holds {values.type}")
    if pa.types.is_null(values.type):
        return values.cast(pa.string())
    if _is_bytes(values.type):
        values = _decoded(values)
    encoded = values.dictionary_encode()
    texts = [_label(value, names) for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _decoded(values: pa.Array) -> pa.Array:
    """Bytes that are text. Raises PathError, which shows the first that are not."""
    try:
        return values.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise PathError(f"a label is wanted (text or number), but {values.type} here is no text: {error}") from error


def _label(value: Any, names: Sequence[str] | None) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(int(value)) if _is_whole(value) else str(value).strip()
    if names is not None and text not in names and _WHOLE_FRACTION.fullmatch(text):
        text = text[:-2]  # an id as a table with a gap in it writes it
    if text in _MISSING:
        return None
    is_id = names is not None and text not in names and text.isascii() and text.isdigit() and int(text) < len(names)
    return names[int(text)] if is_id and names is not None else text


def _is_whole(value: Any) -> bool:
    return isinstance(value, bool | float | Decimal) and math.isfinite(value) and value == int(value)


class Numbers(NamedTuple):
    """``values``: float64, null where there is no number. ``malformed``: true where there is text that is not one."""

    values: pa.Array
    malformed: pa.BooleanArray


def as_numbers(values: pa.Array) -> Numbers:
    """Scores as numbers: numeric columns, and text that spells them. NaN is none. Raises PathError for other types."""
    kind = values.type
    if pa.types.is_string(kind):
        trimmed = pc.utf8_trim_whitespace(values)
        spelled = pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), False)
        absent = pc.is_in(pc.fill_null(trimmed, ""), pa.array(["", "-"]))
        numbers = pc.cast(pc.if_else(spelled, trimmed, _NULL_TEXT), pa.float64())
        return Numbers(numbers, pc.invert(pc.or_(spelled, absent)))
    if not any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_integer,
            pa.types.is_floating,
            pa.types.is_decimal,
            pa.types.is_boolean,
            pa.types.is_null,
        )
    ):
        raise PathError(f"a number is wanted, but the column holds {kind}")
    exact = pc.cast(values, pa.uint8()) if pa.types.is_boolean(kind) else values
    numbers = pc.cast(exact, pa.float64(), safe=False)
    return Numbers(
        pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers),
        pa.repeat(pa.scalar(False), len(values)),
    )


def class_names(schema: pa.Schema, path: ColumnPath) -> tuple[str, ...] | None:
    """The class names that a Parquet file written by the ``datasets`` library gives for a path, or None."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    feature = _features(metadata).get(path.column)
    for step in path.steps:
        feature = _below(feature, step)
    if isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]  # a list of labels whose path names the whole list
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel" or not feature.get("names"):
        return None
    return tuple(map(str, feature["names"]))


@lru_cache(maxsize=64)
def _features(metadata: bytes) -> dict[str, Any]:
    try:
        features = json.loads(metadata)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _below(feature: Any, step: object) -> Any:
    if isinstance(feature, list) and feature and isinstance(step, Each | Element):
        return feature[0]
    if isinstance(feature, dict) and isinstance(step, Each | Element):
        return feature.get("feature", feature)
    if isinstance(feature, dict) and isinstance(step, Field):
        # A Sequence of a dict of features is stored as a struct of lists: the [] comes after the field.
        inner = feature.get("feature") if feature.get("_type") in ("Sequence", "List") else feature
        return inner.get(step.name) if isinstance(inner, dict) else None
    return None
