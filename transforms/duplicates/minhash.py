"""MinHash signatures of character shingles, and the bands by which locality-sensitive hashing proposes candidates.

Signatures are those of datasketch 2.0 under its scheme ``affine32``: for shingle hashes h (32 bits), the k-th value is
min over h of (a_k * fmix32(h) + b_k) mod 2^32, with a_k odd and a, b drawn from ``numpy.random.RandomState(seed)``.
Source: A. Broder, On the resemblance and containment of documents, 1997; banding: Leskovec, Rajaraman, Ullman, Mining
of Massive Datasets, section 3.4."""

import functools
from collections.abc import Iterator

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.duplicates.params import MinHashParams
from transforms.flow.kernels import Offsets, compact, kernel, offsets_of, parallel_kernel, text_buffers
from transforms.text.matching import next_code_point

Signatures = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]

_FULL = np.uint32(0xFFFFFFFF)
#: Multiplier of the polynomial over a shingle's code points: odd, from the digits of the golden ratio.
_BASE = np.uint64(0x9E3779B97F4A7C15)
_PIECE_BYTES = 4 << 20


@functools.lru_cache(maxsize=8)
def permutations(num_permutations: int, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Multipliers (odd) and addends of the affine permutations, drawn as datasketch draws them."""
    generator = np.random.RandomState(seed)
    halves = generator.randint(0, 1 << 31, num_permutations, dtype=np.uint32)
    addends = generator.randint(0, 1 << 32, num_permutations, dtype=np.uint32)
    return halves * np.uint32(2) + np.uint32(1), addends


@kernel
def mix64(value):  # type: ignore[no-untyped-def]
    """Finalizer of MurmurHash3 for 64 bits: a bijection in which every bit of the input reaches every bit."""
    value = (value ^ value >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ value >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ value >> np.uint64(33)


@kernel
def _mix32(value):  # type: ignore[no-untyped-def]
    value = np.uint32((value ^ value >> np.uint32(16)) * np.uint32(0x85EBCA6B))
    value = np.uint32((value ^ value >> np.uint32(13)) * np.uint32(0xC2B2AE35))
    return value ^ value >> np.uint32(16)


@kernel
def hash_shingles(data, start, end, size, out):  # type: ignore[no-untyped-def]
    """Write the 64-bit hash of every run of ``size`` code points, in order; gives their number.

    The hash is mix64(c_1 B^(size - 1) + ... + c_size mod 2^64), rolled from one shingle to the next.
    """
    power = np.uint64(1)
    for _ in range(size):
        power *= _BASE
    rolling, length, at, leaving = np.uint64(0), 0, start, start
    while at < end:
        code_point, at = next_code_point(data, at)
        rolling = rolling * _BASE + np.uint64(code_point)
        length += 1
        if length > size:
            left, leaving = next_code_point(data, leaving)
            rolling -= np.uint64(left) * power
        if length >= size:
            out[length - size] = mix64(rolling)
    return max(length - size + 1, 0)


@kernel
def _lower_signature(hashes, multipliers, addends, signature):  # type: ignore[no-untyped-def]
    """Lower each value of a signature to its minimum over the hashes; four at a time, to spare loads and stores."""
    whole = len(hashes) - len(hashes) % 4
    for k in range(0, whole, 4):
        h0, h1, h2, h3 = _mix32(hashes[k]), _mix32(hashes[k + 1]), _mix32(hashes[k + 2]), _mix32(hashes[k + 3])
        for j in range(len(signature)):
            a, b = multipliers[j], addends[j]
            low = min(
                min(np.uint32(a * h0 + b), np.uint32(a * h1 + b)), min(np.uint32(a * h2 + b), np.uint32(a * h3 + b))
            )
            signature[j] = min(signature[j], low)
    for k in range(whole, len(hashes)):
        h0 = _mix32(hashes[k])
        for j in range(len(signature)):
            signature[j] = min(signature[j], np.uint32(multipliers[j] * h0 + addends[j]))


@kernel
def _short_hashes(data, start, end, size):  # type: ignore[no-untyped-def]
    """The 32-bit hashes of a text's shingles: the upper halves of the 64-bit ones."""
    longs = np.empty(end - start, np.uint64)
    count = hash_shingles(data, start, end, size, longs)
    shorts = np.empty(count, np.uint32)
    for k in range(count):
        shorts[k] = np.uint32(longs[k] >> np.uint64(32))
    return shorts


@parallel_kernel
def _text_signatures(data, offsets, size, multipliers, addends):  # type: ignore[no-untyped-def]
    rows = len(offsets) - 1
    signatures = np.full((rows, len(multipliers)), _FULL, np.uint32)
    counts = np.zeros(rows, np.int64)
    for row in numba.prange(rows):
        hashes = _short_hashes(data, offsets[row], offsets[row + 1], size)
        _lower_signature(hashes, multipliers, addends, signatures[row])
        counts[row] = len(hashes)
    return signatures, counts


@parallel_kernel
def _hash_signatures(hashes, offsets, multipliers, addends):  # type: ignore[no-untyped-def]
    rows = len(offsets) - 1
    signatures = np.full((rows, len(multipliers)), _FULL, np.uint32)
    for row in numba.prange(rows):
        _lower_signature(hashes[offsets[row] : offsets[row + 1]], multipliers, addends, signatures[row])
    return signatures


@kernel
def sort_hashes(values):  # type: ignore[no-untyped-def]
    """Sorted hashes, of 64 bits each, as a new array; five times as fast as ``values.sort()`` for those of a text.

    Hashes are spread evenly, so that as many ranges as there are hashes hold about one each: they are dealt into these,
    and what is out of order then is within one range.
    """
    bits = 1
    while 1 << bits < len(values):
        bits += 1
    shift = np.uint64(64 - bits)
    ends = np.zeros((1 << bits) + 1, np.int64)
    for value in values:
        ends[np.int64(value >> shift) + 1] += 1
    for k in range(1, len(ends)):
        ends[k] += ends[k - 1]
    dealt = np.empty_like(values)
    for value in values:
        place = np.int64(value >> shift)
        dealt[ends[place]] = value
        ends[place] += 1
    for k in range(1, len(dealt)):
        value, to = dealt[k], k
        while to > 0 and dealt[to - 1] > value:
            dealt[to] = dealt[to - 1]
            to -= 1
        dealt[to] = value
    return dealt


@kernel
def distinct(hashes):  # type: ignore[no-untyped-def]
    """Put the distinct ones of a text's hashes in front, sorted; gives their number."""
    ordered, count = sort_hashes(hashes), 0
    for k in range(len(ordered)):
        if k == 0 or ordered[k] != ordered[k - 1]:
            hashes[count] = ordered[k]
            count += 1
    return count


@parallel_kernel
def _all_shingles(data, offsets, size):  # type: ignore[no-untyped-def]
    """Sorted distinct hashes of text i in ``spaced[offsets[i] - offsets[0]:]``, and how many they are."""
    spaced = np.empty(offsets[-1] - offsets[0], np.uint64)
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in numba.prange(len(counts)):
        own = spaced[offsets[row] - offsets[0] : offsets[row + 1] - offsets[0]]
        counts[row] = distinct(own[: hash_shingles(data, offsets[row], offsets[row + 1], size, own)])
    return spaced, counts


@parallel_kernel
def _bands(signatures, bands, rows):  # type: ignore[no-untyped-def]
    out = np.empty((len(signatures), bands), np.uint64)
    for row in numba.prange(len(signatures)):
        for band in range(bands):
            value = np.uint64(band + 1)
            for k in range(band * rows, (band + 1) * rows):
                value = mix64(value * _BASE + np.uint64(signatures[row, k]))
            out[row, band] = value
    return out


def shingle_sets(texts: pa.Array, size: int) -> tuple[Hashes, Offsets]:
    """The set of each text's shingles as sorted distinct 64-bit hashes.

    Those of text i are ``values[offsets[i]:offsets[i + 1]]``.
    """
    data, positions = text_buffers(texts)
    values, lengths, at = np.empty(positions[-1] - positions[0], np.uint64), np.empty(len(texts), np.int64), 0
    for start, end in _pieces(positions):
        own = positions[start : end + 1]
        spaced, lengths[start:end] = _all_shingles(data, own, size)
        found = compact(spaced, own[:-1] - own[0], offsets_of(lengths[start:end]))
        values[at : at + len(found)] = found
        at += len(found)
    return values[:at], offsets_of(lengths)


def _pieces(positions: Offsets) -> Iterator[tuple[int, int]]:
    """Texts ``start:end`` of about ``_PIECE_BYTES`` each: their shingles stand in memory twice for a while."""
    start = 0
    while start < len(positions) - 1:
        end = int(np.searchsorted(positions, positions[start] + _PIECE_BYTES, side="right")) - 1
        end = max(start + 1, end)
        yield start, end
        start = end


def signatures_of_hashes(hashes: npt.NDArray[np.uint32], offsets: Offsets, params: MinHashParams) -> Signatures:
    """Signatures (rows, num_permutations) of 32-bit shingle hashes; row i has ``hashes[offsets[i]:offsets[i + 1]]``.

    A row without shingles has the largest value everywhere, as an empty ``datasketch.MinHash`` does.
    """
    found: Signatures = _hash_signatures(hashes, offsets, *permutations(params.num_permutations, params.seed))
    return found


def signatures(texts: pa.Array, params: MinHashParams) -> Signatures:
    """Signatures (rows, num_permutations) of texts; a shingle's 32-bit hash is the upper half of its 64-bit one."""
    data, offsets = text_buffers(texts)
    drawn = permutations(params.num_permutations, params.seed)
    found: Signatures = _text_signatures(data, offsets, params.shingle_size, *drawn)[0]
    return found


def band_hashes(texts: pa.Array, params: MinHashParams) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """Hashes (rows, bands) of the bands of texts, and which texts have at least ``min_shingles`` shingles.

    Values of a signature that stand in no band (8 of 128 behind 20 bands of 6) are not computed.
    """
    data, offsets = text_buffers(texts)
    used = params.bands * params.rows
    drawn = [values[:used] for values in permutations(params.num_permutations, params.seed)]
    found, counts = _text_signatures(data, offsets, params.shingle_size, *drawn)
    return _bands(found, params.bands, params.rows), counts >= params.min_shingles
