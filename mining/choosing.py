"""The rules of ``mining.policies`` applied to all rows in one compiled pass over their keys."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mining.draws import draw_key
from mining.fixed_point import Scores
from mining.lists import Ints, Lists
from mining.params import MiningParams
from mining.policies import RANDOM_RANK
from mining.scan import CLASS_COPY, FREE, MAX_PASSAGES, OUTSIDE, RANDOM, SAME_LABELS, shared
from transforms.flow.kernels import kernel

Words = npt.NDArray[np.uint64]

#: How many of a labelled row's nearest texts say whether its label may be wrong.
NEIGHBOURS = 10
#: What is counted of a row: passages of its pool up to the end of its window by rule, and of the nearest ``NEIGHBOURS``
#: texts those of its labels and others.
NUM_RULES = 8
#: The rule of a passage that a cross-encoder refuses (``mining.rescoring``); the scan knows those below it.
CROSS_ENCODER = 7
_RULE_BITS, _RULES = 4, 15
#: The rank of what is not to be taken, or was already.
_TAKEN = 1 << 60
#: The share of labels in common (of all that either text has) is counted in such parts.
_SHARE = 1 << 20


class _Numbers(NamedTuple):
    """The parameters that the compiled pass needs. ``consistency``: -1 where there is no filter."""

    num: int
    start: int
    end: int
    labelled_start: int
    labelled_end: int
    consistency: int
    top: bool
    balanced: bool
    num_positives: int
    seed: np.uint64


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What each row is given, as arrays with a row for each: keys and ranks of negatives ``[n, num_negatives]`` and how
    many there are; keys of positives of labelled rows ``[n, num_positives]`` and how many.

    ``least``: the score that a positive must have at least. ``refused``: entries of the pool, up to the end of its
    window, by rule, ``[n, NUM_RULES]``. ``neighbours``: of a labelled row's nearest texts, how many share a label
    with it and how many do not, ``[n, 2]``. ``pool``: how long each row's pool is, as far as it was looked at.
    """

    negatives: Ints
    ranks: Ints
    num_negatives: Ints
    positives: Ints
    num_positives: Ints
    least: Scores
    refused: Ints
    neighbours: Ints
    pool: Ints


class _Out(NamedTuple):
    negatives: Ints
    ranks: Ints
    num_negatives: Ints
    positives: Ints
    num_positives: Ints
    least: Ints
    refused: Ints
    neighbours: Ints
    pool: Ints


class Rows(NamedTuple):
    """What the pass knows of rows: two little-endian words of each id, negatives that are wanted beside given ones,
    whether a row is known by its label alone, whether the teacher can judge it, and its labels
    (``mining.labels.LabelSets``).
    """

    ids: Words
    wanted: Ints
    by_class: npt.NDArray[np.bool_]
    judged: npt.NDArray[np.bool_]
    label_bounds: Ints
    labels: Ints


class Passages(NamedTuple):
    """What the pass knows of passages by position: two little-endian words of each text's hash, and its labels."""

    texts: Words
    label_bounds: Ints
    labels: Ints


def choose(rows: Rows, lists: Lists, passages: Passages, params: MiningParams) -> Chosen:
    """Positives of labelled rows, and negatives of all, from their lists."""
    num = len(rows.wanted)
    out = _Out(
        negatives=np.zeros((num, max(1, params.num_negatives)), np.int64),
        ranks=np.zeros((num, max(1, params.num_negatives)), np.int64),
        num_negatives=np.zeros(num, np.int64),
        positives=np.zeros((num, params.num_positives), np.int64),
        num_positives=np.zeros(num, np.int64),
        least=np.full(num, np.iinfo(np.int64).min, np.int64),
        refused=np.zeros((num, NUM_RULES), np.int64),
        neighbours=np.zeros((num, 2), np.int64),
        pool=np.zeros(num, np.int64),
    )
    numbers = _Numbers(
        num=params.num_negatives,
        start=params.rank_range[0],
        end=params.rank_range[1],
        labelled_start=params.labelled_rank_range[0],
        labelled_end=params.labelled_rank_range[1],
        consistency=-1 if params.consistency_rank is None else params.consistency_rank,
        top=params.sampling == "top",
        balanced=params.balance_classes,
        num_positives=params.num_positives,
        seed=np.uint64(params.seed),
    )
    if num:
        _choose(rows, lists.bounds, lists.keys, passages, numbers, out)
    return Chosen(**out._asdict())


