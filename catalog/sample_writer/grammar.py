"""Composes passages and questions about invented things from a domain's inventories and sentence patterns.

A material file holds domains. In a domain, ``= slot: a | b`` lists what may fill ``<slot>`` (``1790..1930`` is a
range of integers), ``~ a | b`` is one place of the passage with its alternative sentences, ``? slot: a | b`` are
questions that the value of ``slot`` answers, ``% slot: a | b`` are statements that follow from the passage's first
sentence (of the slot ``neutral``: that neither follow nor clash), ``! a | b`` are titles, and ``+ a | b`` may stand
before the name in a question. A slot keeps its value within one composition, so that question and passage agree.
"""

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

from catalog.sample_writer.variety import Variety

MATERIAL = Path(__file__).parent / "material"
_SLOT = re.compile(r"<(\w+)>")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_ATTEMPTS = 200


@dataclass(frozen=True, kw_only=True)
class Domain:
    """Inventories and patterns of one kind of thing."""

    name: str
    slots: dict[str, tuple[str, ...]]
    places: tuple[tuple[str, ...], ...]
    questions: tuple[tuple[str, str], ...]
    titles: tuple[str, ...]
    statements: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Item:
    """One composed thing: its name, a passage about it, a question that the passage answers, and the answer."""

    domain: str
    name: str
    title: str
    passage: str
    sentences: tuple[str, ...]
    question: str
    answer: str
    asked: dict[str, str]


@dataclass
class _Draft:
    name: str
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict)
    places: list[tuple[str, ...]] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)
    statements: list[tuple[str, str]] = field(default_factory=list)
    titles: tuple[str, ...] = ("<name>",)
    leads: tuple[str, ...] = ()

    def read(self, mark: str, body: str) -> None:
        head, _, tail = body.partition(":")
        if mark == "=":
            self.slots[head.strip()] = _split(tail)
        elif mark == "?":
            self.questions += [(head.strip(), pattern) for pattern in _split(tail)]
        elif mark == "%":
            self.statements += [(head.strip(), pattern) for pattern in _split(tail)]
        elif mark == "!":
            self.titles = _split(body)
        elif mark == "+":
            self.leads = _split(body)
        else:
            self.places.append(_split(body))

    def close(self, shared: dict[str, tuple[str, ...]]) -> Domain:
        return Domain(
            name=self.name,
            slots={**shared, **self.slots},
            places=tuple(self.places),
            questions=tuple((ask, led) for ask, pattern in self.questions for led in _led(pattern, ask, self.leads)),
            titles=self.titles if "name" in self.slots or self.titles != ("<name>",) else (),
            statements=tuple(self.statements),
        )


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|") if part.strip())


def _led(pattern: str, ask: str, leads: tuple[str, ...]) -> list[str]:
    """Returns the question with each lead before the name, but for leads that give away or repeat what it says."""
    said = {ask, *_SLOT.findall(pattern)}
    fitting = [lead for lead in leads if said.isdisjoint(_SLOT.findall(lead))]
    return [pattern.replace("<name>", f"{lead}<name>", 1) for lead in fitting] or [pattern]


def read_lines(file: str) -> list[str]:
    """Returns the lines of a material file that carry content."""
    lines = (MATERIAL / file).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("//")]


def read_domains(*files: str) -> list[Domain]:
    """Returns the domains of the material files; slots before the first ``## name`` are shared by all of them."""
    shared, drafts = _Draft("shared"), []
    for line in (line for file in files for line in read_lines(file)):
        if line.startswith("##"):
            drafts.append(_Draft(line[2:].strip()))
        else:
            (drafts[-1] if drafts else shared).read(line[0], line[1:].strip())
    return [draft.close(shared.slots) for draft in drafts]


def fill(pattern: str, domain: Domain, values: dict[str, str], rng: random.Random) -> str:
    """Returns the pattern with every ``<slot>`` filled; draws and remembers values not in ``values`` yet.

    Slots inside a drawn value are drawn anew each time, so that ``<person>`` and ``<person2>`` are two people.
    """
    while match := _SLOT.search(pattern):
        slot = match.group(1)
        if slot not in values:
            values[slot] = fill(_draw(slot, domain, rng), domain, {}, rng)
        pattern = pattern[: match.start()] + values[slot] + pattern[match.end() :]
    return pattern


def _draw(slot: str, domain: Domain, rng: random.Random) -> str:
    choice = rng.choice(domain.slots[slot.rstrip("0123456789") if slot not in domain.slots else slot])
    limits = _RANGE.fullmatch(choice)
    return str(rng.randint(int(limits[1]), int(limits[2]))) if limits else choice


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def compose(domain: Domain, rng: random.Random, *, joiner: str = " ", given: dict[str, str] | None = None) -> Item:
    """Returns one item of the domain, drawn from ``rng``; slots in ``given`` keep their values."""
    values = dict(given or {})
    sentences = tuple(_sentence(fill(rng.choice(place), domain, values, rng)) for place in domain.places)
    ask, pattern = rng.choice(domain.questions)
    question = fill(pattern, domain, values, rng)
    answer = fill(f"<{ask}>", domain, values, rng)
    title = fill(rng.choice(domain.titles), domain, values, rng) if domain.titles else question
    return Item(
        domain=domain.name,
        name=values.get("name", question),
        title=_sentence(title),
        passage=joiner.join(sentences),
        sentences=sentences,
        question=question,
        answer=answer,
        asked={slot: values[slot] for slot in [ask, *_SLOT.findall(pattern)]},
    )


@dataclass(kw_only=True)
class Composer:
    """Draws items until one is new by name and unlike every earlier question and passage."""

    rng: random.Random
    joiner: str = " "
    names: set[str] = field(default_factory=set)
    questions: Variety = field(default_factory=Variety)
    passages: Variety = field(default_factory=Variety)

    def next(self, domain: Domain) -> Item | None:
        """Returns the next item of the domain; None when its inventories give no new one."""
        for _ in range(_ATTEMPTS):
            item = compose(domain, self.rng, joiner=self.joiner)
            if item.name not in self.names and self._admit(item):
                self.names.add(item.name)
                return item
        return None

    def _admit(self, item: Item) -> bool:
        if self.questions.closest(item.question) >= self.questions.ceiling or not self.passages.admit(item.passage):
            return False
        self.questions.add(item.question)
        return True

    def cycle(self, domains: list[Domain], count: int) -> list[Item]:
        """Returns ``count`` items, the domains in turn; a domain that gives no new item leaves the round.

        Raises:
            RuntimeError: every domain was used up before ``count`` items were found.
        """
        items: list[Item] = []
        round_of = list(domains)
        while round_of and len(items) < count:
            found = [(domain, self.next(domain)) for domain in round_of[: count - len(items)]]
            items += [item for _, item in found if item]
            spent = {id(domain) for domain, item in found if not item}
            round_of = [domain for domain in round_of if id(domain) not in spent]
        if len(items) < count:
            raise RuntimeError(
                f"the domains {[d.name for d in domains]} gave {len(items)} varied items, {count} are needed: "
                "names or patterns are used up. Add names, alternatives or questions to the material file."
            )
        return items
