"""Connected components of more edges than one worker holds: labels spread in a fixed number of rounds.

Edges lie by range of nodes. A round is a large star, in which each node links its larger neighbours to the smallest
node it knows, and a small star, in which it links itself and its smaller neighbours to it. Neither connects what was
not, parts what was, or makes more edges. What stays as it is in both is a star around the smallest node of each
component. Source: R. Kiveris, S. Lattanzi, V. Mirrokni, V. Rastogi, S. Vassilvitskii, Connected Components in MapReduce
and Beyond, 2014.

A graph cannot loop, so the rounds are unrolled, and what has not settled after the last one is an error. Measured: a
chain of 2^k nodes, k up to 18, takes k rounds in order, interleaved or bit-reversed, and fewer where it is shuffled;
candidates are stars that overlap, which take few.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput

from schemas.errors import ConfigError
from transforms.duplicates import params
from transforms.duplicates.components import (
    EDGES,
    LABELS,
    Keyed,
    NodeNumbers,
    Nodes,
    address_partitions,
    address_table,
    sorted_pairs,
)
from transforms.flow.accounting import SumCounts
from transforms.flow.batches import by_partition
from transforms.flow.tagged import COUNTS, KEYED_BATCHES, typed

UNSETTLED_TAG = "unsettled"
_UNSETTLED = "edges"


@dataclass(frozen=True)
class Neighbourhoods:
    """Nodes and their neighbours in pairs, each pair once, in the order of (node, other).

    ``smallest`` is the smallest among the node and its neighbours.
    """

    numbers: NodeNumbers
    nodes: Nodes
    others: Nodes
    smallest: Nodes


def neighbourhoods(edges: pa.Table) -> Neighbourhoods:
    """What each node of a range knows of, from EDGES whose first address is the node.

    Raises ConfigError where a range has more of them than a worker works with.
    """
    if edges.num_rows > params.MAX_EDGES:
        raise ConfigError(
            f"near-duplicates: {edges.num_rows:,} candidate edges meet in one range of rows, a worker works with "
            f"{params.MAX_EDGES:,}: a text stands in very many rows with small changes. Propose fewer candidates "
            "(fewer bands, more rows per band), or deduplicate its dataset in a run of its own"
        )
    part, row, other_part, other_row = (edges.column(name).to_numpy() for name in EDGES.names)
    numbers = NodeNumbers([part, other_part])
    nodes, others = sorted_pairs(numbers.numbers(part, row), numbers.numbers(other_part, other_row))
    new = np.r_[True, (nodes[1:] != nodes[:-1]) | (others[1:] != others[:-1])][: len(nodes)]
    nodes, others = nodes[new], others[new]
    first = np.flatnonzero(np.r_[True, nodes[1:] != nodes[:-1]][: len(nodes)])
    smallest = np.repeat(others[first], np.diff(np.r_[first, len(nodes)]))
    return Neighbourhoods(numbers, nodes, others, np.minimum(smallest, nodes))


def large_star(edges: pa.Table) -> pa.Table:
    """EDGES (larger neighbour of a node, smallest node that it knows), from all edges of each node."""
    near = neighbourhoods(edges)
    larger = near.others > near.nodes
    return address_table(near.numbers, near.others[larger], near.smallest[larger], EDGES)


def small_star(edges: pa.Table) -> pa.Table:
    """EDGES (node or smaller neighbour of it, smallest of these), from the edges of each node to smaller ones."""
    near = neighbourhoods(edges)
    ends = np.where(near.others == near.smallest, near.nodes, near.others)
    return address_table(near.numbers, ends, near.smallest, EDGES)


def label_nodes(edges: pa.Table) -> tuple[pa.Table, int]:
    """LABELS of the nodes of a range from all edges of each, and how many edges another round would move."""
    near = neighbourhoods(edges)
    first = np.r_[True, near.nodes[1:] != near.nodes[:-1]][: len(near.nodes)]
    unsettled = (near.smallest < near.nodes) & (near.others != near.smallest)
    return address_table(near.numbers, near.nodes[first], near.smallest[first], LABELS), int(unsettled.sum())


def by_node(edges: pa.Table, num_partitions: int) -> Iterator[Keyed]:
    """EDGES under the range of their first address."""
    yield from by_partition(edges, address_partitions(edges.column("part"), edges.column("row"), num_partitions))


def from_both_ends(edges: pa.Table, num_partitions: int) -> Iterator[Keyed]:
    """Each of EDGES twice, from either end, under the range of that end."""
    turned = edges.select([*EDGES.names[2:], *EDGES.names[:2]]).rename_columns(EDGES.names)
    yield from by_node(pa.concat_tables([edges, turned]), num_partitions)


class _Step(beam.DoFn):
    def __init__(self, num_partitions: int) -> None:
        self._num_partitions = num_partitions


@beam.typehints.with_input_types(tuple[int, pa.RecordBatch])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class SpreadEdges(_Step):
    """EDGES under any key -> from both ends, by range of nodes."""

    def process(self, keyed: Keyed) -> Iterator[Keyed]:
        yield from from_both_ends(pa.Table.from_batches([keyed[1]]), self._num_partitions)


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class LargeStar(_Step):
    """All EDGES of a range of nodes -> EDGES by range of the larger end."""

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        yield from by_node(large_star(_table(keyed[1])), self._num_partitions)


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class SmallStar(_Step):
    """The EDGES of a range of nodes to smaller ones -> EDGES from both ends, by range of nodes."""

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        yield from from_both_ends(small_star(_table(keyed[1])), self._num_partitions)


class LabelNodes(beam.DoFn):
    """All EDGES of a range of nodes -> LABELS by part; under ``UNSETTLED_TAG`` the number of unsettled edges."""

    def __init__(self) -> None:
        """Needs nothing: what it works on travels in the batches."""

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        labels, unsettled = label_nodes(_table(keyed[1]))
        yield TaggedOutput(UNSETTLED_TAG, (_UNSETTLED, unsettled))
        yield from by_partition(labels, labels.column("part").to_numpy())


@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class ReleaseLabels(beam.DoFn):
    """LABELS go on once all edges are known to have settled. Raises ConfigError where some have not."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def process(self, keyed: Keyed, unsettled: Mapping[str, int]) -> Iterator[Keyed]:
        if unsettled[_UNSETTLED]:
            raise ConfigError(
                f"near-duplicates: {unsettled[_UNSETTLED]:,} candidate edges have not converged after {self._rounds} "
                f"rounds, which are enough for chains of {1 << self._rounds:,} rows: raise near.component_rounds "
                "(NearDuplicateParams), or propose fewer candidates (fewer bands, more rows per band)"
            )
        yield keyed


