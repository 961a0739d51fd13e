"""Evaluation queries are kept out of training data, and ordinary rows that share a phrase with them are not.

A text is matched strictly: it is an evaluation query in the form for matching, or one with a light edit, or it holds a
long one whole. Candidates come from an inverted index of character n-grams (5 characters, 2 in scripts without spaces)
that leaves out those which many evaluation queries have in common; each candidate is then judged word by word.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.kernels import Offsets, compact, kernel, offsets_of, parallel_kernel, text_buffers
from transforms.light_edits import LightEditParams, is_light_edit, tokens_of, weight_of
from transforms.matching import matching_forms, next_code_point
from transforms.minhash import Hashes, distinct, mix64

#: How a text holds an evaluation query: it is the query, holds it whole, or is it with a light edit.
EXACT, CONTAINED, EDITED = "exact", "contained", "edited"

#: One row for each text that was looked up; the evaluation sets and their query are null where nothing matched.
MATCHES = pa.schema(
    [
        pa.field("matched", pa.bool_(), nullable=False),
        pa.field("evaluation_sets", pa.list_(pa.string())),
        pa.field("evaluation_query", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("containment", pa.float64()),
    ]
)

_MAX_CANDIDATES = 16
_EMBEDDED_SHARE, _LONGER = 0.9, 16
#: A text of more n-grams is long: it can be a light edit of a long query only, and else hold a query whole.
_LONG_TEXT = 256
_LONG_QUERY = (_LONG_TEXT - _LONGER) // 2
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class DecontaminateParams:
    """When a text counts as an evaluation query.

    ``min_containment``: share of an evaluation query's n-grams that a text must hold to be judged at all; a typing
    error costs 5 n-grams, a missing word of w letters w + 5. ``max_queries_of_gram``: n-grams that more evaluation
    queries have are no evidence and are left out. ``common_share``: words that this share of the evaluation queries
    (and more than ``min_common`` of them) have weigh little. ``min_embedded_weight``: an evaluation query that weighs
    so much (words, see ``LightEditParams``) is found inside a longer text too, word for word.
    """

    min_containment: float = 0.4
    max_queries_of_gram: int = 200
    common_share: float = 0.02
    min_common: int = 20
    min_embedded_weight: float = 6
    edits: LightEditParams = field(default_factory=LightEditParams)

    def __post_init__(self) -> None:
        for name in ("min_containment", "common_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be above 0 and at most 1")
        for name in ("max_queries_of_gram", "min_common", "min_embedded_weight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must be above 0")


@kernel
def _is_unspaced(code_point):  # type: ignore[no-untyped-def]
    if code_point < 0x3005:
        thai_or_lao = 0x0E00 <= code_point < 0x0F00
        return thai_or_lao or 0x1000 <= code_point < 0x10A0 or 0x1780 <= code_point < 0x1800
    return code_point < 0x3100 or 0x3400 <= code_point < 0xA000 or 0x20000 <= code_point < 0x31350


@kernel
def _grams(data, start, end, out):  # type: ignore[no-untyped-def]
    """Write the n-grams of a text: 2 code points where the first is of an unspaced script, else 5.

    They are sorted and distinct, but for long texts, where that costs more than it saves.
    """
    points, length, at = np.empty(end - start, np.uint32), 0, start
    while at < end:
        points[length], at = next_code_point(data, at)
        length += 1
    count = 0
    for first in range(length):
        size = 2 if _is_unspaced(points[first]) else 5
        if first + size <= length:
            value = np.uint64(size)
            for k in range(first, first + size):
                value = value * _BASE + np.uint64(points[k])
            out[count] = mix64(value)
            count += 1
    return distinct(out[:count]) if count <= _LONG_TEXT else count


@parallel_kernel
def _all_grams(data, offsets):  # type: ignore[no-untyped-def]
    spaced = np.empty(offsets[-1] - offsets[0], np.uint64)
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in numba.prange(len(counts)):
        own = spaced[offsets[row] - offsets[0] : offsets[row + 1] - offsets[0]]
        counts[row] = _grams(data, offsets[row], offsets[row + 1], own)
    return spaced, counts


def gram_sets(forms: pa.Array) -> tuple[Hashes, Offsets]:
    """N-grams of texts: those of text i are ``values[offsets[i]:offsets[i + 1]]``, distinct where it is not long."""
    data, positions = text_buffers(forms)
    spaced, counts = _all_grams(data, positions)
    offsets = offsets_of(counts)
    return compact(spaced, positions[:-1] - positions[0], offsets), offsets


#: Which queries hold an n-gram: (grams, ends, queries, buckets, shift, sizes). ``grams[i]`` stands in the queries
#: ``queries[ends[i]:ends[i + 1]]``; n-grams whose leading ``64 - shift`` bits are b begin at ``buckets[b]``; ``sizes``
#: are the numbers of n-grams of each query. A plain tuple: cached machine code must not depend on where a class is.
Postings = tuple[Hashes, Offsets, npt.NDArray[np.int64], Offsets, int, npt.NDArray[np.int64]]


def build_postings(values: Hashes, owners: npt.NDArray[np.int64], num_queries: int) -> Postings:
    """Postings of pairs (n-gram, query that holds it), each pair once; queries are numbered below ``num_queries``."""
    order = np.lexsort((owners, values))
    grams, counts = np.unique(values, return_counts=True)
    bits = max(1, int(np.ceil(np.log2(len(grams) + 1))))
    edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    buckets = np.r_[np.searchsorted(grams, edges), len(grams)]
    sizes = np.bincount(owners, minlength=num_queries)
    return grams, offsets_of(counts), owners[order], buckets, 64 - bits, sizes


class GramIndex(NamedTuple):
    """Postings for three questions: what a short text may be, what a long text may be, what a long text may hold."""

    all: Postings
    long: Postings
    anchors: Postings


def build_grams(values: Hashes, offsets: Offsets, max_queries: int, embedded: npt.NDArray[np.bool_]) -> GramIndex:
    """The index of the n-grams of queries, without those that more than ``max_queries`` of them have.

    A long text holds one of the queries ``embedded`` only if it holds the rarest n-gram of that query, its anchor.
    """
    size = len(offsets) - 1
    owners = np.repeat(np.arange(size), np.diff(offsets))
    pairs = np.unique(np.rec.fromarrays([owners, values]))
    owners, values = pairs["f0"], pairs["f1"]
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    kept = counts[inverse] <= max_queries
    owners, values, uses = owners[kept], values[kept], counts[inverse][kept]
    is_long = np.bincount(owners, minlength=size)[owners] > _LONG_QUERY
    order = np.lexsort((values, uses, owners))
    first = order[np.r_[True, np.diff(owners[order]) > 0]] if len(order) else order
    first = first[embedded[owners[first]]]
    chosen = (slice(None), is_long, first)
    return GramIndex(*(build_postings(values[which], owners[which], size) for which in chosen))


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
def _candidates(values, offsets, texts, postings, min_containment):  # type: ignore[no-untyped-def]
    """Triples (text, query, share of the query's n-grams that the text has) of a share of ``min_containment`` and up.

    A text with more than twice as many n-grams can only hold a query whole: there ``_EMBEDDED_SHARE`` is wanted. Of a
    text's candidates the first ``_MAX_CANDIDATES`` in the order of falling share, then of queries, are given.
    """
    sizes = postings[5]
    counts, touched = np.zeros(len(sizes), np.int64), np.empty(len(sizes), np.int64)
    owners, queries, shares = [], [], []
    for text in texts:
        grams, near = values[offsets[text] : offsets[text + 1]], 0
        for query in touched[: _count_shared(grams, postings, counts, touched)]:
            size = sizes[query]
            share = min_containment if len(grams) <= 2 * size + _LONGER else max(min_containment, _EMBEDDED_SHARE)
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


#: The evaluation sets that hold a query, and its text.
Query = tuple[tuple[str, ...], str]


class _Match(NamedTuple):
    """The query that a text holds, by number, how, and which share of its n-grams."""

    query: int
    kind: str
    containment: float


class EvaluationIndex:
    """Evaluation queries, ready to be looked for. Cheap to build, so workers build it from the queries themselves."""

    def __init__(self, queries: Sequence[Query], forms: pa.Array, params: DecontaminateParams) -> None:
        self._params = params
        self._queries = queries
        self._forms: list[str] = forms.to_pylist()
        self._numbers = {form: number for number, form in enumerate(self._forms)}
        self._tokens = [tokens_of(form) for form in self._forms]
        common = max(params.min_common, params.common_share * len(queries))
        uses = Counter(token for tokens in self._tokens for token in set(tokens))
        self._common = frozenset(token for token, number in uses.items() if number > common)
        weights = np.array([weight_of(tokens, self._common) for tokens in self._tokens])
        self._embedded = weights >= params.min_embedded_weight
        self._grams = build_grams(*gram_sets(forms), params.max_queries_of_gram, self._embedded)

    @classmethod
    def build(cls, sets: Mapping[str, pa.Array], params: DecontaminateParams | None = None) -> "EvaluationIndex":
        """An index of the queries of each evaluation set, by the set's name. Empty queries are left out.

        A query that stands in several sets, or several times, is one query, reported with all its sets' names.
        """
        names, firsts = _distinct_queries(sets)
        queries = [(tuple(sorted(names[form])), firsts[form]) for form in sorted(names)]
        return cls(queries, pa.array(sorted(names), pa.large_string()), params or DecontaminateParams())

    def __len__(self) -> int:
        return len(self._queries)

    def find(self, texts: pa.Array | pa.ChunkedArray) -> pa.Table:
        """MATCHES: for each text whether it is an evaluation query, which one, and which share of its n-grams it has.

        Null and empty texts match nothing.
        """
        forms = matching_forms(texts)
        best: dict[int, _Match] = {}
        for text, form in enumerate(forms.to_pylist()):
            if form in self._numbers:
                best[text] = _Match(self._numbers[form], EXACT, 1.0)
        for text, query, share in self._candidates(forms):
            if text not in best and (kind := self._leak(forms[text].as_py(), query)):
                best[text] = _Match(query, kind, share)
        found = [best.get(text) for text in range(len(forms))]
        columns = [
            [match is not None for match in found],
            [None if match is None else self._queries[match.query][0] for match in found],
            [None if match is None else self._queries[match.query][1] for match in found],
            [None if match is None else match.kind for match in found],
            [None if match is None else match.containment for match in found],
        ]
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, MATCHES, strict=True)], schema=MATCHES)

    def _candidates(self, forms: pa.Array) -> Iterator[tuple[int, int, float]]:
        if not len(self):
            return
        values, offsets = gram_sets(forms)
        is_long, least = np.diff(offsets) > _LONG_TEXT, self._params.min_containment
        short_texts, long_texts = np.flatnonzero(~is_long), np.flatnonzero(is_long)
        for texts, postings in (
            (short_texts, self._grams.all),
            (long_texts, self._grams.anchors),
            (long_texts, self._grams.long),
        ):
            if len(texts) and len(postings[0]):
                yield from zip(*_candidates(values, offsets, texts, postings, least), strict=True)

    def _leak(self, form: str, query: int) -> str | None:
        """How a text that is not an evaluation query holds one, or None where it does not."""
        known, tokens = self._forms[query], self._tokens[query]
        if self._embedded[query] and known in form:
            return CONTAINED
        if len(form) > 2 * len(known) + _LONGER:
            return None
        return EDITED if is_light_edit(tokens, tokens_of(form), self._common, self._params.edits) else None


def _distinct_queries(sets: Mapping[str, pa.Array]) -> tuple[dict[str, set[str]], dict[str, str]]:
    """By form: the names of the sets that hold a query, and its text (of several the smallest)."""
    names: dict[str, set[str]] = {}
    firsts: dict[str, str] = {}
    for name, texts in sets.items():
        for form, text in zip(matching_forms(texts).to_pylist(), texts.to_pylist(), strict=True):
            if form:
                names.setdefault(form, set()).add(name)
                firsts[form] = min(text, firsts.get(form, text))
    return names, firsts
