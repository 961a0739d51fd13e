"""Passages that may fill up a row for which the search found too few negatives (``MiningParams.random_fill``).

A passage's draw follows from the row, its text and the seed (``mining.draws``), so that the smallest draws of all
shards are those of the whole corpus.
"""

import numba
import numpy as np
import numpy.typing as npt

from mining.draws import draw_key
from mining.fixed_point import Fixed, exact_pair_scores
from mining.scan import FREE, MAX_PASSAGES, RANDOM, RULE_BITS, Asked, Ints, Searched, marked_as, moved, shared
from transforms.flow.kernels import kernel, parallel_kernel

Words = npt.NDArray[np.uint64]


def draw_fills(
    rows: Ints,
    ids: Words,
    texts: Words,
    queries: Fixed,
    passages: Fixed,
    asked: Asked,
    searched: Searched,
    num: int,
    seed: int,
) -> tuple[Ints, Ints]:
    """Keys (``mining.scan``) of up to ``num`` passages for each of some ``rows`` by the smallest draws, and the row of
    each: of all that no rule refuses but one about scores (``policies.choose_random``).

    ``ids``, ``texts``: two little-endian words of each query's id and each passage's hash. Time goes by rows times
    passages, some nanoseconds each; vectors are read of what is drawn alone.
    """
    drawn, numbers = np.zeros((len(rows), num), np.int64), np.zeros(len(rows), np.int64)
    if len(rows) and num:
        _draw(rows, ids, texts, asked, searched, np.uint64(seed), drawn, numbers)
    owners = np.repeat(rows, numbers)
    positions = drawn[np.arange(num) < numbers[:, None]]
    scores = exact_pair_scores(queries[owners], passages, searched.rows[positions][:, None])[:, 0]
    return owners, (scores << 32) | ((MAX_PASSAGES - 1 - positions) << RULE_BITS) | RANDOM


@parallel_kernel
def _draw(rows, ids, texts, asked, searched, seed, drawn, numbers):  # type: ignore[no-untyped-def]
    for number in numba.prange(len(rows)):
        numbers[number] = _draw_row(rows[number], ids, texts, asked, searched, seed, drawn[number])


@kernel
def _draw_row(row, ids, texts, asked, searched, seed, drawn):  # type: ignore[no-untyped-def]
    """The passages with the smallest draws, and how many there are. The largest of those kept stands last."""
    draws, size = np.empty(len(drawn), np.uint64), 0
    group, own = asked.group_marks, asked.own_marks
    at_group, at_own = asked.group_bounds[asked.group[row]], asked.own_bounds[row]
    group_end, own_end = asked.group_bounds[asked.group[row] + 1], asked.own_bounds[row + 1]
    first, end, language = asked.label_bounds[row], asked.label_bounds[row + 1], asked.language[row]
    for position in range(len(searched.rows)):
        at_group, at_own = moved(group, at_group, group_end, position), moved(own, at_own, own_end, position)
        if marked_as(group, at_group, group_end, position) != FREE or marked_as(own, at_own, own_end, position) != FREE:
            continue
        other = searched.language[position]
        if language and other and language != other:
            continue
        start, stop = searched.label_bounds[position], searched.label_bounds[position + 1]
        if first < end and shared(asked.labels, first, end, searched.labels, start, stop):
            continue
        draw = draw_key(ids[row], texts[position], seed)
        if size == len(drawn) and draw >= draws[size - 1]:
            continue
        size = min(size + 1, len(drawn))
        at = size - 1
        while at > 0 and draws[at - 1] > draw:
            draws[at], drawn[at] = draws[at - 1], drawn[at - 1]
            at -= 1
        draws[at], drawn[at] = draw, position
    return size
