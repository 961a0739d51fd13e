import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.candidates import CANDIDATES, RANKED, Shard, circle_distances, circle_starts, merge_candidates, search_shard
from mining.fixed_point import exact_scores
from mining.policies import MiningParams
from schemas.rows import text_hash
from tests.mining.tables import hashes, make_corpus, make_queries, vectors_of

PARAMS = MiningParams(top_k=8, rank_range=(2, 6), labelled_rank_range=(0, 6), num_negatives=3, consistency_rank=2)


def by_query(table: pa.Table, query_id: bytes) -> list[dict]:
    return [row for row in table.to_pylist() if row["query_id"] == query_id]


def divide(corpus: pa.Table, num_shards: int) -> list[pa.Table]:
    """Shards by text hash, as a pipeline makes them."""
    shard = [value[0] % num_shards for value in corpus["text_hash"].to_pylist()]
    return [corpus.filter(pa.array([number == wanted for number in shard])) for wanted in range(num_shards)]


def test_search_gives_the_best_passages_and_what_a_query_names():
    texts = [f"text {number}" for number in range(50)]
    queries = make_queries(
        ["text 3", "other"], positives=[["text 10"], ["text 20", "text 21"]], negatives=[[], ["text 30"]]
    )
    found = search_shard(queries, make_corpus(texts), PARAMS)
    assert found.schema == CANDIDATES
    scores = exact_scores(vectors_of(["text 3", "other"]), vectors_of(texts)).tolist()
    for number, named in enumerate([{"text 3", "text 10"}, {"text 20", "text 21", "text 30"}]):
        ranked = sorted(zip(scores[number], hashes(texts), strict=True), key=lambda pair: (-pair[0], pair[1]))
        best = {hash_: score for score, hash_ in ranked[:8]}
        expected = best | {hash_: score for score, hash_ in ranked if hash_ in hashes(sorted(named))}
        rows = by_query(found, queries["id"][number].as_py())
        assert {row["text_hash"]: row["score"] for row in rows} == expected
        assert {row["text_hash"] for row in rows if row["asked"]} == set(hashes(sorted(named)))


def test_candidates_carry_labels_clusters_and_addresses():
    corpus = make_corpus(["a", "b"], labels=["x", None], clusters=["c", None], other_labels=[["y", "z"], []])
    rows = {row["text_hash"]: row for row in search_shard(make_queries(["q"], [["a"]]), corpus, PARAMS).to_pylist()}
    row = rows[text_hash("a")]
    assert (row["label"], row["other_labels"], row["cluster"]) == ("x", ["y", "z"], text_hash("c"))
    assert [row[name] for name in ("part", "row", "field", "element")] == [7, 0, "positives", 0]


def test_a_text_that_stands_twice_counts_once_at_its_smallest_address():
    corpus = pa.concat_tables([make_corpus(["a", "b", "c"]).slice(1), make_corpus(["c", "a"])])
    found = search_shard(make_queries(["q"], [["a"]]), corpus, PARAMS).to_pylist()
    assert sorted((row["text_hash"], row["row"]) for row in found) == sorted(
        [(text_hash("a"), 1), (text_hash("b"), 1), (text_hash("c"), 0)]
    )


def test_a_class_outside_the_list_still_gives_its_next_text_on_the_circle():
    texts = [f"text {number}" for number in range(400)]
    labels = ["rare" if number % 40 == 0 else "common" for number in range(400)]
    queries = make_queries(["text 0"], labels=["rare"])
    rows = search_shard(queries, make_corpus(texts, labels), PARAMS).to_pylist()
    rare = [text_hash(text) for text, label in zip(texts, labels, strict=True) if label == "rare"]
    start = circle_starts(queries["id"], PARAMS.seed)[0]
    distances = dict(zip(rare, circle_distances(rare, start).tolist(), strict=True))
    expected = set(sorted(rare, key=distances.__getitem__)[:2])
    found = {row["text_hash"] for row in rows if row["label"] == "rare"}
    assert expected <= found
    assert {row["text_hash"] for row in rows if row["asked"]} & set(rare) == expected | {text_hash("text 0")}


def test_a_class_that_fills_the_list_still_leaves_the_nearest_of_others():
    texts = [f"text {number}" for number in range(400)]
    labels = ["rare" if number % 40 == 0 else "common" for number in range(400)]
    rows = search_shard(make_queries(["text 1"], labels=["common"]), make_corpus(texts, labels), PARAMS).to_pylist()
    rare = texts[::40]
    scores = exact_scores(vectors_of(["text 1"]), vectors_of(rare))[0].tolist()
    nearest = sorted(zip(scores, hashes(rare), strict=True), reverse=True)[:7]
    assert {row["text_hash"]: row["score"] for row in rows if row["label"] == "rare"} == {
        hash_: score for score, hash_ in nearest
    }


