"""Measures against loops that follow trec_eval's definitions, and against SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainer.metrics import accuracy, rank, retrieval_measures, spearman, v_measure


def brute(scores: list[float], worth: dict[int, int]) -> dict[str, float]:
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], -place))
    gains = [max(worth.get(place, 0), 0) for place in order]
    ideal = sorted((value for value in worth.values() if value > 0), reverse=True)
    total = len(ideal)
    if not total:
        return {"ndcg@10": 0.0, "recall@100": 0.0, "map@1000": 0.0}
    dcg, best = (sum(g / math.log2(i + 2) for i, g in enumerate(each[:10])) for each in (gains, ideal))
    precisions = [sum(g > 0 for g in gains[: i + 1]) / (i + 1) for i, gain in enumerate(gains) if gain]
    recall = sum(g > 0 for g in gains[:100]) / total
    return {"ndcg@10": dcg / best, "recall@100": recall, "map@1000": sum(precisions) / total}


@given(st.lists(st.integers(0, 6), min_size=1, max_size=150), st.dictionaries(st.integers(0, 149), st.integers(-1, 3)))
def test_measures_of_a_query_are_those_of_a_walk_down_its_ranking(scores, worth):
    worth = {place: value for place, value in worth.items() if place < len(scores)}
    ranking = rank(np.array([scores], np.float32))
    assert retrieval_measures(ranking, [worth]) == pytest.approx(brute([float(each) for each in scores], worth))


def test_measures_are_means_over_queries():
    ranking = rank(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]))
    found = retrieval_measures(ranking, [{0: 1}, {1: 1}])
    assert found["ndcg@10"] == pytest.approx((1 + 1 / math.log2(3)) / 2)
    assert found["map@1000"] == pytest.approx(0.75)
    assert found["recall@100"] == 1.0


def test_a_ranking_is_cut_and_of_equal_scores_the_last_comes_first():
    assert rank(np.array([[1.0, 2.0, 2.0, 0.0]]), 3).tolist() == [[2, 1, 0]]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=40))
def test_spearman_is_scipys(pairs):
    one, other = np.array(pairs, float).T
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert spearman(one, other) == 0.0
    else:
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)


def clouds(apart: float) -> tuple[np.ndarray, list[str]]:
    """Forty points of four labels around corners of a cube."""
    labels = [f"label {i % 4}" for i in range(40)]
    centres = np.array([[i % 4 & 1, i % 4 >> 1, 0] for i in range(40)], float) * apart
    return centres + np.random.default_rng(0).normal(0, 0.1, (40, 3)), labels


def test_accuracy_and_v_measure_are_1_for_texts_of_a_label_apart_from_others():
    vectors, labels = clouds(5.0)
    assert accuracy(vectors[:20], labels[:20], vectors[20:], labels[20:]) == 1
    assert v_measure(vectors, labels) == pytest.approx(1)


def test_accuracy_and_v_measure_are_low_for_labels_that_tell_nothing():
    vectors, labels = clouds(0.0)
    assert accuracy(vectors[:20], labels[:20], vectors[20:], labels[20:]) < 0.6
    assert v_measure(vectors, labels) < 0.4
