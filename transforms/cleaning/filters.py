"""Which rows are fit to be examples by their texts alone: neither empty nor short, long, repetitive or circular.

A fault of the query rejects the row. A positive or negative with a fault is taken out of its list, and the row is
rejected where no positive is left. Of several reasons the first in the order of ``REASONS`` is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from transforms.cleaning.length_and_repetition import count_units, has_units, may_repeat, repetition
from transforms.cleaning.params import FilterParams
from transforms.text.matching import matching_forms

#: Reasons in the order in which they win. A code is 1 + the position; 0 means fit.
REASONS = (
    RejectReason.EMPTY_QUERY,
    RejectReason.EMPTY_POSITIVE,
    RejectReason.TOO_SHORT,
    RejectReason.TOO_LONG,
    RejectReason.REPETITIVE,
    RejectReason.QUERY_IS_POSITIVE,
)
_EMPTY_QUERY, _EMPTY, _SHORT, _LONG, _REPETITIVE, _IS_QUERY = range(1, len(REASONS) + 1)
#: A text of a list that repeats an earlier text of its row. Never the reason for a row, since that text is there.
_REPEATED = len(REASONS) + 1

Codes = npt.NDArray[np.int8]
Indices = npt.NDArray[np.int64]


def repetition_of(text: str, params: FilterParams) -> str | None:
    """What a text repeats, by these thresholds; None where it does not."""
    return repetition(
        text,
        min_characters=params.min_repetitive_characters,
        min_repeats=params.min_repeats,
        max_period=params.max_period,
    )


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """The lists without their faulty texts; ``reasons`` and ``details`` are null where a row is fit."""

    positives: pa.ListArray
    negatives: pa.ListArray
    reasons: pa.StringArray
    details: pa.StringArray


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """The texts of a column one under the other.

    For each: the row it belongs to (ascending), its length in characters, its word units (counted up to ``min_units``),
    its code.
    """

    name: str
    values: pa.Array
    rows: Indices
    lengths: Indices
    units: npt.NDArray[np.int32]
    codes: Codes
    min_units: int


def filter_rows(
    query: pa.Array,
    positives: pa.ListArray,
    negatives: pa.ListArray,
    *,
    min_query_units: int,
    needs_positive: bool,
    params: FilterParams,
) -> Filtered:
    """Judge rows by their normalised texts (null texts, null lists and empty lists are allowed).

    Empty texts leave the lists first. A negative that matches the query or a positive leaves too (``matching``: case,
    width and punctuation do not tell texts apart), and so does a text that is in its list already. Rows of ``labeled``
    datasets have no positive yet: ``needs_positive`` is false.
    """
    size = len(query)
    queries = _judge("query", query, np.arange(size), min_query_units, params)
    found = _judge("positive", *_flat(positives), params.min_text_units, params)
    others = _judge("negative", *_flat(negatives), params.min_text_units, params)
    queries.codes[queries.codes == _EMPTY] = _EMPTY_QUERY
    _mark_repeated([queries, found, others])
    codes = _first_code(queries.codes, _lacking(found, size)) if needs_positive else queries.codes
    faulty = np.flatnonzero(codes)
    return Filtered(
        positives=_lists(found, size),
        negatives=_lists(others, size),
        reasons=scatter(faulty, [str(REASONS[code - 1]) for code in codes[faulty]], size),
        details=scatter(faulty, [_detail(int(row), int(codes[row]), queries, found, params) for row in faulty], size),
    )


def scatter(rows: Indices, texts: Sequence[str], size: int) -> pa.StringArray:
    """``size`` texts, null but for those of the given rows."""
    scattered = np.full(size, None, dtype=object)
    scattered[rows] = texts
    return pa.array(scattered, pa.string())


def _judge(name: str, values: pa.Array, rows: Indices, min_units: int, params: FilterParams) -> _Texts:
    lengths = pc.fill_null(pc.utf8_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    lacks_units = pc.invert(pc.fill_null(has_units(values, min_units), False))
    units = np.full(len(lengths), min_units, np.int32)
    if pc.any(lacks_units).as_py():
        units[lacks_units] = pc.fill_null(count_units(values.filter(lacks_units)), 0)
    # A long row of signs is not short; it is most likely repetitive.
    is_short = (units < min_units) & ((units > 0) | (lengths < params.min_repetitive_characters))
    codes = np.zeros(len(lengths), np.int8)
    suspects = may_repeat(values, params.max_period)
    codes[[index for index in suspects if repetition_of(values[index].as_py(), params)]] = _REPETITIVE
    codes[lengths > params.max_characters] = _LONG
    codes[is_short] = _SHORT
    codes[lengths == 0] = _EMPTY
    return _Texts(name=name, values=values, rows=rows, lengths=lengths, units=units, codes=codes, min_units=min_units)


def _mark_repeated(columns: list[_Texts]) -> None:
    """Give codes to fit texts that match an earlier text of their row, in the order query, positives, negatives."""
    rows, lengths = (np.concatenate([getattr(column, name) for column in columns]) for name in ("rows", "lengths"))
    codes = np.concatenate([column.codes for column in columns])
    chosen = _comparable(rows, lengths, np.flatnonzero(codes == 0))
    starts = np.cumsum([0, *(len(column.rows) for column in columns)])
    within = [chosen[(chosen >= start) & (chosen < end)] - start for start, end in pairwise(starts)]
    texts = [column.values.take(pa.array(indices)) for column, indices in zip(columns, within, strict=True)]
    first = _first_matches(rows[chosen], pa.concat_arrays(texts))
    is_first = first == np.arange(len(first))
    codes[chosen] = np.where(is_first, 0, np.where(chosen[first] < starts[1], _IS_QUERY, _REPEATED))
    for column, start, end in zip(columns, starts, starts[1:], strict=False):
        column.codes[:] = codes[start:end]


def _comparable(rows: Indices, lengths: Indices, fit: Indices) -> Indices:
    """Of the fit texts those that have another of their row within twice their length; the others match none.

    Matching folds punctuation, so that lengths differ; a text that is punctuation by half is let through.
    """
    order = fit[np.lexsort((lengths[fit], rows[fit]))]
    near = (rows[order[1:]] == rows[order[:-1]]) & (lengths[order[1:]] <= 2 * lengths[order[:-1]])
    return np.sort(order[np.append(near, False) | np.insert(near, 0, False)]) if len(order) else order


def _first_matches(rows: Indices, texts: pa.Array) -> Indices:
    """For each text the index of the first text of its row that has the same form for matching."""
    forms = pc.dictionary_encode(matching_forms(texts)).indices.to_numpy()
    _, firsts, groups = np.unique(rows * (len(forms) + 1) + forms, return_index=True, return_inverse=True)
    return np.asarray(firsts[groups], np.int64)


def _lacking(positives: _Texts, size: int) -> Codes:
    """Why each row has no fit positive: the first reason among its positives that hold text; 0 where it has a fit
    one.
    """
    why = np.full(size, _REPEATED, np.int8)
    told = (positives.codes != _EMPTY) & (positives.codes != _REPEATED)
    np.minimum.at(why, positives.rows[told], positives.codes[told])
    has_fit = np.bincount(positives.rows[positives.codes == 0], minlength=size) > 0
    return np.where(has_fit, 0, np.where(why == _REPEATED, _EMPTY, why)).astype(np.int8)


def _first_code(*codes: Codes) -> Codes:
    """The smallest code that is not 0, for each row; 0 where all are."""
    least = np.min([np.where(code, code, _REPEATED) for code in codes], axis=0)
    return np.where(least == _REPEATED, 0, least).astype(np.int8)


def _detail(row: int, code: int, queries: _Texts, positives: _Texts, params: FilterParams) -> str:
    """The measured value that rejects a row, with the threshold it misses."""
    start, end = np.searchsorted(positives.rows, [row, row + 1])
    if code == _EMPTY:
        return f"none of {end - start} positives holds text"
    if code == _IS_QUERY:
        return "every positive matches the query" if end - start > 1 else "the positive matches the query"
    index = row if queries.codes[row] == code else start + int(np.argmax(positives.codes[start:end] == code))
    column = queries if queries.codes[row] == code else positives
    return f"{column.name}: {_measured(column, index, params)}"


def _measured(column: _Texts, index: int, params: FilterParams) -> str:
    text = column.values[index].as_py()
    if not text:
        return "null" if text is None else "no text after normalisation"
    if column.codes[index] == _SHORT:
        return f"{column.units[index]} word units, the minimum is {column.min_units}"
    if column.codes[index] == _LONG:
        return f"{column.lengths[index]} characters, the maximum is {params.max_characters}"
    return repetition_of(text, params) or ""


def _flat(lists: pa.ListArray) -> tuple[pa.Array, Indices]:
    return pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy().astype(np.int64)


def _lists(texts: _Texts, size: int) -> pa.ListArray:
    """The fit texts, as one list for each of ``size`` rows."""
    fit = texts.codes == 0
    offsets = np.concatenate([[0], np.cumsum(np.bincount(texts.rows[fit], minlength=size))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts.values.filter(pa.array(fit)))