@kernel
def _choose(rows, bounds, keys, passages, numbers, out):  # type: ignore[no-untyped-def]
    for row in range(len(rows.wanted)):
        first, last = bounds[row], bounds[row + 1]
        run = keys[first:last]
        fills = run[(run & _RULES) == RANDOM]
        run = run[((run & _RULES) != RANDOM) & ((run & _RULES) != OUTSIDE)]
        pool = run[(run & _RULES) < SAME_LABELS]
        out.pool[row] = len(pool)
        if rows.by_class[row]:
            _positives(row, run, rows, passages, numbers, out)
            _neighbours(row, run, out)
        elif rows.judged[row] and 0 <= numbers.consistency < len(pool):
            out.least[row] = pool[numbers.consistency] >> 32
        _negatives(row, pool, rows, passages, numbers, out)
        _fill(row, fills, rows, passages, numbers, out)


@kernel
def _position(key):  # type: ignore[no-untyped-def]
    return MAX_PASSAGES - 1 - ((key >> _RULE_BITS) & (MAX_PASSAGES - 1))


@kernel
def _key_of(row, key, rows, passages, numbers):  # type: ignore[no-untyped-def]
    return draw_key(rows.ids[row], passages.texts[_position(key)], numbers.seed)


@kernel
def _positives(row, run, rows, passages, numbers, out):  # type: ignore[no-untyped-def]
    """``policies.choose_positives``."""
    mates = run[(run & _RULES) >= SAME_LABELS]
    draws, ranks = np.empty(len(mates), np.uint64), np.empty(len(mates), np.int64)
    for i in range(len(mates)):
        draws[i] = _key_of(row, mates[i], rows, passages, numbers)
        ranks[i] = _rank_of_mate(row, mates[i], rows, passages)
    chosen = _least(ranks, draws, numbers.num_positives)
    for i in range(len(chosen)):
        out.positives[row, i] = mates[chosen[i]]
    out.num_positives[row] = len(chosen)


@kernel
def _least(ranks, draws, num):  # type: ignore[no-untyped-def]
    """Places of the ``num`` least by (rank, draw), least first. Both are used up."""
    chosen = np.empty(min(num, len(ranks)), np.int64)
    for number in range(len(chosen)):
        best = 0
        for i in range(1, len(ranks)):
            if ranks[i] < ranks[best] or (ranks[i] == ranks[best] and draws[i] < draws[best]):
                best = i
        chosen[number] = best
        ranks[best] = _TAKEN
    return chosen


@kernel
def _rank_of_mate(row, key, rows, passages):  # type: ignore[no-untyped-def]
    """0 for a text of the same labels; higher the less of them it shares; highest for one with the query's vector."""
    if key & _RULES == CLASS_COPY:
        return _SHARE + 1
    at = _position(key)
    first, end = rows.label_bounds[row], rows.label_bounds[row + 1]
    start, stop = passages.label_bounds[at], passages.label_bounds[at + 1]
    number = shared(rows.labels, first, end, passages.labels, start, stop)
    return _SHARE - _SHARE * number // (end - first + stop - start - number)


@kernel
def _neighbours(row, run, out):  # type: ignore[no-untyped-def]
    for key in run[:NEIGHBOURS]:
        out.neighbours[row, 0 if key & _RULES >= SAME_LABELS else 1] += 1


