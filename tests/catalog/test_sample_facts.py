"""Composed texts: the same for equal seeds, translations in two languages, unlike each other within an entry."""

import re

import pytest

from catalog.sample_writer.facts import Composition, Supply, library, twins_of
from catalog.sample_writer.grammar import Domain
from catalog.sample_writer.variety import Variety, worst_pair

LANGUAGES = ("ar", "de", "en", "es", "fr", "ja", "ko", "ru", "zh")
PARALLEL = ("poly-baker", "poly-beacon", "poly-feast")


def supply(style: str, elsewhere: Variety | None = None) -> Supply:
    return Supply(seed="test", style=style, elsewhere=elsewhere or Variety())


def shape(domain: Domain) -> tuple[object, ...]:
    return (
        {slot: len(choices) for slot, choices in domain.slots.items()},
        [[set(re.findall(r"<(\w+)>", pattern)) - {"year"} for pattern in place] for place in domain.places],
        [slot for slot, _ in domain.questions],
        len(domain.titles),
    )


@pytest.mark.parametrize("name", PARALLEL)
@pytest.mark.parametrize("language", LANGUAGES)
def test_parallel_domains_have_one_shape(language: str, name: str) -> None:
    assert shape(library()[f"{language}.{name}"]) == shape(library()[f"en.{name}"])


def test_equal_seeds_say_the_same_in_two_languages() -> None:
    english, german = twins_of(["en+de.poly-beacon"])[0].facts("any")
    metres = re.findall(r"\d+", english.sentences[0])
    assert sorted(metres) == sorted(re.findall(r"\d+", german.sentences[0]))
    assert english == twins_of(["en.poly-beacon"])[0].facts("any")[0]
    assert english != twins_of(["en.poly-beacon"])[0].facts("other")[0]


@pytest.mark.parametrize("name", sorted(library()))
def test_every_domain_fills_all_its_slots(name: str) -> None:
    language = name.split(".")[0]
    for number in range(30):
        fact = Composition(domain=library()[name], seed=str(number), joiner=" ").fact()
        texts = (fact.title, fact.passage, fact.question, fact.twin, fact.entailed, fact.neutral)
        assert fact.passage
        assert not any("<" in text and re.search(r"<\w+>", text) for text in texts), (language, texts)


def test_a_contradiction_exchanges_what_the_statement_says() -> None:
    domain = library()["en.scene"]
    facts = [Composition(domain=domain, seed=str(number), joiner=" ").fact() for number in range(40)]
    assert all(fact.entailed != fact.contradicted for fact in facts)
    assert all(fact.neutral not in (fact.entailed, fact.contradicted) for fact in facts)


def test_a_twin_asks_for_the_same_answer() -> None:
    domain = library()["en.museum"]
    asks = {pattern: slot for slot, pattern in domain.questions}
    for number in range(30):
        composition = Composition(domain=domain, seed=str(number), joiner=" ")
        filled = {composition.fill(pattern): slot for pattern, slot in asks.items()}
        fact = composition.fact()
        assert fact.question != fact.twin
        assert filled[fact.question] == filled[fact.twin] != filled[fact.other]


def test_supply_is_varied_within_an_entry_and_against_others() -> None:
    elsewhere = Variety()
    first = supply("question", elsewhere).take(["en.island", "en.museum"], 24)
    again = supply("question", elsewhere).take(["en.island", "en.museum"], 24)
    assert worst_pair(item.positive for item in first)[0] < 0.5
    assert {item.positive for item in first}.isdisjoint(item.positive for item in again)


def test_supply_says_when_the_material_is_used_up() -> None:
    with pytest.raises(RuntimeError, match="add alternatives"):
        supply("question").take(["en.nerve"], 400)
    with pytest.raises(KeyError, match="no domain fits"):
        twins_of(["en.nothing"])
