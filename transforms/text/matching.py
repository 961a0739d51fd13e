"""Normalisation for matching: the form in which two texts are compared, never the form that is written.

Case, width, compatibility forms, punctuation and white space do not tell texts apart; letters, marks, digits and
symbols do. The form is computed once and shared by exact keys, shingles and decontamination.

form(text) = NFKC(casefold(NFKC(text))) (Unicode 16, section 3.13, and UAX 15), then invisible characters are removed,
runs of punctuation, white space and control characters become one space, and the ends are trimmed. A text that would be
empty then (``?!``) keeps its punctuation."""

import unicodedata
from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from transforms.flow.kernels import compact, kernel, offsets_of, parallel_kernel, text_array, text_buffers
from transforms.flow.made_once import once

#: Punctuation by category that tells texts apart: C# is not C, and 5 % is not 5.
KEPT_PUNCTUATION = frozenset("#%&@")
_VARIATION_SELECTORS = frozenset(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x34F]))
#: Code points from here on are rare enough to be left to Python.
_TABLE_SIZE = 0x20000
_ASCII_SIZE = 0x80
_SPACE, _HARD = 0x20, 0xFFFFFFFF
#: A character beyond the table, for private use: it has no case, composes with nothing and separates nothing.
_APART = "\U000f0000"
#: Categories whose characters are their own form where they have no decomposition: letters without case, digits,
#: code points that are unassigned or for private use.
_UNCHANGED = frozenset(["Lo", "Nd", "Cn", "Co"])


def _folded(character: str) -> str:
    """What one character of a case-folded NFKC text becomes."""
    category = unicodedata.category(character)
    if category == "Cf" or character in _VARIATION_SELECTORS:
        return ""
    if character in KEPT_PUNCTUATION:
        return character
    separates = category[0] in "PZ" or category in ("Cc", "Cs") or (category == "Sk" and character != "^")
    return " " if separates else character


class _Folds(dict[int, str]):
    def __missing__(self, code_point: int) -> str:
        self[code_point] = folded = _folded(chr(code_point))
        return folded


_FOLDS = _Folds()