@kernel
def _window(size, start, end, num):  # type: ignore[no-untyped-def]
    """``policies.window``."""
    if size >= end:
        return start, end
    return max(0, min(start * size // end, size - num)), size


@kernel
def _negatives(row, pool, rows, passages, numbers, out):  # type: ignore[no-untyped-def]
    """``policies.choose_negatives``, or where classes are balanced ``policies.balanced`` of the nearest."""
    by_class = rows.by_class[row]
    start, end = (numbers.labelled_start, numbers.labelled_end) if by_class else (numbers.start, numbers.end)
    start, end = _window(len(pool), start, end, numbers.num)
    for key in pool[:end]:
        out.refused[row, key & _RULES] += 1
    taken = np.zeros(len(pool), np.bool_)
    wanted = rows.wanted[row]
    if by_class and numbers.balanced:
        _take_balanced(pool, passages, wanted, taken)
    else:
        _take_window(row, pool, start, end, wanted, rows, passages, numbers, taken)
    at = 0
    for rank in range(len(pool)):
        if taken[rank]:
            out.negatives[row, at], out.ranks[row, at] = pool[rank], rank
            at += 1
    out.num_negatives[row] = at


@kernel
def _fill(row, fills, rows, passages, numbers, out):  # type: ignore[no-untyped-def]
    """``policies.choose_random`` of what is not chosen already, behind what is."""
    at = out.num_negatives[row]
    if at >= rows.wanted[row] or not len(fills):
        return
    draws, ranks = np.empty(len(fills), np.uint64), np.zeros(len(fills), np.int64)
    free = 0
    for i in range(len(fills)):
        draws[i] = _key_of(row, fills[i], rows, passages, numbers)
        for key in out.negatives[row, :at]:
            if _position(key) == _position(fills[i]):
                ranks[i] = _TAKEN
        free += ranks[i] != _TAKEN
    for place in _least(ranks, draws, min(free, rows.wanted[row] - at)):
        out.negatives[row, at], out.ranks[row, at] = fills[place], RANDOM_RANK
        at += 1
    out.num_negatives[row] = at


@kernel
def _take_window(row, pool, start, end, wanted, rows, passages, numbers, taken):  # type: ignore[no-untyped-def]
    """Those of the window with the least draws (or ranks), then deeper ones, then those above its start."""
    ranks, draws = np.full(end - start, _TAKEN, np.int64), np.zeros(end - start, np.uint64)
    inside = 0
    for rank in range(start, end):
        if pool[rank] & _RULES == FREE:
            inside += 1
            ranks[rank - start] = rank if numbers.top else 0
            draws[rank - start] = _key_of(row, pool[rank], rows, passages, numbers)
    for place in _least(ranks, draws, min(inside, wanted)):
        taken[start + place] = True
    left = wanted - min(inside, wanted)
    for rank in range(end, len(pool)):
        if left and pool[rank] & _RULES == FREE:
            taken[rank] = True
            left -= 1
    for rank in range(start - 1, -1, -1):
        if left and pool[rank] & _RULES == FREE:
            taken[rank] = True
            left -= 1


@kernel
def _take_balanced(pool, passages, wanted, taken):  # type: ignore[no-untyped-def]
    """One of each class in turn: the n-th of its class has turn n."""
    turns, places = np.full(len(pool), _TAKEN, np.int64), np.zeros(len(pool), np.uint64)
    classes = np.full(len(pool), -1, np.int64)
    free = 0
    for rank in range(len(pool)):
        places[rank] = np.uint64(rank)
        if pool[rank] & _RULES != FREE:
            continue
        free += 1
        position = _position(pool[rank])
        at = passages.label_bounds[position]
        classes[rank] = passages.labels[at] if at < passages.label_bounds[position + 1] else -2
        turns[rank] = 0
        for other in range(rank):
            turns[rank] += classes[other] == classes[rank]
    for rank in _least(turns, places, min(free, wanted)):
        taken[rank] = True
