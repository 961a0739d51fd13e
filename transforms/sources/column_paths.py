"""Column paths of catalog entries, parsed once and resolved over whole Arrow columns.

The forms are those of ``docs/adapters.md``: ``a.b``, ``a[]``, ``a[].b``, ``a[0]``, ``a.*.b``, ``#2``, ``line``,
``@stem``, ``x.{code_a}``, and any of these with ``?`` behind it, which what it names may lack. A path resolves to one
value for each row, or, once it has gone through ``[]`` or ``.*``, to one list. Errors are ``PathError`` and say what is
wrong with the path; the caller adds where the path stands.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.flow.lists import element_of_each
from transforms.sources.readers.plain_types import is_list

_NAME = r"[^.\[\]{}]+"
_COLUMN = re.compile(_NAME)
_STEP = re.compile(rf"\.(?P<name>{_NAME})|\[(?P<index>\d*)\]")
_CODE = re.compile(r"\{([^{}]*)\}")
_NO_FIELDS = pa.struct([])
_FORMS = "a, a.b, a[], a[].b, a[0], a.*.b, #2, line, @stem or a.{code_a}, each perhaps with ? behind it"


class PathError(ValueError):
    """A path that cannot be parsed, or that does not fit the columns it is resolved against."""


@dataclass(frozen=True)
class Field:
    """``.name``: a field of a struct, or the value of a map's key."""

    name: str


@dataclass(frozen=True)
class Each:
    """``[]``: every element of a list."""


@dataclass(frozen=True)
class Element:
    """``[i]``: one element of a list; null where the list is shorter."""

    index: int


@dataclass(frozen=True)
class Values:
    """``.*``: every value of a map, or of a struct whose fields stand for a map's keys."""


Step = Field | Each | Element | Values


@dataclass(frozen=True, kw_only=True)
class ColumnPath:
    """A parsed path: a top-level column and the steps below it; null where an ``optional`` one meets no such field."""

    text: str
    column: str
    steps: tuple[Step, ...]
    optional: bool = False


def parse_path(text: str, config: str = "") -> ColumnPath:
    """Parse a path; ``{code_a}`` and ``{code_b}`` are filled from a configuration named like ``eng_Latn-fra_Latn``.

    Raises PathError with the place in the path that is not understood.
    """
    filled = _CODE.sub(lambda match: _code(match[1], text, config), text).removesuffix("?")
    column = _COLUMN.match(filled)
    if column is None:
        raise PathError(f"path {text!r} does not begin with a column's name; a path is {_FORMS}")
    steps: list[Step] = []
    position = column.end()
    while position < len(filled):
        match = _STEP.match(filled, position)
        if match is None:
            raise PathError(f"path {text!r} is not understood from {filled[position:]!r} on; a path is {_FORMS}")
        steps.append(_step(match))
        position = match.end()
    return ColumnPath(text=text, column=column[0], steps=tuple(steps), optional=text.endswith("?"))


def _code(name: str, text: str, config: str) -> str:
    codes = config.split("-")
    if name not in ("code_a", "code_b"):
        raise PathError(f"path {text!r} holds {{{name}}}; only {{code_a}} and {{code_b}} are filled in")
    if len(codes) != 2 or not all(codes):
        raise PathError(
            f"path {text!r} needs a configuration named <code_a>-<code_b>, such as eng_Latn-fra_Latn, not {config!r}"
        )
    return codes[name == "code_b"]


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        return Values() if match["name"] == "*" else Field(match["name"])
    return Element(int(match["index"])) if match["index"] else Each()


@dataclass(frozen=True, kw_only=True)
class _Cursor:
    """Where a path has got to: ``values``, and once it went through a list, the row of each value (ascending)."""

    values: pa.Array
    size: int
    rows: npt.NDArray[np.int64] | None = None
    null_rows: pa.BooleanArray | None = None

    def spread(self, values: pa.Array, parents: npt.NDArray[np.int64]) -> "_Cursor":
        """Go on with ``values``, of which each stands below the present value number ``parents``."""
        if self.rows is None:
            return replace(self, values=values, rows=parents, null_rows=self.values.is_null())
        return replace(self, values=values, rows=self.rows[parents])


def resolve_path(path: ColumnPath, rows: pa.RecordBatch) -> pa.Array:
    """The values of a path: an array of the leaf's type, or a ``list`` of it behind ``[]`` or ``.*``; as many as rows.

    What lies below a null is null, and below a null list a null list. Raises PathError for a column or field that is
    not there (with those that are) and for a step that does not fit the type it meets.
    """
    if path.column not in rows.schema.names:
        raise PathError(f"there is no column {path.column!r}; the columns are {_listed(rows.schema.names)}")
    cursor = _Cursor(values=_plain(rows.column(path.column)), size=rows.num_rows)
    for step in path.steps:
        cursor = _follow(cursor, step, path)
    if cursor.rows is None:
        return cursor.values
    offsets = np.searchsorted(cursor.rows, np.arange(cursor.size + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), cursor.values, mask=cursor.null_rows)


