"""Values as texts: one for each row or a list of them, and several paths' texts joined."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import TEXTS
from transforms.sources.column_paths import PathError
from transforms.sources.readers.plain_types import is_list


def as_texts(array: pa.Array) -> pa.Array:
    """Values as texts: ``string``, or ``list<string>`` where they are lists. Raises PathError for any other type."""
    if is_list(array.type) and _is_text(array.type.value_type):
        return array.cast(TEXTS)
    if _is_text(array.type):
        return array.cast(pa.string())
    raise PathError(f"text is wanted, but the column holds {array.type}{_remedy(array.type)}")


def _remedy(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"; name the field that holds the text: {', '.join(field.name for field in kind)}"
    if is_list(kind) and pa.types.is_struct(kind.value_type):
        return f"; name the field of its elements, as in [].{kind.value_type[0].name}"
    if pa.types.is_map(kind):
        return "; name the key whose value is the text, or .* for all values"
    if pa.types.is_nested(kind):
        return "; [] goes through a list"
    return ", which says nothing to a reader; map a column of text, or take this one for `label`, `score` or an id"


def as_text(array: pa.Array) -> pa.StringArray:
    """Values as one text for each row. Raises PathError where they are lists, or not texts."""
    texts = as_texts(array)
    if pa.types.is_list(texts.type):
        raise PathError(f"one text is wanted, but the path gives a list ({array.type}); [0] takes its first element")
    return texts


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def is_blank(texts: pa.Array) -> pa.BooleanArray:
    """True where a text is null, empty or nothing but white space."""
    return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), True)


def join_texts(parts: Sequence[pa.Array]) -> pa.Array:
    """The texts of several paths joined by a newline, blank ones left out; null where nothing is left.

    All parts are ``string`` or all are ``list<string>``; lists are joined element by element, and the shorter one
    counts as blank beyond its end. Raises PathError for a mixture.
    """
    kinds = {bool(pa.types.is_list(part.type)) for part in parts}
    if len(kinds) > 1:
        raise PathError("paths that are joined must all give one text, or all give lists; these give both")
    if len(parts) == 1:
        return parts[0]
    if not kinds.pop():
        return _join_flat(parts)
    first = parts[0]
    offsets = [part.offsets.to_numpy() - part.offsets[0].as_py() for part in parts]
    if not all(np.array_equal(offsets[0], other) for other in offsets[1:]):
        return _join_ragged(parts)
    joined = _join_flat([part.flatten() for part in parts])
    return pa.ListArray.from_arrays(pa.array(offsets[0].astype(np.int32)), joined, mask=first.is_null())


def _join_flat(parts: Sequence[pa.StringArray]) -> pa.StringArray:
    present = [pc.if_else(is_blank(part), pa.scalar(None, pa.string()), part) for part in parts]
    joined = present[0]
    for part in present[1:]:
        joined = pc.coalesce(pc.binary_join_element_wise(joined, part, "\n"), joined, part)
    return joined


def _join_ragged(parts: Sequence[pa.ListArray]) -> pa.ListArray:
    rows = [
        ["\n".join(text for text in texts if text and text.strip()) or None for texts in zip_longest(*lists)]
        for lists in zip(*(pc.fill_null(part, pa.scalar([], TEXTS)).to_pylist() for part in parts), strict=True)
    ]
    return pa.array(rows, TEXTS)
