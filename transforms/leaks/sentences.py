"""Whether a text holds another one as a sentence of its own: between marks, line ends, quotes or another script.

The form for matching has neither marks nor case, so places where a sentence may begin or end are marked in the text
itself by two characters for private use, which the form keeps, and found again in the form.
"""

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from transforms.leaks.light_edits import UNSPACED, is_edge
from transforms.text.matching import matching_form

#: What is put into a text where a sentence may begin, and where one may begin or end.
_BEGINS, _BREAKS = "\ue001", "\ue002"
#: Marks that end a sentence wherever they stand, those that do so before a blank or another mark, and those behind
#: which one may begin.
_ENDING = '\n\t|()\\[\\]{}"“”„«»‹›「」『』（）【】《》。！？；…؟؛۔।॥።'
_ENDING_ASCII = ".!?;"
_BEGINNING = ",:、，：–—*•"
_ENDS = re.compile(f"[{_ENDING}]+|[{_ENDING_ASCII}]+(?=[\\s{_ENDING}{_BEGINNING}'’{UNSPACED}]|$)")
_STARTS = re.compile(f"[{_BEGINNING}]+(?=[\\s{UNSPACED}])|[、，：—]|(?<=\\s)-(?=\\s)")
#: Between a character of a script without spaces and a letter of another one.
_LETTER = f"[^\\W\\d_{UNSPACED}]"
_SCRIPTS = re.compile(f"(?<=[{UNSPACED}])(?= *{_LETTER})|(?<={_LETTER})(?= *[{UNSPACED}])")
_WORDS = re.compile(r"(\S+)( +)(?=(\S+))")
#: Marks of direction and zero-width characters, which are no part of a word, and the sentinels themselves.
_SILENT = re.compile(f"[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff{_BEGINS}{_BREAKS}]")


class Sentences(NamedTuple):
    """A text in the form for matching, with the places where a sentence of it may begin and end."""

    form: str
    starts: frozenset[int]
    ends: frozenset[int]


def sentences_of(text: str) -> Sentences:
    """The sentences of a text.

    One ends at a full stop, question mark, line end, quote or bracket, begins there and behind a comma, colon or dash,
    and does both where the script changes, and where a small letter is followed by a capital one: people write on
    behind a question that has no mark (``... so far Thanks a lot``).
    """
    marked = _STARTS.sub(rf"\g<0>{_BEGINS}", _ENDS.sub(rf"\g<0>{_BREAKS}", _SILENT.sub("", text)))
    marked = _WORDS.sub(_between_words, _SCRIPTS.sub(_BREAKS, marked))
    form, starts, ends = "", {0}, set[int]()
    for part in re.split(f"([{_BEGINS}{_BREAKS}])", matching_form(marked)):
        if part in (_BEGINS, _BREAKS):
            ends |= {len(form.rstrip())} if part == _BREAKS else set()
            starts |= {len(form), len(form.rstrip()) + 1}
        else:
            form += part.lstrip() if form.endswith(" ") or not form else part
    form = form.rstrip()
    return Sentences(form, frozenset(starts), frozenset(ends | {len(form)}))


def _between_words(pair: re.Match[str]) -> str:
    """Two words with a break between them where their scripts or their case say so."""
    first, blanks, second = pair.groups()
    falls = first.isupper() and len(first) > 1 and not second.isupper()
    rises = (
        second[:1].isupper() and (first[:1].islower() or first.isdigit() or falls) and (falls or not second.isupper())
    )
    return f"{first}{_BREAKS}{blanks}" if rises or _scripts_differ(first, second) else first + blanks


def _scripts_differ(first: str, second: str) -> bool:
    if first.isascii() and second.isascii():
        return False
    scripts = [_script(next((c for c in word if c.isalpha()), "")) for word in (first[::-1], second)]
    return "" not in scripts and scripts[0] != scripts[1]


@cache
def _script(letter: str) -> str:
    """The script of a letter, by the first word of its name."""
    return unicodedata.name(letter, "").partition(" ")[0] if letter else ""


def stands_alone(text: str, form: str, *, only_ends: bool = False) -> bool:
    """Whether a text holds another one, given in the form for matching, as a sentence, or several, of its own.

    With ``only_ends`` it may begin within a sentence: "I wonder which river flows through Antwerp?"
    """
    held = sentences_of(text)
    start = held.form.find(form)
    while start >= 0:
        end = start + len(form)
        is_whole = is_edge(held.form, start) and is_edge(held.form, end)
        if is_whole and end in held.ends and (only_ends or start in held.starts):
            return True
        start = held.form.find(form, start + 1)
    return False