def test_draws_are_spread_over_a_class():
    texts = [f"text {number}" for number in range(50)]
    queries = make_queries([f"query {number}" for number in range(2000)], labels=["x"] * 2000)
    params = MiningParams(
        top_k=2, rank_range=(0, 1), labelled_rank_range=(0, 1), num_negatives=1, consistency_rank=None
    )
    drawn = [row for row in search_shard(queries, make_corpus(texts, ["x"] * 50), params).to_pylist() if row["asked"]]
    counts = [sum(row["text_hash"] == hash_ for row in drawn) for hash_ in hashes(texts)]
    assert min(counts) > 0
    assert max(counts) < 6 * 4000 / 50  # gaps on the circle are exponential: the largest of 50 is about ln 50 means


@settings(deadline=None, max_examples=25)
@given(num=st.integers(1, 80), num_shards=st.integers(1, 4), seed=st.integers(0, 3))
def test_sharded_search_merges_to_the_unsharded_one(num, num_shards, seed):
    texts = [f"text {number}" for number in range(num)]
    corpus = make_corpus(texts, [("x", "y", None)[number % 3] for number in range(num)])
    queries = make_queries(
        ["text 0", "new", "newer"], [[], [texts[-1]], []], [[], [texts[num // 2]], []], labels=["x", None, "y"]
    )
    params = MiningParams(
        top_k=8, rank_range=(2, 6), labelled_rank_range=(0, 6), num_negatives=3, consistency_rank=2, seed=seed
    )
    whole = merge_candidates(search_shard(queries, corpus, params), params.top_k)
    found = pa.concat_tables([search_shard(queries, part, params) for part in divide(corpus, num_shards)])
    merged = merge_candidates(found.take(pa.array(range(len(found) - 1, -1, -1))), params.top_k)
    listed = [table.filter(pc.greater_equal(table["rank"], 0)) for table in (whole, merged)]
    assert listed[0].drop_columns(["asked"]).equals(listed[1].drop_columns(["asked"]))
    # Of classes, every shard offers its own texts: a larger choice, with the same first ones.
    pairs = [{(row["query_id"], row["text_hash"]) for row in table.to_pylist()} for table in (whole, merged)]
    assert pairs[0] <= pairs[1]


def test_merge_ranks_by_score_then_text_and_keeps_what_was_asked_for():
    rows = [(1, b"b", 5, False), (1, b"a", 5, False), (1, b"c", 9, False), (1, b"d", 1, True), (1, b"e", 2, False)]
    rows += [(2, b"a", 3, False)]
    table = pa.Table.from_pylist(
        [
            {"query_id": bytes([q]) * 16, "text_hash": text * 16, "score": score, "asked": asked}
            for q, text, score, asked in rows
        ],
        schema=CANDIDATES,
    )
    merged = merge_candidates(table, 3)
    assert merged.schema == RANKED
    found = [(row["query_id"][0], row["text_hash"][:1], row["rank"]) for row in merged.to_pylist()]
    assert found == [(1, b"c", 0), (1, b"a", 1), (1, b"b", 2), (1, b"d", -1), (2, b"a", 0)]


def test_merge_of_nothing():
    assert merge_candidates(CANDIDATES.empty_table(), 5).schema == RANKED


def test_empty_shards_and_no_queries_give_no_candidates():
    corpus, queries = make_corpus(["a"]), make_queries(["q"], [["a"]])
    assert len(search_shard(queries, corpus.slice(0, 0), PARAMS)) == 0
    assert len(search_shard(queries.slice(0, 0), corpus, PARAMS)) == 0
    assert len(Shard(corpus).search(queries, PARAMS)) == 1


def test_a_text_in_two_shards_is_refused():
    corpus, queries = make_corpus(["a", "b"]), make_queries(["q"], [["a"]])
    twice = pa.concat_tables([search_shard(queries, corpus, PARAMS)] * 2)
    with pytest.raises(ValueError, match="divide a corpus into shards by text hash"):
        merge_candidates(twice, 5)


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"lacks the columns \['positives', 'vector'\]"):
        search_shard(make_queries(["q"]).drop_columns(["positives", "vector"]), make_corpus(["a"]), PARAMS)


def test_columns_that_may_be_null_may_be_absent():
    queries = make_queries(["q"], [["a"]]).drop_columns(["label", "other_labels"])
    corpus = make_corpus(["a", "b"]).select(["vector", "text_hash"])
    assert len(search_shard(queries, corpus, PARAMS)) == 2
