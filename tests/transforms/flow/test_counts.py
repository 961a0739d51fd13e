"""Row accounting: keyed numbers, their sums, and the manifest's records of them."""

import random

from hypothesis import given
from hypothesis import strategies as st

from schemas.manifest import StageCounts
from transforms.flow.counts import DISTINCT, KEPT, MERGED, READ, REJECTED, TRUNCATED, UNKNOWN, count, stage_counts

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from([READ, KEPT, MERGED, REJECTED, DISTINCT, TRUNCATED]),
        st.sampled_from(["TIE", "CAPPED"]),
        st.integers(0, 9),
    ),
    max_size=30,
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_totals_become_records_whatever_their_order(
    events: list[tuple[str, str, str, int]], drawn: random.Random
) -> None:
    totals = [count(name, what, rows, reason if what == REJECTED else "") for name, what, reason, rows in events]
    expected = {"a": StageCounts(), "b": StageCounts(), "none": StageCounts()}
    for name, what, reason, rows in events:
        if what == REJECTED:
            rejected = expected[name].rejected
            rejected[reason] = rejected.get(reason, 0) + rows
        else:
            setattr(expected[name], what, (getattr(expected[name], what) or 0) + rows)
    drawn.shuffle(totals)
    found = stage_counts(totals, ["none", "b", "a"])
    assert found == expected
    assert list(found) == ["a", "b", "none"]
    assert all(list(counts.rejected) == sorted(counts.rejected) for counts in found.values())


def test_a_dataset_that_was_not_announced_is_counted_all_the_same() -> None:
    assert stage_counts([count("late", READ, 2)], ["a"])["late"].read == 2


def test_distinct_texts_are_absent_where_nobody_counted_them() -> None:
    assert stage_counts([count("a", READ, 1)], ["a"])["a"].model_dump(exclude_none=True).keys() == {
        "read",
        "kept",
        "merged",
        "rejected",
    }


def test_a_number_that_one_of_two_does_not_know_is_absent() -> None:
    totals = [count("a", TRUNCATED, 3), count("a", TRUNCATED, 9, UNKNOWN), count("b", TRUNCATED, 2)]
    for order in (totals, totals[::-1]):
        found = stage_counts(order, ["a", "b"])
        assert (found["a"].truncated_texts, found["b"].truncated_texts) == (None, 2)