def _table(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(list(batches), schema=EDGES)


class StarRound(beam.PTransform[Any, Any]):
    """EDGES from both ends, by range of nodes -> the same, nearer to stars."""

    def __init__(self, num_partitions: int) -> None:
        super().__init__()
        self._num_partitions = num_partitions

    def expand(self, edges: PCollection[Keyed]) -> PCollection[Keyed]:
        nearer: PCollection[Keyed] = (
            edges
            | "By node" >> beam.GroupByKey()
            | "Large star" >> beam.ParDo(LargeStar(self._num_partitions))
            | "By larger node" >> beam.GroupByKey()
            | "Small star" >> beam.ParDo(SmallStar(self._num_partitions))
        )
        return nearer


class ComponentsInRounds(beam.PTransform[Any, Any]):
    """EDGES under any key -> LABELS by part, after ``rounds`` rounds; fails if these were not enough.

    A range holds the edges of its nodes, so the largest component may have ``params.MAX_EDGES`` rows.
    """

    def __init__(self, *, num_partitions: int, rounds: int) -> None:
        super().__init__()
        self._num_partitions, self._rounds = num_partitions, rounds

    def expand(self, edges: PCollection[Keyed]) -> PCollection[Keyed]:
        edges = edges | "From both ends" >> beam.ParDo(SpreadEdges(self._num_partitions))
        for number in range(1, self._rounds + 1):
            edges = edges | f"Round {number}" >> StarRound(self._num_partitions)
        labelled = (
            edges
            | "By settled node" >> beam.GroupByKey()
            | "Label" >> beam.ParDo(LabelNodes()).with_outputs(UNSETTLED_TAG, main="labels")
        )
        counts = typed(labelled[UNSETTLED_TAG], COUNTS)
        labels = typed(labelled["labels"], KEYED_BATCHES)
        unsettled = beam.pvalue.AsDict(counts | "Sum" >> SumCounts())
        released: PCollection[Keyed] = labels | "Release" >> beam.ParDo(ReleaseLabels(self._rounds), unsettled)
        return released
