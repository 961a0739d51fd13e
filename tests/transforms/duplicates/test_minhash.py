"""Signatures against datasketch bit for bit, shingles against plain Python, the S-curve against simulation."""

from itertools import pairwise

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.duplicates.minhash import band_hashes, shingle_sets, signatures, signatures_of_hashes, sort_hashes
from transforms.duplicates.params import MinHashParams
from transforms.flow.kernels import offsets_of

TEXT = st.text(max_size=40)
GOLDEN, WORD = 0x9E3779B97F4A7C15, (1 << 64) - 1


def mix64(value: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = ((value ^ value >> 33) * factor) & WORD
    return value ^ value >> 33


def plain_shingles(text: str, size: int) -> list[int]:
    """One hash for each run of code points, computed from the formula and not rolled."""
    runs = (text[start : start + size] for start in range(len(text) - size + 1))
    return [mix64(sum(ord(c) * GOLDEN ** (size - 1 - k) for k, c in enumerate(run)) & WORD) for run in runs]


def datasketch_signature(hashes: list[int], num_permutations: int, seed: int) -> np.ndarray:
    reference = datasketch.MinHash(
        num_perm=num_permutations, seed=seed, scheme="affine32", hashfunc=lambda value: value
    )
    reference.update_batch(hashes)
    return reference.hashvalues


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=11), max_size=5), st.integers(1, 200), st.integers(0, 2**31)
)
def test_signatures_are_those_of_datasketch(rows: list[list[int]], num_permutations: int, seed: int) -> None:
    params = MinHashParams(num_permutations=num_permutations, seed=seed, bands=1, rows=1)
    flat = np.array([value for row in rows for value in row], np.uint32)
    found = signatures_of_hashes(flat, offsets_of(np.array([len(row) for row in rows], np.int64)), params)
    assert found.dtype == np.uint32
    for row, signature in zip(rows, found, strict=True):
        np.testing.assert_array_equal(signature, datasketch_signature(row, num_permutations, seed))


@settings(deadline=None)
@given(st.lists(TEXT, max_size=4), st.integers(1, 7))
def test_text_signatures_are_datasketchs_of_the_same_shingles(texts: list[str], size: int) -> None:
    found = signatures(pa.array(texts, pa.string()), MinHashParams(shingle_size=size))
    for text, signature in zip(texts, found, strict=True):
        hashes = [value >> 32 for value in plain_shingles(text, size)]
        np.testing.assert_array_equal(signature, datasketch_signature(hashes, 128, 1))


@settings(deadline=None)
@given(st.lists(TEXT, max_size=4), st.integers(1, 7))
def test_shingle_sets_are_the_distinct_runs_of_code_points(texts: list[str], size: int) -> None:
    values, offsets = shingle_sets(pa.array(["before", *texts], pa.large_string()).slice(1), size)
    found = [values[a:b].tolist() for a, b in pairwise(offsets)]
    assert found == [sorted(set(plain_shingles(text, size))) for text in texts]


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(0, WORD), st.integers(0, 9), st.integers(WORD - 9, WORD)), max_size=80))
def test_hashes_are_sorted_however_they_lie(values: list[int]) -> None:
    hashes = np.array(values, np.uint64)
    assert sort_hashes(hashes).tolist() == sorted(values)
    assert hashes.tolist() == values


def test_no_two_shingles_of_much_text_share_a_hash() -> None:
    generator = np.random.default_rng(0)
    text = "".join(map(chr, generator.choice([*range(97, 123), 32, *range(0x4E00, 0x4E40)], 200_000)))
    assert len(shingle_sets(pa.array([text]), 5)[0]) == len({text[i : i + 5] for i in range(len(text) - 4)})


def test_bands_are_equal_where_their_rows_are() -> None:
    params = MinHashParams(bands=16, rows=2)
    texts = pa.array(["the quick brown fox jumps over the lazy dog" + "!" * n for n in range(8)])
    hashes, _ = band_hashes(texts, params)
    rows = signatures(texts, params)[:, :32].reshape(8, 16, 2)
    same_rows = (rows[:, None] == rows[None]).all(axis=3)
    np.testing.assert_array_equal(hashes[:, None] == hashes[None], same_rows)
    assert same_rows.any(axis=2).all()
    assert not same_rows.all()


@settings(deadline=None, max_examples=30)
@given(st.lists(TEXT, min_size=1, max_size=4), st.sampled_from([(20, 6), (16, 8), (5, 3)]))
def test_bands_hash_the_values_of_whole_signatures(texts: list[str], shape: tuple[int, int]) -> None:
    params = MinHashParams(bands=shape[0], rows=shape[1])
    hashes, _ = band_hashes(pa.array(texts), params)
    for found, signature in zip(hashes.tolist(), signatures(pa.array(texts), params).tolist(), strict=True):
        for band, value in enumerate(found):
            plain = band + 1
            for k in range(band * params.rows, (band + 1) * params.rows):
                plain = mix64((plain * GOLDEN + signature[k]) & WORD)
            assert value == plain


def test_different_bands_with_the_same_values_differ() -> None:
    hashes, _ = band_hashes(pa.array([""]), MinHashParams())
    assert len(set(hashes[0].tolist())) == 20


@pytest.mark.parametrize(("length", "enough"), [(35, False), (36, True), (3, False), (0, False)])
def test_short_texts_are_told(length: int, enough: bool) -> None:
    assert band_hashes(pa.array(["字" * length]), MinHashParams(min_shingles=32))[1].tolist() == [enough]


def test_threshold_and_curve() -> None:
    params = MinHashParams()
    assert params.threshold == pytest.approx(0.607, abs=5e-4)
    assert [round(params.candidate_probability(j), 4) for j in (0.5, 0.7, 0.8, 0.9)] == [0.2702, 0.9182, 0.9977, 1.0]


@settings(deadline=None)
@given(st.sampled_from([0.5, 0.6, 0.7, 0.8]))
def test_candidates_follow_the_curve(jaccard: float) -> None:
    """Pairs of hash sets with a known similarity become candidates as often as the formula says."""
    params, pairs, size = MinHashParams(), 1500, 180
    shared = round(2 * size * jaccard / (1 + jaccard))
    generator = np.random.default_rng(7)
    hashes = generator.integers(0, 2**32, (pairs, 2 * size - shared), dtype=np.uint32)
    ends = [hashes[:, :size], hashes[:, size - shared :]]
    offsets = offsets_of(np.full(pairs, size))
    one, other = (signatures_of_hashes(np.ascontiguousarray(end).ravel(), offsets, params)[:, :120] for end in ends)
    found = (one == other).reshape(pairs, params.bands, params.rows).all(axis=2).any(axis=1).mean()
    expected = params.candidate_probability(shared / (2 * size - shared))
    assert abs(found - expected) < 4 * (expected * (1 - expected) / pairs) ** 0.5 + 0.002


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"bands": 22}, "132 permutations"), ({"shingle_size": 0}, "shingle_size is 0"), ({"rows": -1}, "rows is -1")],
)
def test_wrong_params_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MinHashParams(**wrong)
