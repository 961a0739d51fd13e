"""An inverted index of evaluation queries' character n-grams: which queries may a text be, or hold?

The n-grams are of 5 characters, 2 in scripts without spaces. Nearly all texts have nothing to do with any query, so
they go through a sieve first, which never loses one: a query of s n-grams of which a text must hold c is there only if
the text holds c - (s - k) of its k rarest. What stays in the sieve is counted in full.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.duplicates.minhash import Hashes, distinct, mix64
from transforms.flow.kernels import Offsets, compact, kernel, offsets_of, parallel_kernel, text_buffers
from transforms.text.matching import next_code_point

_MAX_CANDIDATES = 16
EMBEDDED_SHARE, LONGER = 0.9, 16
#: A text of more n-grams is long: it can be a light edit of a long query only, and else hold a query whole.
_LONG_TEXT = 256
_LONG_QUERY = (_LONG_TEXT - LONGER) // 2
#: Of a query that a long text may hold whole, so many of its rarest n-grams are looked for.
_ANCHORS = 8
#: The share of a query's n-grams that the sieve knows, the rarest; with fewer more texts stay, with more it is slower.
_SIEVED_SHARE = 0.85
_BITS_FOR_GRAM = 4
_BLOCK = 256
_BASE = np.uint64(0x9E3779B97F4A7C15)

#: Numbers of queries: there are tens of millions of pairs where all of mteb's sets are kept out.
Numbers = npt.NDArray[np.int32]

#: A text and a query that it may be or hold, by number, with the share of the query's n-grams that the text has.
Candidate = tuple[int, int, float]


@kernel
def is_unspaced(code_point):  # type: ignore[no-untyped-def]
    """Whether a character belongs to a script that is written without spaces."""
    if code_point < 0x3005:
        thai_or_lao = 0x0E00 <= code_point < 0x0F00
        return thai_or_lao or 0x1000 <= code_point < 0x10A0 or 0x1780 <= code_point < 0x1800
    return code_point < 0x3100 or 0x3400 <= code_point < 0xA000 or 0x20000 <= code_point < 0x31350


@kernel
def _hash_grams(data, start, end, out):  # type: ignore[no-untyped-def]
    """Write the n-grams of a text, in order: 2 code points where the first is of an unspaced script, else 5.

    The hash of c_1 to c_n is mix64(n B^n + c_1 B^(n - 1) + ... + c_n mod 2^64), from the sums of whole beginnings.
    """
    sums, unspaced = np.empty(end - start + 1, np.uint64), np.empty(end - start, np.bool_)
    square = _BASE * _BASE
    fifth = square * square * _BASE
    sums[0], length, at = 0, 0, start
    while at < end:
        code_point, at = next_code_point(data, at)
        sums[length + 1] = sums[length] * _BASE + np.uint64(code_point)
        unspaced[length] = is_unspaced(code_point)
        length += 1
    count = 0
    for first in range(length - 1):
        if unspaced[first]:
            out[count] = mix64(sums[first + 2] + (np.uint64(2) - sums[first]) * square)
            count += 1
        elif first + 5 <= length:
            out[count] = mix64(sums[first + 5] + (np.uint64(5) - sums[first]) * fifth)
            count += 1
    return count


@parallel_kernel
def _all_grams(data, offsets):  # type: ignore[no-untyped-def]
    spaced = np.empty(offsets[-1] - offsets[0], np.uint64)
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in numba.prange(len(counts)):
        own = spaced[offsets[row] - offsets[0] : offsets[row + 1] - offsets[0]]
        count = _hash_grams(data, offsets[row], offsets[row + 1], own)
        counts[row] = distinct(own[:count]) if count <= _LONG_TEXT else count
    return spaced, counts


def gram_sets(forms: pa.Array) -> tuple[Hashes, Offsets]:
    """N-grams of texts: those of text i are ``values[offsets[i]:offsets[i + 1]]``.

    They are sorted and distinct, but for long texts, where that costs more than it saves.
    """
    data, positions = text_buffers(forms)
    spaced, counts = _all_grams(data, positions)
    offsets = offsets_of(counts)
    return compact(spaced, positions[:-1] - positions[0], offsets), offsets


#: Which queries hold an n-gram: (grams, ends, queries, buckets, shift, sizes). ``grams[i]`` stands in the queries
#: ``queries[ends[i]:ends[i + 1]]``; n-grams whose leading ``64 - shift`` bits are b begin at ``buckets[b]``; ``sizes``
#: are the numbers of n-grams of each query. A plain tuple: cached machine code must not depend on where a class is.
Postings = tuple[Hashes, Offsets, Numbers, Offsets, int, npt.NDArray[np.int64]]

#: Postings of the n-grams that the sieve knows, but with ``needs`` for the sizes: how many of them a text must hold,
#: for each query. The last are bits that save most looks into the buckets: bit b is set if the leading bits of any
#: n-gram are b, ``_BITS_FOR_GRAM`` more bits than for the buckets.
Sieve = tuple[Hashes, Offsets, Numbers, Offsets, int, npt.NDArray[np.int64], Hashes]


def build_postings(pairs: "_Pairs", num_queries: int) -> Postings:
    """Postings of pairs in order; queries are numbered below ``num_queries``."""
    firsts = np.flatnonzero(_is_new(pairs.values))
    grams = pairs.values[firsts]
    bits = max(1, int(np.ceil(np.log2(len(grams) + 1))))
    edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    buckets = np.r_[np.searchsorted(grams, edges), len(grams)]
    sizes = np.bincount(pairs.owners, minlength=num_queries)
    return grams, np.r_[firsts, len(pairs.values)], pairs.owners, buckets, 64 - bits, sizes


def _is_new(ordered: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it."""
    is_new: npt.NDArray[np.bool_] = np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]
    return is_new


