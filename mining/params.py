"""The numbers of mining: which candidates become positives and negatives."""

import math
from dataclasses import dataclass
from typing import Any, Literal


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
    ``random_fill``: whether a row that lacks negatives gets passages of its dataset by a seeded draw, whatever they
    score, marked by a rank of their own; never what another rule than one about scores refuses (ours).
    ``max_given``: given negatives of a row that are kept; None: as many as ``num_negatives``.
    ``given_choice``: which ones: the ``first``, the ``hardest``, or a seeded ``draw``.
    ``within_language``: positives and negatives are of the row's language, where both are known (ours).
    ``balance_classes``: negatives of a labelled row are spread over classes, nearest first (ours).
    ``balance_depth``: how many of the nearest texts of other classes they are spread over.
    ``fold_labels``: labels that differ in case, width or spaces alone are one.
    ``cross_encoder``: a sentence-transformers CrossEncoder's path or id, asked about what the other rules chose for a
    row with positives; what it takes for an answer is no negative (ours, after RocketQA, arXiv 2010.08191). None: off.
    ``max_cross_score``: how likely such a negative may be, at most, as a share of the positive that ``relative_to``
    names; likely is the sigmoid of the model's score.
    ``cross_margin``: so many more candidates are at hand for what it refuses.
    ``cross_max_tokens``: tokens of a pair that are read.
    ``cross_pickled_weights``: whether its weights may be a pickle.
    ``index``: ``exact`` looks at every passage, ``ivf`` only at those in the cells nearest to a question, whose scores
    are exact, and ``auto`` does so in large pool shards.
    ``ivf_above``: passages of a pool shard from which on ``auto`` means cells.
    ``ivf_recall``: share of the nearest passages of an exact search that is found at least; as many cells are looked at
    as that takes.
    ``ivf_sample``: rows of the run that this is measured on.
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
    random_fill: bool = False
    max_given: int | None = None
    given_choice: Literal["first", "hardest", "draw"] = "first"
    within_language: bool = True
    balance_classes: bool = False
    balance_depth: int = 1000
    fold_labels: bool = False
    cross_encoder: str | None = None
    max_cross_score: float = 0.5
    cross_margin: int = 50
    cross_max_tokens: int = 512
    cross_pickled_weights: bool = False
    index: Literal["exact", "ivf", "auto"] = "exact"
    ivf_above: int = 200_000
    ivf_recall: float = 0.98
    ivf_sample: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        _check_least("num_negatives", self.num_negatives, 0)
        for name in ("num_positives", "class_pool", "balance_depth"):
            _check_least(name, getattr(self, name), 1)
        _check_least("max_given", self.max_given, 0)
        _check_least("cross_margin", self.cross_margin, 0)
        _check_least("ivf_above", self.ivf_above, 0)
        _check_least("ivf_sample", self.ivf_sample, 1)
        _check_number("ivf_recall", self.ivf_recall, 0, 1, open_below=True)
        _check_least("cross_max_tokens", self.cross_max_tokens, 8)
        _check_least("consistency_rank", self.consistency_rank, 0)
        for name in ("rank_range", "labelled_rank_range"):
            _check_range(name, getattr(self, name), self.num_negatives)
        _check_number("max_relative_score", self.max_relative_score, 0, 1, open_below=True)
        _check_number("max_cross_score", self.max_cross_score, 0, 1, open_below=True)
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
    "index": ("exact", "ivf", "auto"),
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
