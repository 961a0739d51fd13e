"""The inverted index of n-grams against sets of n-grams, and the sieve against no sieve."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.leaks.gram_index import GramIndex, build_grams, gram_sets

WORDS = ["harbour", "ferry", "ferries", "rope", "the", "of", "长江大桥", "北京", "7", "xyzzy"]
SHORT = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)


def plain(text: str) -> set[str]:
    """The n-grams of a text."""
    sizes = [2 if "\u3400" <= character < "\ua000" else 5 for character in text]
    return {text[i : i + size] for i, size in enumerate(sizes) if i + size <= len(text)}


def known(queries: list[str], max_queries: int) -> list[set[str]]:
    """The n-grams of queries that no more than so many of them have."""
    sets = [plain(query) for query in queries]
    every: set[str] = set().union(*sets)
    rare = {gram for gram in every if sum(gram in own for own in sets) <= max_queries}
    return [own & rare for own in sets]


def index_of(queries: list[str], max_queries: int, min_containment: float = 0.4) -> GramIndex:
    """The index of queries that may all stand in longer texts."""
    sets = gram_sets(pa.array(queries, pa.large_string()))
    return build_grams(*sets, max_queries, np.ones(len(queries), bool), min_containment)


@settings(deadline=None)
@given(st.lists(st.text("ab 字c", max_size=14), max_size=8), st.integers(1, 4))
def test_postings_are_those_of_sets(texts: list[str], max_queries: int) -> None:
    _, offsets = gram_sets(pa.array(texts, pa.large_string()))
    assert np.diff(offsets).tolist() == [len(plain(text)) for text in texts]
    index, kept = index_of(texts, max_queries), known(texts, max_queries)
    grams, ends, _, buckets, shift, sizes = index.all
    every: set[str] = set().union(*kept)
    assert sorted(np.diff(ends).tolist()) == sorted(sum(gram in own for own in kept) for gram in every)
    assert sizes.tolist() == [len(own) for own in kept]
    high = (grams >> np.uint64(shift)).astype(np.int64)
    places = np.arange(len(grams))
    assert ((buckets[high] <= places) & (places < buckets[high + 1])).all()
    assert index.anchors[5].tolist() == [min(len(own), 8) for own in kept]


def _expected(texts: list[str], queries: list[set[str]], min_containment: float) -> list[tuple[int, int, float]]:
    """Candidates of short texts by counting every pair."""
    found = []
    for number, text in enumerate(texts):
        grams, own = plain(text), []
        for query, sought in enumerate(queries):
            share = min_containment if len(grams) <= 2 * len(sought) + 16 else max(min_containment, 0.9)
            count = len(grams & sought)
            if count and count >= share * len(sought):
                own.append((number, query, count / len(sought)))
        found += sorted(own, key=lambda candidate: (-candidate[2], candidate[1]))[:16]
    return found


@settings(deadline=None)
@given(
    st.lists(SHORT, max_size=24),
    st.lists(SHORT, max_size=24),
    st.integers(1, 12),
    st.sampled_from([0.01, 0.2, 0.4, 0.75, 1.0]),
)
def test_candidates_are_those_of_counting_every_pair(
    queries: list[str], texts: list[str], max_queries: int, min_containment: float
) -> None:
    index = index_of(queries, max_queries, min_containment)
    forms = pa.array(["before", *texts], pa.large_string()).slice(1)
    expected = _expected(texts, known(queries, max_queries), min_containment)
    assert list(index.candidates(forms, min_containment)) == expected


@pytest.mark.parametrize("words", [12, 60])
def test_no_query_that_a_long_text_may_be_or_hold_is_lost(words: int) -> None:
    generator = random.Random(0)
    vocabulary = ["".join(generator.choices("abcdefgh", k=generator.randint(2, 9))) for _ in range(400)]
    queries = [" ".join(generator.choices(vocabulary, k=words)) for _ in range(300)]
    noise = [" ".join(generator.choices(vocabulary, k=120)) for _ in range(300)]
    holding = [f"{text[:300]} {query} {text[300:]}" for text, query in zip(noise, queries, strict=True)]
    index, places = index_of(queries, 200), range(len(queries))
    held = {(text, query) for text, query, _ in index.candidates(pa.array(holding, pa.large_string()), 0.4)}
    assert {(place, place) for place in places} <= held
    assert len(held) < 2 * len(queries)
    if words == 60:
        halves = pa.array([query[: 2 * len(query) // 3] for query in queries], pa.large_string())
        assert {(place, place) for place in places} <= {found[:2] for found in index.candidates(halves, 0.4)}