def build_sieve(postings: Postings, needs: npt.NDArray[np.int64]) -> Sieve:
    """The sieve of some postings."""
    places = np.unique(postings[0] >> np.uint64(postings[4] - _BITS_FOR_GRAM))
    bits = np.zeros(1 + ((1 << (64 - postings[4] + _BITS_FOR_GRAM)) >> 6), np.uint64)
    np.bitwise_or.at(bits, places >> np.uint64(6), np.uint64(1) << (places & np.uint64(63)))
    return *postings[:5], needs, bits


class GramIndex(NamedTuple):
    """Postings for three questions: what a short text may be, what a long text may be, what a long text may hold.

    The sieves are for short texts and for long ones.
    """

    all: Postings
    long: Postings
    anchors: Postings
    short_sieve: Sieve
    long_sieve: Sieve

    def candidates(self, forms: pa.Array, min_containment: float) -> Iterator[Candidate]:
        """Candidates of a share of ``min_containment`` and up: of a text at most 16 of each question."""
        data, positions = text_buffers(forms)
        stayed = np.flatnonzero(_stay(data, positions, self.short_sieve, self.long_sieve))
        if not len(stayed):
            return
        values, offsets = gram_sets(forms.take(pa.array(stayed)))
        is_long = np.diff(offsets) > _LONG_TEXT
        short_texts, long_texts = np.flatnonzero(~is_long), np.flatnonzero(is_long)
        for texts, postings in ((short_texts, self.all), (long_texts, self.anchors), (long_texts, self.long)):
            if len(texts) and len(postings[0]):
                owners, queries, shares = _count_candidates(values, offsets, texts, postings, min_containment)
                yield from zip(stayed[owners].tolist(), queries, shares, strict=True)


class _Pairs(NamedTuple):
    """Pairs (n-gram, query that holds it), each once, in order; with the number of queries that have the n-gram."""

    values: Hashes
    owners: Numbers
    uses: npt.NDArray[np.int32]

    def of(self, chosen: npt.NDArray[Any]) -> "_Pairs":
        """Some of them."""
        return _Pairs(*(column[chosen] for column in self))

    def with_others(self, others: "_Pairs", shift: int) -> "_Pairs":
        """Both, in order, the others with queries that are numbered from ``shift`` on."""
        values = np.concatenate([self.values, others.values])
        owners = np.concatenate([self.owners, others.owners + np.int32(shift)])
        uses = np.concatenate([self.uses, others.uses])
        return _Pairs(values, owners, uses).of(np.argsort(values, kind="stable"))

    def ranks(self, num_queries: int) -> npt.NDArray[np.int32]:
        """The place of each pair among those of its query, the rarest n-gram first."""
        order = np.lexsort((self.uses, self.owners))
        sizes = np.bincount(self.owners, minlength=num_queries)
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order)) - np.repeat(offsets_of(sizes)[:-1], sizes)
        return ranks


def _pairs(values: Hashes, offsets: Offsets, max_queries: int) -> _Pairs:
    """Pairs without the n-grams that more than ``max_queries`` queries have."""
    order = np.argsort(values, kind="stable")  # queries stand in order already
    values, owners = values[order], np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))[order]
    once = _is_new(values) | _is_new(owners)
    values, owners = values[once], owners[once]
    numbers = np.cumsum(_is_new(values), dtype=np.int32) - np.int32(1)
    uses = np.bincount(numbers).astype(np.int32)[numbers]
    return _Pairs(values, owners, uses).of(uses <= max_queries)


