"""Which candidates become positives and negatives. One rule per function, over the arrays of one query.

A *candidate* is a passage that was retrieved for the query or asked for by name. ``scores`` are integer scores
(``mining.fixed_point``). A *pool* is the part of the retrieved list that negatives are counted in, best first: for a
row without a label, every retrieved passage but the query's own text; for a labelled row, of those only the ones of
other classes. Ranks are 0-based.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from mining.fixed_point import Scores, from_cosine

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

#: The rank of a negative that came with the row.
GIVEN_RANK = -1


@dataclass(frozen=True, kw_only=True)
class MiningParams:
    """The numbers of mining. Source: KaLM-Embedding-V2 (arXiv 2506.20923) and its code, where not marked as ours.

    num_negatives
        7 per example, given ones included.
    rank_range
        Ranks [50, 100) of the retrieved list, from which negatives are drawn at random.
    labelled_rank_range
        The same for labelled rows, counted among texts of other classes, however far down the list these begin. Ours:
        the label already says which texts are not negatives, so the hardest are taken.
    consistency_rank
        A row is dropped when its best positive scores below the entry at this index of the list. None: no filter.
    top_k
        Length of the retrieved list. What lies beyond ``rank_range`` serves rows that the window leaves short.
    num_positives
        Positives drawn for a labelled row.
    max_relative_score
        A mined negative's score is at most this share of the best positive's. Ours, after NV-Retriever's TopK-PercPos
        (arXiv 2407.15831), which found 0.95 best; KaLM has none. None: off.
    min_margin
        A mined negative scores at least this much less (cosine) than the best positive. None: off.
    max_score
        A mined negative scores at most this (cosine); the only ceiling that labelled rows know. None: off.
    seed
        Seed of everything that is drawn.
    """

    num_negatives: int = 7
    rank_range: tuple[int, int] = (50, 100)
    labelled_rank_range: tuple[int, int] = (0, 50)
    consistency_rank: int | None = 50
    top_k: int = 200
    num_positives: int = 1
    max_relative_score: float | None = 0.95
    min_margin: float | None = None
    max_score: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_negatives < 0 or self.num_positives < 1:
            raise ValueError(
                f"num_negatives={self.num_negatives} must be at least 0 and num_positives={self.num_positives} at "
                "least 1"
            )
        for name in ("rank_range", "labelled_rank_range"):
            _check_range(name, getattr(self, name), self.num_negatives, self.top_k)
        if self.consistency_rank is not None and not 0 <= self.consistency_rank < self.top_k:
            raise ValueError(
                f"consistency_rank={self.consistency_rank} must be at least 0 and below top_k={self.top_k}, or the "
                "entry it compares with is never retrieved"
            )
        if self.max_relative_score is not None and not 0 < self.max_relative_score <= 1:
            raise ValueError(f"max_relative_score={self.max_relative_score} must be in (0, 1], or None to turn it off")
        if not 0 <= self.seed < 1 << 64:
            raise ValueError(f"seed={self.seed} must be a whole number in [0, 2^64)")


def _check_range(name: str, rank_range: tuple[int, int], num_negatives: int, top_k: int) -> None:
    start, end = rank_range
    if not 0 <= start < end < top_k:
        raise ValueError(
            f"{name}={rank_range} must be (start, end) with 0 <= start < end < top_k={top_k}; ranks beyond top_k "
            "are never retrieved, and one more is needed where the query's own text stands in the list: raise top_k"
        )
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


def consistent(best_positive: int, pool_scores: Scores, consistency_rank: int | None) -> bool:
    """Whether the best positive scores no lower than the entry at ``consistency_rank``; a shorter pool asks nothing."""
    if consistency_rank is None or len(pool_scores) <= consistency_rank:
        return True
    return bool(best_positive >= pool_scores[consistency_rank])


def rank_of(score: int, pool_scores: Scores) -> int:
    """The 0-based rank a score takes in a pool in descending order: the number of entries above it."""
    return int(np.count_nonzero(pool_scores > score))


def below_ceilings(scores: Scores, best_positive: int | None, params: MiningParams) -> Mask:
    """Candidates low enough to be negatives. Without a ``best_positive`` (labelled rows) only ``max_score`` applies.

    A positive below 0 has no share to speak of; then ``max_relative_score`` asks for less than the positive itself.
    """
    ceiling = np.inf if params.max_score is None else from_cosine(params.max_score)
    if best_positive is not None and params.max_relative_score is not None:
        ceiling = min(ceiling, best_positive * params.max_relative_score if best_positive > 0 else best_positive - 1)
    if best_positive is not None and params.min_margin is not None:
        ceiling = min(ceiling, best_positive - from_cosine(params.min_margin))
    return scores <= ceiling


def same_cluster(clusters: Codes, of: Codes) -> Mask:
    """Candidates in a near-duplicate cluster of any text in ``of``; -1 stands for no cluster and is in none."""
    mask: Mask = (clusters >= 0) & (clusters[:, None] == of[None, :]).any(axis=1)
    return mask


def choose_negatives(eligible: Mask, rank_range: tuple[int, int], num: int, keys: npt.NDArray[np.uint64]) -> Codes:
    """Ranks of up to ``num`` eligible pool entries, ascending: those of the range with the smallest ``keys``, one per
    rank.

    Where the range holds too few, the list is used deeper: the next eligible ranks beyond its end. Never above its
    start.
    """
    start, end = rank_range
    inside = np.flatnonzero(eligible[start:end])
    if len(inside) > num:
        inside = np.sort(inside[np.argsort(keys[inside], kind="stable")[:num]])
    deeper = np.flatnonzero(eligible[end:])[: num - len(inside)]
    return np.append(start + inside, end + deeper).astype(np.int64)


def choose_given(given: Codes, forbidden: Codes, num: int) -> Codes:
    """The first ``num`` distinct given negatives in their own order, without those in ``forbidden``."""
    distinct = dict.fromkeys(given.tolist())
    allowed = np.array([code for code in distinct if code not in set(forbidden.tolist())], dtype=np.int64)
    return allowed[:num]


def choose_positives(near: Mask, beyond: Mask, keys: npt.NDArray[np.uint64], num: int) -> Codes:
    """Positions of up to ``num`` texts of a row's class, those with the smallest keys.

    Texts from ``beyond`` the retrieved list come after those in it, and near-duplicates of the query, which teach
    nothing, after all others.
    """
    return np.lexsort((keys, beyond, near))[:num].astype(np.int64)


def draw_keys(query_id: bytes, text_hashes: list[bytes], seed: int) -> npt.NDArray[np.uint64]:
    """A random but fixed key for each candidate: xxh3-64 of (query id, text hash) under the seed, never of arrival."""
    return np.array([xxhash.xxh3_64_intdigest(query_id + text, seed=seed) for text in text_hashes], dtype=np.uint64)
