"""Composes texts about one invented thing, in one language or in two that say the same.

Every choice follows from a hash of the seed and of what is chosen, never from the order of choices. So the domains of
two languages that list the same slots, places and questions in the same order give translations for equal seeds.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from hashlib import blake2b
from itertools import count, cycle, islice

from catalog.sample_writer.grammar import MATERIAL, Domain, read_domains
from catalog.sample_writer.variety import Variety

FOLDER = "domains"
UNSPACED = frozenset({"zh", "zh-Hant", "ja"})
_SLOT = re.compile(r"<(\w+)>")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_ATTEMPTS = 300
#: A pair of texts of one entry may resemble a pair of another entry of its stage no more than this.
_ELSEWHERE = 0.7
#: Styles of texts without a partner.
ALONE = frozenset({"text", "headline"})
#: Styles of which either text may become the query.
MUTUAL = frozenset({"translation"})


@dataclass(frozen=True, kw_only=True)
class Fact:
    """The texts about one thing. ``twin`` asks what ``question`` asks, ``other`` asks something else about it,
    ``spoken`` is one of the sentences.
    """

    title: str
    sentences: tuple[str, ...]
    passage: str
    spoken: str
    question: str
    twin: str
    other: str
    answer: str
    entailed: str
    contradicted: str
    neutral: str


@dataclass(frozen=True, kw_only=True)
class Composition:
    """The choices that a seed makes in a domain."""

    domain: Domain
    seed: str
    joiner: str

    def pick(self, key: str, size: int) -> int:
        """Returns a number below ``size`` that follows from seed and key."""
        digest = blake2b(f"{self.seed}/{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % size

    def value(self, slot: str, scope: str = "", step: int = 0) -> str:
        """Returns what fills the slot; ``step`` takes the choice so many places further on."""
        choices = self.domain.slots[slot if slot in self.domain.slots else slot.rstrip("0123456789")]
        if limits := _RANGE.fullmatch(choices[0]):
            least, most = int(limits[1]), int(limits[2])
            return str(least + (self.pick(scope + slot, most - least + 1) + step) % (most - least + 1))
        return self.fill(choices[(self.pick(scope + slot, len(choices)) + step) % len(choices)], f"{scope}{slot}/")

    def fill(self, pattern: str, scope: str = "", altered: str = "") -> str:
        """Returns the pattern with its slots filled; the ``altered`` one with what is not so."""
        filled = _SLOT.sub(lambda match: self.value(match[1], scope, step=int(match[1] == altered)), pattern)
        is_inner = scope or self.domain.name.startswith("code")
        return filled if is_inner else filled[:1].upper() + filled[1:]

    def one_of(self, key: str, patterns: Sequence[str], altered: str = "") -> str:
        """Returns one of the patterns, filled; empty where there is none."""
        return self.fill(patterns[self.pick(key, len(patterns))], altered=altered) if patterns else ""

    def fact(self) -> Fact:
        """Returns all texts."""
        asks = _by_slot(self.domain.questions)
        slots = list(asks)
        at = self.pick("ask", len(slots)) if slots else 0
        patterns = asks[slots[at]] if slots else [""]
        first = self.pick("question", len(patterns))
        told = [(slot, text) for slot, text in self.domain.statements if slot != "neutral"]
        slot, statement = told[self.pick("told", len(told))] if told else ("", "")
        sentences = tuple(self.one_of(f"place {i}", place) for i, place in enumerate(self.domain.places))
        question = self.fill(patterns[first])
        return Fact(
            title=self.one_of("title", self.domain.titles) or question,
            sentences=sentences,
            spoken=sentences[self.pick("spoken", len(sentences))],
            passage=self.joiner.join(sentences).replace(" \\n", "\n").replace("\\n", "\n"),
            question=question,
            twin=self.fill(patterns[(first + 1) % len(patterns)]) if len(patterns) > 1 else "",
            other=self.one_of("other", asks[slots[(at + 1) % len(slots)]] if slots else []),
            answer=self.value(slots[at]) if slots else "",
            entailed=self.fill(statement),
            contradicted=self.fill(statement, altered=slot),
            neutral=self.one_of("neutral", [text for name, text in self.domain.statements if name == "neutral"]),
        )


def _by_slot(patterns: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for slot, pattern in patterns:
        found.setdefault(slot, []).append(pattern)
    return found


@cache
def library() -> dict[str, Domain]:
    """Returns all domains by language and name (``en.lighthouse``); a file's language stands before its ``_``."""
    files = sorted((MATERIAL / FOLDER).glob("*.txt"))
    return {
        f"{file.stem.split('_')[0]}.{domain.name}": domain
        for file in files
        for domain in read_domains(f"{FOLDER}/{file.name}")
    }


