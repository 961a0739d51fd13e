"""Components against a naive closure; forests in any order and grouping; the labels of addresses."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError
from tests.transforms.steps import shuffle
from transforms.duplicates import components
from transforms.duplicates.components import (
    EDGES,
    LABELS,
    Keyed,
    LabelRows,
    MergeForests,
    NodeNumbers,
    SpreadForests,
    component_labels,
    forest,
    forest_table,
    pack_edges,
    smallest_labels,
    star_edges,
    unpack_edges,
)
from transforms.flow.batches import MAX_BYTES, RecordBatchCoder

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20)


def closure(nodes: set[int], edges: list[tuple[int, int]]) -> dict[int, int]:
    """The smallest node that each node reaches, by relabelling until nothing changes."""
    labels = {node: node for node in nodes}
    for _ in nodes:
        for one, other in edges:
            labels[one] = labels[other] = min(labels[one], labels[other])
    return labels


def arrays(edges: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    left, right = zip(*edges, strict=True) if edges else ((), ())
    return np.array(left, np.int64), np.array(right, np.int64)


@settings(deadline=None)
@given(PAIRS)
def test_labels_are_the_closure(edges: list[tuple[int, int]]) -> None:
    expected = closure(set(range(13)), edges)
    assert smallest_labels(13, *arrays(edges)).tolist() == [expected[node] for node in range(13)]


@settings(deadline=None)
@given(PAIRS, PAIRS, st.randoms())
def test_forests_merge_in_any_order_and_grouping(some, others, random) -> None:  # type: ignore[no-untyped-def]
    whole = some + others
    expected = [tuple(nodes.tolist()) for nodes in forest(*arrays(whole))]
    shuffled = [edge[:: random.choice((1, -1))] for edge in random.sample(whole, len(whole))]
    assert [tuple(nodes.tolist()) for nodes in forest(*arrays(shuffled))] == expected
    merged = [np.concatenate(ends) for ends in zip(forest(*arrays(some)), forest(*arrays(others)), strict=True)]
    assert [tuple(nodes.tolist()) for nodes in forest(*merged)] == expected
    assert len(expected[0]) == len(set(itertools.chain(*whole))) - len(
        set(closure({*itertools.chain(*whole)}, whole).values())
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=20), st.sampled_from([0, 1 << 32]))
def test_stars_connect_what_shares_a_key(entries: list[tuple[int, int]], offset: int) -> None:
    keys, nodes = arrays(entries)
    left, right = star_edges(keys.astype(np.uint32), nodes + offset)
    left, right = left - offset, right - offset
    pairs = [(a, b) for (k, a), (m, b) in itertools.combinations(entries, 2) if k == m]
    assert smallest_labels(10, left, right).tolist() == smallest_labels(10, *arrays(pairs)).tolist()
    assert len(left) <= max(len(entries) - len(set(keys.tolist())), 0)
    assert (left < right).all()


def edge_table(edges: list[tuple[tuple[int, int], tuple[int, int]]]) -> pa.Table:
    columns = list(zip(*[(*one, *other) for one, other in edges], strict=True)) or [[], [], [], []]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, EDGES, strict=True)], schema=EDGES)


def test_components_are_named_by_their_smallest_address() -> None:
    big = (1 << 62) + 5
    labels = component_labels(edge_table([((big, 3), (7, 9)), ((7, 9), (7, 2)), ((1, 1), (big, 65_535))]))
    assert [tuple(row.values()) for row in labels.to_pylist()] == [
        (1, 1, 1, 1),
        (7, 2, 7, 2),
        (7, 9, 7, 2),
        (big, 3, 7, 2),
        (big, 65_535, 1, 1),
    ]


def test_no_edges_no_labels() -> None:
    assert component_labels(edge_table([])).num_rows == 0


def test_addresses_survive_numbering() -> None:
    parts, rows = np.array([9, 1, 9, (1 << 63) - 1]), np.array([0, 65_535, 3, 65_535], np.int32)
    numbers = NodeNumbers([parts])
    nodes = numbers.numbers(parts, rows)
    assert np.argsort(nodes).tolist() == [1, 0, 2, 3]
    for found, expected in zip(numbers.addresses(nodes), (parts, rows), strict=True):
        np.testing.assert_array_equal(found, expected)
    table = forest_table(numbers, nodes[:1], nodes[1:2])
    assert table.to_pylist() == [{"part": 1, "row": 65_535, "other_part": 9, "other_row": 0}]


def test_more_edges_than_a_worker_holds_fail_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "MAX_EDGES", 1)
    with pytest.raises(ConfigError, match=r"2 candidate edges.*near\.components to 'rounds'"):
        component_labels(edge_table([((1, 1), (1, 2)), ((1, 1), (1, 3))]))


ADDRESSES = st.tuples(st.sampled_from([3, -1, (1 << 62) + 5]), st.integers(0, 12))


def spread(forests: Sequence[pa.Table]) -> list[Keyed]:
    """The edges of forests by range of rows."""
    return [keyed for table in forests for batch in table.to_batches() for keyed in SpreadForests().process((0, batch))]


def merged(keyed: Sequence[Keyed], seed: int) -> list[Keyed]:
    """What is left of the edges of forests, for one place."""
    return [found for ranges in shuffle(keyed, seed) for found in MergeForests().work(ranges)]


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(ADDRESSES, ADDRESSES), max_size=12), max_size=4), st.integers(0, 3))
def test_forests_that_are_merged_on_the_way_give_the_same_labels(graphs, seed: int) -> None:  # type: ignore[no-untyped-def]
    forests = [edge_table([edge for edge in edges if edge[0] != edge[1]]) for edges in graphs]
    meeting = shuffle(merged(spread(forests), seed), seed)
    batches = [batch for keyed in meeting for _, batch in LabelRows().process(keyed)]
    found = pa.Table.from_batches(batches, LABELS).sort_by([("part", "ascending"), ("row", "ascending")])
    assert found == component_labels(pa.concat_tables([edge_table([]), *forests]))


def planted_forests(num_forests: int, num_pairs: int, num_rows: int) -> list[pa.Table]:
    """Pairs of rows of parts of 50,000, each of which most ranges of bands found; some have a third row."""
    rng = np.random.default_rng(5)
    ends = np.sort(rng.permutation(num_rows)[: 2 * num_pairs].reshape(2, -1), axis=0)
    tables = []
    for _ in range(num_forests):
        one, other = ends[:, rng.random(num_pairs) < 0.7]
        columns = [one // 50_000, one % 50_000, other // 50_000, other % 50_000]
        tables.append(pa.table([pa.array(c, f.type) for c, f in zip(columns, EDGES, strict=True)], schema=EDGES))
    return tables


def test_a_pair_that_many_ranges_of_bands_found_meets_once() -> None:
    """Of a million rows of which every tenth is an edited copy, one place gets less than a byte a row."""
    num_rows, num_pairs = 1_000_000, 100_000
    keyed, size = spread(planted_forests(60, num_pairs, num_rows)), RecordBatchCoder().encode
    ranges: Counter[int] = Counter()
    for number, batch in keyed:
        ranges[number] += len(size(batch))
    assert ranges.total() < 40 * num_rows
    assert max(ranges.values()) < 0.08 * ranges.total()
    meeting = merged(keyed, 0)
    assert {key for key, _ in meeting} == {0}
    assert unpack_edges(batch for _, batch in meeting).num_rows == num_pairs
    assert sum(len(size(batch)) for _, batch in meeting) < 0.9 * num_rows


def test_edges_of_more_parts_than_a_batch_can_number_are_packed_in_several() -> None:
    numbers = np.arange(80_000) * 3
    columns = [numbers[:40_000], numbers[:40_000] % 65_536, numbers[40_000:], numbers[40_000:] % 65_536]
    edges = pa.table([pa.array(c, f.type) for c, f in zip(columns, EDGES, strict=True)], schema=EDGES)
    batches = list(pack_edges(edges))
    assert [batch.num_rows for batch in batches] == [1, 1]
    assert max(batch.nbytes for batch in batches) < MAX_BYTES
    assert unpack_edges(batches).equals(edges)
    assert list(pack_edges(edges.slice(0, 0))) == []
