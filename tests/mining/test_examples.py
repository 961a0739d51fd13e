"""The choice of positives and negatives as tables, against a slow oracle that works on texts."""

import numpy as np
import pyarrow as pa
import pytest

from mining.candidates import merge_candidates, search_shard
from mining.examples import MINED, apply_policies
from mining.fixed_point import exact_scores, from_cosine, to_cosine
from mining.policies import MiningParams, draw_keys
from schemas.rows import text_hash
from tests.mining.tables import hashes, make_corpus, make_queries, vectors_of

PARAMS = MiningParams(
    top_k=40,
    rank_range=(10, 20),
    labelled_rank_range=(0, 10),
    num_negatives=4,
    consistency_rank=15,
    max_relative_score=None,
)
TEXTS = [f"text {number}" for number in range(60)]


def mine(queries: pa.Table, corpus: pa.Table, params: MiningParams = PARAMS) -> list[dict]:
    return apply_policies(
        queries, merge_candidates(search_shard(queries, corpus, params), params.top_k), params
    ).to_pylist()


def ranking(query: str, texts: list[str] = TEXTS) -> list[str]:
    """Texts other than the query, best first."""
    scores = dict(zip(texts, exact_scores(vectors_of([query]), vectors_of(texts))[0].tolist(), strict=True))
    return sorted(set(texts) - {query}, key=lambda text: (-scores[text], text_hash(text)))


def drawn(row_id: bytes, eligible: list[str], num: int, seed: int = 0) -> set[bytes]:
    """The ``num`` texts with the smallest keys."""
    keys = draw_keys(row_id, hashes(eligible), seed)
    return set(hashes([eligible[place] for place in np.argsort(keys)[:num]]))


def test_negatives_are_drawn_from_the_window_of_the_ranking():
    queries = make_queries(["text 0"], [[ranking("text 0")[3]]])
    (row,) = mine(queries, make_corpus(TEXTS))
    assert set(row["negative_hashes"]) == drawn(row["id"], ranking("text 0")[10:20], 4)
    places = [hashes(ranking("text 0")).index(hash_) for hash_ in row["negative_hashes"]]
    assert row["negative_ranks"] == places == sorted(places)
    assert (row["reason"], row["missing"]) == (None, 0)


def test_scores_and_addresses_are_those_of_the_chosen_texts():
    positives = ranking("text 0")[2:4]
    queries = make_queries(["text 0"], [positives])
    (row,) = mine(queries, make_corpus(TEXTS))
    assert row["positive_hashes"] == hashes(positives)
    by_hash = {text_hash(text): text for text in TEXTS}
    for side in ("positive", "negative"):
        texts = [by_hash[hash_] for hash_ in row[f"{side}_hashes"]]
        scores = to_cosine(exact_scores(vectors_of(["text 0"]), vectors_of(texts))[0])
        assert row[f"{side}_scores"] == scores.tolist()
        assert [address["row"] for address in row[f"{side}_addresses"]] == [TEXTS.index(text) for text in texts]
    assert {address["part"] for address in row["negative_addresses"]} == {7}


def test_other_columns_of_a_query_pass_through():
    queries = make_queries(["text 0"], [["text 1"]]).append_column("note", pa.array(["kept"]))
    mined = apply_policies(queries, merge_candidates(search_shard(queries, make_corpus(TEXTS), PARAMS), 40), PARAMS)
    assert mined.column_names == [*MINED.names, "part", "row", "note"]
    assert mined.select(MINED.names).schema == MINED
    assert mined["note"].to_pylist() == ["kept"]


@pytest.mark.parametrize(("rank", "reason"), [(0, None), (15, None), (16, "INCONSISTENT"), (55, "INCONSISTENT")])
def test_a_row_is_kept_while_its_best_positive_ranks_within_the_limit(rank, reason):
    order = ranking("text 0")
    (row,) = mine(make_queries(["text 0"], [[order[58], order[rank]]]), make_corpus(TEXTS))
    assert row["reason"] == reason
    if reason:
        assert f"at rank {rank}" in row["detail"] or (rank > 38 and "beyond the 39 retrieved" in row["detail"])
        assert row["positive_hashes"] == row["negative_hashes"] == []


