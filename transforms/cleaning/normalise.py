"""Texts as every later step sees them: NFC, without entities, HTML tags, control characters and stray white space.

Tags go first, then entities become characters: an escaped tag is text (``write &lt;b&gt; around it``). So a text is
normalised once, or escaped before it is again (``escaped``). It is made for prose. Source code keeps its lines but not
its indentation, and a text *about* HTML loses the tags that it quotes without escaping them, unless their names are
ordinary words (``<table>``) that nothing closes.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from html.entities import html5

import pyarrow as pa
import pyarrow.compute as pc


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Elements that stand inside a line; their tags vanish and leave the word whole.
_INLINE = _names(
    "a abbr acronym b basefont bdi bdo big blink cite code data del dfn em font i ins kbd label mark meter nobr"
    " output progress q rb rp rt rtc ruby s samp slot small span strike strong sub sup time tt u var wbr"
)
#: Elements that break a line; so do their tags here.
_BLOCK = _names(
    "address applet area article aside audio base blockquote body br button canvas caption center col colgroup"
    " datalist dd details dialog dir div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2"
    " h3 h4 h5 h6 head header hgroup hr html iframe img input legend li link main map marquee menu meta nav"
    " noscript object ol optgroup option p param picture pre script section select source style summary svg table"
    " tbody td template textarea tfoot th thead title tr track ul video"
)
#: Names that writers also put into angle brackets as placeholders: tags only with attributes, a slash or a closing tag.
_WORDS = _names(
    "a address applet area article aside audio base body button canvas caption center cite code data details"
    " dialog dir embed figure footer form frame head header input label legend link main map mark menu meta meter"
    " nav object option output param picture progress q s script section select slot source style summary table"
    " template time title track var video"
)

_AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0*38|#[xX]0*26);)+")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
#: A ``>`` in the quotes of an attribute ends no tag.
_TAG = re.compile(r"""<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s|/)(?>(?:=\s*"[^"<]*"|=\s*'[^'<]*'|[^<>])*))?>""")
_CLOSING = re.compile(r"</([A-Za-z][A-Za-z0-9]*)\s*>")
#: What is no text at all. Each alternative stops where the next one could begin, so the search stays linear.
_HIDDEN = re.compile(
    r"<!--(?:(?!<!--).)*?-->|<(script|style)(?:\s[^<>]*)?>(?:(?!<\1).)*?</\1\s*>|<!doctype[^<>]*>|<\?xml[^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
#: Characters that show nothing and say nothing: controls that are no white space, soft hyphen, zero-width space and
#: no-break space, word joiner, direction marks, annotation marks, and U+FFFD, the trace of bytes lost upstream.
_INVISIBLE_RANGES = (
    "\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f\\xad",
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffd",
)
_INVISIBLE = re.compile(f"[{''.join(_INVISIBLE_RANGES)}]+")
#: Zero-width (non-)joiners shape Persian, Indic scripts and emoji; beside white space they join nothing.
_LONELY_JOINERS = re.compile("(?<!\\S)[\u200c\u200d]+|[\u200c\u200d]+(?!\\S)")
_JOINERS = ("\u200c", "\u200d")

#: RE2: white space, markup, invisible characters and joiners that normalisation could change.
_DIRT = (
    r"^\s|\s$|[ \n][ \n]|[\t\r\x0b\x0c\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
    r"|&#?[0-9A-Za-z]+;|</?[A-Za-z]|<[!?]"
    f"|[{''.join(_INVISIBLE_RANGES)}{''.join(_JOINERS)}]"
)
#: RE2: what only ``normalise_text`` can judge: markup, entities, invisible characters and joiners.
_MARKED = f"[<&{''.join(_INVISIBLE_RANGES)}{''.join(_JOINERS)}]"
#: RE2: all characters that may not be in NFC as they stand, or may compose with the one before.
_COMPOSING = (
    r"[\p{M}\x{374}\x{37e}\x{387}\x{958}-\x{95f}\x{9dc}-\x{9df}\x{a33}-\x{a36}\x{a59}-\x{a5e}\x{b5c}\x{b5d}"
    r"\x{f43}-\x{f69}\x{1100}-\x{11ff}\x{1f71}-\x{1fff}\x{2126}\x{212a}\x{212b}\x{2329}\x{232a}\x{2adc}"
    r"\x{f900}-\x{faff}\x{fb1d}-\x{fb4f}\x{1d100}-\x{1d1ff}\x{2f800}-\x{2fa1f}]"
)


def normalise_texts(texts: pa.Array) -> pa.Array:
    """Normalised texts, as many and of the same type; nulls stay null. See ``normalise_text``.

    One expression shows of most texts that nothing needs doing, and they never become Python strings. Of those with
    marks (all of Hindi or Thai) most are in NFC already, which is quickly seen.
    """
    suspect = pc.fill_null(pc.match_substring_regex(texts, f"{_DIRT}|{_COMPOSING}"), False)
    found = texts.filter(suspect)
    if not len(found):
        return texts
    dirty, marked = (pc.match_substring_regex(found, regex).to_pylist() for regex in (_DIRT, _MARKED))
    plain = [
        normalise_text(text)
        if is_marked
        else _composed(text)
        if is_dirty or not unicodedata.is_normalized("NFC", text)
        else text
        for text, is_dirty, is_marked in zip(found.to_pylist(), dirty, marked, strict=True)
    ]
    return pc.replace_with_mask(texts, suspect, pa.array(plain, texts.type))


def _composed(text: str) -> str:
    """``normalise_text`` of a text without markup and invisible characters; white space alone is all that ASCII has."""
    # What is between blanks is in NFC as a part of what was, and nothing composes with a blank: once is enough.
    return _fold(text if text.isascii() else unicodedata.normalize("NFC", text))


def normalise_text(text: str) -> str:
    """One text, normalised; ``normalise_text(escaped(normalise_text(t))) == normalise_text(t)``.

    Comments, scripts and tags of HTML elements go (``<num>`` and other words in angle brackets stay), then entities
    that HTML knows become their characters (also where they were escaped twice), and invisible characters go; the rest
    is put into NFC. A run of white space becomes one line break if it holds one, else one blank.
    """
    text = _to_the_end(_without_entities, _to_the_end(_without_markup, _without_invisible(text)))
    return _to_the_end(lambda rest: _fold(unicodedata.normalize("NFC", _without_invisible(rest))), text)


def escaped(texts: pa.Array) -> pa.Array:
    """Normalised texts in the form that normalisation gives back: with ``&`` and ``<`` as entities."""
    return pc.replace_substring(pc.replace_substring(texts, "&", "&amp;"), "<", "&lt;")


def _to_the_end(step: Callable[[str], str], text: str) -> str:
    """What a step leaves when it changes nothing any more."""
    while (left := step(text)) != text:
        text = left
    return text


def _without_markup(text: str) -> str:
    if "<" not in text:
        return text
    text = _HIDDEN.sub("\n", text)
    closed = {name.lower() for name in _CLOSING.findall(text)}
    return _TAG.sub(lambda tag: _replacement(tag, closed), text)


def _without_entities(text: str) -> str:
    return _ENTITY.sub(_character, _AMPERSANDS.sub("&", text)) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    name = entity.group()
    return html.unescape(name) if name[1] == "#" or name[1:] in html5 else name


def _replacement(tag: re.Match[str], closed: set[str]) -> str:
    """What stands where a tag stood: nothing, a line break, or the tag itself where it is none of HTML's.

    Code has type parameters in angle brackets (``List<Object>``, ``Foo<S>``): mixed case is no tag, and a single
    capital only with the same sign as a word.
    """
    slash, written, rest = tag.groups()
    rest, name = (rest or "").strip(), written.lower()
    is_attribute = rest in ("", "/") or "=" in rest
    needs_sign = name in _WORDS or (len(written) == 1 and written.isupper() and name != "p")
    is_tag = bool(slash or rest or name in closed or not needs_sign)
    if not (is_attribute and is_tag and written in (name, name.upper())):
        return tag.group()
    return "" if name in _INLINE else "\n" if name in _BLOCK else tag.group()


def _without_invisible(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    return _LONELY_JOINERS.sub("", text) if any(joiner in text for joiner in _JOINERS) else text


def _fold(text: str) -> str:
    return "\n".join(filter(None, map(" ".join, map(str.split, text.splitlines()))))
