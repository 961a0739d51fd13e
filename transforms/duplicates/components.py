"""Connected components of candidate pairs: star edges, forests that merge associatively, labels that know no order.

A node is a row's address, (part, row). Rows that share a band become a star around the smallest of them: n - 1 edges
for n rows, never all pairs. Each range of bands reduces its edges to a forest; the forests meet in one place, where the
union of all gives each node the smallest node of its component. That place holds 24 bytes for each edge (two addresses
of 8 + 4) and works with about 80: ``MAX_EDGES`` of them take 4 GiB. Beyond that ``component_rounds`` spreads labels."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import PCollection

from schemas.errors import ConfigError
from transforms.duplicates.params import MAX_EDGES
from transforms.duplicates.scopes import mixed
from transforms.flow.batches import by_partition, partitions_of
from transforms.flow.kernels import kernel

Keyed = tuple[int, pa.RecordBatch]


EDGES = pa.schema(
    [
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("other_part", pa.int64(), nullable=False),
        pa.field("other_row", pa.int32(), nullable=False),
    ]
)
LABELS = pa.schema(
    [
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("component_part", pa.int64(), nullable=False),
        pa.field("component_row", pa.int32(), nullable=False),
    ]
)

Nodes = npt.NDArray[np.int64]


@kernel
def root_of(parents, node):  # type: ignore[no-untyped-def]
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@kernel
def smallest_labels(num_nodes: int, left: Nodes, right: Nodes) -> Nodes:
    """For each node 0..num_nodes - 1 the smallest node that edges ``left[i] - right[i]`` connect it with.

    Union by smallest root with path halving; the labels do not depend on the order or direction of edges.
    """
    parents = np.arange(num_nodes)
    for edge in range(len(left)):
        one, other = root_of(parents, left[edge]), root_of(parents, right[edge])
        if one < other:
            parents[other] = one
        elif other < one:
            parents[one] = other
    for node in range(num_nodes):
        parents[node] = parents[parents[node]]
    return parents


def star_edges(keys: npt.NDArray[np.uint32], nodes: Nodes) -> tuple[Nodes, Nodes]:
    """Edges (smallest node, other node) of each group of equal keys; no node has an edge to itself."""
    shared, nodes = sorted_pairs(keys, nodes)
    first = np.r_[True, shared[1:] != shared[:-1]] if len(shared) else np.empty(0, bool)
    centres = nodes[np.maximum.accumulate(np.where(first, np.arange(len(shared)), 0))]
    edges = centres != nodes
    return centres[edges], nodes[edges]


def sorted_pairs(keys: npt.NDArray[Any], nodes: Nodes) -> tuple[npt.NDArray[Any], Nodes]:
    """Keys and nodes, sorted by key, then node; as single words where both fit 32 bits: much faster."""
    if len(nodes) and max(int(keys.max()), int(nodes.max())) >= 1 << 32:
        order = np.lexsort((nodes, keys))
        return keys[order], nodes[order]
    words = np.sort(keys.astype(np.uint64) << np.uint64(32) | nodes.astype(np.uint64))
    return (words >> np.uint64(32)).astype(keys.dtype), (words & np.uint64(0xFFFFFFFF)).astype(np.int64)


def forest(left: Nodes, right: Nodes) -> tuple[Nodes, Nodes]:
    """The fewest edges that connect what the given ones do: (smallest node of the component, node), sorted by node.

    ``forest(forest(A) + forest(B)) == forest(A + B)``, in any grouping and order.
    """
    nodes, ends = np.unique(np.concatenate([left, right]), return_inverse=True)
    labels = smallest_labels(len(nodes), ends[: len(left)], ends[len(left) :])
    others = labels != np.arange(len(nodes))
    return nodes[labels[others]], nodes[others]


class NodeNumbers:
    """Numbers addresses in the order of (part, row), within 32 bits for up to 65,536 parts."""

    _ROW_BITS = 16  # a part holds at most 65,536 rows

    def __init__(self, parts: Iterable[npt.NDArray[np.int64]]) -> None:
        self._parts = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))

    def numbers(self, parts: npt.NDArray[np.int64], rows: npt.NDArray[np.integer[Any]]) -> Nodes:
        """One number for each address; the parts must be among those given at the start."""
        return np.searchsorted(self._parts, parts).astype(np.int64) << self._ROW_BITS | rows.astype(np.int64)

    def addresses(self, nodes: Nodes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """The addresses of numbers, as (parts, rows)."""
        return self._parts[nodes >> self._ROW_BITS], (nodes & ((1 << self._ROW_BITS) - 1)).astype(np.int32)


def address_table(numbers: NodeNumbers, left: Nodes, right: Nodes, schema: pa.Schema) -> pa.Table:
    """Pairs of numbered nodes as the addresses of a schema: EDGES or LABELS."""
    return pa.table([*numbers.addresses(left), *numbers.addresses(right)], schema=schema)


def forest_table(numbers: NodeNumbers, left: Nodes, right: Nodes) -> pa.Table:
    """The forest of edges between numbered nodes, as EDGES."""
    return address_table(numbers, *forest(left, right), EDGES)


def address_partitions(parts: pa.ChunkedArray, rows: pa.ChunkedArray, num_partitions: int) -> npt.NDArray[np.int64]:
    """The range of each address by its hash, since parts are of any size."""
    part, row = (column.to_numpy().astype(np.uint64) for column in (parts, rows))
    return partitions_of(mixed(mixed(part) + row), num_partitions)


def component_labels(edges: pa.Table) -> pa.Table:
    """LABELS of every row that has an edge, sorted by (part, row); a component is named by its smallest address.

    Raises ConfigError for more than ``MAX_EDGES`` edges, which one worker cannot be expected to hold.
    """
    if edges.num_rows > MAX_EDGES:
        raise ConfigError(
            f"near-duplicates: {edges.num_rows:,} candidate edges, a worker labels {MAX_EDGES:,}: "
            "set near.components to 'rounds' (NearDuplicateParams), which labels them on all workers, or propose fewer "
            "candidates (fewer bands, more rows per band)"
        )
    part, row, other_part, other_row = (edges.column(name).to_numpy() for name in EDGES.names)
    numbers = NodeNumbers([part, other_part])
    centres, others = forest(numbers.numbers(part, row), numbers.numbers(other_part, other_row))
    nodes, first = np.unique(np.concatenate([centres, others]), return_index=True)
    labels = np.concatenate([centres, centres])[first]
    return address_table(numbers, nodes, labels, LABELS)


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class LabelRows(beam.DoFn):
    """All EDGES -> LABELS by part."""

    def __init__(self) -> None:
        """Needs nothing: what it works on travels in the batches."""

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        labels = component_labels(pa.Table.from_batches(list(keyed[1]), schema=EDGES))
        yield from by_partition(labels, labels.column("part").to_numpy())


class ComponentsInOneWorker(beam.PTransform[Any, Any]):
    """EDGES, all under one key -> LABELS by part."""

    def expand(self, edges: PCollection[Keyed]) -> PCollection[Keyed]:
        labels: PCollection[Keyed] = edges | "All edges" >> beam.GroupByKey() | "Label" >> beam.ParDo(LabelRows())
        return labels
