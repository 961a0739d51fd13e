"""An inverted file (IVF) over fixed-point vectors: passages in cells around centroids, of which a query probes some.

Sivic and Zisserman, Video Google (2003); Jegou, Douze, Schmid, Product quantization for nearest neighbor search (2011).
What is approximate is which passages are looked at: in the cells that are probed every score is exact and every rule is
asked (``mining.cell_scan``). All arithmetic is on integers: a centroid is the sum of its members, scaled to length 1,
and who is nearest is found by the exact search; so cells do not depend on threads.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mining.encoder import unit_rows
from mining.fixed_point import Fixed, quantise
from mining.index import asked_for_all, searched_all
from mining.lists import positions_of
from mining.params import MiningParams
from mining.scan import scan

Rows = npt.NDArray[np.int64]

#: Cells for each square root of passages, passages for each cell that centroids are made from, rounds of that.
_CELLS, _TRAINED, _ROUNDS = 2, 32, 6
#: Vectors that are copied at once.
_STEP = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Centroids, int16 ``[nlist, dims]``; the positions of cell c are ``positions[bounds[c] : bounds[c + 1]]``."""

    centroids: Fixed
    bounds: Rows
    positions: Rows

    def __len__(self) -> int:
        return len(self.centroids)

    def nearest(self, queries: Fixed, num: int) -> Rows:
        """The ``num`` nearest cells of each query, nearest first."""
        return _nearest(queries, self.centroids, np.arange(len(self)), min(num, len(self)))


@dataclass(frozen=True, kw_only=True)
class Probing:
    """How many cells are probed, and what that finds: ``found`` of the ``wanted`` passages that an exact search gives
    the ``sample`` queries that it was measured on.
    """

    nlist: int
    nprobe: int
    sample: int
    found: int
    wanted: int

    def told(self, passages: int) -> str:
        """In words, for the manifest."""
        recall = self.found / self.wanted if self.wanted else 1.0
        return (
            f"{passages} passages in {self.nlist} cells, {self.nprobe} probed: recall {recall:.4f} on {self.sample} "
            "queries"
        )


def is_approximate(num: int, params: MiningParams) -> bool:
    """Whether so many passages are searched in cells."""
    return params.index == "ivf" or (params.index == "auto" and num > params.ivf_above)


def make_cells(vectors: Fixed, rows: Rows, seed: int) -> Cells:
    """Cells of the passages whose vectors lie at ``rows``, by spherical k-means on a seeded sample of them."""
    num = len(rows)
    nlist = max(1, min(num, round(_CELLS * num**0.5)))
    drawn = np.random.default_rng(seed).permutation(num)[: nlist * _TRAINED]
    sample, centroids = rows[np.sort(drawn)], vectors[rows[drawn[:nlist]]]
    for _ in range(_ROUNDS):
        centroids = _means(vectors[sample], _nearest(vectors[sample], centroids, np.arange(nlist), 1)[:, 0], centroids)
    owners = np.concatenate(
        [
            _nearest(vectors[rows[start : start + _STEP]], centroids, np.arange(nlist), 1)[:, 0]
            for start in range(0, num, _STEP)
        ]
        or [np.empty(0, np.int64)]
    )
    positions = np.argsort(owners, kind="stable").astype(np.int64)
    bounds = np.searchsorted(owners[positions], np.arange(nlist + 1)).astype(np.int64)
    return Cells(centroids=centroids, bounds=bounds, positions=positions)


def _means(vectors: Fixed, owners: Rows, centroids: Fixed) -> Fixed:
    """The direction of the sum of each cell's members; a cell without any keeps its centroid."""
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    sums = np.add.reduceat(vectors[order].astype(np.int64), starts, axis=0)
    unit, directed = unit_rows(sums.astype(np.float64))
    moved, cells = centroids.copy(), owners[order][starts]
    moved[cells[directed]] = quantise(unit[directed])
    return moved


def _nearest(queries: Fixed, passages: Fixed, rows: Rows, num: int) -> Rows:
    found, _ = scan(queries, passages, asked_for_all(len(queries)), searched_all(rows), (num, 1))
    return positions_of(-np.sort(-found[0, :, :num], axis=1))


def measure(cells: Cells, vectors: Fixed, rows: Rows, queries: Fixed, k: int, target: float) -> Probing:
    """The fewest cells that find at least ``target`` of the ``k`` nearest passages of sampled queries.

    An exact neighbour is found when its cell is among those probed, so the ranks of the cells of all neighbours say how
    many are needed.
    """
    sample, nlist = len(queries), len(cells)
    if not sample or not len(rows):
        return Probing(nlist=nlist, nprobe=nlist, sample=sample, found=0, wanted=0)
    exact = _nearest(queries, vectors, rows, min(k, len(rows)))
    owner = np.empty(len(rows), np.int64)
    owner[cells.positions] = np.repeat(np.arange(nlist), np.diff(cells.bounds))
    ranking = np.argsort(cells.nearest(queries, nlist), axis=1)
    ranks = np.sort(np.take_along_axis(ranking, owner[exact], axis=1), axis=None)
    nprobe = int(ranks[max(0, int(np.ceil(target * ranks.size)) - 1)]) + 1
    found = int(np.count_nonzero(ranks < nprobe))
    return Probing(nlist=nlist, nprobe=nprobe, sample=sample, found=found, wanted=ranks.size)
