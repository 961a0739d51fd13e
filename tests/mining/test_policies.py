import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.fixed_point import from_cosine
from mining.policies import (
    MiningParams,
    below_ceilings,
    choose_given,
    choose_negatives,
    choose_positives,
    consistent,
    draw_keys,
    rank_of,
    same_cluster,
    window,
)

SCORES = np.array([90, 80, 70, 70, 60])


def ranks(*values):
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("pool_size", "expected"),
    [
        (1000, (50, 100)),
        (100, (50, 100)),
        (99, (49, 99)),
        (40, (20, 40)),
        (14, (7, 14)),
        (10, (3, 10)),
        (7, (0, 7)),
        (3, (0, 3)),
        (0, (0, 0)),
    ],
)
def test_the_window_shrinks_with_the_pool(pool_size, expected):
    assert window(pool_size, (50, 100), 7) == expected


@given(pool_size=st.integers(0, 300), start=st.integers(0, 80), width=st.integers(7, 60))
def test_a_window_lies_in_its_pool_and_holds_as_many_as_wanted_where_the_pool_does(pool_size, start, width):
    first, end = window(pool_size, (start, start + width), 7)
    assert 0 <= first <= end <= pool_size
    assert end - first >= min(7, pool_size)
    assert first <= start


@pytest.mark.parametrize(
    ("best", "rank", "expected"),
    [(70, 2, True), (69, 2, False), (70, 3, True), (59, 4, False), (1, 5, True), (1, None, True)],
)
def test_consistency_compares_with_the_entry_at_the_rank(best, rank, expected):
    assert consistent(best, SCORES, rank) is expected


@pytest.mark.parametrize(("score", "rank"), [(95, 0), (90, 0), (75, 2), (70, 2), (1, 5)])
def test_rank_counts_the_entries_above(score, rank):
    assert rank_of(score, SCORES) == rank


@pytest.mark.parametrize(
    ("ceilings", "best", "expected"),
    [
        ({"max_relative_score": None}, 0.8, [True, True, True, True]),
        ({"max_relative_score": 0.95}, 0.8, [False, False, True, True]),
        ({"max_relative_score": None, "min_margin": 0.2}, 0.8, [False, False, False, True]),
        ({"max_relative_score": None, "max_score": 0.8}, 0.9, [False, True, True, True]),
        ({"max_score": 0.6, "min_margin": 0.0}, 0.9, [False, False, False, True]),
        ({"max_relative_score": 0.95}, None, [True, True, True, True]),
        ({"max_score": 0.7, "min_margin": 0.5}, None, [False, False, True, True]),
    ],
)
def test_ceilings(ceilings, best, expected):
    scores = np.array([from_cosine(cosine) for cosine in (0.9, 0.8, 0.7, 0.5)]).astype(np.int64)
    positive = None if best is None else int(from_cosine(best))
    assert below_ceilings(scores, positive, MiningParams(**ceilings)).tolist() == expected


def test_below_a_positive_under_zero_nothing_above_it_passes():
    assert below_ceilings(ranks(-5, -10, -11, -100), -10, MiningParams()).tolist() == [False, False, True, True]


def test_no_cluster_is_nobodys_cluster():
    assert same_cluster(ranks(-1, 3, 4), ranks(-1, 4)).tolist() == [False, False, True]


def test_given_negatives_keep_their_order_and_lose_repeats_and_positives():
    assert choose_given(ranks(5, 2, 5, 9, 1), ranks(9), 7).tolist() == [5, 2, 1]
    assert choose_given(ranks(5, 2, 1), ranks(), 2).tolist() == [5, 2]


def test_positives_come_from_the_list_first_and_from_near_duplicates_last():
    near = np.array([True, False, False, False])
    beyond = np.array([False, True, False, False])
    keys = np.array([0, 0, 9, 4], dtype=np.uint64)
    assert choose_positives(near, beyond, keys, 4).tolist() == [3, 2, 1, 0]
    assert choose_positives(near[:1], beyond[:1], keys[:1], 1).tolist() == [0]


@settings(deadline=None)
@given(
    eligible=st.lists(st.booleans(), max_size=200).map(lambda bits: np.array(bits, dtype=bool)),
    num=st.integers(0, 9),
    seed=st.integers(0, 5),
)
def test_negatives_are_drawn_in_the_window_and_then_deeper(eligible, num, seed):
    start, end = window(len(eligible), (50, 100), num)
    keys = np.random.default_rng(seed).integers(0, 1 << 63, size=end - start).astype(np.uint64)
    chosen = choose_negatives(eligible, (start, end), num, keys)
    inside, deeper = np.flatnonzero(eligible[start:end]) + start, np.flatnonzero(eligible[end:]) + end
    assert eligible[chosen].all()
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) == min(num, len(inside) + len(deeper))
    if len(inside) >= num:
        best = sorted(inside.tolist(), key=lambda rank: keys[rank - start])[:num]
        assert chosen.tolist() == sorted(best)
    else:
        assert chosen.tolist() == [*inside.tolist(), *deeper[: num - len(inside)].tolist()]


def test_keys_follow_the_text_the_row_and_the_seed_and_nothing_else():
    texts = [bytes([number]) * 16 for number in range(50)]
    keys = draw_keys(b"q" * 16, texts, 0)
    assert (draw_keys(b"q" * 16, texts[::-1], 0) == keys[::-1]).all()
    assert (draw_keys(b"r" * 16, texts, 0) != keys).all()
    assert (draw_keys(b"q" * 16, texts, 1) != keys).all()


def test_draws_by_key_are_even():
    texts = [bytes([number]) * 16 for number in range(50)]
    eligible = np.ones(50, dtype=bool)
    counts = np.zeros(50)
    for query in range(2000):
        counts[choose_negatives(eligible, (0, 50), 7, draw_keys(query.to_bytes(16, "big"), texts, 0))] += 1
    expected = 2000 * 7 / 50
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_negatives": -1}, "num_negatives=-1"),
        ({"num_positives": 0}, "num_positives=0"),
        ({"rank_range": (100, 50)}, r"rank_range=\(100, 50\)"),
        ({"rank_range": (50, 200)}, "raise top_k"),
        ({"labelled_rank_range": (0, 3)}, "holds fewer ranks than num_negatives=7"),
        ({"consistency_rank": 200}, "consistency_rank=200"),
        ({"max_relative_score": 0.0}, "max_relative_score=0.0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        MiningParams(**wrong)
