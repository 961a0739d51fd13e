"""Exact nearest passages over fixed-point vectors, without rules: the same loop that mining runs (``mining.scan``)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mining.fixed_point import Fixed, Scores
from mining.lists import positions_of
from mining.policies import NO_CEILING
from mining.scan import Asked, Searched, scan
from transforms.flow.kernels import kernel

Rows = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The nearest passages of each query, best first: ``scores`` and ``rows``, both int64 ``[num_queries, k]``.

    ``rows`` are positions among the passages as they were given to the index.
    """

    scores: Scores
    rows: Rows


class FlatIndex:
    """All passages of a corpus, or of a shard of one, searched exactly.

    ``ids`` is ``binary(16)`` without nulls or repeats, ``vectors`` int16 ``[n, dims]``, which may be a memory map and
    is not copied.
    """

    def __init__(self, ids: pa.Array, vectors: Fixed) -> None:
        words, self._rows = sorted_ids(ids)
        _check_ids(words, len(vectors))
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, queries: Fixed, k: int) -> Hits:
        """The ``min(k, len(self))`` passages with the highest scores for each query, int16 ``[num_queries, dims]``."""
        if k < 1:
            raise ValueError(f"k={k} passages were asked for; it must be at least 1")
        k = min(k, len(self))
        if not k:
            return Hits(scores=np.empty((len(queries), 0), np.int64), rows=np.empty((len(queries), 0), np.int64))
        everything = searched_all(self._rows)
        found, _ = scan(queries, self._vectors, asked_for_all(len(queries)), everything, (k, 1))
        keys = -np.sort(-found[0, :, :k], axis=1)
        return Hits(scores=keys >> 32, rows=self._rows[positions_of(keys)])


def asked_for_all(num: int) -> Asked:
    """So many queries without any rule."""
    none, bounds = np.zeros(0, np.int64), np.zeros(num + 1, np.int64)
    return Asked(
        group=np.zeros(num, np.int64),
        group_bounds=np.zeros(2, np.int64),
        group_marks=none,
        own_bounds=bounds,
        own_marks=none,
        label_bounds=bounds,
        labels=none,
        by_class=np.zeros(num, dtype=bool),
        language=np.zeros(num, np.int64),
        ceiling=np.full(num, NO_CEILING, np.int64),
        floor=np.full(num, -NO_CEILING, np.int64),
    )


def searched_all(rows: Rows) -> Searched:
    """Passages at these rows, without labels and languages."""
    num = len(rows)
    bounds = np.zeros(num + 1, np.int64)
    return Searched(rows=rows, label_bounds=bounds, labels=np.zeros(0, np.int64), language=np.zeros(num, np.int64))


def merge_hits(scores: Sequence[Scores], ids: Sequence[pa.Array], k: int) -> tuple[Scores, npt.NDArray[np.int64], Rows]:
    """The best k over several shards: (scores, shard, position in the shard's list), each ``[num_queries, <= k]``.

    ``scores[s]`` is ``[num_queries, k_s]``; ``ids[s]`` are the ids of its hits, row after row. Equals the search over
    one index that holds all passages, if each shard gave its ``min(k, size)`` best.
    """
    words = [id_words(part).reshape(*part_scores.shape, 2) for part, part_scores in zip(ids, scores, strict=True)]
    all_scores, all_words = np.concatenate(scores, axis=1), np.concatenate(words, axis=1)
    shards = np.repeat(np.arange(len(scores)), [part.shape[1] for part in scores])
    places = np.concatenate([np.arange(part.shape[1]) for part in scores])
    order = np.lexsort((all_words[:, :, 1], all_words[:, :, 0], -all_scores), axis=1)[:, :k]
    return np.take_along_axis(all_scores, order, axis=1), shards[order], places[order]


def id_words(ids: pa.Array | pa.ChunkedArray) -> Words:
    """Ids ``binary(16)`` as two big-endian words each, uint64 ``[n, 2]``: they compare as the bytes do."""
    array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if array.type != pa.binary(16) or array.null_count:
        raise ValueError(f"ids must be binary(16) without nulls, not {array.type} with {array.null_count} nulls")
    if not len(array):
        return np.empty((0, 2), np.uint64)
    raw = np.frombuffer(array.buffers()[1], dtype=">u8").reshape(-1, 2)
    return raw[array.offset : array.offset + len(array)].astype(np.uint64)


def _check_ids(ordered: Words, num_vectors: int) -> None:
    if len(ordered) != num_vectors:
        raise ValueError(f"{len(ordered)} ids and {num_vectors} vectors: there must be one id for each vector")
    repeats = np.flatnonzero((ordered[1:] == ordered[:-1]).all(axis=1))
    if repeats.size:
        high, low = ordered[repeats[0]].tolist()
        raise ValueError(
            f"id {high:016x}{low:016x} stands twice in the index, where each passage may stand once; "
            "make the corpus distinct by its text hash first"
        )


def sorted_ids(ids: pa.Array | pa.ChunkedArray) -> tuple[Words, npt.NDArray[np.int64]]:
    """``id_words`` of ids in their order, and the row of each; equal ones in the order of rows.

    To look ids up by these (``find_ids``) takes less memory than Arrow's hash tables, which are made anew at each call.
    """
    words = id_words(ids)
    order = np.argsort(words[:, 0])
    if (np.diff(words[order, 0]) == 0).any():  # the halves of a hash rarely repeat unless the whole does
        order = np.lexsort((words[:, 1], words[:, 0]))
    return words[order], order


def run_starts_of(words: Words) -> npt.NDArray[np.int64]:
    """Where each distinct one of sorted ids stands first."""
    first = np.ones(len(words), dtype=bool)
    first[1:] = (words[1:] != words[:-1]).any(axis=1)
    return np.flatnonzero(first)


def find_ids(words: Words, wanted: Words, past: bool = False) -> npt.NDArray[np.int64]:
    """Where each wanted id stands first among sorted ones (``past``: where those equal to it end); -1 where it does
    not.
    """
    found: npt.NDArray[np.int64] = _find_ids(words, wanted, past)
    return found


@kernel
def _find_ids(words, wanted, past):  # type: ignore[no-untyped-def]
    found = np.full(len(wanted), -1)
    for number in range(len(wanted)):
        high, low = wanted[number, 0], wanted[number, 1]
        left, right, there = 0, len(words), False
        while left < right:
            middle = (left + right) // 2
            equal = words[middle, 0] == high and words[middle, 1] == low
            there |= equal
            before = words[middle, 0] < high or (words[middle, 0] == high and words[middle, 1] < low)
            if before or (past and equal):
                left = middle + 1
            else:
                right = middle
        if there:
            found[number] = left
    return found
