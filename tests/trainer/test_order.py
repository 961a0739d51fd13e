"""The order of an epoch: every row once, batches of one dataset, no text twice, the same from the same facts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.order import OrderParams, drawn_positives, epoch_order, mixed, mixed_sizes, num_batches, repeats
from trainer.rows import TextKeys

DIGEST = "ab" * 16


def keys_of(queries: list[int], positives: list[list[int]]) -> TextKeys:
    return TextKeys(
        query_R=np.array(queries, np.uint32),
        positives=np.array([key for each in positives for key in each], np.uint32),
        offsets=np.cumsum([0, *map(len, positives)]),
    )


def distinct(num_rows: int) -> TextKeys:
    return keys_of(list(range(num_rows)), [[10_000 + row] for row in range(num_rows)])


def cut(order: np.ndarray, size: int) -> list[list[int]]:
    return [order[start : start + size].tolist() for start in range(0, len(order), size)]


def brute_repeats(order: list[int], queries: list[int], positives: list[int], size: int) -> set[int]:
    found = set()
    for place, row in enumerate(order):
        before = order[place - place % size : place]
        seen = {text for each in before for text in (queries[each], positives[each])}
        if seen & {queries[row], positives[row]}:
            found.add(place)
    return found


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(1, 9), st.sampled_from([0.0, 0.4, 1.0]))
def test_an_epoch_holds_every_row_once_and_short_batches_come_last(sizes, size, share):
    params = OrderParams(batch_size=size, homogeneous_share=share)
    order = epoch_order(sizes, distinct(sum(sizes)), DIGEST, 0, params)
    assert order.dtype == np.int32
    assert sorted(order.tolist()) == list(range(sum(sizes)))
    assert len(cut(order, size)) == num_batches(sum(sizes), size)


def test_batches_are_of_one_dataset_but_for_what_is_left_over():
    sizes = [50, 7, 31]
    datasets = np.repeat([0, 1, 2], sizes)
    order = epoch_order(sizes, distinct(88), DIGEST, 0, OrderParams(batch_size=8))
    pure = Counter(datasets[batch[0]] for batch in cut(order, 8) if len({*datasets[batch]}) == 1 and len(batch) == 8)
    assert pure[0] >= 6
    assert pure[2] >= 3
    assert len(cut(order, 8)) == 11


def test_a_share_of_each_batch_is_dealt_from_all():
    datasets = np.repeat(np.arange(4), 80)
    order = epoch_order([80] * 4, distinct(320), DIGEST, 0, OrderParams(batch_size=16, homogeneous_share=0.75))
    most = [max(Counter(datasets[batch]).values()) for batch in cut(order, 16)]
    assert min(most) >= 12
    assert np.mean(most) < 15


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.sampled_from([1.0, 1.5, 3.0, 1e9]), st.integers(1, 9))
def test_a_mixing_temperature_changes_what_an_epoch_has_of_each_dataset(sizes, temperature, batch_size):
    taken = mixed_sizes(sizes, temperature)
    assert taken.sum() == sum(sizes)
    weights = np.array(sizes, float) ** (1 / temperature) * (np.array(sizes) > 0)
    assert abs(taken - weights * sum(sizes) / max(weights.sum(), 1)).max() < 1
    params = OrderParams(batch_size=batch_size, mixing_temperature=temperature)
    order = epoch_order(sizes, distinct(sum(sizes)), DIGEST, 0, params)
    of_row = np.repeat(np.arange(len(sizes)), sizes)
    assert np.bincount(of_row[order], minlength=len(sizes)).tolist() == taken.tolist()
    for dataset, size in enumerate(sizes):  # none comes again before all have come
        times = np.bincount(order, minlength=sum(sizes))[of_row == dataset]
        assert not size or times.max() - times.min() <= 1


def test_rows_that_come_again_in_an_epoch_stand_in_other_batches():
    params = OrderParams(batch_size=8, mixing_temperature=4.0)
    order = epoch_order([400, 20], distinct(420), DIGEST, 0, params)
    assert Counter(order.tolist()).most_common(1)[0][1] > 3
    assert all(len(set(batch)) == len(batch) for batch in cut(order, 8))


def test_it_follows_from_digest_seed_and_epoch_and_from_nothing_else():
    def order(digest: str = DIGEST, epoch: int = 3, seed: int = 5, temperature: float = 1.0) -> list[int]:
        np.random.seed(np.random.default_rng().integers(1000))
        params = OrderParams(batch_size=7, seed=seed, mixing_temperature=temperature)
        return epoch_order([40, 60], distinct(100), digest, epoch, params).tolist()

    assert order() == order()
    others = [order(digest="cd" * 16), order(epoch=4), order(seed=6), order(temperature=2.0)]
    assert all(other != order() for other in others)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40), st.integers(1, 9))
def test_repeats_are_those_that_a_walk_finds(texts, size):
    queries, positives = [query for query, _ in texts], [positive for _, positive in texts]
    order = np.random.default_rng(0).permutation(len(texts)).astype(np.int32)
    found = repeats(order, np.array(queries, np.uint64), np.array(positives, np.uint64), size)
    every_later = brute_repeats(order.tolist(), queries, positives, size)
    # A row may repeat two texts; each place that must move is named, and no other.
    assert set(found.tolist()) == every_later


def test_no_text_is_twice_in_a_batch_where_batches_suffice():
    random = np.random.default_rng(1)
    queries = random.integers(0, 700, 2000).tolist()
    positives = [[1000 + int(text)] for text in random.integers(0, 500, 2000)]
    keys = keys_of(queries, positives)
    params = OrderParams(batch_size=16)
    order = epoch_order([1200, 800], keys, DIGEST, 0, params)
    assert sorted(order.tolist()) == list(range(2000))
    assert brute_repeats(order.tolist(), queries, [each[0] for each in positives], 16) == set()


def test_where_a_text_has_more_rows_than_there_are_batches_the_order_is_still_whole():
    order = epoch_order([20], keys_of(list(range(20)), [[99]] * 20), DIGEST, 0, OrderParams(batch_size=4))
    assert sorted(order.tolist()) == list(range(20))


def test_all_of_a_rows_positives_are_drawn_over_the_epochs_evenly_and_by_row():
    offsets = np.cumsum([0, *[3] * 200])
    drawn = np.stack([drawn_positives(offsets, 0, epoch) - offsets[:-1] for epoch in range(60)])
    assert drawn.min() == 0
    assert drawn.max() == 2
    shares = np.stack([(drawn == place).mean(0) for place in range(3)])
    assert shares.min() > 0.05
    assert abs(shares.mean(1) - 1 / 3).max() < 0.02
    assert len({tuple(row) for row in drawn.T}) == 200
    assert (drawn_positives(offsets, 1, 0) != drawn_positives(offsets, 0, 0)).any()


def test_a_few_rows_draw_what_all_rows_draw():
    offsets = np.cumsum([0, 3, 1, 4, 2])
    rows = np.array([3, 0])
    assert drawn_positives(offsets, 2, 5, rows).tolist() == drawn_positives(offsets, 2, 5)[rows].tolist()


def test_mixed_is_the_published_finaliser():
    # The first outputs of splitmix64 with the seed 1234567, from the reference implementation by Vigna.
    state = np.uint64(1234567)
    with np.errstate(over="ignore"):
        states = state + np.uint64(0x9E3779B97F4A7C15) * np.arange(3, dtype=np.uint64)
    assert mixed(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"batch_size": 4, "homogeneous_share": 1.5}, {"batch_size": 4, "mixing_temperature": 0.5}],
)
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="temperature must be at least 1 and homogeneous_share 0 to 1"):
        OrderParams(**wrong)
