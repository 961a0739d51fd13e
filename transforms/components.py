"""Connected components of candidate pairs: star edges, forests that merge associatively, labels that know no order.

A node is a row's address, (part, row). Rows that share a band become a star around the smallest of them: n - 1 edges
for n rows, never all pairs. Each range of bands reduces its edges to a forest; the forests meet in one place, where the
union of all gives each node the smallest node of its component. That place holds 24 bytes for each edge and works with
about 80: ``MAX_EDGES`` of them take 4 GiB. Beyond that labels must be spread in rounds by a distributed algorithm."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import ConfigError
from transforms.kernels import kernel

#: More edges than one worker labels; the forests of ranges hold one edge for each candidate row and range at most.
MAX_EDGES = 50_000_000

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
def _root(parents, node):  # type: ignore[no-untyped-def]
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
        one, other = _root(parents, left[edge]), _root(parents, right[edge])
        if one < other:
            parents[other] = one
        elif other < one:
            parents[one] = other
    for node in range(num_nodes):
        parents[node] = parents[parents[node]]
    return parents


def star_edges(keys: npt.NDArray[np.uint32], nodes: Nodes) -> tuple[Nodes, Nodes]:
    """Edges (smallest node, other node) of each group of equal keys; no node has an edge to itself."""
    shared, nodes = _sorted_pairs(keys, nodes)
    first = np.r_[True, shared[1:] != shared[:-1]] if len(shared) else np.empty(0, bool)
    centres = nodes[np.maximum.accumulate(np.where(first, np.arange(len(shared)), 0))]
    edges = centres != nodes
    return centres[edges], nodes[edges]


def _sorted_pairs(keys: npt.NDArray[np.uint32], nodes: Nodes) -> tuple[npt.NDArray[np.uint32], Nodes]:
    """Keys and nodes, sorted by key, then node; as single words where the numbers of nodes allow it: much faster."""
    if len(nodes) and nodes.max() >= 1 << 32:
        order = np.lexsort((nodes, keys))
        return keys[order], nodes[order]
    words = np.sort(keys.astype(np.uint64) << np.uint64(32) | nodes.astype(np.uint64))
    return (words >> np.uint64(32)).astype(np.uint32), (words & np.uint64(0xFFFFFFFF)).astype(np.int64)


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


def forest_table(numbers: NodeNumbers, left: Nodes, right: Nodes) -> pa.Table:
    """The forest of edges between numbered nodes, as EDGES."""
    columns = [column for nodes in forest(left, right) for column in numbers.addresses(nodes)]
    return pa.table(columns, schema=EDGES)


def component_labels(edges: pa.Table) -> pa.Table:
    """LABELS of every row that has an edge, sorted by (part, row); a component is named by its smallest address.

    Raises ConfigError for more than ``MAX_EDGES`` edges, which one worker cannot be expected to hold.
    """
    if edges.num_rows > MAX_EDGES:
        raise ConfigError(
            f"near-duplicates: {edges.num_rows:,} candidate edges, a worker labels {MAX_EDGES:,}. Either a text "
            "stands in very many rows with small changes or the run is too large for one pass: deduplicate dataset "
            "groups in runs of their own, or propose fewer candidates (fewer bands, more rows per band)"
        )
    part, row, other_part, other_row = (edges.column(name).to_numpy() for name in EDGES.names)
    numbers = NodeNumbers([part, other_part])
    centres, others = forest(numbers.numbers(part, row), numbers.numbers(other_part, other_row))
    nodes, first = np.unique(np.concatenate([centres, others]), return_index=True)
    labels = np.concatenate([centres, centres])[first]
    return pa.table([*numbers.addresses(nodes), *numbers.addresses(labels)], schema=LABELS)