def _follow(cursor: _Cursor, step: Step, path: ColumnPath) -> _Cursor:
    if pa.types.is_null(cursor.values.type) or cursor.values.type == _NO_FIELDS:
        return _follow_nulls(cursor, step)
    match step:
        case Field(name):
            return replace(cursor, values=_plain(_field(cursor.values, name, path)))
        case Each():
            return _each(cursor, _lists(cursor.values, path, "[]"))
        case Element(index):
            return replace(cursor, values=_plain(element_of_each(_lists(cursor.values, path, f"[{index}]"), index)))
        case Values():
            return _map_values(cursor, path)


def _follow_nulls(cursor: _Cursor, step: Step) -> _Cursor:
    """Below values of which nothing is known: columns that are all null, or JSON objects that are all empty."""
    if isinstance(step, Field | Element):
        return replace(cursor, values=pa.nulls(len(cursor.values)))
    return cursor.spread(pa.nulls(0), np.zeros(0, np.int64))


def _plain(array: pa.Array) -> pa.Array:
    """An extension array as its storage, a dictionary array as its values."""
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _field(values: pa.Array, name: str, path: ColumnPath) -> pa.Array:
    if pa.types.is_struct(values.type):
        names = [field.name for field in values.type]
        if name not in names and path.optional:
            return pa.nulls(len(values))
        if name not in names:
            raise PathError(f"path {path.text!r}: there is no field {name!r}; the fields there are {_listed(names)}")
        return pc.struct_field(values, [names.index(name)])
    if pa.types.is_map(values.type):
        return pc.map_lookup(values, query_key=pa.scalar(name, values.type.key_type), occurrence="first")
    hint = f"; it is a list: write []{'.' + name} for every element, [0].{name} for one" if is_list(values.type) else ""
    raise PathError(f"path {path.text!r}: .{name} needs a struct or a map, but finds {values.type}{hint}")


def _each(cursor: _Cursor, lists: pa.Array) -> _Cursor:
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    return cursor.spread(_plain(pc.list_flatten(lists)), parents.astype(np.int64))


def _map_values(cursor: _Cursor, path: ColumnPath) -> _Cursor:
    values = cursor.values
    if pa.types.is_map(values.type):
        lists = pa.ListArray.from_arrays(values.offsets, values.items, mask=values.is_null())
        return _present(_each(cursor, lists))
    if not pa.types.is_struct(values.type):
        raise PathError(f"path {path.text!r}: .* needs a map or a struct, but finds {values.type}")
    fields = [_plain(pc.struct_field(values, [i])) for i in range(values.type.num_fields)]
    kind = _common_type([field.type for field in fields], path)
    there = [np.flatnonzero(field.is_valid().to_numpy(zero_copy_only=False)) for field in fields]
    order = np.argsort(np.concatenate(there), kind="stable")
    found = [_conform(field.take(pa.array(rows)), kind) for field, rows in zip(fields, there, strict=True)]
    return cursor.spread(pa.concat_arrays(found).take(pa.array(order)), np.concatenate(there)[order])


def _common_type(kinds: Sequence[pa.DataType], path: ColumnPath) -> pa.DataType:
    """The type that holds values of all these types: JSON objects under different keys may differ in their fields."""
    present = [kind for kind in dict.fromkeys(kinds) if not pa.types.is_null(kind)]
    if len(present) < 2:
        return present[0] if present else pa.null()
    if all(map(pa.types.is_struct, present)):
        names = dict.fromkeys(field.name for kind in present for field in kind)
        return pa.struct(
            [
                (name, _common_type([k.field(name).type for k in present if k.get_field_index(name) >= 0], path))
                for name in names
            ]
        )
    if all(map(is_list, present)):
        return pa.list_(_common_type([kind.value_type for kind in present], path))
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in present):
        return pa.float64()
    raise PathError(
        f"path {path.text!r}: the values below .* are of different types: {_listed(list(map(str, present)))}"
    )


def _conform(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values in the common type; fields that they do not have are null."""
    if values.type == kind or not pa.types.is_nested(kind) or pa.types.is_null(values.type):
        return values.cast(kind)
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(values.offsets, _conform(values.values, kind.value_type), mask=values.is_null())
    columns = [
        _conform(pc.struct_field(values, [index]), field.type)
        if (index := values.type.get_field_index(field.name)) >= 0
        else pa.nulls(len(values), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=values.is_null())


def _present(cursor: _Cursor) -> _Cursor:
    """Without the null values: a key that a row's map does not have is a null field where maps are read as structs."""
    there = cursor.values.is_valid()
    assert cursor.rows is not None
    return replace(cursor, values=cursor.values.filter(there), rows=cursor.rows[there.to_numpy(zero_copy_only=False)])


def _lists(values: pa.Array, path: ColumnPath, step: str) -> pa.Array:
    if not is_list(values.type):
        raise PathError(f"path {path.text!r}: {step} needs a list, but finds {values.type}")
    return values if pa.types.is_list(values.type) else values.cast(pa.list_(values.type.value_type))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
