"""What a cross-encoder refuses is no negative, and the next ones take its place."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.accounting import account
from mining.cross_encoder import Pair, Shares
from mining.mine import mine_dataset
from mining.params import MiningParams
from mining.rescoring import CrossCheck
from schemas.rows import text_hash
from tests.mining.tables import make_corpus, make_queries, vectors_of

TEXTS = [f"text {number}" for number in range(60)]
ASKED = [f"question {number}" for number in range(12)]
TOP = MiningParams(
    num_negatives=4,
    rank_range=(0, 8),
    labelled_rank_range=(0, 8),
    sampling="top",
    consistency_rank=None,
    max_relative_score=None,
    cross_encoder="given by the test",
)


class Judge:
    """Scores by hand, and what was asked."""

    def __init__(self, shares: dict[Pair, float]) -> None:
        self.shares, self.asked = shares, list[Pair]()

    def __call__(self, pairs: Sequence[Pair]) -> Shares:
        self.asked += pairs
        return np.array([self.shares.get(pair, 0.0) for pair in pairs], np.float32)


def texts_at(addresses: pa.StructArray) -> list[str]:
    return [ASKED[each["row"]] if each["field"] == "query" else TEXTS[each["row"]] for each in addresses.to_pylist()]


def mined(params: MiningParams, judge: Judge, *, labels: bool = False, num: int = 60) -> pa.Table:
    corpus = make_corpus(TEXTS[:num], [("x", "y")[number % 2] for number in range(num)] if labels else None)
    positives = [[] if labels else [TEXTS[number], TEXTS[number + 20]] for number in range(12)]
    queries = make_queries(ASKED, positives, labels=["x"] * 12 if labels else None)
    return mine_dataset(queries, corpus, params, check=CrossCheck(score=judge, texts=texts_at))


def nearest(row: int) -> list[str]:
    """All passages but the row's positives, best first, by brute force."""
    vectors, query = vectors_of(TEXTS).astype(np.int64), vectors_of([ASKED[row]]).astype(np.int64)[0]
    order = sorted(range(60), key=lambda at: (-int(vectors[at] @ query), text_hash(TEXTS[at])))
    return [TEXTS[at] for at in order if at not in (row, row + 20)]


def chosen(table: pa.Table) -> list[list[bytes]]:
    lists: list[list[bytes]] = table["negative_hashes"].to_pylist()
    return lists


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["best", "first", "least"]), st.sampled_from([0.3, 0.5, 1.0]))
def test_the_nearest_that_it_allows_are_taken(seed: int, relative_to: Any, most: float) -> None:
    rng = np.random.default_rng(seed)
    shares = {(asked, text): float(np.float32(rng.random())) for asked in ASKED for text in TEXTS}
    params = MiningParams(**vars(TOP) | {"relative_to": relative_to, "max_cross_score": most})
    found = mined(params, Judge(shares))
    refused = 0
    for row, hashes in enumerate(chosen(found)):
        pair = [shares[ASKED[row], TEXTS[at]] for at in (row, row + 20)]
        limit = {"best": max(pair), "first": pair[0], "least": min(pair)}[relative_to] * most
        pool = nearest(row)[: 8 + 4 + 50]
        allowed = [text for text in pool if shares[ASKED[row], text] <= limit][:4]
        assert hashes == [text_hash(text) for text in allowed]
        last = pool.index(allowed[-1]) if len(allowed) == 4 else len(pool)
        refused += sum(shares[ASKED[row], text] > limit for text in pool[:last])
    assert account(found).get("refused:cross_encoder", 0) == refused


