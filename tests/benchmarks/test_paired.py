"""A paired comparison sees what is there in every seed and most queries, and nothing else."""

import numpy as np
import pytest

from benchmarks._paired import difference


def draws(mean: float, deviation: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, deviation, (5, 200))


def test_a_difference_in_all_queries_is_seen_and_bold():
    base = draws(0.5, 0.2, 0)
    found = difference([base + 0.05 + draws(0, 0.02, 1)], [base])
    assert found.mean == pytest.approx(0.05, abs=0.005)
    assert found.low < found.mean < found.high
    assert found.seen
    assert found.told().startswith("**+4.9 [")


def test_chance_is_no_difference_seen():
    found = difference([draws(0.5, 0.2, 0)], [draws(0.5, 0.2, 1)])
    assert not found.seen
    assert found.told().endswith("no difference seen")


def test_a_difference_below_the_spread_of_seeds_is_not_seen():
    base = draws(0.5, 0.0, 0)
    by_seed = np.array([0.3, -0.2, 0.25, -0.1, 0.2])[:, None]
    found = difference([base + by_seed], [base])
    assert found.spread == pytest.approx(by_seed.std(ddof=1))
    assert not found.seen


def test_sets_weigh_the_same_whatever_their_size():
    large, small = np.zeros((2, 1000)), np.zeros((2, 10))
    found = difference([large, small + 0.5], [large, small])
    assert found.mean == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx((0.25, 0.25))


def test_the_bootstrap_is_as_wide_as_the_standard_error():
    """Without a spread of seeds the interval is that of the mean over items, about 1.96 standard errors each way."""
    items = np.random.default_rng(3).normal(0, 1, 400)
    found = difference([np.tile(items, (5, 1))], [np.zeros((5, 400))])
    assert found.high - found.low == pytest.approx(2 * 1.96 * items.std() / 20, rel=0.15)


def test_other_seeds_or_items_are_refused():
    with pytest.raises(ValueError, match="same sets, seeds and items"):
        difference([np.zeros((5, 3))], [np.zeros((5, 4))])
