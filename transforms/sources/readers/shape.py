"""What the fields of JSON rows hold: JSON has no columns, so their types are learnt from the rows themselves.

A column is what most of a file's first rows hold there (``majority``); a row that holds another kind does not fit it.
What the first rows did not show (a field that was null so far, a new key of an object, a fraction among whole numbers)
is learnt when it comes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal

import pyarrow as pa

Kind = Literal["null", "text", "number", "boolean", "list", "object"]
#: Where two kinds are equally frequent, the earlier one is the column's.
_KINDS: tuple[Kind, ...] = ("text", "number", "boolean", "list", "object")


class Reach(IntEnum):
    """How far the whole numbers of a column go: the smallest type of Arrow's that holds them all exactly."""

    DOUBLE = 0  # up to 2^53 either way
    INT64 = 1
    UINT64 = 2
    TEXT = 3


@dataclass(frozen=True)
class Shape:
    """The kind of a value; of a number whether all were ``whole``, how far whole ones ``reach`` and whether any was
    ``negative``; of a list its items, of an object its fields.

    ``scalar``: ids, among which numbers and texts may meet, and then all are text.
    """

    kind: Kind = "null"
    whole: bool = True
    reach: Reach = Reach.DOUBLE
    negative: bool = False
    item: "Shape | None" = None
    fields: Mapping[str, "Shape"] = field(default_factory=dict)
    scalar: bool = False


NULL = Shape()
NULL_SCALAR = Shape(scalar=True)
_EXACT = range(-(2**53), 2**53 + 1)
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)


def reach_of(value: int) -> Reach:
    """How far a whole number goes."""
    if value in _EXACT:
        return Reach.DOUBLE
    return Reach.INT64 if value in _INT64 else Reach.UINT64 if value in _UINT64 else Reach.TEXT


def kind_of(value: Any) -> Kind:
    """The kind of a value that ``json.loads`` gave."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list) else "object"


def majority(values: Iterable[Any], scalar: bool = False) -> Shape:
    """The shape that most of the values have, nulls aside; a null one where there is no other value."""
    present = [(kind_of(value), value) for value in values if value is not None]
    counts = Counter(kind for kind, _ in present)
    if not counts:
        return NULL_SCALAR if scalar else NULL
    kind = max(_KINDS, key=lambda kind: counts[kind])
    if scalar and kind == "number" and counts["text"]:
        kind = "text"
    fitting = [value for found, value in present if found == kind]
    if kind == "number":
        return _numbers(fitting, scalar)
    if kind == "list":
        return Shape(kind, item=majority((item for value in fitting for item in value), scalar), scalar=scalar)
    if kind == "object":
        keys = dict.fromkeys(key for value in fitting for key in value)
        fields = {key: majority((value.get(key) for value in fitting), scalar) for key in keys}
        return Shape(kind, fields=fields, scalar=scalar)
    return Shape(kind, scalar=scalar)


def _numbers(values: Sequence[int | float], scalar: bool) -> Shape:
    whole = [value for value in values if isinstance(value, int)]
    reach = max(map(reach_of, whole), default=Reach.DOUBLE)
    negative = any(value < 0 for value in whole)
    return Shape("number", len(whole) == len(values), reach, negative, scalar=scalar)


def _learn_number(shape: Shape, value: int | float) -> Shape:
    if not isinstance(value, int):
        return replace(shape, whole=False) if shape.whole else shape
    reach, negative = max(shape.reach, reach_of(value)), shape.negative or value < 0
    known = reach == shape.reach and negative == shape.negative
    return shape if known else replace(shape, reach=reach, negative=negative)


def learn(shape: Shape, value: Any) -> Shape:
    """The shape with what this value adds to it; the very same object where it adds nothing or does not fit."""
    kind = kind_of(value)
    if shape.kind == "null" and kind != "null":
        return majority([value], shape.scalar)
    if kind != shape.kind:
        return Shape("text", scalar=True) if shape.scalar and (shape.kind, kind) == ("number", "text") else shape
    if kind == "number":
        return _learn_number(shape, value)
    unknown = NULL_SCALAR if shape.scalar else NULL
    if kind == "list":
        item = shape.item or unknown
        for element in value:
            item = learn(item, element)
        return shape if item is shape.item else replace(shape, item=item)
    if kind == "object":
        learnt = {key: learn(shape.fields.get(key, unknown), found) for key, found in value.items()}
        news = {key: new for key, new in learnt.items() if new is not shape.fields.get(key)}
        return replace(shape, fields={**shape.fields, **news}) if news else shape
    return shape


def misfit(value: Any, shape: Shape, path: str) -> str | None:
    """Why a value is not of this shape, or None where it is; ``path`` names the value in the reason."""
    kind = kind_of(value)
    if kind == "null" or (shape.scalar and (shape.kind, kind) == ("text", "number")):
        return None
    if kind != shape.kind:
        return f"{path} holds {_with_article(kind)} where the column holds {_with_article(shape.kind)}"
    if kind == "list":
        inner = ((element, shape.item or NULL, f"{path}[]") for element in value)
    elif kind == "object":
        inner = ((found, shape.fields.get(key, NULL), f"{path}.{key}") for key, found in value.items())
    else:
        return None
    return next((reason for found, wanted, name in inner if (reason := misfit(found, wanted, name))), None)


def _with_article(kind: Kind) -> str:
    article = {"text": "text", "null": "nothing", "object": "an object"}
    return article.get(kind, f"a {kind}")


def arrow_type(shape: Shape) -> pa.DataType:
    """The Arrow type for values of this shape."""
    if shape.kind == "list":
        return pa.list_(arrow_type(shape.item or NULL))
    if shape.kind == "object":
        return pa.struct([(key, arrow_type(inner)) for key, inner in shape.fields.items()])
    if shape.kind == "number":
        return _number_type(shape)
    return {"null": pa.null(), "text": pa.string(), "boolean": pa.bool_()}[shape.kind]


def _number_type(shape: Shape) -> pa.DataType:
    """The type that holds whole numbers exactly, whatever stands beside them; where no number does, it is text."""
    if not shape.whole:
        return pa.float64() if shape.reach == Reach.DOUBLE else pa.string()
    if shape.reach == Reach.UINT64:
        return pa.string() if shape.negative else pa.uint64()
    return pa.string() if shape.reach == Reach.TEXT else pa.int64()


def has_objects(shape: Shape) -> bool:
    """Whether objects stand anywhere in values of this shape, so that unknown keys may turn up."""
    return shape.kind == "object" or (shape.item is not None and has_objects(shape.item))


def settled(value: Any, shape: Shape) -> Any:
    """The value as ``pa.array`` takes it for the shape's type: a number that meets texts is a text, a whole number that
    meets fractions is one.
    """
    if value is None or shape.kind == "boolean":
        return value
    if shape.kind == "text":
        return value if isinstance(value, str) else number_text(value)
    if shape.kind == "number":
        kind = _number_type(shape)
        return float(value) if kind == pa.float64() else number_text(value) if kind == pa.string() else value
    if shape.kind == "list":
        return [settled(element, shape.item or NULL) for element in value]
    return {key: settled(found, shape.fields[key]) for key, found in value.items()}


def number_text(value: int | float) -> str:
    """A number as text: a whole one without a fraction, be it written with one or not."""
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)
