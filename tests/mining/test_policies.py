import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.draws import draw_key
from mining.fixed_point import from_cosine
from mining.params import MiningParams
from mining.policies import (
    NO_CEILING,
    balanced,
    ceiling,
    choose_given,
    choose_negatives,
    choose_positives,
    choose_random,
    consistent,
    draw_keys,
    floor,
    rank_of,
    window,
)
from mining.pools import ceilings

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
    ("score", "rank", "expected"),
    [(70, 2, True), (69, 2, False), (70, 3, True), (59, 4, False), (1, 5, True), (1, None, True)],
)
def test_consistency_compares_each_positive_with_the_entry_at_the_rank(score, rank, expected):
    assert consistent(ranks(score, 95), SCORES, rank).tolist() == [expected, True]


@pytest.mark.parametrize(("score", "rank"), [(95, 0), (90, 0), (75, 2), (70, 2), (1, 5)])
def test_rank_counts_the_entries_above(score, rank):
    assert rank_of(score, SCORES) == rank


@pytest.mark.parametrize(
    ("ceilings", "positives", "expected"),
    [
        ({"max_relative_score": None}, [0.8], None),
        ({"max_relative_score": 0.95}, [0.8], 0.76),
        ({"max_relative_score": 0.5}, [0.2, 0.8, 0.4], 0.4),
        ({"max_relative_score": 0.5, "relative_to": "first"}, [0.2, 0.8, 0.4], 0.1),
        ({"max_relative_score": 0.5, "relative_to": "least"}, [0.6, 0.8, 0.4], 0.2),
        ({"max_relative_score": None, "min_margin": 0.2}, [0.8], 0.6),
        ({"max_relative_score": None, "max_score": 0.7}, [0.9], 0.7),
        ({"max_score": 0.6, "min_margin": 0.0}, [0.9], 0.6),
        ({"max_relative_score": 0.95}, [], None),
        ({"max_score": 0.7, "min_margin": 0.5}, [], 0.7),
    ],
)
def test_the_lowest_ceiling_holds(ceilings, positives, expected):
    scores = np.array([from_cosine(cosine) for cosine in positives]).astype(np.int64)
    found = ceiling(scores, MiningParams(**ceilings))
    assert found == NO_CEILING if expected is None else abs(found - from_cosine(expected)) <= 1


def test_below_a_positive_under_zero_nothing_above_it_passes():
    assert ceiling(ranks(-10), MiningParams()) == -11


def test_a_floor_is_a_whole_score():
    assert floor(MiningParams()) == -NO_CEILING
    assert floor(MiningParams(min_score=0.25)) == -(-(32767**2) // 4)


def test_given_negatives_are_the_first_the_hardest_or_drawn():
    scores, allowed = ranks(5, 9, 1, 7), np.array([True, True, False, True])
    keys = np.array([3, 2, 0, 1], dtype=np.uint64)
    assert choose_given(scores, allowed, 2, "first").tolist() == [0, 1]
    assert choose_given(scores, allowed, 2, "hardest").tolist() == [1, 3]
    assert choose_given(scores, allowed, 1, "draw", keys).tolist() == [3]
    assert choose_given(scores, allowed, 9, "first").tolist() == [0, 1, 3]


def test_a_row_is_filled_up_by_the_smallest_keys_of_what_is_allowed():
    keys = np.array([5, 1, 3, 0, 4], np.uint64)
    allowed = np.array([True, True, True, False, True])
    assert choose_random(allowed, 3, keys).tolist() == [1, 2, 4]
    assert choose_random(allowed, 9, keys).tolist() == [1, 2, 4, 0]
    assert choose_random(allowed, 0, keys).tolist() == []


def test_balanced_takes_one_of_each_class_in_turn():
    assert balanced(ranks(7, 7, 7, 3, 7, 3, 5), 4).tolist() == [0, 1, 3, 6]
    assert balanced(ranks(), 4).tolist() == []


def test_positives_share_most_labels_and_are_drawn_among_equals():
    keys = np.array([0, 0, 9, 4], dtype=np.uint64)
    assert choose_positives(ranks(5, 2, 0, 0), keys, 4).tolist() == [3, 2, 1, 0]
    assert choose_positives(ranks(5), keys[:1], 1).tolist() == [0]


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
    above = np.flatnonzero(eligible[:start])[::-1]
    assert eligible[chosen].all()
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) == min(num, len(inside) + len(deeper) + len(above))
    if len(inside) >= num:
        best = sorted(inside.tolist(), key=lambda rank: keys[rank - start])[:num]
        assert chosen.tolist() == sorted(best)
    else:
        order = [*inside.tolist(), *deeper.tolist(), *above.tolist()]
        assert chosen.tolist() == sorted(order[:num])


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
        ({"class_pool": 0}, "class_pool=0"),
        ({"max_given": -1}, "max_given=-1"),
        ({"rank_range": (100, 50)}, r"rank_range=\(100, 50\)"),
        ({"labelled_rank_range": (0, 3)}, "holds fewer ranks than num_negatives=7"),
        ({"consistency_rank": -1}, "consistency_rank=-1"),
        ({"max_relative_score": 0.0}, "max_relative_score=0.0"),
        ({"max_relative_score": math.nan}, "max_relative_score=nan"),
        ({"max_score": math.nan}, "max_score=nan"),
        ({"max_score": math.inf}, "max_score=inf"),
        ({"min_score": -2.0}, "min_score=-2.0"),
        ({"min_margin": -1.0}, "min_margin=-1.0"),
        ({"max_score": 0.1, "min_score": 0.2}, "no passage could be a negative"),
        ({"sampling": "best"}, "sampling='best'"),
        ({"relative_to": "last"}, "relative_to='last'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        MiningParams(**wrong)


def test_rows_that_the_teacher_cannot_judge_keep_what_is_not_about_its_ranks():
    unjudged = MiningParams(max_score=0.5, seed=3).unjudged
    assert (unjudged.consistency_rank, unjudged.max_relative_score, unjudged.min_margin) == (None, None, None)
    assert (unjudged.max_score, unjudged.seed) == (0.5, 3)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.integers(0, 2**64 - 1))
def test_compiled_draws_are_those_of_the_library(row, text, seed):
    words = (np.frombuffer(value, "<u8") for value in (row, text))
    assert int(draw_key(*words, np.uint64(seed))) == int(draw_keys(row, [text], seed)[0])


@given(
    st.lists(st.lists(st.integers(-(10**9), 10**9), max_size=3), max_size=5),
    st.sampled_from([None, 0.5, 0.95, 1.0]),
    st.sampled_from(["best", "first", "least"]),
    st.sampled_from([None, 0.0, 0.1]),
    st.sampled_from([None, -0.5, 0.4]),
)
def test_ceilings_of_many_rows_are_those_of_each(rows, relative, relative_to, margin, highest):
    params = MiningParams(max_relative_score=relative, relative_to=relative_to, min_margin=margin, max_score=highest)
    bounds = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int64)
    scores = np.array([score for row in rows for score in row], np.int64)
    expected = [ceiling(np.array(row, np.int64), params) for row in rows]
    assert ceilings(scores, bounds, params).tolist() == expected
