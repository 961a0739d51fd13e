"""Properties of mining as a whole, whatever the dataset."""

from collections import defaultdict

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mining import mine as mine_module
from mining.candidates import merge_candidates, search_shard
from mining.examples import apply_policies
from mining.mine import mine_dataset, share_positives
from mining.policies import MiningParams
from schemas.rows import text_hash
from tests.mining.tables import hashes, make_corpus, make_queries

PARAMS = MiningParams(
    top_k=12,
    rank_range=(3, 8),
    labelled_rank_range=(0, 8),
    num_negatives=3,
    consistency_rank=6,
    max_relative_score=None,
)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[pa.Table, pa.Table]:
    num = draw(st.integers(3, 40))
    texts = [f"text {number}" for number in range(num)]
    some = st.sampled_from(texts)
    names = st.sampled_from([None, "x", "y", "z"])
    corpus = make_corpus(
        texts,
        labels=draw(st.lists(names, min_size=num, max_size=num)),
        clusters=draw(st.lists(names, min_size=num, max_size=num)),
    )
    rows = draw(
        st.lists(
            st.tuples(
                some, st.lists(some, max_size=2, unique=True), st.lists(some, max_size=4), st.sampled_from("xyz")
            ),
            min_size=1,
            max_size=8,
        )
    )
    queries, positives, negatives, labels = (list(column) for column in zip(*rows, strict=True))
    row_labels = [None if positive else label for positive, label in zip(positives, labels, strict=True)]
    return make_queries(queries, positives, negatives, row_labels), corpus


def shuffled(table: pa.Table, data: st.DataObject) -> pa.Table:
    return table.take(pa.array(data.draw(st.permutations(range(len(table))))))


@settings(deadline=None, max_examples=60)
@given(datasets())
def test_no_negative_is_ever_relevant_and_nothing_is_silently_short(dataset):
    queries, corpus = dataset
    about = {row["text_hash"]: row for row in corpus.to_pylist()}
    relevant = defaultdict(set)
    for row in queries.to_pylist():
        relevant[row["query_hash"]] |= {row["query_hash"], *row["positives"]}
    for query, row in zip(queries.to_pylist(), mine_dataset(queries, corpus, PARAMS).to_pylist(), strict=True):
        negatives, forbidden = row["negative_hashes"], relevant[query["query_hash"]] | set(row["positive_hashes"])
        assert query["id"] == row["id"]
        assert not forbidden & set(negatives)
        assert len(set(negatives)) == len(negatives)
        assert query["query_hash"] not in row["positive_hashes"] or query["query_hash"] in query["positives"]
        assert len(negatives) + row["missing"] == (0 if row["reason"] else PARAMS.num_negatives)
        clusters = {about[hash_]["cluster"] for hash_ in forbidden} - {None}
        for hash_, rank in zip(negatives, row["negative_ranks"], strict=True):
            assert rank >= 0 or hash_ in query["negatives"]
            if rank >= 0:
                assert about[hash_]["cluster"] not in clusters
                assert query["label"] is None or about[hash_]["label"] != query["label"]
        if not query["positives"] and not row["reason"]:
            assert {about[hash_]["label"] for hash_ in row["positive_hashes"]} == {query["label"]}


@settings(deadline=None, max_examples=25)
@given(datasets(), st.data())
def test_the_order_of_rows_and_passages_changes_nothing(dataset, data):
    queries, corpus = dataset
    first = mine_dataset(queries, corpus, PARAMS).sort_by("id")
    second = mine_dataset(shuffled(queries, data), shuffled(corpus, data), PARAMS).sort_by("id")
    assert first.equals(second)


@settings(deadline=None, max_examples=25)
@given(datasets(), st.integers(2, 4))
def test_shards_change_nothing(dataset, num_shards):
    queries, corpus = dataset
    queries = share_positives(queries)
    shard = [hash_[0] % num_shards for hash_ in corpus["text_hash"].to_pylist()]
    parts = [corpus.filter(pa.array([number == wanted for number in shard])) for wanted in range(num_shards)]
    found = pa.concat_tables([search_shard(queries, part, PARAMS) for part in parts])
    whole = search_shard(queries, corpus, PARAMS)
    sharded, unsharded = (apply_policies(queries, merge_candidates(c, PARAMS.top_k), PARAMS) for c in (found, whole))
    assert sharded.equals(unsharded)


def test_blocks_of_queries_change_nothing(monkeypatch):
    texts = [f"text {number}" for number in range(30)]
    queries = make_queries(texts, [[texts[number - 1]] for number in range(30)])
    whole = mine_dataset(queries, make_corpus(texts), PARAMS)
    monkeypatch.setattr(mine_module, "QUERY_BLOCK", 7)
    assert mine_dataset(queries, make_corpus(texts), PARAMS).equals(whole)


def test_the_seed_changes_the_draw():
    texts = [f"text {number}" for number in range(60)]
    queries = make_queries(texts, [[texts[number - 1]] for number in range(60)])
    params = [MiningParams(**{**vars(PARAMS), "consistency_rank": None, "seed": seed}) for seed in (0, 1)]
    first, second = (mine_dataset(queries, make_corpus(texts), each)["negative_hashes"] for each in params)
    assert first != second


def test_a_short_row_is_searched_deeper_until_the_corpus_ends():
    texts = [f"text {number}" for number in range(300)]
    near_duplicates = [None if number % 100 == 1 else "x" for number in range(300)]
    corpus = make_corpus(texts, clusters=near_duplicates)
    params = MiningParams(**{**vars(PARAMS), "consistency_rank": None})
    queries = make_queries(["a", "b"], [["text 0"], ["text 1"]], [[], []])
    once = apply_policies(queries, merge_candidates(search_shard(queries, corpus, params), params.top_k), params)
    whole = mine_dataset(queries, corpus, params)
    assert once["missing"].to_pylist()[0] >= 1
    assert whole["missing"].to_pylist() == [0, 0]
    assert sorted(whole["negative_hashes"][0].as_py()) == sorted(hashes(["text 1", "text 101", "text 201"]))
    assert whole.slice(1).equals(once.slice(1))
    more = MiningParams(**{**vars(params), "num_negatives": 5})
    assert mine_dataset(queries, corpus, more)["missing"].to_pylist() == [2, 0]


def test_positives_are_shared_by_rows_with_the_same_query():
    queries = make_queries(["q", "q", "other"], [["a", "b"], ["c"], ["d"]])
    known = share_positives(queries)["known_positives"].to_pylist()
    assert known == [[text_hash("c")], sorted(hashes(["a", "b"])), []]
    assert share_positives(share_positives(queries)).equals(share_positives(queries))
