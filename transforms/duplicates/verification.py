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
from transforms.duplicates.templates import frame_of, outside, same_filling
from transforms.flow.kernels import Offsets, kernel, offsets_of, parallel_kernel

#: Groups of up to this many rows are compared pair by pair; in larger ones an index says whom to compare.
_SMALL_GROUP = 16
#: More representatives than this under one key are those of a template; rows of it are found by what fills it.
_MAX_SHARING = 64
#: Texts that are verified at once, in bytes of UTF-8: their shingles and the index take about 15 times as much, 1 GiB.
MAX_TEXT_BYTES = 64 << 20
#: Shingles from which on they are counted in ranges of their values, one after the other, to sort few at a time.
_MANY_SHINGLES = 1 << 20
_VALUE_RANGE_BITS = 4


class Verdicts(NamedTuple):
    """For each row its representative (itself if it survives) and how much it resembles it (1 for itself)."""

    representatives: npt.NDArray[np.int64]
    jaccards: npt.NDArray[np.float64]


@kernel
def _new_index(keys, ends, num_keys):  # type: ignore[no-untyped-def]
    """An index of who is found by which key: (keys, ends, heads, links, owners, uses, seen), as yet without anybody.

    Row r, counted from the group's start, has the keys ``keys[ends[r]:ends[r + 1]]``. The ``uses[k]`` representatives
    of key k are ``owners`` of a chain of positions in ``keys``, from ``heads[k]`` over ``links`` until -1.
    """
    heads, uses = np.full(num_keys, -1), np.zeros(num_keys, np.int64)
    links, owners, seen = np.full(len(keys), -1), np.full(len(keys), -1), np.zeros(len(ends) - 1, np.bool_)
    return keys, ends, heads, links, owners, uses, seen


@kernel
def _enlist(index, row):  # type: ignore[no-untyped-def]
    """Let a representative be found by its keys."""
    keys, ends, heads, links, owners, uses, _ = index
    for at in range(ends[row], ends[row + 1]):
        owners[at], links[at], heads[keys[at]] = row, heads[keys[at]], at
        uses[keys[at]] += 1


@kernel
def _sharing(index, row, found):  # type: ignore[no-untyped-def]
    """The representatives that share a key with a row, in survivor order; ``found`` is room for them.

    A key that very many representatives have in common, who do not resemble each other, says nothing.
    """
    keys, ends, heads, links, owners, uses, seen = index
    count = 0
    for at in range(ends[row], ends[row + 1]):
        place = heads[keys[at]] if uses[keys[at]] <= _MAX_SHARING else -1
        while place >= 0:
            owner = owners[place]
            if not seen[owner]:
                seen[owner] = True
                found[count] = owner
                count += 1
            place = links[place]
    for owner in found[:count]:
        seen[owner] = False
    return np.sort(found[:count])


@kernel
def _numbered(values):  # type: ignore[no-untyped-def]
    """The distinct values in order, and the place of each value among them."""
    every = np.unique(values)
    return every, np.searchsorted(every, values)


@kernel
def _longest_field(sets, start, end):  # type: ignore[no-untyped-def]
    """The texts of a group's rows in the field that has most shingles."""
    num_fields, _, offsets = sets[:3]
    totals = np.zeros(num_fields, np.int64)
    for text in range(start * num_fields, end * num_fields):
        totals[text % num_fields] += offsets[text + 1] - offsets[text]
    return np.arange(start, end) * num_fields + np.argmax(totals)


@kernel
def _shingles_within(sets, texts, shift, value_range):  # type: ignore[no-untyped-def]
    """The shingles of texts whose value, without its last ``shift`` bits, is ``value_range``; sorted."""
    _, values, offsets = sets[:3]
    size = 0
    for text in texts:
        for value in values[offsets[text] : offsets[text + 1]]:
            size += value >> shift == value_range
    found, at = np.empty(size, np.uint64), 0
    for text in texts:
        for value in values[offsets[text] : offsets[text + 1]]:
            if value >> shift == value_range:
                found[at] = value
                at += 1
    found.sort()
    return found


@kernel
def _counted(found):  # type: ignore[no-untyped-def]
    """The distinct values among sorted ones, and how often each stands there."""
    size = 0
    for at in range(len(found)):
        size += at == 0 or found[at] != found[at - 1]
    every, counts, last = np.empty(size, np.uint64), np.zeros(size, np.int64), -1
    for at in range(len(found)):
        if at == 0 or found[at] != found[at - 1]:
            last += 1
            every[last] = found[at]
        counts[last] += 1
    return every, counts


