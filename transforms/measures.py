"""Two measures of a text that need no dictionary: its word units, and whether it says one thing over and over."""

import re

import pyarrow as pa
import pyarrow.compute as pc

#: Scripts written without blanks between words: each character is a unit.
_UNSPACED = "".join(
    rf"\p{{{script}}}"
    for script in ("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Yi")
)
#: Their blocks, which end a word that runs into them; as ranges, since an expression with scripts compiles slowly.
_UNSPACED_BLOCKS = r"\x{e00}-\x{109f}\x{1780}-\x{17ff}\x{2e80}-\x{a4cf}\x{f900}-\x{faff}\x{20000}-\x{3ffff}"
_STARTS = r"\p{L}\p{N}\p{So}"
#: RE2: one unit. A word starts at a letter, digit or pictograph and ends before a blank: ``self-paced`` and ``C++``
#: are one. After 20 characters another begins, since so long a word is words run together.
_UNIT = rf"[{_UNSPACED}]|[{_STARTS}][^\s{_UNSPACED_BLOCKS}]{{0,19}}"
#: Units are counted in so many characters from the start, which is enough for any minimum up to ``MAX_MIN_UNITS``.
_COUNTED = 200
MAX_MIN_UNITS = 50

#: Characters of a text's head that must come again soon if the text is periodic.
_PIECE = 8
_PUNCTUATION = re.compile(r"[\W_]+")


def count_units(texts: pa.Array) -> pa.Array:
    """Word units in the first 200 characters of each text (int32): words, or characters where no blanks part words."""
    return pc.count_substring_regex(pc.utf8_slice_codeunits(texts, 0, _COUNTED), _UNIT)


def has_units(texts: pa.Array, minimum: int) -> pa.Array:
    """Whether each text has at least so many units (bool; null for null)."""
    if minimum == 1:
        return pc.match_substring_regex(texts, f"[{_UNSPACED}{_STARTS}]")
    return pc.greater_equal(count_units(texts), minimum)


def repetition(text: str, *, min_characters: int, min_repeats: int, max_period: int) -> str | None:
    """What the text repeats, in words; None where it is not repetitive.

    A text of at least ``min_characters`` is repetitive if it has two distinct characters at most, blanks apart, or if
    its words (punctuation apart) have a period p <= ``max_period`` characters with length >= ``min_repeats`` * p.
    """
    if len(text) < min_characters:
        return None
    text = text.lower()
    distinct = len(set(text) - {" ", "\n"})
    if distinct <= 2:
        return f"{distinct} distinct characters in {len(text)}"
    words = _PUNCTUATION.sub(" ", text).strip()
    words += " " if " " in words else ""
    period = _period(words, min(max_period, len(words) // min_repeats))
    return f"{words[:period].strip()!r} {len(words) // period} times" if period else None


def may_repeat(texts: pa.Array, max_period: int) -> list[int]:
    """Indices of the texts that ``repetition`` must look at; their heads rule out nearly all others.

    Passed over is a periodic text whose first eight characters do not come again as they stand ("Good, good good
    good").
    """
    heads = pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, max_period + _PIECE)).to_pylist()
    return [
        index
        for index, head in enumerate(heads)
        if head and (len(set(head[:16])) <= 4 or head.find(head[:_PIECE], 1) > 0)
    ]


def _period(text: str, longest: int) -> int:
    """The shortest period of a text, at most ``longest`` characters; 0 where it has none."""
    period = text.find(text[:_PIECE], 1)
    while 0 < period <= longest:
        if text.startswith(text[period:]):
            return period
        period = text.find(text[:_PIECE], period + 1)
    return 0