def _caseless(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def matching_form(text: str) -> str:
    """The form of one text; ``matching_forms`` gives the same for whole arrays, much faster."""
    caseless = _caseless(text)
    folded = unicodedata.normalize("NFKC", caseless.translate(_FOLDS))  # what was removed may have kept marks apart
    return " ".join(folded.split()) or " ".join(caseless.split())


class FoldTable(NamedTuple):
    """For each code point below 2^17 its form as code points: ``values[starts[c]:starts[c + 1]]``.

    ``ascii_forms``: the same for ASCII, whose characters all have a form of one byte.
    """

    starts: npt.NDArray[np.int32]
    values: npt.NDArray[np.uint32]
    ascii_forms: npt.NDArray[np.uint8]


def _depends_on_context(decompositions: list[str]) -> frozenset[str]:
    """Characters that may join with the one before them without being marks: second parts of compositions."""
    seconds = set(map(chr, [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]))  # vowels and finals of Hangul syllables
    for decomposition in filter(None, decompositions):  # none composes beyond the table
        parts = decomposition.split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    return frozenset(seconds)


def _changed(characters: list[str], joining: frozenset[str]) -> dict[str, str | None]:
    """The forms of some characters; None where a form is not the character's alone, or is longer.

    All are folded as one text, with a character between them that joins with none and stays itself.
    """
    caseless = _caseless(_APART.join(characters))
    found: dict[str, str | None] = {}
    wholes, forms = caseless.split(_APART), caseless.translate(_FOLDS).split(_APART)
    for character, whole, form in zip(characters, wholes, forms, strict=True):
        is_hard = any(unicodedata.combining(part) or part in joining for part in character + whole)
        grows = form != character and len(form.encode()) > len(character.encode("utf-8", "surrogatepass"))
        found[character] = None if is_hard or grows or unicodedata.category(character) == "Cs" else form
    return found


@once
def fold_table() -> FoldTable:
    """The table, made at first use in less than a tenth of a second.

    A character whose form depends on its neighbours, or is longer than itself, is marked: its text goes to Python.
    """
    characters = list(map(chr, range(_TABLE_SIZE)))
    decompositions = list(map(unicodedata.decomposition, characters))
    joining = _depends_on_context(decompositions)
    described = zip(characters, map(unicodedata.category, characters), decompositions, strict=True)
    others = [c for c, category, parts in described if parts or category not in _UNCHANGED or c in joining]
    forms = list(map(_changed(others, joining).get, characters, characters))
    hard = [code_point for code_point, form in enumerate(forms) if form is None]
    written = ["\0" if form is None else form for form in forms]
    starts = np.zeros(_TABLE_SIZE + 1, np.int32)
    np.cumsum(list(map(len, written)), out=starts[1:])
    values = np.frombuffer("".join(written).encode("utf-32-le"), "<u4").astype(np.uint32)
    values[starts[hard]] = _HARD
    return FoldTable(starts, values, values[starts[:_ASCII_SIZE]].astype(np.uint8))


@kernel
def next_code_point(data, at):  # type: ignore[no-untyped-def]
    """``(code point, position after it)`` of valid UTF-8."""
    lead = np.uint32(data[at])
    if lead < 0x80:
        return lead, at + 1
    if lead < 0xE0:
        return (lead & np.uint32(0x1F)) << np.uint32(6) | np.uint32(data[at + 1] & 0x3F), at + 2
    middle = np.uint32(data[at + 1] & 0x3F) << np.uint32(6) | np.uint32(data[at + 2] & 0x3F)
    if lead < 0xF0:
        return (lead & np.uint32(0x0F)) << np.uint32(12) | middle, at + 3
    return (lead & np.uint32(0x07)) << np.uint32(18) | middle << np.uint32(6) | np.uint32(data[at + 3] & 0x3F), at + 4


@kernel
def _put(out, at, value):  # type: ignore[no-untyped-def]
    if value < 0x80:
        out[at] = value
        return at + 1
    if value < 0x800:
        out[at], out[at + 1] = 0xC0 | value >> 6, 0x80 | value & 0x3F
        return at + 2
    if value < 0x10000:
        out[at], out[at + 1], out[at + 2] = 0xE0 | value >> 12, 0x80 | value >> 6 & 0x3F, 0x80 | value & 0x3F
        return at + 3
    out[at], out[at + 1] = 0xF0 | value >> 18, 0x80 | value >> 12 & 0x3F
    out[at + 2], out[at + 3] = 0x80 | value >> 6 & 0x3F, 0x80 | value & 0x3F
    return at + 4


@kernel
def _fold(data, start, end, table, out, to):  # type: ignore[no-untyped-def]
    """Write the form of one text from ``to`` on; gives the position after it, or -1 if Python must do it.

    ``separated``: a space stands before ``to``, or nothing. A character is written whatever it is, and only the step
    behind it depends on that: a branch for each space would be mispredicted at every word.
    """
    starts, values, ascii_forms = table
    first, separated, at = to, True, start
    while at < end:
        if data[at] < _ASCII_SIZE:
            value = ascii_forms[data[at]]
            at += 1
            out[to] = value
            to += value != _SPACE or not separated
            separated = value == _SPACE
            continue
        code_point, at = next_code_point(data, at)
        if code_point >= _TABLE_SIZE:
            return -1
        for index in range(starts[code_point], starts[code_point + 1]):
            value = values[index]
            if value == _HARD:
                return -1
            if value != _SPACE or not separated:
                to = _put(out, to, value)
            separated = value == _SPACE
    to -= separated and to > first
    return to if to > first or start == end else -1


@parallel_kernel
def _fold_all(data, offsets, table, out):  # type: ignore[no-untyped-def]
    """Fold each text within its own span of ``out``; gives the lengths in bytes, -1 for texts left to Python."""
    lengths = np.empty(len(offsets) - 1, np.int64)
    base = offsets[0]
    for row in numba.prange(len(lengths)):
        to = offsets[row] - base
        end = _fold(data, offsets[row], offsets[row + 1], table, out, to)
        lengths[row] = end - to if end >= 0 else -1
    return lengths


def matching_forms(texts: pa.Array | pa.ChunkedArray) -> pa.LargeStringArray:
    """The form of every text as ``large_string``; null counts as empty."""
    data, offsets = text_buffers(texts)
    spaced = np.empty(offsets[-1] - offsets[0], np.uint8)
    lengths = _fold_all(data, offsets, tuple(fold_table()), spaced)
    hard = np.flatnonzero(lengths < 0)
    forms = [matching_form(text).encode() for text in texts.take(pa.array(hard)).to_pylist()]
    lengths[hard] = list(map(len, forms))
    ends = offsets_of(lengths)
    folded = compact(spaced, offsets[:-1] - offsets[0], ends)
    for row, form in zip(hard.tolist(), forms, strict=True):
        folded[ends[row] : ends[row + 1]] = np.frombuffer(form, np.uint8)
    return text_array(folded, ends)


def text_hashes(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """xxh3-128 of each text's UTF-8 as two words, high and low: shape (len(texts), 2)."""
    data, offsets = text_buffers(texts)
    view = memoryview(data.data)
    digests = b"".join([xxhash.xxh3_128_digest(view[start:end]) for start, end in pairwise(offsets.tolist())])
    return np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)
