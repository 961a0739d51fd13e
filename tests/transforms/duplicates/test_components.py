"""Components against a naive closure; forests in any order and grouping; the labels of addresses."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError
from transforms.duplicates import components
from transforms.duplicates.components import (
    EDGES,
    NodeNumbers,
    component_labels,
    forest,
    forest_table,
    smallest_labels,
    star_edges,
)

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