@dataclass(frozen=True, kw_only=True)
class Twins:
    """A domain in the language of queries and in that of passages, mostly the same one."""

    languages: tuple[str, str]
    domains: tuple[Domain, Domain]

    def facts(self, seed: str) -> tuple[Fact, Fact]:
        """Returns what the seed composes, in both languages."""
        first, last = (
            Composition(domain=domain, seed=seed, joiner="" if language in UNSPACED else " ").fact()
            for language, domain in zip(self.languages, self.domains, strict=True)
        )
        return first, last


def twins_of(names: Sequence[str]) -> list[Twins]:
    """Returns the domains of names such as ``en.code-*`` or, for texts in two languages, ``de+en.*``.

    Raises:
        KeyError: a name fits no domain.
    """
    found: list[Twins] = []
    for name in names:
        languages, _, pattern = name.partition(".")
        first, last = languages.split("+")[0], languages.split("+")[-1]
        fitting = [key.split(".", 1)[1] for key in library() if fnmatchcase(key, f"{first}.{pattern}")]
        if not fitting:
            raise KeyError(f"no domain fits {name!r}; there are {sorted(library())}")
        pairs = ((library()[f"{first}.{domain}"], library()[f"{last}.{domain}"]) for domain in fitting)
        found += [Twins(languages=(first, last), domains=pair) for pair in pairs]
    return found


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The texts of one example; ``negative`` is empty where the style gives none of its own, ``label`` is its class."""

    query: str
    title: str
    positive: str
    negative: str
    neutral: str
    fact: Fact
    language: str
    label: str = ""


def _drawn(style: str, first: Fact, last: Fact, language: str) -> Drawn:
    query, positive, negative, neutral = {
        "question": (first.question, last.passage, "", ""),
        "title": (first.title, last.passage, "", ""),
        "twin": (first.question, last.twin, last.other, ""),
        "inference": (first.sentences[0], last.entailed, last.contradicted, last.neutral),
        "translation": (first.spoken, last.spoken, "", ""),
        "text": (first.passage, "", "", ""),
        "headline": (first.title, "", "", ""),
    }[style]
    return Drawn(
        query=query,
        title=last.title,
        positive=positive,
        negative=negative,
        neutral=neutral,
        fact=last,
        language=language,
    )


@dataclass(kw_only=True)
class Supply:
    """Draws the examples of one entry: varied within it, and no near-copies of those of other entries."""

    seed: str
    style: str
    elsewhere: Variety
    _roles: dict[str, Variety] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def take(self, names: Sequence[str], size: int) -> list[Drawn]:
        """Returns ``size`` examples of the domains of these names, in turn.

        Raises:
            RuntimeError: the domains give no further example that is unlike all earlier ones.
        """
        domains = cycle(twins_of(names))
        return [self._next(next(domains), names) for _ in range(size)]

    def _next(self, twins: Twins, names: Sequence[str]) -> Drawn:
        for number in islice(self._numbers, _ATTEMPTS):
            drawn = _drawn(self.style, *twins.facts(f"{self.seed}:{number}"), twins.languages[-1])
            if self._admit(drawn):
                return drawn
        raise RuntimeError(f"{self.seed}: domain {twins.domains[0].name!r} of {names} is used up; add alternatives")

    def _admit(self, drawn: Drawn) -> bool:
        texts = {name: text for name in ("query", "positive", "negative") if (text := getattr(drawn, name))}
        roles = {name: self._roles.setdefault("any" if self.style in MUTUAL else name, Variety()) for name in texts}
        if not (drawn.positive or self.style in ALONE) or any(
            roles[name].closest(text) >= roles[name].ceiling for name, text in texts.items()
        ):
            return False
        both = f"{drawn.query} {drawn.positive}"
        if self.elsewhere.closest(both) >= _ELSEWHERE:
            return False
        for name, text in texts.items():
            roles[name].add(text)
        self.elsewhere.add(both)
        return True
