"""Paired comparison of two ways over the same seeds and the same queries.

Letters: S seeds, I items (queries, or pairs of sentences), R resamples. ``values_SI`` are per-item values whose mean is
the measure; for Spearman's correlation those are the products of standardised ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_RESAMPLES = 1000
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``mean`` of one less other; ``spread``: standard deviation over seeds of the paired difference; ``low``,
    ``high``: 95 % of the bootstrap over seeds and items (percentiles; Efron 1979).
    """

    mean: float
    spread: float
    low: float
    high: float

    @property
    def seen(self) -> bool:
        """Whether a difference was seen: above the spread of seeds, and the interval does not hold 0."""
        return abs(self.mean) > self.spread and not self.low <= 0 <= self.high

    def told(self) -> str:
        """As a cell of a table, times 100."""
        interval = f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"**{interval}**" if self.seen else f"{interval} no difference seen"


def difference(ones_SI: Sequence[Floats], others_SI: Sequence[Floats], seed: int = 0) -> Difference:
    """The mean over several sets of one way less another, each set weighing the same.

    Raises ValueError where two sides were not measured on the same seeds and items.
    """
    if [each.shape for each in ones_SI] != [each.shape for each in others_SI] or not ones_SI:
        raise ValueError("both sides need the same sets, seeds and items")
    apart = [one - other for one, other in zip(ones_SI, others_SI, strict=True)]
    by_seed_S = np.mean([each.mean(1) for each in apart], axis=0)
    low, high = np.percentile(_resampled(apart, seed), _TAILS)
    spread = float(by_seed_S.std(ddof=1)) if len(by_seed_S) > 1 else 0.0
    return Difference(mean=float(by_seed_S.mean()), spread=spread, low=float(low), high=float(high))


def _resampled(apart: Sequence[Floats], seed: int) -> Floats:
    """Means ``[R]``; seeds are drawn once for all sets of a resample, items for each set."""
    random = np.random.default_rng(seed)
    seeds_RS = random.integers(0, len(apart[0]), (_RESAMPLES, len(apart[0])))
    means = np.zeros(_RESAMPLES)
    for values_SI in apart:
        for resample, seeds_S in enumerate(seeds_RS):
            items_I = random.integers(0, values_SI.shape[1], values_SI.shape[1])
            means[resample] += values_SI[seeds_S].mean(0)[items_I].mean() / len(apart)
    return means