@kernel
def _shingle_counts(sets, texts, total):  # type: ignore[no-untyped-def]
    """The distinct ones of the ``total`` shingles of texts, in order, and how many texts have each."""
    bits = _VALUE_RANGE_BITS if total > _MANY_SHINGLES else 1
    every, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for value_range in range(1 << bits):
        some, uses = _counted(_shingles_within(sets, texts, np.uint64(64 - bits), np.uint64(value_range)))
        every.append(some)
        counts.append(uses)
    return _joined(every), _joined(counts)


@kernel
def _joined(pieces):  # type: ignore[no-untyped-def]
    size, at = 0, 0
    for piece in pieces:
        size += len(piece)
    whole = np.empty(size, pieces[0].dtype)
    for piece in pieces:
        whole[at : at + len(piece)] = piece
        at += len(piece)
    return whole


@kernel
def _rare_keys(sets, start, end, floor):  # type: ignore[no-untyped-def]
    """An index of the group's rows by their rarest shingles in the field that has most of them.

    Of two sets with a Jaccard similarity of at least t, each holds one of the rarest n - ceil(t n) + 1 of the other's n
    elements (prefix filtering: Chaudhuri, Ganti, Kaushik, A primitive operator for similarity joins in data cleaning,
    2006). A row without shingles can only equal another such row: they share a key of their own.
    """
    texts, values, offsets = _longest_field(sets, start, end), sets[1], sets[2]
    sizes = offsets[texts + 1] - offsets[texts]
    every, counts = _shingle_counts(sets, texts, sizes.sum())
    wanted = np.where(sizes > 0, sizes - np.ceil(floor * sizes - 1e-9).astype(np.int64) + 1, 1)
    ends = np.zeros(len(texts) + 1, np.int64)
    ends[1:] = np.cumsum(wanted)
    keys = np.full(ends[-1], len(every))
    for row in range(len(texts)):
        if sizes[row]:
            places = np.searchsorted(every, values[offsets[texts[row]] : offsets[texts[row] + 1]])
            rarest = np.sort(counts[places] * len(every) + places)[: wanted[row]]
            keys[ends[row] : ends[row + 1]] = rarest % len(every)
    return _new_index(keys, ends, len(every) + 1)


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
    index, found = _rare_keys(sets, start, end, floor), np.empty(end - start, np.int64)
    for row in range(start, end):
        for earlier in _sharing(index, row - start, found):
            similarity = resemblance(sets, row, start + earlier, floor)
            if similarity > 0.0:
                representatives[row], jaccards[row] = start + earlier, similarity
                break
        else:
            _enlist(index, row - start)


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
    first = 0
    for last in range(1, len(members) + 1):
        representative = representatives[members[first]]
        if last == len(members) or representatives[members[last]] != representative:
            if last - first > 1:
                frame = frame_of(sets, representative, start, end, floor)
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
    every, keys = _numbered(values)
    return _new_index(keys, ends, len(every))


@kernel
def _rejoin(sets, rows, frames, numbers, floor, representatives, jaccards):  # type: ignore[no-untyped-def]
    """Let rows that fill templates join anew: only those whose filling is the same."""
    index, found = _filling_keys(sets, rows, frames, numbers), np.empty(len(rows), np.int64)
    for at in range(len(rows)):
        row = rows[at]
        representatives[row], jaccards[row] = row, 1.0
        for earlier in _sharing(index, at, found):
            similarity = resemblance(sets, row, rows[earlier], floor)
            if similarity > 0.0 and same_filling(sets, row, rows[earlier], frames[numbers[at]], floor):
                representatives[row], jaccards[row] = rows[earlier], similarity
                break
        else:
            _enlist(index, at)


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
        index, found = _rare_keys(sets, start, end, floor), np.empty(end - start, np.int64)
        for representative in np.flatnonzero(own & ~filling[start:end]):
            _enlist(index, representative)
        for row in np.flatnonzero(~own & ~filling[start:end]):
            for other in _sharing(index, row, found):
                if resemblance(sets, start + row, start + other, floor) > 0.0:
                    one, two = root_of(roots, start + row), root_of(roots, start + other)
                    roots[max(one, two)] = min(one, two)
    for at in range(len(roots)):
        roots[at] = root_of(roots, at)
    return roots