def test_draws_of_the_others_do_not_change() -> None:
    params = MiningParams(**vars(TOP) | {"sampling": "draw", "rank_range": (5, 30)})
    free = chosen(mined(params, Judge({(ASKED[row], TEXTS[row]): 1.0 for row in range(12)})))
    names = {text_hash(text): text for text in TEXTS}
    judge = Judge(
        {(ASKED[row], TEXTS[row]): 1.0 for row in range(12)}
        | {(ASKED[row], names[hashes[0]]): 0.9 for row, hashes in enumerate(free)}
    )
    for before, after in zip(free, chosen(mined(params, judge)), strict=True):
        assert before[0] not in after
        assert set(before[1:]) < set(after)
        assert len(after) == 4


def test_no_pair_is_asked_about_twice() -> None:
    rng = np.random.default_rng(1)
    judge = Judge({(asked, text): float(rng.random()) for asked in ASKED for text in TEXTS})
    mined(TOP, judge)
    assert len(judge.asked) == len(set(judge.asked))
    assert len(judge.asked) < 12 * 60 / 2


def test_one_that_refuses_everything_leaves_rows_short_and_says_so() -> None:
    judge = Judge({(asked, text): 0.9 for asked in ASKED for text in TEXTS})
    found = mined(TOP, judge)
    assert chosen(found) == [[]] * 12
    counts = account(found)
    assert counts["none"] == 12
    assert counts["refused:cross_encoder"] == 12 * 58


def test_what_it_refuses_does_not_come_back_at_random() -> None:
    rng = np.random.default_rng(2)
    shares = {(asked, text): float(np.float32(rng.random() > 0.1)) for asked in ASKED for text in TEXTS}
    shares |= {(ASKED[row], TEXTS[row]): 1.0 for row in range(12)}
    params = MiningParams(**vars(TOP) | {"random_fill": True, "max_score": -0.1})
    judge = Judge(shares)
    found = mined(params, judge)
    names = {text_hash(text): text for text in TEXTS}
    for row, hashes in enumerate(chosen(found)):
        assert all(shares[ASKED[row], names[hash_]] == 0 for hash_ in hashes)
        assert len(hashes) == len(set(hashes))
    assert account(found)["random"] > 5
    assert len(judge.asked) == len(set(judge.asked))


def test_labelled_rows_are_not_asked_about() -> None:
    judge = Judge({(asked, text): 0.9 for asked in ASKED for text in TEXTS})
    assert all(len(hashes) == 4 for hashes in chosen(mined(TOP, judge, labels=True)))
    assert judge.asked == []


def test_rows_without_a_consistent_positive_are_not_asked_about() -> None:
    judge = Judge({})
    found = mined(MiningParams(**vars(TOP) | {"consistency_rank": 0}), judge)
    rejected = [row for row, reason in enumerate(found["reason"].to_pylist()) if reason]
    assert rejected
    assert {pair[0] for pair in judge.asked} == {ASKED[row] for row in range(12) if row not in rejected}


def test_rows_whose_question_cannot_be_found_are_an_error() -> None:
    queries = make_queries(ASKED, [[text] for text in TEXTS[:12]]).drop_columns(["part", "row"])
    with pytest.raises(ValueError, match=r"\['part', 'row'\].*questions"):
        mine_dataset(queries, make_corpus(TEXTS), TOP, check=CrossCheck(score=Judge({}), texts=texts_at))


def test_without_one_nothing_changes() -> None:
    plain = MiningParams(**vars(TOP) | {"cross_encoder": None})
    queries = make_queries(ASKED, [[text] for text in TEXTS[:12]])
    everything = Judge({(ASKED[row], TEXTS[row]): 1.0 for row in range(12)})
    checked = mine_dataset(queries, make_corpus(TEXTS), TOP, check=CrossCheck(score=everything, texts=texts_at))
    assert mine_dataset(queries, make_corpus(TEXTS), plain).equals(checked)


@pytest.mark.parametrize(
    ("name", "value"), [("max_cross_score", 0), ("max_cross_score", 1.5), ("cross_margin", -1), ("cross_max_tokens", 2)]
)
def test_numbers_that_mean_nothing_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        MiningParams(**{name: value})