def build_grams(
    values: Hashes,
    offsets: Offsets,
    max_queries: int,
    embedded: npt.NDArray[np.bool_],
    min_containment: float,
) -> GramIndex:
    """The index of the n-grams of queries, without those that more than ``max_queries`` of them have.

    A long text holds one of the queries ``embedded`` only if it holds the rarest n-grams of that query, its anchors.
    """
    size = len(offsets) - 1
    pairs = _pairs(values, offsets, max_queries)
    sizes, ranks = np.bincount(pairs.owners, minlength=size), pairs.ranks(size)
    is_long = sizes > _LONG_QUERY
    known = np.ceil(sizes * _SIEVED_SHARE).astype(np.int64)
    # the smallest counts that pass in `_count_candidates`, so with the same floating-point product
    needs = np.maximum(np.ceil(min_containment * sizes).astype(np.int64) - (sizes - known), 1)
    is_rare, is_anchor = ranks < known[pairs.owners], (ranks < _ANCHORS) & embedded[pairs.owners]
    in_long = is_long[pairs.owners]
    anchors = build_postings(pairs.of(is_anchor), size)
    long_sieve = pairs.of(is_anchor).with_others(pairs.of(is_rare & in_long), size)
    return GramIndex(
        build_postings(pairs, size),
        build_postings(pairs.of(in_long), size),
        anchors,
        build_sieve(build_postings(pairs.of(is_rare), size), needs),
        build_sieve(build_postings(long_sieve, 2 * size), np.r_[anchors[5], needs]),
    )


@kernel
def _stays(grams, sieve, counts, touched):  # type: ignore[no-untyped-def]
    """Whether a text of these n-grams holds enough of those that the sieve knows of any query.

    ``counts`` is zero before and after. An n-gram that comes twice counts twice, which can only let a text stay.
    """
    known, ends, queries, buckets, shift, needs, bits = sieve
    found, enough = 0, False
    for value in grams:
        place = value >> np.uint64(shift - _BITS_FOR_GRAM)
        if bits[place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1) == 0:
            continue
        bucket = value >> np.uint64(shift)
        for at in range(buckets[bucket], buckets[bucket + np.uint64(1)]):
            if known[at] == value:
                for query in queries[ends[at] : ends[at + 1]]:
                    if counts[query] == 0:
                        touched[found] = query
                        found += 1
                    counts[query] += 1
                    enough |= counts[query] >= needs[query]
        if enough:
            break
    for query in touched[:found]:
        counts[query] = 0
    return enough


@parallel_kernel
def _stay(data, offsets, short_sieve, long_sieve):  # type: ignore[no-untyped-def]
    """Which texts may be or hold a query, block by block, so that the counts are made once for many texts."""
    rows = len(offsets) - 1
    stayed = np.zeros(rows, np.bool_)
    for block in numba.prange((rows + _BLOCK - 1) // _BLOCK):
        counts = np.zeros(len(long_sieve[5]), np.int32)
        touched = np.empty(len(long_sieve[5]), np.int64)
        for row in range(block * _BLOCK, min((block + 1) * _BLOCK, rows)):
            grams = np.empty(offsets[row + 1] - offsets[row], np.uint64)
            count = _hash_grams(data, offsets[row], offsets[row + 1], grams)
            if count <= _LONG_TEXT:
                stayed[row] = _stays(grams[:count], short_sieve, counts, touched)
            else:
                stayed[row] = _stays(grams[:count], long_sieve, counts, touched)
    return stayed


@kernel
def _count_shared(grams, postings, counts, touched):  # type: ignore[no-untyped-def]
    """Count how many of a text's n-grams each query holds; the queries that hold any are written to ``touched``."""
    known, ends, queries, buckets, shift, _ = postings
    found = 0
    for value in grams:
        bucket = value >> np.uint64(shift)
        for at in range(buckets[bucket], buckets[bucket + np.uint64(1)]):
            if known[at] == value:
                for query in queries[ends[at] : ends[at + 1]]:
                    if counts[query] == 0:
                        touched[found] = query
                        found += 1
                    counts[query] += 1
    return found


@kernel
def _count_candidates(values, offsets, texts, postings, min_containment):  # type: ignore[no-untyped-def]
    """Triples (text, query, share of the query's n-grams that the text has) of a share of ``min_containment`` and up.

    A text with more than twice as many n-grams can only hold a query whole: there ``EMBEDDED_SHARE`` is wanted. Of a
    text's candidates the first ``_MAX_CANDIDATES`` in the order of falling share, then of queries, are given.
    """
    sizes = postings[5]
    counts, touched = np.zeros(len(sizes), np.int64), np.empty(len(sizes), np.int64)
    owners, queries, shares = [], [], []
    for text in texts:
        grams, near = values[offsets[text] : offsets[text + 1]], 0
        for query in touched[: _count_shared(grams, postings, counts, touched)]:
            size = sizes[query]
            share = min_containment if len(grams) <= 2 * size + LONGER else max(min_containment, EMBEDDED_SHARE)
            if counts[query] >= share * size:
                touched[near] = query
                near += 1
            else:
                counts[query] = 0
        own = np.sort(touched[:near])
        ratios = np.minimum(counts[own] / sizes[own], 1.0)
        counts[own] = 0
        for index in np.argsort(-ratios, kind="mergesort")[:_MAX_CANDIDATES]:
            owners.append(text)
            queries.append(own[index])
            shares.append(ratios[index])
    return owners, queries, shares
