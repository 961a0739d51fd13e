"""Which candidates become positives and negatives. One rule per function, over the arrays of one query.

``scores`` are integer scores (``mining.fixed_point``). The *pool* of a row are the passages that its ranks are counted
in, best first and 0-based: one spelling of each, without the query's own text, without everything that is known to be
relevant to its question (its positives, and those of rows that ask the same), within its language, and for a row that
is known by its label alone, without texts that share one. A compiled pass (``mining.choosing``) applies these rules to
all rows at once; the functions here say what they are, and tests hold it to them.
"""

import math

import numpy as np
import numpy.typing as npt
import xxhash

from mining.fixed_point import Scores, from_cosine
from mining.params import MiningParams

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

#: The rank of a negative that came with the row.
GIVEN_RANK = -1
#: The rank of a negative that was drawn at random to fill a row up.
RANDOM_RANK = -2
#: A ceiling or floor that is none: beyond every score.
NO_CEILING = 1 << 40


def window(pool_size: int, rank_range: tuple[int, int], num_negatives: int) -> tuple[int, int]:
    """The ranks [start, end) that negatives are drawn from, in a pool of ``pool_size``.

    A pool that does not reach the range's end (a small corpus) shrinks the range in proportion: (50, 100) becomes
    (20, 40) in a pool of 40. Where that would hold fewer than ``num_negatives`` the start moves down, to 0 at last.
    """
    start, end = rank_range
    if pool_size >= end:
        return start, end
    return max(0, min(start * pool_size // end, pool_size - num_negatives)), pool_size


def consistent(positives: Scores, pool_scores: Scores, consistency_rank: int | None) -> Mask:
    """Which positives score no lower than the entry at ``consistency_rank``; a shorter pool asks nothing."""
    if consistency_rank is None or len(pool_scores) <= consistency_rank:
        return np.ones(len(positives), dtype=bool)
    kept: Mask = positives >= pool_scores[consistency_rank]
    return kept


def rank_of(score: int, pool_scores: Scores) -> int:
    """The 0-based rank a score takes in a pool in descending order: the number of entries above it."""
    return int(np.count_nonzero(pool_scores > score))


def ceiling(positives: Scores, params: MiningParams) -> int:
    """The highest integer score of a negative, for a row with these positives; none: a labelled row.

    The least of ``max_score``, ``reference * max_relative_score`` and ``reference - min_margin``, where the reference
    is the positive that ``relative_to`` names. A positive below 0 has no share to speak of; then
    ``max_relative_score`` asks for less than the positive itself.
    """
    highest: float = NO_CEILING if params.max_score is None else from_cosine(params.max_score)
    if len(positives):
        reference = {"best": positives.max(), "first": positives[0], "least": positives.min()}[params.relative_to]
        if params.max_relative_score is not None:
            share = reference * params.max_relative_score if reference > 0 else reference - 1
            highest = min(highest, float(share))
        if params.min_margin is not None:
            highest = min(highest, float(reference) - from_cosine(params.min_margin))
    return math.floor(highest)


def floor(params: MiningParams) -> int:
    """The lowest integer score of a negative."""
    return -NO_CEILING if params.min_score is None else math.ceil(from_cosine(params.min_score))


def choose_negatives(eligible: Mask, rank_range: tuple[int, int], num: int, keys: npt.NDArray[np.uint64]) -> Codes:
    """Ranks of up to ``num`` eligible pool entries, ascending: those of the range with the smallest ``keys``, one per
    rank.

    Where the range holds too few, the pool is used deeper: the next eligible ranks beyond its end. Where it ends too
    soon, those before the start, the nearest to it first: a small pool gives what it has.
    """
    start, end = rank_range
    inside = np.flatnonzero(eligible[start:end])
    if len(inside) > num:
        inside = inside[np.argsort(keys[inside], kind="stable")[:num]]
    deeper = np.flatnonzero(eligible[end:])[: num - len(inside)]
    above = np.flatnonzero(eligible[:start])[::-1][: num - len(inside) - len(deeper)]
    return np.sort(np.concatenate([above, start + inside, end + deeper])).astype(np.int64)


def choose_random(allowed: Mask, num: int, keys: npt.NDArray[np.uint64]) -> Codes:
    """Places of up to ``num`` passages that fill a row up: of those that are ``allowed`` the ones with the smallest
    ``keys``, the smallest first.

    ``allowed`` are passages of the row's language that are neither relevant to its question, nor a near-duplicate or
    the vector of something relevant, nor of its labels, nor given or chosen already. What a passage scores is not
    asked: a row is short since ceilings and floors left nothing else.
    """
    places = np.flatnonzero(allowed)
    return places[np.argsort(keys[places], kind="stable")[:num]].astype(np.int64)


def balanced(classes: Codes, num: int) -> Codes:
    """Places of up to ``num`` entries, in their order, spread over ``classes``: first the first of each class, then the
    second of each, and so on.
    """
    seen: dict[int, int] = {}
    turns = []
    for code in classes.tolist():
        turns.append(seen.get(code, 0))
        seen[code] = turns[-1] + 1
    return np.sort(np.argsort(np.array(turns, dtype=np.int64), kind="stable")[:num]).astype(np.int64)


def choose_given(
    scores: Scores, allowed: Mask, num: int, choice: str, keys: npt.NDArray[np.uint64] | None = None
) -> Codes:
    """Places of up to ``num`` of a row's given negatives among those that are ``allowed``, in their order."""
    places = np.flatnonzero(allowed)
    if choice == "hardest":
        places = places[np.argsort(-scores[places], kind="stable")]
    elif choice == "draw" and keys is not None:
        places = places[np.argsort(keys[places], kind="stable")]
    return np.sort(places[:num]).astype(np.int64)


def choose_positives(ranks: Codes, keys: npt.NDArray[np.uint64], num: int) -> Codes:
    """Places of up to ``num`` texts of a row's labels: those of the lowest rank (0: the same labels; then by what they
    share; last those with the query's own vector, which teach nothing), and of these the ones with the smallest keys.
    """
    return np.lexsort((keys, ranks))[:num].astype(np.int64)


def draw_keys(query_id: bytes, text_hashes: list[bytes], seed: int) -> npt.NDArray[np.uint64]:
    """A random but fixed key for each candidate: xxh3-64 of (query id, text hash) under the seed, never of arrival."""
    return np.array([xxhash.xxh3_64_intdigest(query_id + text, seed=seed) for text in text_hashes], dtype=np.uint64)
