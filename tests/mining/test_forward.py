"""Which texts share a forward pass."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mining.forward import padded_lengths, passes


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(8, 300), st.integers(1, 2_000))
def test_each_text_is_in_one_pass_with_texts_of_its_own_padded_length(lengths, limit, budget):
    padded = padded_lengths(np.minimum(np.array(lengths, np.int64), limit), limit)
    found = list(passes(padded, budget))
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    for rows in found:
        assert len(set(padded[rows])) == 1
        assert len(rows) == 1 or padded[rows].sum() <= budget
    widths = [padded[rows[0]] for rows in found]
    assert widths == sorted(widths), "shortest first"


@given(st.integers(1, 300), st.integers(8, 300))
def test_the_padded_length_is_a_multiple_of_eight_that_holds_the_text_or_the_limit(length, limit):
    length = min(length, limit)
    (padded,) = padded_lengths(np.array([length]), limit).tolist()
    assert padded in (limit, -(-length // 8) * 8)
    assert length <= padded <= limit


def test_a_pass_takes_as_many_texts_as_the_budget_holds():
    sizes = [len(rows) for rows in passes(np.full(20, 16), 64)]
    assert sizes == [4, 4, 4, 4, 4]
    assert [len(rows) for rows in passes(np.array([100, 100]), 64)] == [1, 1]
