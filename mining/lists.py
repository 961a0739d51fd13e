"""The lists of queries as arrays of keys: what a shard found, and what several of them found together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mining.scan import FREE, MAX_PASSAGES, RANDOM, SAME_LABELS
from transforms.flow.kernels import kernel

Ints = npt.NDArray[np.int64]

_RULE_BITS, _RULES = 4, 15


@dataclass(frozen=True, kw_only=True)
class Depths:
    """How much of its lists a row needs.

    ``pool``: entries of each row's pool, up to the end of its range and the rank of the filter; ``more``: negatives
    beyond them; ``refused``, ``classes``: how many entries of a pool that rules refuse, and texts of a class, a list
    holds.
    """

    pool: Ints
    more: int
    refused: int
    classes: int


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Keys (``mining.scan``) of each row, best first: those of row i from ``bounds[i]`` to ``bounds[i + 1]``."""

    bounds: Ints
    keys: Ints

    def take(self, rows: Ints) -> "Lists":
        """The lists of some rows."""
        lengths = np.diff(self.bounds)[rows]
        bounds = np.append(0, np.cumsum(lengths))
        steps = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
        return Lists(bounds=bounds, keys=self.keys[np.repeat(self.bounds[rows], lengths) + steps])


def positions_of(keys: Ints) -> Ints:
    """The positions that keys hold."""
    positions: Ints = MAX_PASSAGES - 1 - ((keys >> _RULE_BITS) & (MAX_PASSAGES - 1))
    return positions


def at_positions(keys: Ints, positions: Ints) -> Ints:
    """The same keys at other positions."""
    moved: Ints = (keys >> 32 << 32) | ((MAX_PASSAGES - 1 - positions) << _RULE_BITS) | (keys & _RULES)
    return moved


def lists_of_scan(out: Ints, found: Ints, depths: Depths, more: Sequence[tuple[Ints, Ints]] = ()) -> Lists:
    """What a scan kept, and any ``more`` parts, as one list for each row."""
    kept = np.arange(out.shape[2]) < found.T[:, :, None]
    rows = np.broadcast_to(np.arange(out.shape[1])[None, :, None], out.shape)
    return together([(rows[kept], out[kept]), *more], out.shape[1], depths)


def together(parts: Sequence[tuple[Ints, Ints]], num_rows: int, depths: Depths) -> Lists:
    """The lists of rows from any number of parts, each ``(row of each key, keys)``: best first and no longer than
    needed.

    What may fill a row up (``RANDOM``) stays. Of a pool that is the first ``depths.pool`` entries and what follows up
    to ``depths.more`` passages that may be negatives; entries that rules refuse count up to ``depths.refused``. So the
    lists of shards give those of the whole.
    """
    rows, keys = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    order = np.argsort(rows, kind="stable")
    bounds = np.searchsorted(rows[order], np.arange(num_rows + 1)).astype(np.int64)
    keys, sizes = keys[order], np.zeros(num_rows, np.int64)
    if num_rows:
        _trim(keys, bounds, depths.pool, depths.more, depths.refused, depths.classes, sizes)
    kept = np.arange(len(keys)) - np.repeat(bounds[:-1], np.diff(bounds)) < np.repeat(sizes, np.diff(bounds))
    return Lists(bounds=np.append(0, np.cumsum(sizes)), keys=keys[kept])


@kernel
def _trim(keys, bounds, depths, more, refused, classes, sizes):  # type: ignore[no-untyped-def]
    for row in range(len(depths)):
        run = keys[bounds[row] : bounds[row + 1]]
        run[:] = -np.sort(-run)
        kept, rank, beyond, others, same, sharing = 0, 0, 0, 0, 0, 0
        for key in run:
            rule = key & _RULES
            complete = rank >= depths[row] and beyond >= more
            if rule == RANDOM:
                wanted = True
            elif rule == SAME_LABELS:
                same += 1
                wanted = same <= classes
            elif rule > SAME_LABELS:
                sharing += 1
                wanted = sharing <= classes
            elif rule == FREE:
                wanted = not complete
                beyond += rank >= depths[row]
                rank += wanted
            else:
                wanted = not complete and others < refused
                others += wanted
                rank += wanted
            if wanted:
                run[kept] = key
                kept += 1
        sizes[row] = kept
