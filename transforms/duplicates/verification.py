"""Verification of candidates: who really resembles whom, and who stays.

Within each group, rows come in survivor order; a row joins the first representative it resembles and otherwise becomes
a representative itself. Nobody is removed for resembling a neighbour that resembles somebody else.

Two rows resemble each other when every field does: the fields are equal, or both have enough shingles and a Jaccard
similarity of at least ``jaccard``. So a short query must be equal, however alike two long passages are. Rows that
fill a template must besides fill it with the same text (see ``transforms.duplicates.templates``).

Shingles take 8 bytes for each character, so texts are verified ``MAX_TEXT_BYTES`` at a time: groups as they come, and
one that is larger in pieces, each with the first representatives before it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.duplicates.components import root_of
from transforms.duplicates.jaccard import field_sets, resemblance, shingles_of
from transforms.duplicates.params import MinHashParams, VerificationParams
from transforms.duplicates.prefix_index import enlist, new_index, no_index, numbered, rare_keys, sharing
from transforms.duplicates.templates import frame_of, outside, same_filling
from transforms.flow.kernels import Offsets, kernel, offsets_of, parallel_kernel

#: Groups of up to this many rows are compared pair by pair; in larger ones an index says whom to compare.
_SMALL_GROUP = 16
#: Texts that are verified at once, in bytes of UTF-8: their shingles and the index take about 15 times as much, 1 GiB.
MAX_TEXT_BYTES = 64 << 20


class Verdicts(NamedTuple):
    """For each row its representative (itself if it survives) and how much it resembles it (1 for itself)."""

    representatives: npt.NDArray[np.int64]
    jaccards: npt.NDArray[np.float64]


@kernel
def _join_small(sets, start, end, floor, representatives, jaccards):  # type: ignore[no-untyped-def]
    for row in range(start, end):
        for earlier in range(start, row):
            if representatives[earlier] == earlier:
                similarity = resemblance(sets, row, earlier, floor)
                if similarity > 0.0:
                    representatives[row], jaccards[row] = earlier, similarity
                    break


@kernel
def _join_large(sets, start, end, floor, representatives, jaccards):  # type: ignore[no-untyped-def]
    index, found = rare_keys(sets, start, end, floor), np.empty(end - start, np.int64)
    for row in range(start, end):
        for earlier in sharing(index, row - start, found):
            similarity = resemblance(sets, row, start + earlier, floor)
            if similarity > 0.0:
                representatives[row], jaccards[row] = start + earlier, similarity
                break
        else:
            enlist(index, row - start)


@parallel_kernel
def _join(sets, groups, floor):  # type: ignore[no-untyped-def]
    representatives, jaccards = np.arange(groups[-1]), np.ones(groups[-1])
    for group in numba.prange(len(groups) - 1):
        start, end = groups[group], groups[group + 1]
        if end - start <= _SMALL_GROUP:
            _join_small(sets, start, end, floor, representatives, jaccards)
        else:
            _join_large(sets, start, end, floor, representatives, jaccards)
    return representatives, jaccards


@kernel
def _template_rows(sets, start, end, floor, representatives):  # type: ignore[no-untyped-def]
    """``(rows, frames, frame of each row)``: the clusters of a group that fill a template; rows in survivor order."""
    frames, frame_numbers = [np.empty(0, np.uint64)], np.zeros(end - start, np.int64)
    members = start + np.argsort(representatives[start:end], kind="mergesort")
    first, index = 0, no_index()
    for last in range(1, len(members) + 1):
        representative = representatives[members[first]]
        if last == len(members) or representatives[members[last]] != representative:
            if last - first > 1:
                frame, index = frame_of(sets, representative, start, end, floor, index)
                if len(frame):
                    frames.append(frame)
                    frame_numbers[members[first:last] - start] = len(frames) - 1
            first = last
    return start + np.flatnonzero(frame_numbers), frames, frame_numbers[frame_numbers > 0]


@kernel
def _filling_keys(sets, rows, frames, numbers):  # type: ignore[no-untyped-def]
    """An index of rows by the shingles with which they fill their frame."""
    ends, size = np.zeros(len(rows) + 1, np.int64), 0
    for at in range(len(rows)):
        size += len(outside(shingles_of(sets, rows[at]), frames[numbers[at]]))
        ends[at + 1] = size
    values = np.empty(size, np.uint64)
    for at in range(len(rows)):
        values[ends[at] : ends[at + 1]] = outside(shingles_of(sets, rows[at]), frames[numbers[at]])
    every, keys = numbered(values)
    return new_index(keys, ends, len(every))


@kernel
def _rejoin(sets, rows, frames, numbers, floor, representatives, jaccards):  # type: ignore[no-untyped-def]
    """Let rows that fill templates join anew: only those whose filling is the same."""
    index, found = _filling_keys(sets, rows, frames, numbers), np.empty(len(rows), np.int64)
    for at in range(len(rows)):
        row = rows[at]
        representatives[row], jaccards[row] = row, 1.0
        for earlier in sharing(index, at, found):
            similarity = resemblance(sets, row, rows[earlier], floor)
            if similarity > 0.0 and same_filling(sets, row, rows[earlier], frames[numbers[at]], floor):
                representatives[row], jaccards[row] = rows[earlier], similarity
                break
        else:
            enlist(index, at)


@kernel
def _spare_templates(sets, groups, floor, family_floor, representatives, jaccards, filling):  # type: ignore[no-untyped-def]
    """Let rows that fill templates join anew; ``filling`` says which these are."""
    for group in range(len(groups) - 1):
        start, end = groups[group], groups[group + 1]
        if end - start > 2:
            rows, frames, numbers = _template_rows(sets, start, end, family_floor, representatives)
            if len(rows):
                filling[rows] = True
                _rejoin(sets, rows, frames, numbers, floor, representatives, jaccards)


def verify(
    fields: Sequence[pa.Array], groups: Offsets, params: VerificationParams, shingles: MinHashParams
) -> Verdicts:
    """Choose representatives within each group of rows ``groups[i]:groups[i + 1]``, rows being in survivor order.

    ``fields``: for each field the matching forms of all rows (``large_string``). Only rows of one group are compared.
    A group of more than ``MAX_TEXT_BYTES`` of text is verified in pieces: a row is compared with the rows of its piece
    and with the first representatives before it, half as much text at most.
    """
    sizes = np.sum([pc.binary_length(field).to_numpy().astype(np.int64) for field in fields], axis=0)
    verdicts = Verdicts(np.arange(groups[-1]), np.ones(groups[-1]))
    for rows, own in _portions(sizes, groups):
        if sizes[rows].sum() <= MAX_TEXT_BYTES:
            found, _ = _judged(field_sets([field.take(pa.array(rows)) for field in fields], shingles), own, params)
            verdicts.representatives[rows], verdicts.jaccards[rows] = rows[found.representatives], found.jaccards
        else:
            _verify_in_pieces(fields, rows, sizes, params, shingles, verdicts)
    return verdicts


def _portions(sizes: Offsets, groups: Offsets) -> Iterator[tuple[npt.NDArray[np.int64], Offsets]]:
    """Rows that are verified together, of ``sizes`` bytes, and the groups among them; no row that is alone in its."""
    several = np.flatnonzero(np.diff(groups) > 1)
    starts, ends = groups[several], groups[several + 1]
    ahead = offsets_of(sizes)
    first = 0
    while first < len(several):
        filled = np.cumsum(ahead[ends[first:]] - ahead[starts[first:]])
        last = first + max(1, int(np.searchsorted(filled, MAX_TEXT_BYTES, side="right")))
        yield (
            np.concatenate([np.arange(starts[at], ends[at]) for at in range(first, last)]),
            offsets_of(ends[first:last] - starts[first:last]),
        )
        first = last


def _verify_in_pieces(
    fields: Sequence[pa.Array],
    rows: npt.NDArray[np.int64],
    sizes: Offsets,
    params: VerificationParams,
    shingles: MinHashParams,
    verdicts: Verdicts,
) -> None:
    """Verify one group that is too large for ``MAX_TEXT_BYTES``.

    A representative of an earlier piece is not judged anew.
    """
    earlier, first = rows[:0], 0
    while first < len(rows):
        room = MAX_TEXT_BYTES - sizes[earlier].sum()
        last = first + max(1, int(np.searchsorted(np.cumsum(sizes[rows[first:]]), room, side="right")))
        piece, both = rows[first:last], np.r_[earlier, rows[first:last]]
        sets = field_sets([field.take(pa.array(both)) for field in fields], shingles)
        found, _ = _judged(sets, np.array([0, len(both)]), params)
        verdicts.representatives[piece] = both[found.representatives[len(earlier) :]]
        verdicts.jaccards[piece] = found.jaccards[len(earlier) :]
        staying = np.r_[earlier, piece[verdicts.representatives[piece] == piece]]
        earlier = staying[: np.searchsorted(np.cumsum(sizes[staying]), MAX_TEXT_BYTES // 2, side="right")]
        first = last


def _judged(sets: Any, groups: Offsets, params: VerificationParams) -> tuple[Verdicts, npt.NDArray[np.bool_]]:
    """Verdicts, and which rows fill a template."""
    representatives, jaccards = _join(sets, groups, params.jaccard)
    filling = np.zeros(len(representatives), np.bool_)
    if params.spare_templates:
        _spare_templates(sets, groups, params.jaccard, params.family_jaccard, representatives, jaccards, filling)
    return Verdicts(representatives, jaccards), filling


def chains(
    fields: Sequence[pa.Array], groups: Offsets, params: VerificationParams, shingles: MinHashParams
) -> npt.NDArray[np.int64]:
    """For each row the first row of its chain: its representative, and all that are linked with it through rows that
    resemble two representatives which do not resemble each other.

    Parameters as for ``verify``. Nobody is to be removed by this: it says that texts may mean the same. Rows that fill
    a template link nothing.
    """
    sets = field_sets(fields, shingles)
    verdicts, filling = _judged(sets, groups, params)
    roots: npt.NDArray[np.int64] = _chain(sets, groups, params.jaccard, verdicts.representatives, filling)
    return roots


@kernel
def _chain(sets, groups, floor, representatives, filling):  # type: ignore[no-untyped-def]
    roots = representatives.copy()
    for group in range(len(groups) - 1):
        start, end = groups[group], groups[group + 1]
        own = representatives[start:end] == np.arange(start, end)
        if own.all() or np.count_nonzero(own) == 1:
            continue
        index, found = rare_keys(sets, start, end, floor), np.empty(end - start, np.int64)
        for representative in np.flatnonzero(own & ~filling[start:end]):
            enlist(index, representative)
        for row in np.flatnonzero(~own & ~filling[start:end]):
            for other in sharing(index, row, found):
                if resemblance(sets, start + row, start + other, floor) > 0.0:
                    one, two = root_of(roots, start + row), root_of(roots, start + other)
                    roots[max(one, two)] = min(one, two)
    for at in range(len(roots)):
        roots[at] = root_of(roots, at)
    return roots
