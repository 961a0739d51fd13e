"""The search in one compiled loop: exact integer scores, and the best *eligible* passages of each query kept as it
goes.

Scores. Vectors are int16 with |score| <= 32767^2 < 2^31, so an int32 sum of int16 products is the exact score however
the additions are ordered, even where it wraps on the way. The inner loop is that of a matrix product: 6 queries by 16
passages, passages packed by pairs of components in panels of 16 (``pmaddwd`` on x86, which LLVM finds in plain IR).

Keys. ``score << 32 | (2^28 - 1 - position) << 4 | rule``: integers that sort by (score, position upwards), where the
position of a passage is its place in the order of ids. So ties are broken by id, and lists of shards merge as integers.

Lists. What a query keeps is decided while scanning (``classify``), so no mask can starve it: the best passages that may
be negatives (``FREE``), beside them those that a rule refuses and that ranks are still counted with, and, for a row
that is known by its label alone, the nearest texts of its class.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mining.fixed_point import Fixed, check_dims
from transforms.flow.kernels import kernel, parallel_kernel

#: Queries and passages of one step of the inner loop, and queries that go through the corpus together.
QUERIES, PANEL, BLOCK = 6, 16, 240
#: Passages of one index: a position has 28 bits in a key.
MAX_PASSAGES = 1 << 28
_RULE_BITS = 4
#: Passages that a query notes before rules are asked about them.
_NOTES = 256

#: Why a passage is no negative of a row; the low bits of a key. ``FREE``: it may be one.
FREE, GIVEN, EQUAL_VECTOR, SHARED_LABEL, ABOVE_CEILING, BELOW_FLOOR = range(6)
#: Texts for a positive of a labelled row: of the same labels, sharing one, and those with the query's own vector.
SAME_LABELS, SHARES_LABEL, CLASS_COPY = 8, 9, 10
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


def _products(num_queries: int) -> Any:
    """An intrinsic that writes the scores of some queries with a panel: ``(queries, bytes per query, pairs, panel,
    scores)``, where all but the numbers are addresses.
    """

    @intrinsic
    def products(context, queries, stride, pairs, panel, out):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            _multiply(builder, num_queries, *arguments)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.intp, types.intp, types.intp), code

    return products


_HALF, _WIDE = ir.VectorType(ir.IntType(32), 8), ir.VectorType(ir.IntType(32), 16)
_SHORTS = ir.VectorType(ir.IntType(16), 16)


def _multiply(builder: Any, num_queries: int, queries: Any, stride: Any, pairs: Any, panel: Any, out: Any) -> None:
    """Sums over all pairs of components, 2 x 8 lanes for each query."""
    sums = [cgutils.alloca_once(builder, _HALF) for _ in range(2 * num_queries)]
    for total in sums:
        builder.store(ir.Constant(_HALF, [0] * 8), total)
    with cgutils.for_range(builder, pairs, intp=ir.IntType(64)) as loop:
        at = builder.mul(loop.index, _number(64))
        halves = [_load(builder, builder.add(panel, builder.add(at, _number(place))), _SHORTS, 32) for place in (0, 32)]
        for query in range(num_queries):
            place = builder.add(builder.mul(stride, _number(query)), builder.mul(loop.index, _number(4)))
            pair = _spread(builder, _load(builder, builder.add(queries, place), ir.IntType(32), 4))
            for half, total in zip(halves, sums[2 * query : 2 * query + 2], strict=True):
                builder.store(builder.add(builder.load(total), _pair_products(builder, half, pair)), total)
    for number, total in enumerate(sums):
        pointer = builder.inttoptr(builder.add(out, _number(32 * number)), ir.PointerType(_HALF))
        builder.store(builder.load(total), pointer).align = 32


def _number(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _load(builder: Any, address: Any, kind: Any, align: int) -> Any:
    loaded = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
    loaded.align = align
    return loaded


def _spread(builder: Any, pair: Any) -> Any:
    """One pair of int16 in all lanes."""
    first = builder.insert_element(ir.Constant(_HALF, ir.Undefined), pair, ir.Constant(ir.IntType(32), 0))
    lanes = builder.shuffle_vector(first, ir.Constant(_HALF, ir.Undefined), ir.Constant(_HALF, [0] * 8))
    return builder.bitcast(lanes, _SHORTS)


def _pair_products(builder: Any, left: Any, right: Any) -> Any:
    """Multiply 16 lanes, and add even and odd ones: what ``pmaddwd`` does."""
    product = builder.mul(builder.sext(left, _WIDE), builder.sext(right, _WIDE))
    even, odd = (
        builder.shuffle_vector(product, ir.Constant(_WIDE, ir.Undefined), ir.Constant(_HALF, list(range(first, 16, 2))))
        for first in (0, 1)
    )
    return builder.add(even, odd)


_many, _one = _products(QUERIES), _products(1)


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
def shared(left, right):  # type: ignore[no-untyped-def]
    """How many values two ascending runs have in common."""
    i, j, number = 0, 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            number += 1
        if left[i] <= right[j]:
            i += 1
        else:
            j += 1
    return number


@kernel
def _marked(marks, end, places, which, position):  # type: ignore[no-untyped-def]
    """The rule that a run of marks names for a position. ``places[which]`` moves along, since positions only rise."""
    at = places[which]
    while at < end and marks[at] >> _RULE_BITS < position:
        at += 1
    places[which] = at
    if at < end and marks[at] >> _RULE_BITS == position:
        return marks[at] & OUTSIDE
    return FREE


@kernel
def classify(asked, searched, query, position, score, marked):  # type: ignore[no-untyped-def]
    """The rule that decides what a passage is to a query; ``marked`` is the one that names it, if any."""
    if marked == OUTSIDE:
        return OUTSIDE
    language, other = asked.language[query], searched.language[position]
    if language and other and language != other:
        return OUTSIDE
    labels = asked.labels[asked.label_bounds[query] : asked.label_bounds[query + 1]]
    others = searched.labels[searched.label_bounds[position] : searched.label_bounds[position + 1]]
    number = shared(labels, others) if len(labels) and len(others) else 0
    if number and asked.by_class[query]:
        if marked == EQUAL_VECTOR:
            return CLASS_COPY
        return SAME_LABELS if number == len(labels) == len(others) else SHARES_LABEL
    if marked != FREE:
        return marked
    if number:
        return SHARED_LABEL
    if score > asked.ceiling[query]:
        return ABOVE_CEILING
    return BELOW_FLOOR if score < asked.floor[query] else FREE


@kernel
def list_of(rule):  # type: ignore[no-untyped-def]
    """Which list a key of this rule belongs to."""
    if rule == FREE:
        return _ELIGIBLE
    if rule == SAME_LABELS:
        return _CLASS
    return _REFUSED if rule < SAME_LABELS else _SHARING


@kernel
def _note(scores, queries, wanted, first, width, base, waiting, numbers):  # type: ignore[no-untyped-def]
    """Write down what scores above what its query still wants (nearly always nothing); gives whether a query's notes
    are full.
    """
    full = False
    for i in range(queries):
        query, hit = first + i, False
        least = wanted[query]
        for lane in range(PANEL):
            hit |= scores[i * PANEL + lane] > least
        if not hit:
            continue
        at = numbers[query]
        for lane in range(width):
            score = scores[i * PANEL + lane]
            if score > least:
                waiting[query, at] = (np.int64(score) << 32) | ((MAX_PASSAGES - 1 - (base + lane)) << _RULE_BITS)
                at += 1
        numbers[query] = at
        full |= at > _NOTES - PANEL
    return full


@kernel
def _settle(queries, first, least, asked, searched, offset, state):  # type: ignore[no-untyped-def]
    """Sort the notes of some queries into their lists, where there are at least so many."""
    lists, counts, floors, sizes, wanted, places, waiting, numbers = state
    for query in range(first, first + queries):
        if numbers[query] < least:
            continue
        row = offset + query
        group = asked.group[row]
        for note in waiting[query, : numbers[query]]:
            score, position = note >> 32, MAX_PASSAGES - 1 - ((note >> _RULE_BITS) & (MAX_PASSAGES - 1))
            mark = _marked(asked.group_marks, asked.group_bounds[group + 1], places, 2 * query, position)
            own = _marked(asked.own_marks, asked.own_bounds[row + 1], places, 2 * query + 1, position)
            rule = classify(asked, searched, row, position, score, max(mark, own))
            if rule != OUTSIDE and score > floors[list_of(rule), query]:
                which = list_of(rule)
                lists[which, query, counts[which, query]] = note | rule
                counts[which, query] += 1
        numbers[query] = 0
        for which in range(len(sizes)):
            if counts[which, query] >= sizes[which]:
                keep_best(lists[which, query], counts[which, query], sizes[which])
                counts[which, query] = sizes[which]
                floors[which, query] = lists[which, query, : sizes[which]].min() >> 32
        low = floors[_ELIGIBLE, query]
        if asked.by_class[row]:
            low = min(low, floors[_CLASS, query], floors[_SHARING, query])
        wanted[query] = np.int32(low)


@kernel
def _aligned(size):  # type: ignore[no-untyped-def]
    """An int32 array that begins at a multiple of 64 bytes."""
    raw = np.zeros(size + 16, np.int32)
    start = (64 - raw.ctypes.data % 64) % 64 // 4
    return raw[start : start + size]


@kernel
def _scan_block(queries, passages, asked, searched, sizes, offset, number, out, found):  # type: ignore[no-untyped-def]
    """All passages for the queries from ``offset`` on; what each list keeps."""
    pairs = passages.shape[1]
    lists = np.empty((len(sizes), number, sizes.max() + _NOTES), np.int64)
    counts, floors = np.zeros((len(sizes), number), np.int64), np.full((len(sizes), number), NOTHING, np.int64)
    wanted, places = np.full(number, NOTHING, np.int32), np.empty(2 * number, np.int64)
    waiting, numbers = np.empty((number, _NOTES), np.int64), np.zeros(number, np.int64)
    for query in range(number):
        places[2 * query] = asked.group_bounds[asked.group[offset + query]]
        places[2 * query + 1] = asked.own_bounds[offset + query]
    state = (lists, counts, floors, sizes, wanted, places, waiting, numbers)
    panel, scores = _aligned(PANEL * pairs), _aligned(QUERIES * PANEL)
    asking, stride = queries.ctypes.data + offset * pairs * 4, pairs * 4
    packed, multiplied = panel.ctypes.data, scores.ctypes.data
    for base in range(0, len(searched.rows), PANEL):
        width = min(PANEL, len(searched.rows) - base)
        _pack(passages, searched.rows, base, width, panel)
        query = 0
        while query < number:
            together = QUERIES if query + QUERIES <= number else 1
            if together == QUERIES:
                _many(asking + query * stride, stride, pairs, packed, multiplied)
            else:
                _one(asking + query * stride, stride, pairs, packed, multiplied)
            if _note(scores, together, wanted, query, width, base, waiting, numbers):
                _settle(together, query, _NOTES - PANEL + 1, asked, searched, offset, state)
            query += together
    _settle(number, 0, 1, asked, searched, offset, state)
    for which in range(len(sizes)):
        for query in range(number):
            count = counts[which, query]
            out[which, offset + query, :count] = lists[which, query, :count]
            found[offset + query, which] = count


@kernel
def _pack(passages, rows, base, width, panel):  # type: ignore[no-untyped-def]
    """Some passages side by side: pair i of passage x at ``16 i + x``."""
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
    dimensions are no multiple of 16. Raises ValueError for vectors of other dimensions and for too many passages.
    """
    check_dims(queries, passages)
    if len(searched.rows) > MAX_PASSAGES:
        raise ValueError(
            f"{len(searched.rows)} passages are more than the {MAX_PASSAGES} that one index holds; use more pool shards"
        )
    out = np.zeros((len(sizes), len(queries), max(sizes)), np.int64)
    found = np.zeros((len(queries), len(sizes)), np.int64)
    if len(queries) and len(searched.rows):
        block = min(BLOCK, max(QUERIES, -(-len(queries) // numba.get_num_threads())))
        wide = np.array(sizes, np.int64)
        _scan(_pairs(queries), _pairs(passages), asked, searched, wide, block, out, found)
    return out, found


def _pairs(vectors: Fixed) -> npt.NDArray[np.int32]:
    """Vectors as pairs of components, int32 ``[n, d / 2]``; filled up with zeros where d is no multiple of 16."""
    if vectors.shape[1] % PANEL:
        vectors = np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % PANEL)))
    pairs = np.ascontiguousarray(vectors).view(np.int32)
    pairs.flags.writeable = False  # as a memory map is: the loop is compiled once for either
    return pairs