def test_given_negatives_come_first_with_rank_minus_one():
    order = ranking("text 0")
    positive, given = order[1], [order[50], order[12], order[1], "text 0", order[50]]
    (row,) = mine(make_queries(["text 0"], [[positive]], [given]), make_corpus(TEXTS))
    assert row["negative_hashes"][:2] == hashes([order[50], order[12]])
    assert row["negative_ranks"][:2] == [-1, -1]
    assert set(row["negative_hashes"][2:]) == drawn(row["id"], [t for t in order[10:20] if t != order[12]], 2)


def test_near_duplicates_of_positives_and_of_the_query_are_no_negatives():
    order = ranking("text 0")
    clusters = {order[1]: "a", order[11]: "a", "text 0": "b", order[13]: "b", order[14]: "c", order[15]: "c"}
    corpus = make_corpus(TEXTS, clusters=[clusters.get(text) for text in TEXTS])
    (row,) = mine(make_queries(["text 0"], [[order[1]]]), corpus)
    eligible = [text for text in order[10:20] if text not in (order[11], order[13])]
    assert set(row["negative_hashes"]) == drawn(row["id"], eligible, 4)


def test_positives_of_another_row_with_the_same_query_are_no_negatives():
    order = ranking("text 0")
    known = pa.array([hashes([order[12]])], pa.list_(pa.binary(16)))
    queries = make_queries(["text 0"], [[order[1]]]).append_column("known_positives", known)
    (row,) = mine(queries, make_corpus(TEXTS))
    assert set(row["negative_hashes"]) == drawn(row["id"], [t for t in order[10:20] if t != order[12]], 4)
    assert row["positive_hashes"] == hashes([order[1]])


def test_a_short_window_is_searched_deeper_in_order_and_says_what_is_missing():
    order = ranking("text 0")
    clusters = ["x" if text in (order[0], *order[10:18], *order[22:38]) else None for text in TEXTS]
    (row,) = mine(make_queries(["text 0"], [[order[0]]]), make_corpus(TEXTS, clusters=clusters))
    assert row["negative_hashes"] == hashes([order[18], order[19], order[20], order[21]])
    params = MiningParams(**{**vars(PARAMS), "num_negatives": 7})
    (row,) = mine(make_queries(["text 0"], [[order[0]]]), make_corpus(TEXTS, clusters=clusters), params)
    assert row["negative_ranks"] == [18, 19, 20, 21, 38]
    assert row["missing"] == 2


def test_ceilings_hold_for_mined_negatives_only():
    order = ranking("text 0")
    scores = to_cosine(exact_scores(vectors_of(["text 0"]), vectors_of(order))[0])
    params = MiningParams(**{**vars(PARAMS), "max_score": float(scores[14])})
    ceiling = from_cosine(float(scores[14]))
    (row,) = mine(make_queries(["text 0"], [[order[0]]], [[order[2]]]), make_corpus(TEXTS), params)
    exact = exact_scores(vectors_of(["text 0"]), vectors_of(order))[0]
    eligible = [text for text, score in zip(order[10:20], exact[10:20], strict=True) if score <= ceiling]
    assert row["negative_hashes"][0] == text_hash(order[2])
    assert set(row["negative_hashes"][1:]) == drawn(row["id"], eligible, 3)


def test_a_small_corpus_shrinks_the_window():
    texts = TEXTS[:11]
    (row,) = mine(make_queries(["text 0"], [[ranking("text 0", texts)[0]]]), make_corpus(texts))
    assert set(row["negative_hashes"]) == drawn(row["id"], ranking("text 0", texts)[5:10], 4)


def labels_of(texts: list[str]) -> list[str]:
    return [("x", "y", "z")[int(text.split()[1]) % 3] for text in texts]


def test_a_labelled_row_gets_a_text_of_its_class_and_the_hardest_of_others():
    corpus = make_corpus(TEXTS, labels_of(TEXTS))
    (row,) = mine(make_queries(["text 0"], labels=["x"]), corpus)
    listed = ranking("text 0")[:39]
    label = dict(zip(TEXTS, labels_of(TEXTS), strict=True))
    same, others = [t for t in listed if label[t] == "x"], [t for t in listed if label[t] != "x"]
    assert set(row["positive_hashes"]) == drawn(row["id"], same, 1)
    assert set(row["negative_hashes"]) == drawn(row["id"], others[:10], 4)
    assert row["negative_ranks"] == [hashes(others).index(hash_) for hash_ in row["negative_hashes"]]


