"""Components in rounds against union-find: random graphs, chains, stars; through Beam; what has not converged fails."""

import itertools
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, find_message
from tests.transforms.duplicates.test_components import edge_table
from tests.transforms.rows import run_decisions
from tests.transforms.steps import in_order, rows_of
from transforms.duplicates import params
from transforms.duplicates.component_rounds import (
    ComponentsInRounds,
    by_node,
    from_both_ends,
    label_nodes,
    large_star,
    small_star,
)
from transforms.duplicates.components import EDGES, component_labels
from transforms.flow.batches import MAX_BYTES

Edges = list[tuple[tuple[int, int], tuple[int, int]]]

NODES = st.tuples(st.sampled_from([3, 1, (1 << 62) + 5]), st.integers(0, 4))
GRAPHS = st.lists(st.tuples(NODES, NODES).filter(lambda ends: ends[0] != ends[1]), max_size=25)


def shuffled(keyed: Any) -> list[pa.Table]:
    """What a shuffle makes of keyed batches: one table for each key."""
    groups: dict[int, list[pa.RecordBatch]] = {}
    for key, batch in keyed:
        groups.setdefault(key, []).append(batch)
    return [pa.Table.from_batches(batches, EDGES) for batches in groups.values()]


def after_rounds(edges: pa.Table, rounds: int, num_partitions: int) -> tuple[pa.Table, int]:
    """Labels in the order of addresses, and the number of edges that are unsettled."""
    ranges = shuffled(from_both_ends(edges, num_partitions))
    for _ in range(rounds):
        stars = shuffled(keyed for r in ranges for keyed in by_node(large_star(r), num_partitions))
        ranges = shuffled(keyed for s in stars for keyed in from_both_ends(small_star(s), num_partitions))
    labelled = [label_nodes(table) for table in ranges]
    labels = pa.concat_tables([component_labels(edge_table([])), *(table for table, _ in labelled)])
    return labels.sort_by([("part", "ascending"), ("row", "ascending")]), sum(number for _, number in labelled)


def chain(nodes: list[int]) -> Edges:
    return [((1, one), (1, other)) for one, other in itertools.pairwise(nodes)]


@given(GRAPHS, st.sampled_from([1, 3]))
def test_labels_are_those_of_union_find(edges: Edges, num_partitions: int) -> None:
    table = edge_table(edges)
    assert after_rounds(table, 4, num_partitions) == (component_labels(table), 0)


@given(GRAPHS, st.integers(0, 3))
def test_edges_are_settled_exactly_where_labels_are_right(edges: Edges, rounds: int) -> None:
    table = edge_table(edges)
    labels, unsettled = after_rounds(table, rounds, 2)
    if not unsettled:
        assert labels == component_labels(table)
        assert after_rounds(table, rounds + 1, 2) == (labels, 0)


@pytest.mark.parametrize("power", [2, 5, 8])
@pytest.mark.parametrize("in_order", [True, False])
def test_as_many_rounds_are_enough_for_a_chain_of_two_to_their_power(power: int, in_order: bool) -> None:
    nodes = np.arange(1 << power) if in_order else np.random.default_rng(power).permutation(1 << power)
    table = edge_table(chain(nodes.tolist()))
    assert after_rounds(table, power, 4) == (component_labels(table), 0)
    assert (after_rounds(table, power - 1, 4)[1] > 0) or not in_order


def test_stars_that_share_leaves_take_two_rounds() -> None:
    generator = np.random.default_rng(0)
    stars = [np.sort(generator.choice(1000, 30, replace=False)).tolist() for _ in range(40)]
    table = edge_table([((1, star[0]), (1, leaf)) for star in stars for leaf in star[1:]])
    assert after_rounds(table, 2, 4) == (component_labels(table), 0)


def test_no_edge_meets_more_than_its_two_ranges_and_no_batch_is_large() -> None:
    table = edge_table([((1, 0), (2 + leaf // 60_000, leaf % 60_000)) for leaf in range(200_000)])
    keyed = list(from_both_ends(table, 4))
    assert sum(batch.num_rows for _, batch in keyed) == 2 * table.num_rows
    assert max(batch.nbytes for _, batch in keyed) <= MAX_BYTES
    assert {key for key, _ in keyed} == set(range(4))
    assert all(type(key) is int for key, _ in keyed)


class Rounds(beam.PTransform):
    """Components of given edges; the addresses that come in are not looked at."""

    def __init__(self, edges: pa.Table, rounds: int) -> None:
        super().__init__()
        self._batches, self._rounds = [(0, batch) for batch in edges.to_batches(max_chunksize=7)], rounds

    def expand(self, parts: Any) -> Any:
        edges = parts.pipeline | "Edges" >> beam.Create(self._batches).with_output_types(tuple[int, pa.RecordBatch])
        labels = edges | ComponentsInRounds(num_partitions=3, rounds=self._rounds)
        return labels | beam.MapTuple(without_part)


def without_part(part: int, labels: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
    """Labels as decisions are: the part that they are keyed by is written with them."""
    assert set(labels.column("part").to_pylist()) == {part}
    return part, labels.drop_columns(["part"])


def test_through_beam(tmp_path: Path) -> None:
    edges = edge_table([*chain(list(range(8))), ((9, 1), (2, 5)), ((9, 1), (1 << 62, 3))])
    found = run_decisions([], Rounds(edges, 3), tmp_path)
    assert len(found) == 11
    assert in_order(found) == in_order(rows_of(component_labels(edges).to_batches()))


def test_what_has_not_converged_fails_and_says_how_much(tmp_path: Path) -> None:
    edges = edge_table(chain(list(range(16))))
    unsettled = after_rounds(edges, 2, 3)[1]
    assert unsettled > 0
    with pytest.raises(Exception, match="candidate edges have not converged") as error:
        run_decisions([], Rounds(edges, 2), tmp_path)
    message, code = find_message(str(error.value)) or ("", 0)
    assert message.startswith(f"near-duplicates: {unsettled} candidate edges have not converged after 2 rounds")
    assert "raise near.component_rounds" in message
    assert code == ConfigError.exit_code
    assert not list(tmp_path.glob("*.parquet"))


def test_a_range_with_more_edges_than_a_worker_holds_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "MAX_EDGES", 3)
    with pytest.raises(ConfigError, match="4 candidate edges meet in one range of rows"):
        large_star(edge_table(chain([0, 1, 2, 3, 4])))
