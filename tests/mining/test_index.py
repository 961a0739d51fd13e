from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.encoder import normalise
from mining.fixed_point import exact_scores, quantise
from mining.index import FlatIndex, find_ids, id_words, merge_hits, run_starts_of, sorted_ids
from schemas.rows import text_hash


def make_ids(num):
    return pa.array([text_hash(str(number)) for number in range(num)], pa.binary(16))


def make_vectors(num, dims=32, seed=0):
    return quantise(normalise(np.random.default_rng(seed).normal(size=(num, dims))))


def brute_force(ids, vectors, queries, k):
    """The oracle: every score as an integer, then a sort by (-score, id bytes) in plain Python."""
    names = ids.to_pylist()
    rows = [
        sorted(range(len(names)), key=lambda row, scores=scores: (-scores[row], names[row]))[:k]
        for scores in exact_scores(queries, vectors).tolist()
    ]
    return np.array(rows, dtype=np.int64).reshape(len(queries), min(k, len(names)))


@pytest.mark.parametrize(("num", "k"), [(1, 1), (5, 3), (5, 10), (40, 8), (41, 8), (500, 20), (9000, 200)])
def test_search_equals_brute_force(num, k):
    ids, vectors, queries = make_ids(num), make_vectors(num), make_vectors(7, seed=1)
    hits = FlatIndex(ids, vectors).search(queries, k)
    assert (hits.rows == brute_force(ids, vectors, queries, k)).all()
    assert (hits.scores == np.take_along_axis(exact_scores(queries, vectors), hits.rows, axis=1)).all()


def test_scores_closer_than_float32_can_tell_are_still_ranked_exactly():
    generator = np.random.default_rng(5)
    base = make_vectors(1, dims=384)
    vectors = base + generator.integers(-1, 2, size=(400, 384), dtype=np.int16)
    ids = make_ids(400)
    hits = FlatIndex(ids, vectors).search(base, 100)
    assert (hits.rows == brute_force(ids, vectors, base, 100)).all()
    floats = (vectors.astype(np.float32) @ base[0].astype(np.float32))[hits.rows[0]]
    assert (np.diff(floats) >= 0).any()  # float32 would have ranked some of them otherwise


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_result_does_not_depend_on_the_order_of_passages(data):
    num = data.draw(st.integers(1, 120))
    order = np.array(data.draw(st.permutations(range(num))))
    vectors = make_vectors(max(1, num // 3), dims=4)[np.arange(num) % max(1, num // 3)]  # with ties
    ids, queries = make_ids(num), make_vectors(3, dims=4, seed=9)
    first = FlatIndex(ids, vectors).search(queries, 10)
    second = FlatIndex(ids.take(pa.array(order)), vectors[order]).search(queries, 10)
    assert (first.rows == order[second.rows]).all()
    assert (first.scores == second.scores).all()


@settings(deadline=None, max_examples=30)
@given(num=st.integers(1, 150), shards=st.integers(1, 5), k=st.integers(1, 40))
def test_shards_merge_to_the_unsharded_result(num, shards, k):
    vectors = make_vectors(max(1, num // 2), dims=4)[np.arange(num) % max(1, num // 2)]
    ids, queries = make_ids(num), make_vectors(4, dims=4, seed=9)
    members = [np.arange(num)[shard::shards] for shard in range(shards)]
    found = [FlatIndex(ids.take(pa.array(rows)), vectors[rows]).search(queries, k) for rows in members]
    whole = FlatIndex(ids, vectors).search(queries, k)
    hit_ids = [ids.take(pa.array(rows[hits.rows].ravel())) for rows, hits in zip(members, found, strict=True)]
    scores, shard, place = merge_hits([hits.scores for hits in found], hit_ids, k)
    assert (scores == whole.scores).all()
    for query in range(4):
        merged = [members[s][found[s].rows[query, p]] for s, p in zip(shard[query], place[query], strict=True)]
        assert merged == whole.rows[query].tolist()


def test_an_empty_index_finds_nothing():
    hits = FlatIndex(make_ids(0), make_vectors(0)).search(make_vectors(3), 5)
    assert hits.rows.shape == hits.scores.shape == (3, 0)


def test_words_compare_as_bytes_do():
    ids = pa.array([b"\x00" * 15 + b"\x01", b"\xff" * 16, b"\x01" + b"\x00" * 15, b"\x00" * 16], pa.binary(16))
    words = [tuple(pair) for pair in id_words(ids).tolist()]
    assert sorted(range(4), key=words.__getitem__) == sorted(range(4), key=ids.to_pylist().__getitem__)
    assert id_words(ids.slice(1, 2)).tolist() == id_words(ids)[1:3].tolist()


def test_repeated_ids_are_refused():
    ids = pa.concat_arrays([make_ids(3), make_ids(1)])
    with pytest.raises(ValueError, match=f"id {text_hash('0').hex()} stands twice"):
        FlatIndex(ids, make_vectors(4))


def test_unequal_lengths_and_bad_k_are_refused():
    with pytest.raises(ValueError, match="3 ids and 4 vectors"):
        FlatIndex(make_ids(3), make_vectors(4))
    with pytest.raises(ValueError, match="k=0"):
        FlatIndex(make_ids(3), make_vectors(3)).search(make_vectors(1), 0)
    with pytest.raises(ValueError, match=r"binary\(16\)"):
        id_words(pa.array([b"ab"]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=20), st.lists(st.integers(0, 9), max_size=20))
def test_ids_are_found_where_they_stand(there, wanted):
    """Ids that differ in one half, the other, or both."""
    names = [bytes([number % 3] * 8 + [number // 3] * 8) for number in range(10)]
    words, rows = sorted_ids(pa.array([names[number] for number in there], pa.binary(16)))
    ids = [names[there[row]] for row in rows]
    assert ids == sorted(ids)
    assert all(a < b for a, b in pairwise(rows.tolist()) if there[a] == there[b])
    assert run_starts_of(words).tolist() == [ids.index(name) for name in sorted(set(ids))]
    asked = id_words(pa.array([names[number] for number in wanted], pa.binary(16)))
    expected = [ids.index(names[number]) if names[number] in ids else -1 for number in wanted]
    assert find_ids(words, asked).tolist() == expected
    ends = [at + ids.count(names[number]) if at >= 0 else -1 for number, at in zip(wanted, expected, strict=True)]
    assert find_ids(words, asked, past=True).tolist() == ends