def test_a_class_that_fills_the_list_still_leaves_the_nearest_of_others_as_negatives():
    texts = [f"text {number}" for number in range(300)]
    order = ranking("text 0", texts)
    labels = ["y" if text in order[100::20] else "x" for text in texts]
    (row,) = mine(make_queries(["text 0"], labels=["x"]), make_corpus(texts, labels))
    assert set(row["negative_hashes"]) == drawn(row["id"], order[100::20], 4)
    assert max(row["negative_ranks"]) < 10
    assert row["missing"] == 0


def test_any_label_in_common_keeps_a_text_from_being_a_negative():
    order = ranking("text 0")
    labels = ["x" if text in ("text 0", order[30]) else "y" for text in TEXTS]
    other_labels = [["w"] if text in ("text 0", order[3]) else (["x"] if text == order[4] else []) for text in TEXTS]
    corpus = make_corpus(TEXTS, labels, other_labels=other_labels)
    (row,) = mine(make_queries(["text 0"], labels=["x"], other_labels=[["w"]]), corpus)
    others = [text for text in order[:39] if text not in (order[3], order[4], order[30])]
    assert row["positive_hashes"] == hashes([order[30]])
    assert set(row["negative_hashes"]) == drawn(row["id"], others[:10], 4)


def test_a_class_beyond_the_list_gives_its_text_and_a_lonely_label_is_rejected():
    texts = [f"text {number}" for number in range(300)]
    far = ranking("text 0", texts)[-1]
    corpus = make_corpus(texts, ["x" if t in ("text 0", far) else "y" if t != "text 1" else "z" for t in texts])
    rows = mine(make_queries(["text 0", "text 1"], labels=["x", "z"]), corpus)
    assert rows[0]["positive_hashes"] == hashes([far])
    assert (rows[0]["reason"], len(rows[0]["negative_hashes"])) == (None, 4)
    assert (rows[1]["reason"], rows[1]["missing"]) == ("LONELY_LABEL", 0)
    assert "'z'" in rows[1]["detail"]


def test_a_near_duplicate_of_the_query_is_its_positive_only_in_need():
    order = ranking("text 0")
    clusters = ["c" if text in ("text 0", order[0]) else None for text in TEXTS]
    for same_class, expected in ([order[0], order[35]], order[35]), ([order[0]], order[0]):
        labels = ["x" if text in ("text 0", *same_class) else "y" for text in TEXTS]
        (row,) = mine(make_queries(["text 0"], labels=["x"]), make_corpus(TEXTS, labels, clusters))
        assert row["positive_hashes"] == hashes([expected])


def test_labelled_rows_are_not_held_to_the_ceilings_of_a_positive():
    params = MiningParams(**{**vars(PARAMS), "max_relative_score": 0.01, "min_margin": 1.0})
    corpus = make_corpus(TEXTS, labels_of(TEXTS))
    queries = make_queries(["text 0"], labels=["x"])
    assert mine(queries, corpus, params)[0]["negative_hashes"] == mine(queries, corpus)[0]["negative_hashes"]


def test_rows_and_candidates_that_do_not_belong_together_are_refused():
    corpus, queries = make_corpus(TEXTS), make_queries(["text 0", "text 1"], [["text 5"], ["text 6"]])
    candidates = merge_candidates(search_shard(queries, corpus, PARAMS), PARAMS.top_k)
    with pytest.raises(ValueError, match="belong to queries that are not here"):
        apply_policies(queries.slice(0, 1), candidates, PARAMS)
    with pytest.raises(ValueError, match="4 rows have only 2 distinct ids"):
        apply_policies(pa.concat_tables([queries, queries]), candidates, PARAMS)
    with pytest.raises(ValueError, match=f"text {text_hash('elsewhere').hex()}"):
        mine(make_queries(["text 0"], [["elsewhere"]]), corpus)
    with pytest.raises(ValueError, match="neither positives nor a label"):
        mine(make_queries(["text 0"]), corpus)


def test_no_rows_give_no_examples():
    queries = make_queries(["text 0"], [["text 1"]]).slice(0, 0)
    assert mine(queries, make_corpus(TEXTS)) == []
