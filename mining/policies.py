"""Which candidates become positives and negatives. One rule per function, over the arrays of one query.

``scores`` are integer scores (``mining.fixed_point``). The *pool* of a row are the passages that its ranks are counted
in, best first and 0-based: one spelling of each, without the query's own text, without everything that is known to be
relevant to its question (its positives, and those of rows that ask the same), within its language, and for a row that
is known by its label alone, without texts that share one. A compiled pass (``mining.choosing``) applies these rules to
all rows at once; the functions here say what they are, and tests hold it to them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xxhash

from mining.fixed_point import Scores, from_cosine

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

#: The rank of a negative that came with the row.
GIVEN_RANK = -1
#: A ceiling or floor that is none: beyond every score.
NO_CEILING = 1 << 40


@dataclass(frozen=True, kw_only=True)
class MiningParams:
    """The numbers of mining. Source: KaLM-Embedding-V2 (arXiv 2506.20923) and its code, where not marked as ours.

    ``num_negatives``: negatives of an example, given ones included.
    ``rank_range``: ranks [start, end) of the pool that negatives are taken from; further ones only where it lacks some.
    ``labelled_rank_range``: the same for labelled rows. Ours: the label already says which texts are no negatives, so
    the hardest are taken.
    ``sampling``: ``draw`` takes a seeded draw of the range, ``top`` its hardest.
    ``consistency_rank``: a positive that scores below the pool's entry at this rank is dropped, and a row that keeps
    none is rejected. None: no filter.
    ``num_positives``: positives drawn for a labelled row.
    ``class_pool``: they are drawn from so many nearest texts of the row's labels (ours).
    ``positive_order``: ``score`` puts a row's best positive first, which is what ceilings are measured by; ``given``
    leaves the order as it came (ours).
    ``max_relative_score``: a negative's score is at most this share of the positive's. Ours, after NV-Retriever's
    TopK-PercPos (arXiv 2407.15831), which found 0.95 best; KaLM has none. None: off.
    ``relative_to``: the positive that ``max_relative_score`` and ``min_margin`` are measured by: ``best``, ``first``
    (as the row came) or ``least``.
    ``min_margin``: a negative scores at least this much less (cosine) than that positive. None: off.
    ``max_score``: a negative scores at most this (cosine); labelled rows know it too. None: off.
    ``min_score``: a negative scores at least this (cosine); labelled rows know it too. None: off.
    ``max_given``: given negatives of a row that are kept; None: as many as ``num_negatives``.
    ``given_choice``: which ones: the ``first``, the ``hardest``, or a seeded ``draw``.
    ``within_language``: positives and negatives are of the row's language, where both are known (ours).
    ``balance_classes``: negatives of a labelled row are spread over classes, nearest first (ours).
    ``balance_depth``: how many of the nearest texts of other classes they are spread over.
    ``fold_labels``: labels that differ in case, width or spaces alone are one.
    ``seed``: seed of everything that is drawn.
    """

    num_negatives: int = 7
    rank_range: tuple[int, int] = (50, 100)
    labelled_rank_range: tuple[int, int] = (0, 50)
    sampling: Literal["draw", "top"] = "draw"
    consistency_rank: int | None = 50
    num_positives: int = 1
    class_pool: int = 200
    positive_order: Literal["score", "given"] = "score"
    max_relative_score: float | None = 0.95
    relative_to: Literal["best", "first", "least"] = "best"
    min_margin: float | None = None
    max_score: float | None = None
    min_score: float | None = None
    max_given: int | None = None
    given_choice: Literal["first", "hardest", "draw"] = "first"
    within_language: bool = True
    balance_classes: bool = False
    balance_depth: int = 1000
    fold_labels: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _check_least("num_negatives", self.num_negatives, 0)
        for name in ("num_positives", "class_pool", "balance_depth"):
            _check_least(name, getattr(self, name), 1)
        _check_least("max_given", self.max_given, 0)
        _check_least("consistency_rank", self.consistency_rank, 0)
        for name in ("rank_range", "labelled_rank_range"):
            _check_range(name, getattr(self, name), self.num_negatives)
        _check_number("max_relative_score", self.max_relative_score, 0, 1, open_below=True)
        _check_number("min_margin", self.min_margin, 0, 2)
        for name in ("max_score", "min_score"):
            _check_number(name, getattr(self, name), -1, 1)
        for name, words in _CHOICES.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(words)}")
        if self.max_score is not None and self.min_score is not None and self.max_score < self.min_score:
            raise ValueError(
                f"max_score={self.max_score} is below min_score={self.min_score}: no passage could be a negative"
            )
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"seed={self.seed} must be a whole number in [0, 2^64)")

    @property
    def unjudged(self) -> "MiningParams":
        """For rows that the teacher cannot judge: no rank is a reason to drop a positive and no positive a ceiling."""
        return MiningParams(**vars(self) | _UNJUDGED)

    @property
    def given_limit(self) -> int:
        """How many given negatives a row keeps at most."""
        return self.num_negatives if self.max_given is None else min(self.max_given, self.num_negatives)


_UNJUDGED: dict[str, Any] = {
    "consistency_rank": None,
    "max_relative_score": None,
    "min_margin": None,
    "positive_order": "given",
}
_CHOICES = {
    "sampling": ("draw", "top"),
    "positive_order": ("score", "given"),
    "relative_to": ("best", "first", "least"),
    "given_choice": ("first", "hardest", "draw"),
}

#: Named sets of parameters, as values of ``MiningParams``. ``kalm``: as KaLM-Embedding-V2 does it; ``nv-retriever``:
#: TopK-PercPos at 0.95; ``top``: the nearest passages that are no positives, what most people take; ``strict``: few
#: false negatives before all.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "kalm": {"rank_range": (50, 100), "num_negatives": 7, "consistency_rank": 50, "max_relative_score": None},
    "nv-retriever": {
        "rank_range": (0, 50),
        "sampling": "top",
        "consistency_rank": None,
        "max_relative_score": 0.95,
    },
    "top": {"rank_range": (0, 50), "sampling": "top", "consistency_rank": None, "max_relative_score": None},
    "strict": {"rank_range": (50, 100), "consistency_rank": 20, "max_relative_score": 0.9, "relative_to": "least"},
}


def _check_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"{name}={value} must be at least {least}")


def _check_number(name: str, value: float | None, low: float, high: float, *, open_below: bool = False) -> None:
    if value is None:
        return
    if not (math.isfinite(value) and low <= value <= high) or (open_below and value == low):
        raise ValueError(
            f"{name}={value} must be in {'(' if open_below else '['}{low}, {high}], or None to turn it off"
        )


def _check_range(name: str, rank_range: tuple[int, int], num_negatives: int) -> None:
    start, end = rank_range
    if not 0 <= start < end:
        raise ValueError(f"{name}={rank_range} must be (start, end) with 0 <= start < end")
    if end - start < num_negatives:
        raise ValueError(f"{name}={rank_range} holds fewer ranks than num_negatives={num_negatives}: widen it")


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
