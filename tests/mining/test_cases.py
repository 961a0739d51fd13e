"""Datasets of the kinds that once went wrong, each with what is right."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mining.accounting import account, alike_counts
from mining.mine import mine_dataset
from mining.params import MiningParams
from mining.policies import draw_keys
from schemas.rows import text_hash
from tests.mining.tables import at_cosines, hashes, make_corpus, make_queries, vectors_of

OPEN: dict[str, Any] = {"consistency_rank": None, "max_relative_score": None}


def mine(queries: pa.Table, corpus: pa.Table, symmetric: bool = False, **params: Any) -> list[dict[str, Any]]:
    return mine_dataset(queries, corpus, MiningParams(**params), symmetric=symmetric).to_pylist()


def test_answers_to_one_question_in_two_spellings_are_no_negatives_of_each_other():
    questions = ["What is the capital of France?", "what is the capital of france", "a", "b", "c"]
    answers = [f"answer {number}" for number in range(5)]
    queries = make_queries(questions, [[answer] for answer in answers], clusters=["capital", "capital", "a", "b", "c"])
    first, second, *_ = mine(queries, make_corpus(answers), **OPEN)
    assert sorted(first["negative_hashes"]) == sorted(second["negative_hashes"]) == sorted(hashes(answers[2:]))


def test_positives_of_a_cluster_are_shared_by_all_of_its_rows():
    answers = [f"answer {number}" for number in range(140)]
    others = [f"other {number}" for number in range(60)]
    queries = make_queries(
        ["Q?" if number % 2 else "q" for number in range(140)], [[a] for a in answers], clusters=["q"] * 140
    )
    rows = mine(queries, make_corpus([*answers, *others]), **OPEN)
    assert all(set(row["negative_hashes"]) <= set(hashes(others)) for row in rows)
    assert {len(row["negative_hashes"]) for row in rows} == {7}


def test_many_answers_in_many_rows_are_what_they_are_in_one():
    cosines = [*np.linspace(0.9, 0.66, 120), *([0.1] * 100)]
    query, vectors = at_cosines(cosines)
    texts = [f"text {number}" for number in range(220)]
    corpus = make_corpus(texts, vectors=vectors)
    apart = make_queries(["q"] * 120, [[text] for text in texts[:120]], vectors=np.repeat(query, 120, axis=0))
    together = make_queries(["q"], [texts[:120]], vectors=query)
    (one,) = mine(together, corpus, seed=1)
    rows = mine(apart, corpus, seed=1)
    assert {row["reason"] for row in [one, *rows]} == {None}
    assert all(rank in range(50, 100) for row in [one, *rows] for rank in row["negative_ranks"])
    assert {(row["missing"], tuple(row["refused"])) for row in rows} == {(one["missing"], tuple(one["refused"]))}


def test_rows_that_nothing_is_left_for_are_counted():
    queries = make_queries([f"question {number}" for number in range(20)], [["the answer"]] * 20)
    mined = mine_dataset(queries, make_corpus(["the answer"]), MiningParams(**OPEN))
    numbers = account(mined)
    assert (numbers["rows"], numbers["short"], numbers["none"], numbers["missing"]) == (20, 20, 20, 140)
    assert "mined" not in numbers


def test_a_passage_with_the_vector_of_a_positive_is_no_negative():
    texts = [f"text {number}" for number in range(12)]
    same = [0, 0, 0, *range(3, 12)]
    corpus = make_corpus(texts, vectors=vectors_of([texts[number] for number in same]))
    row, other = mine(make_queries(["q", "r"], [["text 0"], ["text 5"]]), corpus, **OPEN)
    assert set(row["negative_hashes"]) <= set(hashes(texts[3:]))
    assert row["refused"][2] == 2
    assert {text_hash("text 0"), text_hash("text 1")} & set(other["negative_hashes"])


def test_a_text_of_another_label_with_the_query_s_vector_is_no_negative():
    texts = ["long a", "long b", *(f"text {number}" for number in range(10))]
    vectors = vectors_of(["long a", "long a", *texts[2:]])
    corpus = make_corpus(texts, ["x", "y", *"xyxyxyxyxy"], vectors=vectors)
    (row,) = mine(make_queries(["long a"], labels=["x"]), corpus, num_negatives=3)
    assert text_hash("long b") not in row["negative_hashes"]


def test_a_positive_is_judged_by_its_own_score_and_the_best_comes_first():
    query, vectors = at_cosines([0.0, 0.9, *np.linspace(0.8, 0.2, 60)])
    texts = [f"text {number}" for number in range(62)]
    corpus, queries = make_corpus(texts, vectors=vectors), make_queries(["q"], [["text 0", "text 1"]], vectors=query)
    (row,) = mine(queries, corpus)
    assert row["positive_hashes"] == [text_hash("text 1")]
    assert (row["dropped"], row["reason"]) == (1, None)
    (kept,) = mine(queries, corpus, consistency_rank=None)
    assert kept["positive_hashes"] == hashes(["text 1", "text 0"])
    (given,) = mine(queries, corpus, consistency_rank=None, positive_order="given")
    assert given["positive_hashes"] == hashes(["text 0", "text 1"])


def test_spellings_of_a_passage_are_one_negative():
    spellings = ["A PASSAGE", "a passage", "A Passage", "a  passage"]
    others = [f"text {number}" for number in range(20)]
    query, vectors = at_cosines([0.9, 0.89, 0.88, 0.87, *np.linspace(0.5, 0.1, 20)])
    corpus = make_corpus([*spellings, *others], clusters=["p"] * 4 + [None] * 20, vectors=vectors)
    (row,) = mine(make_queries(["q"], [["text 19"]], vectors=query), corpus, rank_range=(0, 7), sampling="top", **OPEN)
    assert len(row["negative_hashes"]) == 7
    assert len(set(row["negative_hashes"]) & set(hashes(spellings))) == 1


def test_an_edited_copy_of_something_relevant_is_no_negative_and_two_copies_are_one():
    texts = ["answer", "edited answer", "other", "edited other", *(f"text {number}" for number in range(20))]
    query, vectors = at_cosines([0.9, 0.89, 0.8, 0.79, *np.linspace(0.5, 0.1, 20)])
    nears = [None, "answer", None, "other", *[None] * 20]
    corpus = make_corpus(texts, vectors=vectors, nears=nears)
    queries = make_queries(["q", "r"], [["answer"], ["edited answer"]], vectors=np.repeat(query, 2, axis=0))
    mined = mine_dataset(queries, corpus, MiningParams(rank_range=(0, 7), sampling="top", **OPEN))
    for row in mined.to_pylist():
        assert len(row["negative_hashes"]) == 7
        assert not set(row["negative_hashes"]) & set(hashes(["answer", "edited answer"]))
        assert len(set(row["negative_hashes"]) & set(hashes(["other", "edited other"]))) == 1
    # One of the two copies is searched; it is refused to the row whose positive is the other.
    assert account(mined)["refused:near_duplicate"] == 1


def test_a_given_negative_stays_where_it_is_an_edited_copy_of_the_positive():
    texts = ["answer", "edited answer", *(f"text {number}" for number in range(20))]
    corpus = make_corpus(texts, nears=[None, "answer", *[None] * 20])
    (row,) = mine(make_queries(["q"], [["answer"]], [["edited answer"]]), corpus, **OPEN)
    assert row["negative_hashes"][0] == text_hash("edited answer")
    assert text_hash("answer") not in row["negative_hashes"]


def test_a_given_negative_is_not_mined_again_in_another_spelling():
    texts = ["A PASSAGE", "a passage", *(f"text {number}" for number in range(20))]
    corpus = make_corpus(texts, clusters=["p", "p"] + [None] * 20)
    (row,) = mine(make_queries(["q"], [["text 0"]], [["A PASSAGE", "a passage"]]), corpus, num_negatives=15, **OPEN)
    assert len(row["negative_hashes"]) == 15
    assert [rank for rank in row["negative_ranks"] if rank < 0] == [-1]


def test_in_a_symmetric_dataset_what_is_linked_is_no_negative():
    texts = ["A", "B", "C", "F", *(f"text {number}" for number in range(20))]
    queries = make_queries(["A", "B", "F"], [["B"], ["C"], ["A"]])
    corpus = make_corpus(texts)
    for row in mine(queries, corpus, symmetric=True, num_negatives=20, rank_range=(0, 20), **OPEN):
        assert sorted(row["negative_hashes"]) == sorted(hashes(texts[4:]))
    (row, *_) = mine(queries, corpus, num_negatives=20, rank_range=(0, 20), **OPEN)
    assert set(hashes(["C", "F"])) <= set(row["negative_hashes"])


def test_positives_and_negatives_are_of_the_row_s_language():
    languages = [("en", "de", "ja", None)[number % 4] for number in range(120)]
    texts = [f"text {number}" for number in range(120)]
    corpus = make_corpus(texts, [f"{'xyz'[number % 3]}" for number in range(120)], languages=languages)
    spoken = dict(zip(hashes(texts), languages, strict=True))
    queries = make_queries(texts[:20], labels=["x"] * 20, languages=languages[:20])
    rows = mine(queries, corpus)
    for row, language in zip(rows, languages, strict=False):
        found = {spoken[hash_] for hash_ in row["positive_hashes"] + row["negative_hashes"]}
        assert found <= {language, None} or language is None
    mixed = mine(queries, corpus, within_language=False)
    assert len({spoken[hash_] for hash_ in mixed[0]["negative_hashes"]}) > 2


def test_rows_that_the_teacher_cannot_judge_leave_the_filter_on_for_others():
    texts = [f"text {number}" for number in range(100)]
    query, vectors = at_cosines([0.05, *np.linspace(0.9, 0.1, 99)])
    queries = make_queries(["q", "r"], [["text 0"]] * 2, languages=["en", "ja"], vectors=np.repeat(query, 2, axis=0))
    mined = mine_dataset(queries, make_corpus(texts, vectors=vectors), MiningParams(), languages={"en"})
    assert mined["reason"].to_pylist() == ["INCONSISTENT", None]
    assert mined["negative_ranks"].to_pylist()[1] != []


@pytest.mark.parametrize(("choice", "expected"), [("first", range(7)), ("hardest", range(23, 30))])
def test_given_negatives_beyond_the_number_are_chosen_and_counted(choice, expected):
    query, vectors = at_cosines([0.9, *np.linspace(0.1, 0.8, 30)])
    texts = ["positive", *(f"given {number}" for number in range(30))]
    queries = make_queries(["q"], [["positive"]], [texts[1:]], vectors=query)
    (row,) = mine(queries, make_corpus(texts, vectors=vectors), given_choice=choice)
    assert row["negative_hashes"] == hashes([f"given {number}" for number in expected])
    assert row["given_over"] == 23
    (few,) = mine(queries, make_corpus(texts, vectors=vectors), given_choice=choice, max_given=2)
    assert (len(few["negative_hashes"]), few["given_over"]) == (2, 28)


def test_labels_that_are_one_word_are_named_and_may_be_one():
    labels = ["Positive", "positive", " POSITIVE", "negative"]
    assert list(alike_counts("d", pa.chunked_array([labels]))) == [
        ('d\tmining\talike:[" POSITIVE", "Positive", "positive"]', 3)
    ]
    texts = [f"text {number}" for number in range(40)]
    corpus = make_corpus(texts, [labels[number % 4] for number in range(40)])
    queries = make_queries(["text 0"], labels=["Positive"])
    (apart,) = mine(queries, corpus)
    (folded,) = mine(queries, corpus, fold_labels=True)
    negative = set(hashes(texts[3::4]))
    assert not set(apart["negative_hashes"]) <= negative
    assert set(folded["negative_hashes"]) <= negative


def test_negatives_of_a_labelled_row_may_be_spread_over_classes():
    labels = ["own", *["near"] * 60, *(f"class {number % 4}" for number in range(40))]
    query, vectors = at_cosines([0.95, *np.linspace(0.9, 0.7, 60), *np.linspace(0.3, 0.1, 40)])
    texts = ["mate", *(f"text {number}" for number in range(100))]
    corpus = make_corpus(texts, labels, vectors=vectors)
    queries = make_queries(["q"], labels=["own"], vectors=query)
    named = dict(zip(hashes(texts), labels, strict=True))
    (near,) = mine(queries, corpus)
    assert {named[hash_] for hash_ in near["negative_hashes"]} == {"near"}
    (spread,) = mine(queries, corpus, balance_classes=True)
    counts = [named[hash_] for hash_ in spread["negative_hashes"]]
    assert sorted(counts.count(name) for name in set(counts)) == [1, 1, 1, 2, 2]


def test_a_small_pool_gives_all_it_has():
    query, vectors = at_cosines([0.2, *np.linspace(0.9, 0.3, 7)])
    texts = [f"text {number}" for number in range(8)]
    (row,) = mine(make_queries(["q"], [["text 0"]], vectors=query), make_corpus(texts, vectors=vectors), **OPEN)
    assert (sorted(row["negative_hashes"]), row["missing"]) == (sorted(hashes(texts[1:])), 0)


def test_of_several_labels_the_text_that_shares_most_is_the_positive_and_none_that_shares_any_a_negative():
    texts = ["query", "all", "some", *(f"text {number}" for number in range(20))]
    others = [["lost"], ["lost"], ["lost"], *[["other"]] * 20]
    labels = ["deny", "deny", "agree", *["question"] * 20]
    corpus = make_corpus(texts, labels, other_labels=others)
    for seed in range(5):
        (row,) = mine(make_queries(["query"], labels=["deny"], other_labels=[["lost"]]), corpus, seed=seed)
        assert row["positive_hashes"] == [text_hash("all")]
        assert text_hash("some") not in row["negative_hashes"]
    (alone,) = mine(make_queries(["query"], labels=["rare"], other_labels=[["lost"]]), corpus)
    assert alone["reason"] is None
    assert alone["positive_hashes"][0] in hashes(["all", "some"])


def test_texts_whose_neighbours_are_all_of_another_class_are_counted_as_doubtful():
    query, vectors = at_cosines([0.1, *np.linspace(0.9, 0.5, 20)])
    texts = ["mate", *(f"text {number}" for number in range(20))]
    corpus = make_corpus(texts, ["own", *["other"] * 20], vectors=vectors)
    numbers = account(mine_dataset(make_queries(["q"], labels=["own"], vectors=query), corpus, MiningParams()))
    assert (numbers["labelled"], numbers["doubtful"], numbers["labelled_mined"], numbers["nearer"]) == (1, 1, 7, 7)


def test_a_row_is_filled_up_at_random_only_if_asked_and_by_what_no_mask_refuses():
    """A positive in two spellings, an edited copy, its vector, another language, and twelve above the ceiling."""
    positives = ["answer", "ANSWER", "answer edited", "same vector", "fremd"]
    others = [f"other {number}" for number in range(12)]
    query, vectors = at_cosines([0.8, 0.8, 0.79, 0.8, 0.1] + [0.79] * 12)
    vectors[3] = vectors[0]
    corpus = make_corpus(
        positives + others,
        clusters=["answer", "answer", None, None, None] + [None] * 12,
        nears=["answer", "answer", "answer", None, None] + [None] * 12,
        languages=["en"] * 4 + ["de"] + ["en"] * 12,
        vectors=vectors,
    )
    queries = make_queries(["question"], [["answer"]], [["other 0"]], languages=["en"], vectors=query)
    params = MiningParams(num_negatives=6, rank_range=(0, 10))
    (unfilled,) = mine_dataset(queries, corpus, params).to_pylist()
    assert (unfilled["negative_ranks"], unfilled["missing"]) == ([-1], 5)
    table = mine_dataset(queries, corpus, replace(params, random_fill=True))
    (row,) = table.to_pylist()
    keys = draw_keys(row["id"], hashes(others[1:]), 0)
    drawn = [others[1 + place] for place in np.argsort(keys)[:5]]
    assert row["negative_hashes"] == hashes(["other 0", *drawn])
    assert (row["negative_ranks"], row["missing"]) == ([-1] + [-2] * 5, 0)
    counts = account(table)
    assert {name: counts.get(name, 0) for name in ("given", "mined", "random", "filled")} == {
        "given": 1,
        "mined": 0,
        "random": 5,
        "filled": 1,
    }
    assert not counts.keys() & {"short", "missing", "negative_score"}
    more = replace(params, random_fill=True, num_negatives=20, rank_range=(0, 20))
    (all_,) = mine_dataset(queries, corpus, more).to_pylist()
    assert set(all_["negative_hashes"]) == set(hashes(others))
    assert all_["missing"] == 8


def test_a_block_of_which_every_row_is_refused_has_numbers_too() -> None:
    """Each text alone with its label: nothing is kept, and nothing is to be counted."""
    texts, labels = ["a", "b"], ["x", "y"]
    vectors = vectors_of(texts)
    found = mine_dataset(
        make_queries(texts, labels=labels, vectors=vectors), make_corpus(texts, labels, vectors=vectors), MiningParams()
    )
    assert found["reason"].to_pylist() == ["LONELY_LABEL"] * 2
    assert account(found) == {}
