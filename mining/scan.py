"""The search in one compiled loop: exact integer scores, and the best *eligible* passages of each query kept as it
goes.

Scores. Vectors are int16 with |score| <= 32767^2 < 2^31, so an int32 sum of int16 products is the exact score however
the additions are ordered, even where it wraps on the way. The inner loop is that of a matrix product: a few queries by
a panel of passages, packed by pairs of components (``mining.products``: 6 by 16 with AVX2, 8 by 32 with AVX-512;
``pmaddwd`` or ``vpdpwssd``, which LLVM finds in plain IR).

Keys. ``score << 32 | (2^28 - 1 - position) << 4 | rule``: integers that sort by (score, position upwards), where the
position of a passage is its place in the order of ids. So ties are broken by id, and lists of shards merge as integers.

Lists. What a query keeps is decided while scanning (``classify``), so no mask can starve it: the best passages that may
be negatives (``FREE``), beside them those that a rule refuses and that ranks are still counted with, and, for a row
that is known by its label alone, the nearest texts of its class.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from mining.fixed_point import Fixed, check_dims
from mining.products import PANEL, QUERIES, lowest_bit, products
from transforms.flow.kernels import kernel, parallel_kernel

#: Queries that go through the corpus together.
BLOCK = 480
#: Passages of one index: a position has 28 bits in a key.
MAX_PASSAGES = 1 << 28
RULE_BITS = 4
#: Passages that a query notes before rules are asked about them.
NOTES = 128

#: Why a passage is no negative of a row; the low bits of a key. ``FREE``: it may be one.
FREE, GIVEN, EQUAL_VECTOR, SHARED_LABEL, ABOVE_CEILING, BELOW_FLOOR, NEAR_DUPLICATE = range(7)
#: Texts for a positive of a labelled row: of the same labels, sharing one, and those with the query's own vector.
SAME_LABELS, SHARES_LABEL, CLASS_COPY = 8, 9, 10
#: One that may fill a row up, whatever it scores (``mining.fills``); a list may hold it under its other rule too.
RANDOM = 11
#: The passage is none of the row's pool at all: ranks are counted without it.
OUTSIDE = 15

#: Which list of a query a key goes to.
_ELIGIBLE, _REFUSED, _CLASS, _SHARING = range(4)
#: The score of nothing: below every score there is.
NOTHING = -(1 << 31)

Ints = npt.NDArray[np.int64]


class Asked(NamedTuple):
    """Queries as the scan sees them. ``*_bounds`` delimit runs: those of row i are from ``bounds[i]`` to
    ``bounds[i + 1]``.

    ``group_marks``, ``own_marks``: ``position << 4 | rule`` of passages that a rule names, ascending, by group of
    queries and by query. ``labels``: codes, ascending. ``by_class``: the row has no positive but its class.
    ``language``: 0 where unknown. ``ceiling``, ``floor``: the highest and the lowest score that a negative may have.
    """

    group: Ints
    group_bounds: Ints
    group_marks: Ints
    own_bounds: Ints
    own_marks: Ints
    label_bounds: Ints
    labels: Ints
    by_class: npt.NDArray[np.bool_]
    language: Ints
    ceiling: Ints
    floor: Ints


class Searched(NamedTuple):
    """Passages by position. ``rows``: where the vector of each lies; labels and languages as in ``Asked``."""

    rows: Ints
    label_bounds: Ints
    labels: Ints
    language: Ints


class _State(NamedTuple):
    """The queries of a block while they go through the corpus.

    ``lists``: keys ``[lists, queries, room]``, of which ``counts`` are filled; ``floors``: what a key must score above
    to enter a list, whose size is ``sizes``. ``wanted``: what a passage must score above to be noted. ``places``: how
    far the marks of group and query are gone through. ``waiting``: notes, of which ``numbers`` are filled.
    """

    lists: Ints
    counts: Ints
    floors: Ints
    sizes: Ints
    wanted: npt.NDArray[np.int32]
    places: Ints
    waiting: Ints
    numbers: Ints


many, one = products(QUERIES), products(1)


@kernel
def keep_best(keys, size, num):  # type: ignore[no-untyped-def]
    """Move the ``num`` largest of the first ``size`` keys to the front, in no order (Hoare's selection)."""
    left, right = 0, size - 1
    while left < right:
        pivot = keys[left + (right - left) // 2]
        i, j = left, right
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if num - 1 <= j:
            right = j
        elif num - 1 >= i:
            left = i
        else:
            break


@kernel
def shared(left, i, end, right, j, stop):  # type: ignore[no-untyped-def]
    """How many values two ascending runs have in common: ``left[i:end]`` and ``right[j:stop]``."""
    number = 0
    while i < end and j < stop:
        if left[i] == right[j]:
            number += 1
        if left[i] <= right[j]:
            i += 1
        else:
            j += 1
    return number


@kernel
def moved(marks, at, end, position):  # type: ignore[no-untyped-def]
    """Where a run of marks goes on from a position; positions only rise."""
    while at < end and marks[at] >> RULE_BITS < position:
        at += 1
    return at


@kernel
def marked_as(marks, at, end, position):  # type: ignore[no-untyped-def]
    """The rule that the mark at this place names for a position."""
    return marks[at] & OUTSIDE if at < end and marks[at] >> RULE_BITS == position else FREE


@kernel
def classify(marked, common, alike, by_class, score, ceiling, floor):  # type: ignore[no-untyped-def]
    """The rule that decides what a passage is to a query. ``marked``: the one that names it, if any; ``common``: how
    many labels they share, ``alike``: whether these are all that either has.
    """
    if marked == OUTSIDE:
        return OUTSIDE
    if common and by_class:
        if marked == EQUAL_VECTOR:
            return CLASS_COPY
        return SAME_LABELS if alike else SHARES_LABEL
    if marked != FREE:
        return marked
    if common:
        return SHARED_LABEL
    if score > ceiling:
        return ABOVE_CEILING
    return BELOW_FLOOR if score < floor else FREE


@kernel
def list_of(rule):  # type: ignore[no-untyped-def]
    """Which list a key of this rule belongs to."""
    if rule == FREE:
        return _ELIGIBLE
    if rule == SAME_LABELS:
        return _CLASS
    return _REFUSED if rule < SAME_LABELS else _SHARING


@kernel
def _note(scores, above, queries, first, width, base, waiting, numbers):  # type: ignore[no-untyped-def]
    """Write down what scores above what its query still wants; gives whether a query's notes are full."""
    full = False
    for i in range(queries):
        bits = np.int64(above[i]) & ((1 << width) - 1)
        if not bits:
            continue
        query = first + i
        at = numbers[query]
        while bits:
            lane = lowest_bit(bits)
            note = (MAX_PASSAGES - 1 - (base + lane)) << RULE_BITS
            waiting[query, at] = (np.int64(scores[i * PANEL + lane]) << 32) | note
            at += 1
            bits &= bits - 1
        numbers[query] = at
        full |= at > NOTES - PANEL
    return full


@kernel
def _settle(queries, first, least, asked, searched, offset, state):  # type: ignore[no-untyped-def]
    """Sort the notes of some queries into their lists, where there are at least so many."""
    for query in range(first, first + queries):
        if state.numbers[query] >= least:
            sort_notes(query, offset + query, asked, searched, state)
            shorten(query, asked.by_class[offset + query], state)


# One function with all that a query asks in variables of its own: a call hands over every array of ``Asked`` anew.
@kernel
def sort_notes(query, row, asked, searched, state):  # type: ignore[no-untyped-def]
    lists, counts, floors = state.lists, state.counts, state.floors
    group, own, (at_group, at_own) = asked.group_marks, asked.own_marks, state.places[query]
    group_end, own_end = asked.group_bounds[asked.group[row] + 1], asked.own_bounds[row + 1]
    first, end = asked.label_bounds[row], asked.label_bounds[row + 1]
    language, by_class, ceiling, floor = asked.language[row], asked.by_class[row], asked.ceiling[row], asked.floor[row]
    for number in range(state.numbers[query]):
        note = state.waiting[query, number]
        score, position = note >> 32, MAX_PASSAGES - 1 - ((note >> RULE_BITS) & (MAX_PASSAGES - 1))
        at_group, at_own = moved(group, at_group, group_end, position), moved(own, at_own, own_end, position)
        marked = max(marked_as(group, at_group, group_end, position), marked_as(own, at_own, own_end, position))
        other, common, alike = searched.language[position], 0, False
        if first < end:
            start, stop = searched.label_bounds[position], searched.label_bounds[position + 1]
            common = shared(asked.labels, first, end, searched.labels, start, stop)
            alike = common == end - first == stop - start
        rule = classify(marked, common, alike, by_class, score, ceiling, floor)
        if rule == OUTSIDE or (language and other and language != other):
            continue
        which = list_of(rule)
        if score > floors[which, query]:
            lists[which, query, counts[which, query]] = note | rule
            counts[which, query] += 1
    state.places[query, 0], state.places[query, 1], state.numbers[query] = at_group, at_own, 0


@kernel
def shorten(query, by_class, state):  # type: ignore[no-untyped-def]
    """Keep the best of each list, and tell what a passage must score above from now on."""
    lists, counts, floors, sizes = state.lists, state.counts, state.floors, state.sizes
    for which in range(len(sizes)):
        if counts[which, query] >= sizes[which]:
            keep_best(lists[which, query], counts[which, query], sizes[which])
            counts[which, query] = sizes[which]
            floors[which, query] = lists[which, query, : sizes[which]].min() >> 32
    low = floors[_ELIGIBLE, query]
    if by_class:
        low = min(low, floors[_CLASS, query], floors[_SHARING, query])
    state.wanted[query] = np.int32(low)


@kernel
def aligned(size):  # type: ignore[no-untyped-def]
    """An int32 array that begins at a multiple of 64 bytes."""
    raw = np.zeros(size + 16, np.int32)
    start = (64 - raw.ctypes.data % 64) % 64 // 4
    return raw[start : start + size]


@kernel
def begin(asked, sizes, offset, number):  # type: ignore[no-untyped-def]
    """The state of so many queries from ``offset`` on, before they have seen a passage."""
    places = np.empty((number, 2), np.int64)
    for query in range(number):
        places[query, 0] = asked.group_bounds[asked.group[offset + query]]
        places[query, 1] = asked.own_bounds[offset + query]
    return _State(
        np.empty((len(sizes), number, sizes.max() + NOTES), np.int64),
        np.zeros((len(sizes), number), np.int64),
        np.full((len(sizes), number), NOTHING, np.int64),
        sizes,
        np.full(number, NOTHING, np.int32),
        places,
        np.empty((number, NOTES), np.int64),
        np.zeros(number, np.int64),
    )


@kernel
def write_lists(state, offset, out, found):  # type: ignore[no-untyped-def]
    """What each list keeps, of the queries from ``offset`` on."""
    for which in range(len(state.counts)):
        for query in range(state.counts.shape[1]):
            count = state.counts[which, query]
            out[which, offset + query, :count] = state.lists[which, query, :count]
            found[offset + query, which] = count


@kernel
def _scan_block(queries, passages, asked, searched, sizes, offset, number, out, found):  # type: ignore[no-untyped-def]
    """All passages for the queries from ``offset`` on; what each list keeps."""
    pairs, state = passages.shape[1], begin(asked, sizes, offset, number)
    wanted, waiting, numbers = state.wanted, state.waiting, state.numbers
    panel, scores, above = aligned(PANEL * pairs), aligned(QUERIES * PANEL), np.zeros(QUERIES, np.uint32)
    asking, stride = queries.ctypes.data + offset * pairs * 4, pairs * 4
    packed, multiplied, bits, least = panel.ctypes.data, scores.ctypes.data, above.ctypes.data, wanted.ctypes.data
    for base in range(0, len(searched.rows), PANEL):
        width = min(PANEL, len(searched.rows) - base)
        pack(passages, searched.rows, base, width, panel)
        query = 0
        while query < number:
            together = QUERIES if query + QUERIES <= number else 1
            at, low = asking + query * stride, least + 4 * query
            if together == QUERIES:
                found_any = many(at, stride, pairs, packed, multiplied, low, bits)
            else:
                found_any = one(at, stride, pairs, packed, multiplied, low, bits)
            if found_any and _note(scores, above, together, query, width, base, waiting, numbers):
                _settle(together, query, NOTES - PANEL + 1, asked, searched, offset, state)
            query += together
    _settle(number, 0, 1, asked, searched, offset, state)
    write_lists(state, offset, out, found)


@kernel
def pack(passages, rows, base, width, panel):  # type: ignore[no-untyped-def]
    """Some passages side by side: pair i of passage x at ``PANEL * i + x``."""
    for lane in range(width):
        row = rows[base + lane]
        for pair in range(passages.shape[1]):
            panel[pair * PANEL + lane] = passages[row, pair]


@parallel_kernel
def _scan(queries, passages, asked, searched, sizes, block, out, found):  # type: ignore[no-untyped-def]
    for number in numba.prange((len(queries) + block - 1) // block):
        offset = number * block
        size = min(block, len(queries) - offset)
        _scan_block(queries, passages, asked, searched, sizes, offset, size, out, found)


def scan(
    queries: Fixed, passages: Fixed, asked: Asked, searched: Searched, sizes: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], Ints]:
    """The best keys of each query and list, in no order: int64 ``[lists, num_queries, max(sizes)]``, and how many there
    are, ``[num_queries, lists]``.

    ``sizes``: how many passages that may be negatives, that a rule refuses, and (where rows are known by their class)
    that are of the class or share a label with it. ``passages`` may be a memory map; nothing of it is copied unless its
    dimensions are odd. Raises ValueError for vectors of other dimensions and for too many passages.
    """
    check_dims(queries, passages)
    if len(searched.rows) > MAX_PASSAGES:
        raise ValueError(
            f"{len(searched.rows)} passages are more than the {MAX_PASSAGES} that one index holds; use more pool shards"
        )
    out = np.zeros((len(sizes), len(queries), max(sizes)), np.int64)
    found = np.zeros((len(queries), len(sizes)), np.int64)
    if len(queries) and len(searched.rows):
        wide = np.array(sizes, np.int64)
        block = block_size(len(queries), numba.get_num_threads())
        _scan(pairs(queries), pairs(passages), asked, searched, wide, block, out, found)
    return out, found


def block_size(num: int, threads: int) -> int:
    """How many of ``num`` queries go through the corpus together: at most ``BLOCK``, a multiple of ``QUERIES`` so that
    only the last block has a rest, and blocks of about one size, as many as ``threads`` or a multiple of them.
    """
    rounds = -(-num // (BLOCK * threads))
    return -(-num // (rounds * threads * QUERIES)) * QUERIES


def pairs(vectors: Fixed) -> npt.NDArray[np.int32]:
    """Vectors as pairs of components, int32 ``[n, d / 2]``; filled up with a zero where d is odd."""
    if vectors.shape[1] % 2:
        vectors = np.pad(vectors, ((0, 0), (0, 1)))
    pairs = np.ascontiguousarray(vectors).view(np.int32)
    pairs.flags.writeable = False  # as a memory map is: the loop is compiled once for either
    return pairs
