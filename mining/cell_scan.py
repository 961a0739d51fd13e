"""The search of ``mining.scan`` in some cells of a corpus alone: the same exact scores, rules and lists.

Passages lie in cells, and each query goes through the cells that it probes. Within a cell positions rise, as marks do;
from one cell to the next a query begins its marks anew.
"""

import numba
import numpy as np
import numpy.typing as npt

from mining.fixed_point import Fixed, check_dims
from mining.products import PANEL, QUERIES, lowest_bit
from mining.scan import (
    MAX_PASSAGES,
    NOTES,
    RULE_BITS,
    Asked,
    Ints,
    Searched,
    aligned,
    begin,
    many,
    one,
    pack,
    pairs,
    shorten,
    sort_notes,
    write_lists,
)
from transforms.flow.kernels import kernel, parallel_kernel

#: Queries that go through the cells together: enough that several of them probe the same cell.
BLOCK = 2048


@kernel
def _by_cell(probed, num_cells):  # type: ignore[no-untyped-def]
    """The queries that probe each cell, ascending: those of cell c from ``bounds[c]`` to ``bounds[c + 1]``."""
    bounds = np.zeros(num_cells + 1, np.int64)
    for query in range(len(probed)):
        for cell in probed[query]:
            bounds[cell + 1] += 1
    bounds = np.cumsum(bounds)
    at, queries = bounds.copy(), np.empty(bounds[-1], np.int64)
    for query in range(len(probed)):
        for cell in probed[query]:
            queries[at[cell]] = query
            at[cell] += 1
    return bounds, queries


@kernel
def _enter(who, offset, queries, asked, state, gathered, wanted):  # type: ignore[no-untyped-def]
    """Bring the queries of a cell together, each at the beginning of its marks."""
    for place in range(len(who)):
        query = who[place]
        gathered[place] = queries[offset + query]
        wanted[place] = state.wanted[query]
        state.places[query, 0] = asked.group_bounds[asked.group[offset + query]]
        state.places[query, 1] = asked.own_bounds[offset + query]


@kernel
def _note(scores, above, who, first, together, positions, state):  # type: ignore[no-untyped-def]
    """Write down what scores above what its query still wants; gives whether a query's notes are full."""
    full = False
    for i in range(together):
        bits = np.int64(above[i]) & ((1 << len(positions)) - 1)
        query = who[first + i]
        while bits:
            lane = lowest_bit(bits)
            note = (MAX_PASSAGES - 1 - positions[lane]) << RULE_BITS
            state.waiting[query, state.numbers[query]] = (np.int64(scores[i * PANEL + lane]) << 32) | note
            state.numbers[query] += 1
            bits &= bits - 1
        full |= state.numbers[query] > NOTES - PANEL
    return full


@kernel
def _settle(who, first, end, offset, asked, searched, state, wanted):  # type: ignore[no-untyped-def]
    for place in range(first, end):
        query = who[place]
        if state.numbers[query]:
            sort_notes(query, offset + query, asked, searched, state)
            shorten(query, asked.by_class[offset + query], state)
            wanted[place] = state.wanted[query]


@kernel
def _scan_cell(positions, who, offset, passages, asked, searched, state, room):  # type: ignore[no-untyped-def]
    """All passages of a cell for the queries that probe it."""
    gathered, wanted, panel, scores, above = room
    stride = passages.shape[1] * 4
    for base in range(0, len(positions), PANEL):
        some = positions[base : base + PANEL]
        pack(passages, searched.rows[some], 0, len(some), panel)
        place = 0
        while place < len(who):
            together = QUERIES if place + QUERIES <= len(who) else 1
            at, low = gathered.ctypes.data + place * stride, wanted.ctypes.data + 4 * place
            loop = (at, stride, passages.shape[1], panel.ctypes.data, scores.ctypes.data, low, above.ctypes.data)
            found = many(*loop) if together == QUERIES else one(*loop)
            if found and _note(scores, above, who, place, together, some, state):
                _settle(who, place, place + together, offset, asked, searched, state, wanted)
            place += together
    _settle(who, 0, len(who), offset, asked, searched, state, wanted)


@kernel
def _scan_block(queries, passages, asked, searched, cells, probed, sizes, offset, out, found):  # type: ignore[no-untyped-def]
    """The cells that the queries from ``offset`` on probe; what each list keeps."""
    bounds, positions = cells
    number, wide = len(probed), passages.shape[1]
    state = begin(asked, sizes, offset, number)
    starts, asking = _by_cell(probed, len(bounds) - 1)
    gathered, wanted = np.empty((number, wide), np.int32), np.empty(number, np.int32)
    room = (gathered, wanted, aligned(PANEL * wide), aligned(QUERIES * PANEL), np.zeros(QUERIES, np.uint32))
    for cell in range(len(bounds) - 1):
        who = asking[starts[cell] : starts[cell + 1]]
        if len(who):
            _enter(who, offset, queries, asked, state, gathered, wanted)
            inside = positions[bounds[cell] : bounds[cell + 1]]
            _scan_cell(inside, who, offset, passages, asked, searched, state, room)
    write_lists(state, offset, out, found)


@parallel_kernel
def _scan(queries, passages, asked, searched, cells, probed, sizes, block, out, found):  # type: ignore[no-untyped-def]
    for number in numba.prange((len(queries) + block - 1) // block):
        offset = number * block
        some = probed[offset : offset + block]
        _scan_block(queries, passages, asked, searched, cells, some, sizes, offset, out, found)


def scan_cells(
    queries: Fixed,
    passages: Fixed,
    asked: Asked,
    searched: Searched,
    cells: tuple[Ints, Ints],
    probed: Ints,
    sizes: tuple[int, ...],
) -> tuple[npt.NDArray[np.int64], Ints]:
    """As ``mining.scan.scan``, of the passages in the cells that each query probes.

    ``cells``: where the positions of each begin among all, and positions by cell, ascending in each. ``probed``: cells
    of each query, ``[num_queries, nprobe]``, none of them twice.
    """
    check_dims(queries, passages)
    out = np.zeros((len(sizes), len(queries), max(sizes)), np.int64)
    found = np.zeros((len(queries), len(sizes)), np.int64)
    if len(queries):
        block = min(BLOCK, -(-len(queries) // numba.get_num_threads()))
        wide = np.array(sizes, np.int64)
        _scan(pairs(queries), pairs(passages), asked, searched, cells, probed, wide, block, out, found)
    return out, found
