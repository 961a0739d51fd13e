"""Texts that are looked for as wholes, millions of them: equal, or with a light edit in one place.

Evaluation sets of other tasks than retrieval (classification, clustering, pairs of sentences, parallel text) are no
queries that somebody frames in a message, and there are hundreds of times more of them. So a few keys of each are kept
and no n-grams. A text of k tokens that is edited in one place (one token more, less or other, or two neighbours) keeps
its first or last L tokens, or its first and last m, where m = floor((k - 1) / 3) and L = k - m - 1; one of up to
``_FEW`` tokens keeps all but one. Blanks put in or left out keep the letters. Whoever shares a key is judged word by
word.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.duplicates.minhash import Hashes, mix64
from transforms.flow.kernels import compact, kernel, offsets_of, parallel_kernel, text_buffers
from transforms.leaks.gram_index import is_unspaced
from transforms.leaks.light_edits import Vocabulary, is_light_edit, tokens_of
from transforms.leaks.params import LightEditParams
from transforms.text.matching import matching_forms, next_code_point

#: Of so many tokens at most every text without one of them is a key.
_FEW = 6
#: Keys of a text that is looked up, at most: those for three lengths, those without a token, itself, its letters.
_MOST_KEYS = 3 * 3 + _FEW + 3
_BASE = np.uint64(0x9E3779B97F4A7C15)
_SEQUENCE, _LETTERS, _FIRST, _LAST, _BOTH = (np.uint64(tag) for tag in range(1, 6))
_BITS_FOR_KEY = 3
#: Texts that share a key with one that is looked up, and are judged, at most.
_MOST_CANDIDATES = 64
#: Words are common by their share of so many texts, those with the smallest keys.
_SAMPLE = 20_000


@kernel
def _hash_tokens(data, start, end, out):  # type: ignore[no-untyped-def]
    """Write a hash of each token; gives their number and a hash of all letters in order."""
    count, at, within = 0, start, False
    value, letters = np.uint64(0), np.uint64(0)
    while at < end:
        code_point, at = next_code_point(data, at)
        character = np.uint64(code_point) + np.uint64(1)
        is_alone = is_unspaced(code_point)
        if within and (is_alone or code_point == 0x20):
            out[count] = mix64(value)
            count, within, value = count + 1, False, np.uint64(0)
        if code_point != 0x20:
            letters = letters * _BASE + character
            value, within = value * _BASE + character, True
        if is_alone:
            out[count] = mix64(value)
            count, within, value = count + 1, False, np.uint64(0)
    if within:
        out[count] = mix64(value)
        count += 1
    return count, letters


@kernel
def _key(tag, value, size):  # type: ignore[no-untyped-def]
    return mix64(value * _BASE + np.uint64(size) * np.uint64(8) + tag)


@kernel
def _write_keys(data, start, end, spread, tokens, sums, powers, out):  # type: ignore[no-untyped-def]
    """Write the keys of a text; with ``spread`` also those it would have with a token more or less.

    ``tokens``, ``sums`` and ``powers`` are room to work in. The hash of tokens i to j is sums[j] - sums[i] B^(j - i).
    """
    size, letters = _hash_tokens(data, start, end, tokens)
    sums[0], powers[0] = 0, 1
    for i in range(size):
        sums[i + 1] = sums[i] * _BASE + tokens[i]
        powers[i + 1] = powers[i] * _BASE
    if size == 0:
        return 0
    out[0], out[1], count = _key(_SEQUENCE, sums[size], size), _key(_LETTERS, letters, 0), 2
    if 1 < size <= _FEW + spread:
        for i in range(size):
            rest = sums[size] - sums[i + 1] * powers[size - 1 - i]
            out[count] = _key(_SEQUENCE, sums[i] * powers[size - 1 - i] + rest, size - 1)
            count += 1
    for other in range(max(size - spread, _FEW + 1), size + spread + 1):
        few = (other - 1) // 3
        many = other - few - 1
        last, both = sums[size] - sums[size - many] * powers[many], sums[size] - sums[size - few] * powers[few]
        out[count] = _key(_FIRST, sums[many], many)
        out[count + 1] = _key(_LAST, last, many)
        out[count + 2] = _key(_BOTH, sums[few] * powers[few] + both, few)
        count += 3
    return count


@parallel_kernel
def _all_keys(data, offsets):  # type: ignore[no-untyped-def]
    """Keys of texts, ``_MOST_KEYS`` places for each, and their numbers."""
    spaced, counts = np.empty((len(offsets) - 1) * _MOST_KEYS, np.uint64), np.zeros(len(offsets) - 1, np.int64)
    for row in numba.prange(len(counts)):
        room = offsets[row + 1] - offsets[row] + 1
        tokens, sums, powers = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
        own = spaced[row * _MOST_KEYS : (row + 1) * _MOST_KEYS]
        counts[row] = _write_keys(data, offsets[row], offsets[row + 1], 0, tokens, sums, powers, own)
    return spaced, counts


#: Which texts have a key: (keys in order, owners, buckets, shift, bits). Keys whose leading ``64 - shift`` bits are b
#: begin at ``buckets[b]``; bit b of ``bits`` is set if the ``_BITS_FOR_KEY`` more leading bits of any key are b.
_Keys = tuple[Hashes, npt.NDArray[np.int32], npt.NDArray[np.int64], int, Hashes]


def _build_keys(forms: pa.Array) -> _Keys:
    spaced, counts = _all_keys(*text_buffers(forms))
    values = compact(spaced, np.arange(len(counts)) * _MOST_KEYS, offsets_of(counts))
    owners = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    shift = 64 - max(1, int(np.ceil(np.log2(len(values) + 1))) - 1)
    edges = np.arange(1 << (64 - shift), dtype=np.uint64) << np.uint64(shift)
    return values, owners, np.r_[np.searchsorted(values, edges), len(values)], shift, _bits_of(values, shift)


def _bits_of(values: Hashes, shift: int) -> Hashes:
    bits = np.zeros(1 + ((1 << (64 - shift + _BITS_FOR_KEY)) >> 6), np.uint64)
    places = values >> np.uint64(shift - _BITS_FOR_KEY)
    np.bitwise_or.at(bits, (places >> np.uint64(6)).astype(np.int64), np.uint64(1) << (places & np.uint64(63)))
    return bits


@parallel_kernel
def _share_keys(data, offsets, index, found, counts):  # type: ignore[no-untyped-def]
    """Write for each text the numbers of up to ``found.shape[1]`` texts that share a key with it."""
    known, owners, buckets, shift, bits = index
    for row in numba.prange(len(offsets) - 1):
        room = offsets[row + 1] - offsets[row] + 3
        tokens, sums, powers = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
        keys, count = np.empty(_MOST_KEYS, np.uint64), 0
        for key in keys[: _write_keys(data, offsets[row], offsets[row + 1], 1, tokens, sums, powers, keys)]:
            place = key >> np.uint64(shift - _BITS_FOR_KEY)
            if bits[place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1) == 0:
                continue
            bucket = key >> np.uint64(shift)
            for at in range(buckets[bucket], buckets[bucket + np.uint64(1)]):
                if known[at] == key and count < found.shape[1]:
                    found[row, count] = owners[at]
                    count += 1
        counts[row] = count


class _Everything:
    """A vocabulary of all words: no word is taken for a misspelling by two letters."""

    def __contains__(self, word: object) -> bool:
        return True


class Whole(NamedTuple):
    """A text (``row``) that is one of those looked for (``number``), with a light edit or not."""

    row: int
    number: int
    is_equal: bool
    shared: float


class WholeTexts:
    """Texts by the names of the sets that they stand in."""

    def __init__(self, sets: Mapping[str, pa.Array], edits: LightEditParams, common_share: float) -> None:
        names = list(sets)
        texts = pa.chunked_array(list(sets.values()), pa.string())
        encoded = pc.dictionary_encode(matching_forms(texts))
        codes, self._forms = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary
        self._order = np.argsort(codes, kind="stable").astype(np.int64)
        self._starts = offsets_of(np.bincount(codes, minlength=len(self._forms)))
        self._places, self._names, self._texts = offsets_of(np.array([len(t) for t in sets.values()])), names, texts
        self._edits = edits
        self._keys = _build_keys(self._forms)
        self._vocabulary = _vocabulary(self._forms, self._keys, common_share)

    def __len__(self) -> int:
        return len(self._forms)

    def text_of(self, number: int) -> tuple[list[str], str]:
        """The names of the sets that hold a text, and the text as it stands there (of several the smallest)."""
        rows = self._order[self._starts[number] : self._starts[number + 1]]
        sets = np.searchsorted(self._places, rows, side="right") - 1
        texts = self._texts.take(pa.array(rows)).to_pylist()
        return sorted({self._names[index] for index in sets.tolist()}), min(texts)

    def find(self, forms: pa.Array) -> list[Whole]:
        """Texts in the form for matching that are one of these; an equal one goes before others."""
        found, counts = _candidates(forms, self._keys) if len(self) else (np.zeros((0, 0)), np.zeros(0, np.int64))
        wholes = (
            self._judge(row, forms[row].as_py(), sorted(set(found[row, : counts[row]].tolist())))
            for row in np.flatnonzero(counts).tolist()
        )
        return [whole for whole in wholes if whole is not None]

    def _judge(self, row: int, form: str, numbers: list[int]) -> Whole | None:
        known = self._forms.take(pa.array(numbers)).to_pylist()
        if form in known:
            return Whole(row, numbers[known.index(form)], True, 1.0) if form else None
        tokens = tokens_of(form)
        words = Counter(tokens)
        best: tuple[float, int] | None = None
        for number, other in zip(numbers, map(tokens_of, known), strict=True):
            shared = (words & Counter(other)).total() / max(len(other), 1)
            if (best is None or shared > best[0]) and is_light_edit(other, tokens, self._vocabulary, self._edits):
                best = shared, number
        return None if best is None else Whole(row, best[1], False, best[0])


def _candidates(forms: pa.Array, keys: _Keys) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    found = np.empty((len(forms), _MOST_CANDIDATES), np.int32)
    counts = np.zeros(len(forms), np.int64)
    _share_keys(*text_buffers(forms), keys, found, counts)
    return found, counts


def _vocabulary(forms: pa.Array, keys: _Keys, common_share: float) -> Vocabulary:
    """Common words by a sample of the texts; all words count as known."""
    values, owners = keys[:2]
    firsts = owners[: 8 * _SAMPLE] if len(values) else owners
    chosen = list(dict.fromkeys(firsts.tolist()))[:_SAMPLE]
    texts: list[Any] = forms.take(pa.array(chosen, pa.int64())).to_pylist()
    uses = Counter(token for text in texts for token in set(tokens_of(text)))
    common = max(20.0, common_share * len(texts))
    return Vocabulary(frozenset(token for token, number in uses.items() if number > common), _Everything())  # type: ignore[arg-type]
