"""What tells a language without a model: its script, or words that hardly a text of it lacks. Codes are those of
``schemas.languages``.
"""

import re
from collections import Counter
from functools import cache

from schemas.languages import codes

#: What langdetect knows, in the form of ``canonical``.
KNOWN_TO_LANGDETECT = codes(
    "af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr ne nl no pa pl"
    " pt ro ru sk sl so sq sv sw ta te th tl tr uk ur vi zh"
)
#: Where fastText finds the first language, it may have overlooked the second.
OVERLOOKED = {"hi": "mr", "nl": "af"}

#: Scripts that a language has (nearly) to itself.
_OWN_SCRIPTS = {
    "am": "\u1200-\u139f",
    "bn": "\u0980-\u09ff",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "gu": "\u0a80-\u0aff",
    "he": "\u0590-\u05ff",
    "hy": "\u0530-\u058f",
    "ja": "\u3041-\u3096\u30a1-\u30fa",
    "ka": "\u10a0-\u10ff",
    "km": "\u1780-\u17ff",
    "kn": "\u0c80-\u0cff",
    "ko": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "lo": "\u0e80-\u0eff",
    "ml": "\u0d00-\u0d7f",
    "my": "\u1000-\u109f",
    "pa": "\u0a00-\u0a7f",
    "si": "\u0d80-\u0dff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f",
    "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
}


#: Languages that are written in the script of another one, which counts as theirs.
_WRITTEN_LIKE = {"ti": "am", "as": "bn", "yi": "he"}

#: A character of any of these scripts.
_OWN_CHARACTERS = re.compile(f"[{''.join(_OWN_SCRIPTS.values())}]")


#: Words that hardly a text of a language lacks and that no other language writes.
_TELLING_WORDS = {
    "en": "the and what which how with that this from who when where does have their would should because between been"
    " were you your they there about into its than those while whose"
}


@cache
def telling_words(language: str) -> str | None:
    """A regular expression (RE2) of words by which a text shows its language without a model; None where none are
    known.
    """
    words = _TELLING_WORDS.get(language)
    return rf"(?i)\b(?:{'|'.join(words.split())})\b" if words else None


def own_script(language: str) -> str | None:
    """The characters of the script that this language (canonical) has (nearly) to itself, as they stand in the brackets
    of a regular expression; None where it shares its script.
    """
    return _OWN_SCRIPTS.get(_WRITTEN_LIKE.get(language, language))


def written_like(languages: frozenset[str]) -> frozenset[str]:
    """Languages with those whose script they are written in."""
    return languages | {_WRITTEN_LIKE[language] for language in languages if language in _WRITTEN_LIKE}


def script_language(text: str, least: float) -> str:
    """The language whose own script makes at least this share of a text; empty where none does.

    Han characters are Chinese, but beside kana they are Japanese, and beside hangul Korean.
    """
    found = Counter(map(_language_of_character, _OWN_CHARACTERS.findall(text)))
    for other in ("ja", "ko"):
        if found[other]:
            found[other] += found.pop("zh", 0)
    language, size = found.most_common(1)[0] if found else ("", 0)
    return language if size and size >= least * len(text) else ""


@cache
def _language_of_character(character: str) -> str:
    return next(language for language, own in _OWN_SCRIPTS.items() if re.match(f"[{own}]", character))
