"""Exact nearest passages over fixed-point vectors: FAISS proposes, integers decide.

FAISS computes in float32, whose sums depend on the machine and on the order of additions. So it only proposes
``k + MARGIN`` passages per query; their scores are recomputed as integers (``mining.fixed_point``) and ranked by
(score, highest first; then id, lowest first). The result is the exact top k if no passage that was not proposed can
belong to it. For float32 inner products of d components, in any order of additions, |float score - score| <= gamma
|q| |p| with gamma = d u / (1 - d u), u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
3.1). An unproposed passage has a float score of at most the lowest proposed one, f; so the list is exact if the k-th
integer score exceeds f + gamma |q| |p|. A query for which it does not (many near-equal passages), or whose proposals
show a larger error than the bound (a device that computes in less than float32), is searched anew with integers
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mining.fixed_point import Fixed, Scores, exact_pair_scores, exact_scores

Rows = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

#: Passages proposed beyond k, so that the last of them scores lower than the k-th by more than float32 may err.
MARGIN = 32
#: FAISS on a GPU selects at most this many.
MAX_GPU_K = 2048
#: Queries per call, and passages per block of the integer search.
QUERY_BLOCK = 1024
PASSAGE_BLOCK = 8192
_UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The nearest passages of each query, best first: ``scores`` and ``rows``, both int64 ``[num_queries, k]``.

    ``rows`` are positions among the passages as they were given to the index.
    """

    scores: Scores
    rows: Rows


class FlatIndex:
    """All passages of a corpus, or of a shard of one, searched exactly.

    ``ids`` is ``binary(16)`` without nulls or repeats, ``vectors`` int16 ``[n, dims]``. A GPU is used where FAISS has
    one.
    """

    def __init__(self, ids: pa.Array, vectors: Fixed) -> None:
        words = id_words(ids)
        self._rows: Rows = np.lexsort((words[:, 1], words[:, 0])).astype(np.int64)
        _check_ids(words[self._rows], len(vectors))
        # In the order of ids a position breaks ties as its id does. A shard comes in that order and is not copied.
        in_order = (self._rows[1:] > self._rows[:-1]).all()
        self._vectors = vectors if in_order else vectors[self._rows]
        self._max_length = float(_lengths(self._vectors).max(initial=0.0))
        self._faiss: Any = None
        self._gpu: Any = None

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, queries: Fixed, k: int) -> Hits:
        """The ``min(k, len(self))`` passages with the highest scores for each query, int16 ``[num_queries, dims]``."""
        if k < 1:
            raise ValueError(f"k={k} passages were asked for; it must be at least 1")
        k = min(k, len(self))
        keys = np.empty((len(queries), k), np.int64)
        for start in range(0, len(queries) if k else 0, QUERY_BLOCK):
            block = queries[start : start + QUERY_BLOCK]
            keys[start : start + QUERY_BLOCK] = self._search_block(block, k)
        return Hits(scores=-(keys // max(1, len(self))), rows=self._rows[keys % max(1, len(self))])

    def _search_block(self, queries: Fixed, k: int) -> Rows:
        if len(self) <= k + MARGIN:
            return self._search_by_integers(queries, k)
        keys, safe = self._search_by_proposals(queries, k)
        if not safe.all():
            keys[~safe] = self._search_by_integers(queries[~safe], k)
        return keys

    def _search_by_proposals(self, queries: Fixed, k: int) -> tuple[Rows, npt.NDArray[np.bool_]]:
        floats, positions = self._propose(queries, k + MARGIN)
        scores = exact_pair_scores(queries, self._vectors, positions)
        keys = np.sort(self._keys(scores, positions), axis=1)[:, :k]
        bound = self._float_error() * _lengths(queries)
        within = (np.abs(floats - scores) <= bound[:, None]).all(axis=1) & (positions >= 0).all(axis=1)
        last = -(keys[:, -1] // len(self))
        return keys, within & (last > floats.min(axis=1) + bound)

    def _search_by_integers(self, queries: Fixed, k: int) -> Rows:
        best = np.empty((len(queries), 0), np.int64)
        for start in range(0, len(self), PASSAGE_BLOCK):
            passages = self._vectors[start : start + PASSAGE_BLOCK]
            positions = np.arange(start, start + len(passages), dtype=np.int64)
            best = np.concatenate([best, self._keys(exact_scores(queries, passages), positions[None, :])], axis=1)
            if best.shape[1] > k:
                best = np.partition(best, k - 1, axis=1)[:, :k]
        return np.sort(best, axis=1)

    def _propose(self, queries: Fixed, k: int) -> tuple[npt.NDArray[np.float64], Rows]:
        if self._faiss is None:
            self._faiss, self._gpu = _build(self._vectors)
        index = self._gpu if self._gpu is not None and k <= MAX_GPU_K else self._faiss
        floats, positions = index.search(queries.astype(np.float32), k)
        return floats.astype(np.float64), positions.astype(np.int64)

    def _keys(self, scores: Scores, positions: Rows) -> Rows:
        # One integer per candidate that sorts by (score downwards, id upwards): |score| < 2^31 and positions < 2^31.
        return -scores * len(self) + positions

    def _float_error(self) -> float:
        gamma = self._vectors.shape[1] * _UNIT_ROUNDOFF
        return float(gamma / (1 - gamma) * self._max_length)


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


def _lengths(vectors: Fixed) -> npt.NDArray[np.float64]:
    blocks = (vectors[start : start + PASSAGE_BLOCK] for start in range(0, len(vectors), PASSAGE_BLOCK))
    squares = [np.einsum("nd,nd->n", block.astype(np.float64), block.astype(np.float64)) for block in blocks]
    return np.sqrt(np.concatenate(squares)) if squares else np.empty(0)


def _build(vectors: Fixed) -> tuple[Any, Any]:
    """A FAISS flat index over the integers as float32 (which holds them exactly), and its copy on a GPU or None."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, len(vectors), PASSAGE_BLOCK):
        index.add(vectors[start : start + PASSAGE_BLOCK].astype(np.float32))
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return index, None
    return index, faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
