import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.encoder import normalise
from mining.fixed_point import (
    exact_pair_scores,
    exact_scores,
    from_cosine,
    pack_vectors,
    quantise,
    to_cosine,
    unpack_vectors,
)
from schemas.vectors import SCALE


def unit_vectors(num, dims, seed=0):
    return normalise(np.random.default_rng(seed).normal(size=(num, dims)))


def python_scores(queries, passages):
    """Inner products by Python's own integers, which cannot round."""
    return [[sum(int(a) * int(b) for a, b in zip(q, p, strict=True)) for p in passages] for q in queries]


@settings(deadline=None)
@given(dims=st.integers(1, 900), seed=st.integers(0, 1000))
def test_rounding_stays_within_the_stated_bounds(dims, seed):
    vectors = unit_vectors(4, dims, seed)
    fixed = quantise(vectors)
    assert np.abs(fixed / SCALE - vectors).max() <= 0.5 / SCALE + 1e-9
    error = np.sqrt(dims) / (2 * SCALE)
    difference = to_cosine(exact_scores(fixed, fixed)) - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert np.abs(difference).max() <= 2 * error + error**2 + 1e-6


@pytest.mark.parametrize("dims", [1, 7, 384, 4096])
def test_scores_are_the_integers_even_at_the_largest_values(dims):
    generator = np.random.default_rng(1)
    queries = generator.integers(-SCALE, SCALE + 1, size=(3, dims), dtype=np.int16)
    passages = np.concatenate([generator.integers(-SCALE, SCALE + 1, size=(4, dims), dtype=np.int16), queries[:1]])
    queries[1], passages[1] = SCALE, SCALE  # the largest sum there is: dims * 32767^2
    passages[2] = -SCALE
    assert exact_scores(queries, passages).tolist() == python_scores(queries, passages)


def test_scores_do_not_depend_on_the_order_of_components_while_float32_scores_do():
    fixed = quantise(unit_vectors(200, 384))
    order = np.random.default_rng(2).permutation(384)
    assert (exact_scores(fixed, fixed) == exact_scores(fixed[:, order], fixed[:, order])).all()
    floats, permuted = fixed.astype(np.float32), fixed[:, order].astype(np.float32)
    assert (floats @ floats.T != permuted @ permuted.T).any()


def test_pair_scores_are_entries_of_the_full_product_across_blocks():
    passages, queries = quantise(unit_vectors(300, 64)), quantise(unit_vectors(2500, 64, seed=1))
    rows = np.random.default_rng(3).integers(0, 300, size=(2500, 50))
    expected = np.take_along_axis(exact_scores(queries, passages), rows, axis=1)
    assert (exact_pair_scores(queries, passages, rows) == expected).all()


def test_pair_scores_of_no_pairs():
    fixed = quantise(unit_vectors(3, 8))
    assert exact_pair_scores(fixed[:0], fixed, np.empty((0, 1), np.int64)).shape == (0, 1)
    assert exact_pair_scores(fixed, fixed, np.empty((3, 0), np.int64)).shape == (3, 0)


def test_cosines_go_both_ways():
    assert to_cosine(np.array([SCALE * SCALE, 0, -SCALE * SCALE])).tolist() == [1.0, 0.0, -1.0]
    assert from_cosine(1.0) == SCALE * SCALE


def test_vectors_survive_packing_also_as_slices_and_chunks():
    fixed = quantise(unit_vectors(10, 5))
    packed = pack_vectors(fixed)
    assert packed.type == pa.binary(10)
    assert (unpack_vectors(packed) == fixed).all()
    assert (unpack_vectors(packed.slice(3, 4)) == fixed[3:7]).all()
    assert (unpack_vectors(pa.chunked_array([packed.slice(0, 6), packed.slice(6)])) == fixed).all()
    assert unpack_vectors(packed.slice(0, 0)).shape == (0, 5)


def test_packing_is_little_endian():
    assert pack_vectors(np.array([[1, -2]], dtype=np.int16))[0].as_py() == b"\x01\x00\xfe\xff"


@pytest.mark.parametrize("vector", [[0.5, 0.5], [0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0]])
def test_vectors_that_are_not_of_length_one_are_refused(vector):
    with pytest.raises(ValueError, match=r"vector 1 of 2 .* off from 1"):
        quantise(np.array([[1.0, 0.0], vector], dtype=np.float32))


@pytest.mark.parametrize("column", [pa.array([b"ab", None], pa.binary(2)), pa.array([b"abc"], pa.binary(3))])
def test_columns_that_hold_no_vectors_are_refused(column):
    with pytest.raises(ValueError, match="fixed-size binary"):
        unpack_vectors(column)


def test_vectors_of_two_teachers_are_refused():
    with pytest.raises(ValueError, match="384 and passages of 512 dimensions"):
        exact_scores(np.zeros((1, 384), np.int16), np.zeros((1, 512), np.int16))
