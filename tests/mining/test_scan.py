"""The compiled search against brute force over integers, and its rules against plain ones."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.index import asked_for_all, searched_all
from mining.products import QUERIES
from mining.scan import (
    ABOVE_CEILING,
    BELOW_FLOOR,
    BLOCK,
    CLASS_COPY,
    EQUAL_VECTOR,
    FREE,
    GIVEN,
    MAX_PASSAGES,
    OUTSIDE,
    SAME_LABELS,
    SHARED_LABEL,
    SHARES_LABEL,
    Asked,
    Searched,
    block_size,
    scan,
)

DIMS = (16, 17, 50, 384, 1000, 4096)


def vectors(num: int, dims: int, seed: int, kinds: int | None = None) -> np.ndarray:
    """int16 vectors of about unit length at scale 32767; ``kinds``: how many different ones, so that scores tie."""
    drawn = np.random.default_rng(seed).normal(size=(min(num, kinds or num), dims))
    units = np.rint(32767 * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.int16)
    return units[np.arange(num) % len(units)] if num else units[:0]


def exact_keys(queries: np.ndarray, passages: np.ndarray, rule: int = FREE) -> np.ndarray:
    scores = queries.astype(np.int64) @ passages.astype(np.int64).T
    return (scores << 32) | ((MAX_PASSAGES - 1 - np.arange(len(passages))) << 4) | rule


@settings(deadline=None, max_examples=60)
@given(
    num_queries=st.integers(1, 20),
    num=st.integers(1, 700),
    dims=st.sampled_from(DIMS[:5]),
    k=st.integers(1, 400),
    kinds=st.none() | st.integers(1, 30),
    seed=st.integers(0, 1000),
)
def test_the_best_keys_are_those_of_brute_force(num_queries, num, dims, k, kinds, seed):
    queries, passages, k = vectors(num_queries, dims, seed), vectors(num, dims, seed + 1, kinds), min(k, num)
    out, found = scan(queries, passages, asked_for_all(num_queries), searched_all(np.arange(num)), (k, 1))
    expected = -np.sort(-exact_keys(queries, passages), axis=1)[:, :k]
    assert (found[:, 0] == k).all()
    assert (-np.sort(-out[0, :, :k], axis=1) == expected).all()


@pytest.mark.parametrize("dims", DIMS)
def test_scores_are_exact_at_the_edge_of_int16(dims):
    passages = (
        np.full((40, dims), 32767, np.int16) // np.int16(np.sqrt(dims)) * np.where(np.arange(40) % 2, 1, -1)[:, None]
    )
    passages = passages.astype(np.int16)
    out, _ = scan(passages, passages, asked_for_all(40), searched_all(np.arange(40)), (40, 1))
    assert (-np.sort(-out[0], axis=1) == -np.sort(-exact_keys(passages, passages), axis=1)).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_blocks_of_queries_change_nothing(threads):
    queries, passages = vectors(2 * BLOCK + 7, 32, 1), vectors(500, 32, 2, 90)
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        out, _ = scan(queries, passages, asked_for_all(len(queries)), searched_all(np.arange(500)), (60, 1))
    finally:
        numba.set_num_threads(before)
    expected = -np.sort(-exact_keys(queries, passages), axis=1)[:, :60]
    assert (-np.sort(-out[0], axis=1) == expected).all()


@given(num=st.integers(1, 10_000), threads=st.integers(1, 64))
def test_blocks_of_queries_are_whole_steps_of_about_one_size_for_all_threads(num, threads):
    size = block_size(num, threads)
    assert size % QUERIES == 0
    assert 0 < size <= BLOCK
    blocks, rounds = -(-num // size), -(-num // (BLOCK * threads))
    assert blocks <= rounds * threads
    assert size - num / (rounds * threads) <= QUERIES  # no block waits for one that is larger by more than a step


def test_passages_are_taken_by_their_rows_and_read_from_a_memory_map(tmp_path):
    stored = vectors(300, 48, 3)
    np.save(tmp_path / "vectors.npy", stored)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    rows = np.random.default_rng(0).permutation(300)[:120]
    queries = vectors(9, 48, 4)
    out, _ = scan(queries, mapped, asked_for_all(9), searched_all(rows), (30, 1))
    assert (-np.sort(-out[0], axis=1) == -np.sort(-exact_keys(queries, stored[rows]), axis=1)[:, :30]).all()


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="must have the same number"):
        scan(vectors(1, 16, 0), vectors(1, 32, 0), asked_for_all(1), searched_all(np.arange(1)), (1, 1))


@st.composite
def questions(draw: st.DrawFn) -> tuple[Asked, Searched, np.ndarray, np.ndarray]:
    """Rows with marks, labels, languages, ceilings and floors, all drawn."""
    num, rows = draw(st.integers(1, 300)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    queries, passages = vectors(rows, 16, int(rng.integers(1000))), vectors(num, 16, int(rng.integers(1000)), 60)

    def runs(number: int, most: int, values: int) -> tuple[np.ndarray, np.ndarray]:
        lists = [np.unique(rng.integers(0, values, rng.integers(0, most + 1))) for _ in range(number)]
        return np.append(0, np.cumsum([len(run) for run in lists])), np.concatenate([*lists, np.empty(0)]).astype(
            np.int64
        )

    def marks(number: int, rules: list[int]) -> tuple[np.ndarray, np.ndarray]:
        bounds, places = runs(number, 12, num)
        return bounds.astype(np.int64), (places << 4) | rng.choice(rules, len(places))

    (group_bounds, group_marks), (own_bounds, own_marks) = marks(3, [OUTSIDE, EQUAL_VECTOR]), marks(rows, [GIVEN])
    label_bounds, labels = runs(rows, 3, 4)
    other_bounds, others = runs(num, 3, 4)
    by_class = (rng.random(rows) < 0.5) & (np.diff(label_bounds) > 0)
    scale = 32767 * 32767
    asked = Asked(
        group=rng.integers(0, 3, rows),
        group_bounds=group_bounds,
        group_marks=group_marks,
        own_bounds=own_bounds,
        own_marks=own_marks,
        label_bounds=label_bounds.astype(np.int64),
        labels=labels,
        by_class=by_class,
        language=rng.integers(0, 3, rows),
        ceiling=(rng.random(rows) * scale).astype(np.int64),
        floor=(-rng.random(rows) * scale).astype(np.int64),
    )
    searched = Searched(np.arange(num), other_bounds.astype(np.int64), others, rng.integers(0, 3, num))
    return asked, searched, queries, passages


def plain_rule(asked: Asked, searched: Searched, row: int, at: int, score: int) -> int:
    """What a passage is to a row, in plain Python."""

    def run(bounds: np.ndarray, values: np.ndarray, number: int) -> list[int]:
        return values[bounds[number] : bounds[number + 1]].tolist()

    marked = dict.fromkeys((at,), FREE)
    for mark in run(asked.own_bounds, asked.own_marks, row) + run(
        asked.group_bounds, asked.group_marks, asked.group[row]
    ):
        marked[mark >> 4] = max(marked.get(mark >> 4, FREE), mark & 15)
    own, its = set(run(asked.label_bounds, asked.labels, row)), set(run(searched.label_bounds, searched.labels, at))
    if marked[at] == OUTSIDE or len({asked.language[row], searched.language[at]} - {0}) == 2:
        return OUTSIDE
    if own & its and asked.by_class[row]:
        return CLASS_COPY if marked[at] == EQUAL_VECTOR else SAME_LABELS if own == its else SHARES_LABEL
    if marked[at] != FREE:
        return marked[at]
    if own & its:
        return SHARED_LABEL
    return ABOVE_CEILING if score > asked.ceiling[row] else BELOW_FLOOR if score < asked.floor[row] else FREE


@settings(deadline=None, max_examples=60)
@given(questions(), st.integers(1, 40), st.integers(1, 40))
def test_what_is_kept_are_the_best_eligible_however_many_rules_refuse(question, size, classes):
    asked, searched, queries, passages = question
    out, found = scan(queries, passages, asked, searched, (size, size, classes, classes))
    keys = exact_keys(queries, passages)
    kinds = ([FREE], range(GIVEN, SAME_LABELS), [SAME_LABELS], [SHARES_LABEL, CLASS_COPY])
    for row in range(len(queries)):
        ruled = [key | plain_rule(asked, searched, row, at, key >> 32) for at, key in enumerate(keys[row].tolist())]
        for which, rules in enumerate(kinds):
            kept = set(out[which, row, : found[row, which]].tolist())
            best = sorted((key for key in ruled if key & 15 in rules), reverse=True)
            limit = (size, size, classes, classes)[which]
            if rules == kinds[1] and found[row, 0] == size:  # what ranks below the last eligible one may be left out
                last = min(out[0, row, :size].tolist())
                best = [key for key in best if key > last]
                kept = {key for key in kept if key > last}
            if which < 2 or asked.by_class[row]:
                assert kept == set(best[:limit])
