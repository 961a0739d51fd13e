"""Templates: rows that differ only in what fills a frame ("the opening hours of X"), and are distinct however alike.

What tells them from copies with a small edit is the rest of the family: each edited copy lacks some part of the frame,
a filled template never does. Let the frame of a family of n rows be the shingles that at least min(n - 1, 0.9 n) of
them have. Where nearly all rows hold the frame and something besides, they fill a template, and two of them are the
same only if they fill it with the same text.
"""

import numpy as np

from transforms.duplicates.jaccard import resemblance, shingles_of
from transforms.duplicates.prefix_index import all_sharing, whole_index
from transforms.flow.kernels import kernel

#: Rows that are asked whether a text fills a template: enough to tell, and few enough for families of many thousands.
_MAX_WITNESSES = 16
#: Rows that are asked one after the other whether they are witnesses: in a template they are soon found. In a group
#: whose rows hang together as a chain does, each resembles a few neighbours alone, and an index knows who may.
_MAX_STEPS = 128
_FRAME_SHARE = 0.9
_COMPLETE_SHARE = 0.8
#: Long fillings (lists, addresses) of which more than half is the same, or one of which holds the other, are the same.
_LONG_FILLING_JACCARD = 0.5


@kernel
def outside(found, frame):  # type: ignore[no-untyped-def]
    """The shingles of one sorted set that are not in the other: what fills the frame."""
    kept, at, count = np.empty(len(found), np.uint64), 0, 0
    for value in found:
        while at < len(frame) and frame[at] < value:
            at += 1
        if at == len(frame) or frame[at] != value:
            kept[count] = value
            count += 1
    return kept[:count]


@kernel
def _stride(size):  # type: ignore[no-untyped-def]
    """A step near the golden section of ``size`` and prime to it: it visits all rows, neighbours far apart."""
    stride = max(1, int(0.618 * size))
    while True:
        one, other = size, stride
        while other:
            one, other = other, one % other
        if one == 1:
            return stride
        stride += 1


@kernel
def _inverse(stride, size):  # type: ignore[no-untyped-def]
    """The number of steps to the next row: ``stride`` times it is 1 modulo ``size`` (extended Euclid)."""
    one, other, factor, before = stride % size, size, 1, 0
    while one > 1:
        quotient = other // one
        one, other = other - quotient * one, one
        factor, before = before - quotient * factor, factor
    return factor % size


@kernel
def _family_nearby(sets, row, start, end, floor):  # type: ignore[no-untyped-def]
    """A row and rows from all over its group that resemble it, ``_MAX_WITNESSES`` at most, of the first ``_MAX_STEPS``
    that are asked; and whether asking more can change nothing.

    Neighbours in survival order may have more in common than the template (the same text in one of two slots).
    """
    family, count, step = np.empty(_MAX_WITNESSES, np.int64), 1, 1
    family[0] = row
    size = end - start
    stride = _stride(size)
    while step < size and step <= _MAX_STEPS and count < _MAX_WITNESSES:
        other = start + (row - start + step * stride) % size
        if resemblance(sets, row, other, floor) > 0.0:
            family[count] = other
            count += 1
        step += 1
    return family[:count], step == size or count == _MAX_WITNESSES


@kernel
def _family_by(index, sets, row, start, end, floor):  # type: ignore[no-untyped-def]
    """What ``_family_nearby`` finds that asks all rows of the group, from an index of these: it asks those alone that
    share a key, in the same order."""
    size = end - start
    others = all_sharing(index, row - start)
    steps = (others - (row - start)) % size * _inverse(_stride(size), size) % size
    family, count = np.empty(_MAX_WITNESSES, np.int64), 1
    family[0] = row
    for at in np.argsort(steps):
        if count == _MAX_WITNESSES:
            break
        if steps[at] and resemblance(sets, row, start + others[at], floor) > 0.0:
            family[count] = start + others[at]
            count += 1
    return family[:count]


@kernel
def _common_shingles(sets, family, needed):  # type: ignore[no-untyped-def]
    """The shingles that at least ``needed`` rows of a family have; sorted."""
    num_fields, _, offsets = sets[:3]
    size = 0
    for row in family:
        size += offsets[(row + 1) * num_fields] - offsets[row * num_fields]
    every, at = np.empty(size, np.uint64), 0
    for row in family:
        for value in shingles_of(sets, row):
            every[at] = value
            at += 1
    every[:at].sort()
    kept, start = 0, 0
    for end in range(1, at + 1):
        if end == at or every[end] != every[start]:
            if end - start >= needed:
                every[kept] = every[start]
                kept += 1
            start = end
    return every[:kept]


@kernel
def _fills(sets, family, frame):  # type: ignore[no-untyped-def]
    """Whether nearly all rows of a family add to the frame without taking from it, and none is the bare frame.

    What replaces a part of the frame misses about as many shingles as it has others instead; what fills a slot misses
    the few that the others have in common (an ending), so a quarter is the limit. The frame counts as bare where a row
    has less than an eighth of what others have besides: copies with insertions were made from it. And what most rows
    have, but not enough for the frame, is less than half of what fills it; where many copies were edited in the same
    places, it is nearly all.
    """
    complete, least, total = 0, len(frame), 0
    for row in family:
        found = shingles_of(sets, row)
        filling = len(outside(found, frame))
        least, total = min(least, filling), total + filling
        if (len(frame) - (len(found) - filling)) * 4 <= filling:
            complete += 1
    most = len(_common_shingles(sets, family, len(family) // 2 + 1)) - len(frame)
    bare = least * 8 * len(family) < total or total == 0
    return complete >= _COMPLETE_SHARE * len(family) and not bare and most * 2 * len(family) <= total


@kernel
def frame_of(sets, row, start, end, floor, index):  # type: ignore[no-untyped-def]
    """``(frame, index)``: the frame that a row of the group ``start:end`` fills, as sorted shingles, empty where it
    fills none; and the index of the group's rows at ``floor``, made when a first row needs it (``no_index`` before).

    Its family are rows that resemble it by at least ``floor``; fewer than three rows do not show a template.
    """
    family, is_whole = _family_nearby(sets, row, start, end, floor)
    if not is_whole:
        if not len(index[0]):
            index = whole_index(sets, start, end, floor)
        family = _family_by(index, sets, row, start, end, floor)
    if len(family) < 3:
        return np.empty(0, np.uint64), index
    frame = _common_shingles(sets, family, min(len(family) - 1, int(np.ceil(_FRAME_SHARE * len(family)))))
    return (frame if _fills(sets, family, frame) else np.empty(0, np.uint64)), index


@kernel
def same_filling(sets, one, other, frame, floor):  # type: ignore[no-untyped-def]
    """Whether two rows fill a frame with the same text.

    They do where their fillings have a similarity of at least ``floor``; where one filling lies in the other and the
    rest of that is explained by edits of the frame (an edit that adds shingles makes as many of the frame missing);
    and, for long fillings, where more than half is the same or one lies in the other.
    """
    first, second = shingles_of(sets, one), shingles_of(sets, other)
    left, right = outside(first, frame), outside(second, frame)
    shared = len(left) - len(outside(left, right))
    fewer, similarity = min(len(left), len(right)), shared / max(len(left) + len(right) - shared, 1)
    if similarity >= floor:
        return True
    contained = shared >= floor * fewer
    if fewer >= sets[4]:
        return contained or similarity >= _LONG_FILLING_JACCARD
    found, larger = (first, left) if len(left) >= len(right) else (second, right)
    missing = len(frame) - (len(found) - len(larger))
    return contained and len(larger) - shared <= 2 * missing
