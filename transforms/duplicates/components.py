"""Connected components of candidate pairs: star edges, forests that merge associatively, labels that know no order.

A node is a row's address, (part, row). Rows that share a band become a star around the smallest of them: n - 1 edges
for n rows, never all pairs. Each range of bands reduces its edges to a forest. A pair of rows shares several bands, so
most edges stand in several forests: these are merged by ranges of rows first, after which about one edge for each
candidate is left. All meet in one place, where their union gives each node the smallest node of its component. Edges
travel in 8 bytes; that place works with about 80 for each: ``MAX_EDGES`` of them take 4 GiB. Beyond that
``component_rounds`` spreads labels."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import PCollection

from schemas.errors import ConfigError
from transforms.duplicates.params import MAX_EDGES
from transforms.duplicates.scopes import Words, mixed
from transforms.flow.batches import by_partition, partitions_of
from transforms.flow.kernels import kernel
from transforms.flow.overlapping import OverlappingDoFn

Keyed = tuple[int, pa.RecordBatch]


EDGES = pa.schema(
    [
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("other_part", pa.int64(), nullable=False),
        pa.field("other_row", pa.int32(), nullable=False),
    ]
)
#: Edges of a batch as they travel: two lists of nodes that ``NodeNumbers`` of the listed parts has numbered.
PACKED_EDGES = pa.schema(
    [
        pa.field("parts", pa.list_(pa.int64()), nullable=False),
        pa.field("nodes", pa.list_(pa.uint32()), nullable=False),
        pa.field("others", pa.list_(pa.uint32()), nullable=False),
    ]
)
#: So many edges name 65,536 parts at most, whose nodes have numbers of 32 bits.
_MAX_PACKED = 32_768
#: Ranges of rows in which forests are merged: enough that each holds a small share of what is shuffled, however many
#: rows are candidates; and few, since every range of bands sends a batch to each.
_NUM_MERGES = 16
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

    @property
    def parts(self) -> npt.NDArray[np.int64]:
        """The numbered parts, in order."""
        return self._parts


def address_table(numbers: NodeNumbers, left: Nodes, right: Nodes, schema: pa.Schema) -> pa.Table:
    """Pairs of numbered nodes as the addresses of a schema: EDGES or LABELS."""
    return pa.table([*numbers.addresses(left), *numbers.addresses(right)], schema=schema)


def forest_table(numbers: NodeNumbers, left: Nodes, right: Nodes) -> pa.Table:
    """The forest of edges between numbered nodes, as EDGES."""
    return address_table(numbers, *forest(left, right), EDGES)


def pack_edges(edges: pa.Table) -> Iterator[pa.RecordBatch]:
    """EDGES as PACKED_EDGES of one row each, which take 8 bytes an edge and 8 for each part that they name."""
    for start in range(0, edges.num_rows, _MAX_PACKED):
        part, row, other_part, other_row = _ends(edges.slice(start, _MAX_PACKED))
        numbers = NodeNumbers([part, other_part])
        ends = (numbers.numbers(part, row), numbers.numbers(other_part, other_row))
        columns = [[numbers.parts], *([nodes.astype(np.uint32)] for nodes in ends)]
        yield pa.RecordBatch.from_pydict(dict(zip(PACKED_EDGES.names, columns, strict=True)), schema=PACKED_EDGES)


def unpack_edges(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """The EDGES of PACKED_EDGES."""
    tables = [EDGES.empty_table()]
    for batch in batches:
        parts, nodes, others = (batch.column(name).flatten().to_numpy() for name in PACKED_EDGES.names)
        ends = (nodes.astype(np.int64), others.astype(np.int64))
        tables.append(address_table(NodeNumbers([parts]), *ends, EDGES))
    return pa.concat_tables(tables)


def _ends(edges: pa.Table) -> tuple[npt.NDArray[Any], ...]:
    return tuple(edges.column(name).to_numpy() for name in EDGES.names)


def address_words(parts: pa.ChunkedArray, rows: pa.ChunkedArray) -> Words:
    """A hash of each address."""
    part, row = (column.to_numpy().astype(np.uint64) for column in (parts, rows))
    return mixed(mixed(part) + row)


def address_partitions(parts: pa.ChunkedArray, rows: pa.ChunkedArray, num_partitions: int) -> npt.NDArray[np.int64]:
    """The range of each address by its hash, since parts are of any size."""
    return partitions_of(address_words(parts, rows), num_partitions)


def merged_forest(edges: pa.Table) -> pa.Table:
    """The forest of EDGES, as EDGES: what connects the same rows with the fewest edges."""
    part, row, other_part, other_row = _ends(edges)
    numbers = NodeNumbers([part, other_part])
    return forest_table(numbers, numbers.numbers(part, row), numbers.numbers(other_part, other_row))


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
    part, row, other_part, other_row = _ends(edges)
    numbers = NodeNumbers([part, other_part])
    centres, others = forest(numbers.numbers(part, row), numbers.numbers(other_part, other_row))
    nodes, first = np.unique(np.concatenate([centres, others]), return_index=True)
    labels = np.concatenate([centres, centres])[first]
    return address_table(numbers, nodes, labels, LABELS)


@beam.typehints.with_input_types(tuple[int, pa.RecordBatch])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class SpreadForests(beam.DoFn):
    """EDGES under any key -> PACKED_EDGES by range of the second row, which is the same wherever a pair was found."""

    def __init__(self) -> None:
        """Needs nothing: what it works on travels in the batches."""

    def process(self, keyed: Keyed) -> Iterator[Keyed]:
        edges = pa.Table.from_batches([keyed[1]])
        ranges = address_partitions(edges.column("other_part"), edges.column("other_row"), _NUM_MERGES)
        for number in np.unique(ranges).tolist():
            for batch in pack_edges(edges.filter(pa.array(ranges == number))):
                yield number, batch


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class MergeForests(OverlappingDoFn):
    """All PACKED_EDGES of a range of rows -> those of their forest, all under one key."""

    def __init__(self) -> None:
        """Needs nothing: what it works on travels in the batches."""

    def work(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        for batch in pack_edges(merged_forest(unpack_edges(keyed[1]))):
            yield 0, batch


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class LabelRows(beam.DoFn):
    """All PACKED_EDGES -> LABELS by part."""

    def __init__(self) -> None:
        """Needs nothing: what it works on travels in the batches."""

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        labels = component_labels(unpack_edges(keyed[1]))
        yield from by_partition(labels, labels.column("part").to_numpy())


class ComponentsInOneWorker(beam.PTransform[Any, Any]):
    """EDGES under any key -> LABELS by part."""

    def expand(self, edges: PCollection[Keyed]) -> PCollection[Keyed]:
        labels: PCollection[Keyed] = (
            edges
            | "Spread" >> beam.ParDo(SpreadForests())
            | "By range of rows" >> beam.GroupByKey()
            | "Merge" >> beam.ParDo(MergeForests())
            | "All edges" >> beam.GroupByKey()
            | "Label" >> beam.ParDo(LabelRows())
        )
        return labels
