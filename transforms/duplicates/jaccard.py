"""How much two rows resemble each other: the exact Jaccard similarity of the shingle sets of their fields."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from transforms.duplicates.minhash import Hashes, shingle_sets
from transforms.duplicates.params import MinHashParams
from transforms.flow.kernels import Offsets, kernel
from transforms.text.matching import text_hashes

#: Shingle sets of rows of several fields: (num_fields, values, offsets, hashes of the texts, min_shingles). Field f of
#: row i is text ``i * num_fields + f``. A plain tuple: cached machine code must not depend on where a class is defined.
FieldSets = tuple[int, Hashes, Offsets, Hashes, int]


def field_sets(fields: Sequence[pa.Array], shingles: MinHashParams) -> FieldSets:
    """Shingle sets of rows whose fields (matching forms, one array for each field) are to be compared."""
    width, rows = len(fields), len(fields[0])
    by_row = pa.array(np.arange(width * rows).reshape(width, rows).T.ravel())
    texts = pa.concat_arrays(list(fields)).take(by_row)
    values, offsets = shingle_sets(texts, shingles.shingle_size)
    return width, values, offsets, text_hashes(texts)[:, 0].copy(), shingles.min_shingles


@kernel
def jaccard(one, other, floor):  # type: ignore[no-untyped-def]
    """Jaccard similarity of two sorted sets (1 for empty ones), or 0 as soon as it must be below ``floor``.

    A similarity of at least ``floor`` leaves at most (1 - floor) / (1 + floor) of all elements unmatched. And hashes in
    order are a random sample of the union (Broder's bottom-k sketch): every 64 elements those unmatched so far are
    compared with what ``floor`` lets expect, and the comparison ends when they are five standard deviations above.
    """
    total = len(one) + len(other)
    if total == 0:
        return 1.0
    allowed = int(total * (1 - floor) / (1 + floor) + 1e-9)
    i, j, unmatched, steps = 0, 0, 0, 0
    while i < len(one) and j < len(other):
        steps += 1
        if steps % 64 == 0 and unmatched > (1 - floor) * steps + 5 * np.sqrt(floor * (1 - floor) * steps):
            return 0.0
        if one[i] == other[j]:
            i += 1
            j += 1
        else:
            unmatched += 1
            if one[i] < other[j]:
                i += 1
            else:
                j += 1
            if unmatched > allowed:
                return 0.0
    unmatched += len(one) - i + len(other) - j
    shared = (total - unmatched) // 2
    similarity = shared / (total - shared)
    return similarity if similarity >= floor else 0.0


@kernel
def resemblance(sets, one, other, floor):  # type: ignore[no-untyped-def]
    """The least Jaccard similarity among the fields of two rows (1 for equal ones); 0 where any is below ``floor``."""
    num_fields, values, offsets, hashes, min_shingles = sets
    least = 1.0
    for field in range(num_fields):
        x, y = one * num_fields + field, other * num_fields + field
        if hashes[x] == hashes[y]:
            continue
        left, right = values[offsets[x] : offsets[x + 1]], values[offsets[y] : offsets[y + 1]]
        fewer, more = min(len(left), len(right)), max(len(left), len(right))
        if fewer < min_shingles or fewer < floor * more:
            return 0.0
        similarity = jaccard(left, right, floor)
        if similarity == 0.0:
            return 0.0
        least = min(least, similarity)
    return least


@kernel
def _union(one, other):  # type: ignore[no-untyped-def]
    """The union of two sorted sets, sorted."""
    both, i, j, count = np.empty(len(one) + len(other), np.uint64), 0, 0, 0
    while i < len(one) or j < len(other):
        if j == len(other) or (i < len(one) and one[i] <= other[j]):
            both[count] = one[i]
            j += j < len(other) and one[i] == other[j]
            i += 1
        else:
            both[count] = other[j]
            j += 1
        count += 1
    return both[:count]


@kernel
def shingles_of(sets, row):  # type: ignore[no-untyped-def]
    """The shingles of all fields of a row as one sorted set."""
    num_fields, values, offsets = sets[:3]
    found = values[offsets[row * num_fields] : offsets[row * num_fields + 1]]
    for text in range(row * num_fields + 1, (row + 1) * num_fields):
        if offsets[text + 1] > offsets[text]:
            found = _union(found, values[offsets[text] : offsets[text + 1]])
    return found
