"""Small operations on Arrow lists of texts."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import TEXTS
from transforms.examples.adapters.texts import is_blank
from transforms.text.part_texts import first_texts


def as_lists(texts: pa.StringArray) -> pa.ListArray:
    """One text for each row as a list of it alone; a null text as a list that holds a null."""
    return pa.ListArray.from_arrays(pa.array(np.arange(len(texts) + 1, dtype=np.int32)), texts, type=TEXTS)


def empty_lists(size: int) -> pa.ListArray:
    """``size`` empty lists of texts."""
    return pa.ListArray.from_arrays(pa.array(np.zeros(size + 1, np.int32)), pa.array([], pa.string()), type=TEXTS)


def null_as_empty(lists: pa.ListArray) -> pa.ListArray:
    """Null lists as empty ones."""
    return pc.fill_null(lists, pa.scalar([], lists.type)) if lists.null_count else lists


def filter_lists(lists: pa.ListArray, flat: pa.StringArray, keep: pa.BooleanArray) -> pa.ListArray:
    """Lists like ``lists``, of those elements of ``flat`` (as many) that ``keep`` marks; null lists are empty."""
    kept = keep.to_numpy(zero_copy_only=False)
    parents = pc.list_parent_indices(lists).to_numpy()[kept]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(parents, minlength=len(lists)))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat.filter(keep), type=TEXTS)


def lists_of(sizes: pa.Array, flat: pa.StringArray, keep: pa.BooleanArray) -> pa.ListArray:
    """Lists of so many elements of ``flat`` each, without those that ``keep`` does not mark."""
    offsets = np.concatenate([[0], np.cumsum(sizes.to_numpy(zero_copy_only=False))]).astype(np.int32)
    return filter_lists(pa.ListArray.from_arrays(pa.array(offsets), flat), flat, keep)


def present_texts(lists: pa.ListArray) -> pa.ListArray:
    """The lists without their blank texts; a null list is an empty one."""
    flat = lists.flatten()
    return filter_lists(lists, flat, pc.invert(is_blank(flat)))


def first_and_rest(lists: pa.ListArray) -> tuple[pa.StringArray, pa.ListArray]:
    """The first text of each list (null where the list is null or empty), and the list of the others."""
    lists = null_as_empty(lists)
    several = pc.any(pc.greater(pc.list_value_length(lists), 1)).as_py()
    return first_texts(lists), pc.list_slice(lists, 1).cast(TEXTS) if several else empty_lists(len(lists))
