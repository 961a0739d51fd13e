"""Two measures of a text that need no dictionary: its word units, and whether it says one thing over and over."""

import re

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.flow.kernels import kernel, parallel_kernel, text_buffers
from transforms.flow.made_once import once
from transforms.text.matching import next_code_point

#: Scripts written without blanks between words: each character is a unit.
_UNSPACED = "".join(
    rf"\p{{{script}}}"
    for script in ("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Yi")
)
#: Their blocks, which end a word that runs into them.
_UNSPACED_BLOCKS = r"\x{e00}-\x{109f}\x{1780}-\x{17ff}\x{2e80}-\x{a4cf}\x{f900}-\x{faff}\x{20000}-\x{3ffff}"
#: A word starts at a letter, digit or pictograph.
_STARTS = r"\p{L}\p{N}\p{So}"
#: What a character may be, in RE2's classes, and the bit that says so. A word ends before a blank.
_CLASSES = (_UNSPACED, _STARTS, rf"\s{_UNSPACED_BLOCKS}")
_IS_UNIT, _STARTS_WORD, _ENDS_WORD = (1 << bit for bit in range(len(_CLASSES)))
#: Beyond these code points there are no letters.
_TABLE_SIZE = 0x40000
#: After so many characters another word begins, since so long a word is words run together.
_LONGEST_WORD = 20
#: Units are counted in so many characters from the start, which is enough for any minimum up to ``MAX_MIN_UNITS``.
_COUNTED = 200
_ANYWHERE = 1 << 40

#: Characters of a text's head that must come again soon if the text is periodic.
_PIECE = 8
_PUNCTUATION = re.compile(r"[\W_]+")


@once
def _character_classes() -> npt.NDArray[np.uint8]:
    """The bits of each code point below ``_TABLE_SIZE``.

    All characters are one text, of which each class keeps its own; to ask of each by itself takes twice as long.
    """
    characters = pa.scalar("".join(map(chr, (*range(0xD800), *range(0xE000, _TABLE_SIZE)))))
    table = np.zeros(_TABLE_SIZE, np.uint8)
    for bit, members in enumerate(_CLASSES):
        found = pc.replace_substring_regex(characters, f"[^{members}]+", "").as_py()
        table[np.frombuffer(found.encode("utf-32-le"), "<u4")] |= np.uint8(1 << bit)
    return table


@kernel
def _class_at(data, at, classes):  # type: ignore[no-untyped-def]
    code_point, after = next_code_point(data, at)
    return (classes[code_point] if code_point < _TABLE_SIZE else np.uint8(0)), after


@kernel
def _units_of(data, start, end, classes, most, within):  # type: ignore[no-untyped-def]
    """Units in the first ``within`` characters, ``most`` of them at most. ``self-paced`` and ``C++`` are one."""
    units, characters, at = 0, 0, start
    while at < end and characters < within and units < most:
        kind, at = _class_at(data, at, classes)
        characters += 1
        if kind & _IS_UNIT:
            units += 1
        elif kind & _STARTS_WORD:
            units += 1
            for _ in range(_LONGEST_WORD - 1):
                if at >= end or characters >= within:
                    break
                kind, after = _class_at(data, at, classes)
                if kind & _ENDS_WORD:
                    break
                at, characters = after, characters + 1
    return units


@parallel_kernel
def _all_units(data, offsets, classes, most, within):  # type: ignore[no-untyped-def]
    units = np.empty(len(offsets) - 1, np.int32)
    for row in numba.prange(len(units)):
        units[row] = _units_of(data, offsets[row], offsets[row + 1], classes, most, within)
    return units


def count_units(texts: pa.Array) -> pa.Array:
    """Word units in the first 200 characters of each text (int32; null for null).

    A unit is a word, or a character where no blanks part words.
    """
    return _counted(texts, _COUNTED, _COUNTED)


def _counted(texts: pa.Array, most: int, within: int) -> pa.Array:
    units = _all_units(*text_buffers(texts), _character_classes(), most, within)
    return pc.if_else(pc.is_valid(texts), pa.array(units), pa.scalar(None, pa.int32()))


def has_units(texts: pa.Array, minimum: int) -> pa.Array:
    """Whether each text has at least so many units (bool; null for null); the only one may stand anywhere."""
    return pc.greater_equal(_counted(texts, minimum, _ANYWHERE if minimum == 1 else _COUNTED), minimum)


def repetition(text: str, *, min_characters: int, min_repeats: int, max_period: int) -> str | None:
    """What the text repeats, in words; None where it is not repetitive.

    A text of at least ``min_characters`` is repetitive if it has two distinct characters at most, blanks apart, or if
    its words (punctuation apart) have a period p <= ``max_period`` characters with length >= ``min_repeats`` * p.
    """
    if len(text) < min_characters:
        return None
    text = text.lower()
    head = text[: 3 * max_period]
    distinct = len(set(text if len(set(head)) <= 4 else head) - {" ", "\n"})
    if distinct <= 2:
        return f"{distinct} distinct characters in {len(text)}"
    if _has_no_period(_PUNCTUATION.sub(" ", head).strip(), max_period):
        return None
    words = _PUNCTUATION.sub(" ", text).strip()
    words += " " if " " in words else ""
    period = _period(words, min(max_period, len(words) // min_repeats))
    return f"{words[:period].strip()!r} {len(words) // period} times" if period else None


@kernel
def _is_poor(characters):  # type: ignore[no-untyped-def]
    """Whether there are four distinct characters at most."""
    distinct = 0
    for k in range(len(characters)):
        is_new = True
        for earlier in characters[:k]:
            is_new &= earlier != characters[k]
        distinct += is_new
    return distinct <= 4


@kernel
def _recurs(characters, size):  # type: ignore[no-untyped-def]
    """Whether the first ``size`` characters come again."""
    for start in range(1, len(characters) - size + 1):
        same = 0
        while same < size and characters[start + same] == characters[same]:
            same += 1
        if same == size:
            return True
    return False


@parallel_kernel
def _may_repeat(data, offsets, longest):  # type: ignore[no-untyped-def]
    found = np.zeros(len(offsets) - 1, np.bool_)
    for row in numba.prange(len(found)):
        head, size, at = np.empty(longest, np.uint32), 0, offsets[row]
        while at < offsets[row + 1]:
            head[size], at = next_code_point(data, at)
            size += 1
        found[row] = size > 0 and (_is_poor(head[: min(size, 2 * _PIECE)]) or _recurs(head[:size], _PIECE))
    return found


def may_repeat(texts: pa.Array, max_period: int) -> list[int]:
    """Indices of the texts that ``repetition`` must look at; their heads rule out nearly all others.

    Passed over is a periodic text whose first eight characters do not come again as they stand ("Good, good good
    good").
    """
    longest = max_period + _PIECE
    heads = pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, longest))
    suspects: list[int] = np.flatnonzero(_may_repeat(*text_buffers(heads), longest)).tolist()
    return suspects


def _has_no_period(head: str, longest: int) -> bool:
    """Whether a text that begins so has no period of ``longest`` characters at most: it would be one of its head too.

    A head that is too short to hold a whole period and what comes again says nothing.
    """
    return len(head) >= longest + _PIECE and not _period(head, longest)


def _period(text: str, longest: int) -> int:
    """The shortest period of a text, at most ``longest`` characters; 0 where it has none."""
    period = text.find(text[:_PIECE], 1)
    while 0 < period <= longest:
        if text.startswith(text[period:]):
            return period
        period = text.find(text[:_PIECE], period + 1)
    return 0
