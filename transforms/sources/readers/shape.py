"""What the fields of JSON rows hold: JSON has no columns, so their types are learnt from the rows themselves.

A column is what most of a file's first rows hold there (``majority``); a row that holds another kind does not fit it.
What the first rows did not show (a field that was null so far, a new key of an object, a fraction among whole numbers)
is learnt when it comes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

Kind = Literal["null", "text", "number", "boolean", "list", "object"]
#: Where two kinds are equally frequent, the earlier one is the column's.
_KINDS: tuple[Kind, ...] = ("text", "number", "boolean", "list", "object")


@dataclass(frozen=True)
class Shape:
    """The kind of a value; of a number whether all were whole (int64), of a list its items, of an object its fields."""

    kind: Kind = "null"
    whole: bool = True
    item: "Shape | None" = None
    fields: Mapping[str, "Shape"] = field(default_factory=dict)


NULL = Shape()


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


def majority(values: Iterable[Any]) -> Shape:
    """The shape that most of the values have, nulls aside; ``NULL`` where there is no other value."""
    present = [(kind_of(value), value) for value in values if value is not None]
    counts = Counter(kind for kind, _ in present)
    if not counts:
        return NULL
    kind = max(_KINDS, key=lambda kind: counts[kind])
    fitting = [value for found, value in present if found == kind]
    if kind == "number":
        return Shape(kind, whole=all(isinstance(value, int) for value in fitting))
    if kind == "list":
        return Shape(kind, item=majority(item for value in fitting for item in value))
    if kind == "object":
        keys = dict.fromkeys(key for value in fitting for key in value)
        return Shape(kind, fields={key: majority(value.get(key) for value in fitting) for key in keys})
    return Shape(kind)


def learn(shape: Shape, value: Any) -> Shape:
    """The shape with what this value adds to it; the very same object where it adds nothing or does not fit."""
    kind = kind_of(value)
    if shape.kind == "null" and kind != "null":
        return majority([value])
    if kind != shape.kind:
        return shape
    if kind == "number" and shape.whole and not isinstance(value, int):
        return replace(shape, whole=False)
    if kind == "list":
        item = shape.item or NULL
        for element in value:
            item = learn(item, element)
        return shape if item is shape.item else replace(shape, item=item)
    if kind == "object":
        learnt = {key: learn(shape.fields.get(key, NULL), found) for key, found in value.items()}
        news = {key: new for key, new in learnt.items() if new is not shape.fields.get(key)}
        return replace(shape, fields={**shape.fields, **news}) if news else shape
    return shape


def misfit(value: Any, shape: Shape, path: str) -> str | None:
    """Why a value is not of this shape, or None where it is; ``path`` names the value in the reason."""
    kind = kind_of(value)
    if kind == "null":
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
        return pa.int64() if shape.whole else pa.float64()
    return {"null": pa.null(), "text": pa.string(), "boolean": pa.bool_()}[shape.kind]


def has_objects(shape: Shape) -> bool:
    """Whether objects stand anywhere in values of this shape, so that unknown keys may turn up."""
    return shape.kind == "object" or (shape.item is not None and has_objects(shape.item))


def settled(value: Any, shape: Shape) -> Any:
    """The value with whole numbers as fractions where the shape has fractions; Arrow refuses large ones otherwise."""
    if value is None or shape.kind in ("text", "boolean") or (shape.kind == "number" and shape.whole):
        return value
    if shape.kind == "number":
        return float(value)
    if shape.kind == "list":
        return [settled(element, shape.item or NULL) for element in value]
    return {key: settled(found, shape.fields[key]) for key, found in value.items()}
