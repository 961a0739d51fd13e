"""Lists of rows: as long as needed, and the same from shards as from the whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.lists import Depths, at_positions, positions_of, together
from mining.scan import ABOVE_CEILING, FREE, MAX_PASSAGES, SAME_LABELS, SHARES_LABEL

RULES = (FREE, FREE, ABOVE_CEILING, SAME_LABELS, SHARES_LABEL)


def keys_of(scores: list[int], rules: list[int]) -> np.ndarray:
    places = np.arange(len(scores))
    return (np.array(scores, np.int64) << 32) | ((MAX_PASSAGES - 1 - places) << 4) | np.array(rules, np.int64)


def plain(keys: list[int], depth: int, more: int, refused: int, classes: int) -> list[int]:
    """The same walk in words: best first, the pool to its depth and some eligible ones beyond, classes apart."""
    kept, rank, beyond, others, mates = [], 0, 0, 0, {True: 0, False: 0}
    for key in sorted(keys, reverse=True):
        rule = key & 15
        if rule >= SAME_LABELS:
            mates[rule == SAME_LABELS] += 1
            if mates[rule == SAME_LABELS] <= classes:
                kept.append(key)
        elif (rank < depth or beyond < more) and (rule == FREE or others < refused):
            beyond += rule == FREE and rank >= depth
            others += rule != FREE
            rank += 1
            kept.append(key)
    return kept


ENTRIES = st.lists(st.tuples(st.integers(-50, 50), st.sampled_from(RULES)), max_size=60)


@settings(deadline=None)
@given(ENTRIES, st.integers(1, 12), st.integers(0, 5), st.integers(1, 12), st.integers(1, 4), st.integers(1, 4))
def test_lists_of_shards_are_those_of_the_whole(entries, depth, more, extra, classes, shards):
    keys = keys_of([score for score, _ in entries], [rule for _, rule in entries])
    depths = Depths(pool=np.array([depth]), more=more, refused=depth + extra, classes=classes)
    whole = together([(np.zeros(len(keys), np.int64), keys)], 1, depths)
    assert whole.keys.tolist() == plain(keys.tolist(), depth, more, depth + extra, classes)
    parts = []
    for number in range(shards):
        part = together([(np.zeros(len(keys[number::shards]), np.int64), keys[number::shards])], 1, depths)
        parts.append((np.zeros(len(part.keys), np.int64), part.keys))
    assert together(parts, 1, depths).keys.tolist() == whole.keys.tolist()


def test_rows_keep_their_own_keys():
    depths = Depths(pool=np.array([2, 2, 2]), more=1, refused=2, classes=1)
    lists = together([(np.array([2, 0, 2]), keys_of([1, 5, 3], [FREE] * 3))], 3, depths)
    assert lists.bounds.tolist() == [0, 1, 1, 3]
    assert (lists.keys >> 32).tolist() == [5, 3, 1]
    assert (lists.take(np.array([2, 1])).keys >> 32).tolist() == [3, 1]


@given(st.lists(st.tuples(st.integers(-(1 << 30), 1 << 30), st.integers(0, MAX_PASSAGES - 1)), max_size=5))
def test_positions_come_out_of_keys_and_go_back(pairs):
    scores, positions = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    keys = at_positions((scores << 32) | FREE, positions)
    assert positions_of(keys).tolist() == positions.tolist()
    assert (keys >> 32).tolist() == scores.tolist()
