"""Similarity of sets and of rows against Python's own sets."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.duplicates.jaccard import field_sets, jaccard, resemblance, shingles_of
from transforms.duplicates.params import MinHashParams

SETS = st.sets(st.integers(0, 60), max_size=40)


def plain(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def array(values: set[int]) -> np.ndarray:
    return np.array(sorted(values), np.uint64)


@settings(deadline=None)
@given(SETS, SETS, st.sampled_from([0.01, 0.3, 0.5, 0.8, 1.0]))
def test_jaccard_is_exact_or_zero(one: set[int], other: set[int], floor: float) -> None:
    expected = plain(one, other)
    assert jaccard(array(one), array(other), floor) == pytest.approx(expected if expected >= floor else 0.0)


@pytest.mark.parametrize("similarity", [0.3, 0.6, 0.79, 0.8, 0.81, 0.95])
def test_ending_early_loses_no_pair_above_the_floor(similarity: float) -> None:
    generator, size = np.random.default_rng(3), 900
    shared = int(np.ceil(2 * size * similarity / (1 + similarity)))
    for _ in range(300):
        values = np.unique(generator.integers(0, 2**63, 2 * size - shared, dtype=np.uint64))
        generator.shuffle(values)
        one, other = np.sort(values[:size]), np.sort(values[size - shared :])
        expected = shared / (2 * size - shared)
        assert jaccard(one, other, 0.8) == pytest.approx(expected if expected >= 0.8 else 0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.text("abcde", max_size=12)] * 2), min_size=2, max_size=2), st.integers(1, 4))
def test_rows_resemble_each_other_by_their_least_field(rows: list[tuple[str, str]], min_shingles: int) -> None:
    params = MinHashParams(shingle_size=2, min_shingles=min_shingles)
    sets = field_sets([pa.array(field, pa.large_string()) for field in zip(*rows, strict=True)], params)
    least = 1.0
    for one, other in zip(*rows, strict=True):
        left, right = ({text[i : i + 2] for i in range(len(text) - 1)} for text in (one, other))
        if one != other:
            enough = min(len(left), len(right)) >= min_shingles
            least = min(least, len(left & right) / max(len(left | right), 1) if enough else 0.0)
    assert resemblance(sets, 0, 1, 0.5) == pytest.approx(least if least >= 0.5 else 0.0)
    distinct = {text[i : i + 2] for text in rows[0] for i in range(len(text) - 1)}
    found = shingles_of(sets, 0)
    assert len(found) == len(distinct)
    assert (np.diff(found.astype(object)) > 0).all()
