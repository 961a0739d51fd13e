"""Unit vectors as int16 fixed point, and scores of them that are the same on every machine.

Rounding. A component x in [-1, 1] becomes ``round(32767 x)``, half to even, so it is off by at most 1/65534. A vector
of d components is then off by e with |e| <= sqrt(d)/65534, and an inner product of two unit vectors by at most 2|e| +
|e|^2: 6.0e-4 for d = 384, 2.0e-3 for d = 4096 (what is seen is about 1e-5, since errors point everywhere).

Exactness. A product of two int16 in [-32767, 32767] is an integer below 2^30. float64 holds every integer up to 2^53,
so a sum of d <= 2^23 such products is exact after each addition, fused or not, in whatever order a BLAS adds them; a
float64 matrix product is therefore the exact integer, at the speed of BLAS. The scores are kept as int64.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.vectors import SCALE

Fixed = npt.NDArray[np.int16]
Scores = npt.NDArray[np.int64]

MAX_DIMS = 1 << 23
#: How far from 1 a vector's length may be before it is refused: float32 rounding, and no more.
UNIT_TOLERANCE = 1e-3
#: Bytes of float64 that a gathered block may take.
_BLOCK_BYTES = 32 << 20


def quantise(vectors: npt.NDArray[np.float32]) -> Fixed:
    """Unit vectors ``[n, d]`` as int16 ``[n, d]`` at scale 32767.

    Raises ValueError for a vector that is not of length 1 (within 1e-3): the scores of such are no cosines.
    """
    wide = vectors.astype(np.float64)
    off = np.abs(np.sqrt(np.einsum("nd,nd->n", wide, wide)) - 1)
    if wide.size and not off.max() <= UNIT_TOLERANCE:
        row = int(np.flatnonzero(~(off <= UNIT_TOLERANCE))[0])
        raise ValueError(
            f"vector {row} of {len(vectors)} has a length that is off from 1 by {off[row]:.3g}, more than "
            f"{UNIT_TOLERANCE}; only normalised vectors can be stored: pass them through mining.encoder.normalise"
        )
    return np.clip(np.rint(wide * SCALE), -SCALE, SCALE).astype(np.int16)


def to_cosine(scores: Scores) -> npt.NDArray[np.float32]:
    """Integer scores as cosines, ``score / 32767^2``: rounded to float64, then to float32, so equal everywhere."""
    return (scores / float(SCALE * SCALE)).astype(np.float32)


def from_cosine(cosine: float) -> float:
    """A cosine given as a parameter, on the scale of integer scores."""
    return cosine * SCALE * SCALE


def pack_vectors(vectors: Fixed) -> pa.FixedSizeBinaryArray:
    """Vectors ``[n, d]`` as fixed-size binary of ``2 d`` bytes, little-endian."""
    data = np.ascontiguousarray(vectors, dtype="<i2")
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(2 * vectors.shape[1]), len(vectors), [None, pa.py_buffer(data)]
    )


def unpack_vectors(column: pa.Array | pa.ChunkedArray) -> Fixed:
    """The inverse of ``pack_vectors``: int16 ``[n, d]``. Raises ValueError for nulls and for odd widths."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = array.type.byte_width if pa.types.is_fixed_size_binary(array.type) else 0
    if array.null_count or width < 2 or width % 2:
        raise ValueError(
            f"a column of vectors must be fixed-size binary of 2 bytes per dimension without nulls, not {array.type} "
            f"with {array.null_count} nulls; where a text's vector is not in the store, embed it first"
        )
    start = array.offset * width
    buffer = array.buffers()[1][start : start + len(array) * width] if len(array) else b""
    return np.frombuffer(buffer, dtype="<i2").reshape(len(array), width // 2).astype(np.int16, copy=False)


def exact_scores(queries: Fixed, passages: Fixed) -> Scores:
    """Inner products of every query with every passage: int64 ``[num_queries, num_passages]``, exact.

    The result and a float64 copy of both sides are in memory at once; callers go by blocks.
    """
    check_dims(queries, passages)
    return (queries.astype(np.float64) @ passages.astype(np.float64).T).astype(np.int64)


def exact_pair_scores(queries: Fixed, passages: Fixed, rows: npt.NDArray[np.int64]) -> Scores:
    """Inner products of query i with the passages ``rows[i]``: int64 of the shape of ``rows``, exact."""
    check_dims(queries, passages)
    scores = np.empty(rows.shape, np.int64)
    for block in _blocks(len(rows), 8 * passages.shape[1] * max(1, rows.shape[1])):
        gathered = passages[rows[block]].astype(np.float64)
        scores[block] = np.matmul(gathered, queries[block].astype(np.float64)[:, :, None])[:, :, 0]
    return scores


def _blocks(count: int, bytes_each: int) -> Iterator[slice]:
    step = max(1, _BLOCK_BYTES // bytes_each)
    return (slice(start, start + step) for start in range(0, count, step))


def check_dims(queries: Fixed, passages: Fixed) -> None:
    """Raise ValueError unless both sides have the same number of dimensions, and not too many."""
    if queries.shape[1] != passages.shape[1] or queries.shape[1] > MAX_DIMS:
        raise ValueError(
            f"queries of {queries.shape[1]} and passages of {passages.shape[1]} dimensions must have the same "
            f"number, at most {MAX_DIMS}; where one store holds vectors of two teachers, clear it"
        )
