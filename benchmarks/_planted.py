"""Rows for the benchmark of leaks: evaluation queries with light edits, and rows that share a phrase with one.

Nothing here knows how the check decides. A function gives None where a query has no place for its edit, such as upper
case in Chinese.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from transforms.text.matching import matching_form

#: Words that change little, and what people write around a question.
SMALL = {
    "en": ("the", "a", "of", "in", "to"),
    "de": ("der", "die", "das", "ein", "in"),
    "ar": ("في", "من", "على", "هو", "عن"),
    "zh": ("的", "了", "呢", "是", "在"),
}
FRAMES = {
    "en": "Somebody asked me this yesterday: {} Please answer in one paragraph, and name your sources.",
    "de": "Das hat mich gestern jemand gefragt: {} Bitte antworte in einem Absatz und nenne deine Quellen.",
    "ar": "سألني أحدهم بالأمس: {} من فضلك أجب في فقرة واحدة واذكر مصادرك.",
    "zh": "昨天有人这样问我：{}请用一段话回答，并且注明出处。",
}
LETTERS = {
    "en": "abcdefghijklmnopqrstuvwxyz",
    "de": "abcdefghijklmnopqrstuvwxyzäöü",
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
}
#: Frames of prompts that training data carry.
PROMPTS = (
    "Instruct: Given a question, retrieve passages that answer it.\nQuery: {}",
    "query: {}",
    "Represent this sentence for searching relevant passages: {}",
)
#: A query of fewer words (characters in Chinese) is not looked for inside longer texts.
LONG = {"zh": 8}
LONG_WORDS, RUN, RUN_CHARACTERS = 4, 5, 10
_CHINESE_WORD = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+")


class Query(NamedTuple):
    """An evaluation query in its language, and others of the same language."""

    text: str
    language: str
    others: Sequence[str]

    @property
    def words(self) -> list[str]:
        """Its words, or its characters where it is Chinese."""
        return words_of(self.text, self.language)

    def joined(self, words: Sequence[str]) -> str:
        """Words of its language as a text."""
        return ("" if self.language == "zh" else " ").join(words)


Edit = Callable[[Query, random.Random], str | None]


def words_of(text: str, language: str) -> list[str]:
    """Words of a text; of a Chinese one the characters, and runs of others."""
    return _CHINESE_WORD.findall(text) if language == "zh" else text.split()


def _between_characters(words: Sequence[str]) -> list[int]:
    """Where one Chinese character stands behind another, not within a number or a foreign name."""
    return [
        place for place in range(1, len(words)) if all("\u3400" <= w <= "\u9fff" for w in words[place - 1 : place + 1])
    ]


def _changed_word(query: Query, rng: random.Random, least: int, change: Callable[[str], str]) -> str | None:
    """A query with one of its words of so many letters changed."""
    words = query.words
    places = [place for place, word in enumerate(words) if word.isalpha() and len(word) >= least]
    if not places:
        return None
    place = rng.choice(places)
    return query.joined([*words[:place], change(words[place]), *words[place + 1 :]])


def verbatim(query: Query, _: random.Random) -> str:
    """The query."""
    return query.text


def cased(query: Query, rng: random.Random) -> str | None:
    """All letters large, small, or the other way round."""
    kinds = [kind for kind in (query.text.upper(), query.text.lower(), query.text.swapcase()) if kind != query.text]
    return rng.choice(kinds) if kinds else None


def repunctuated(query: Query, rng: random.Random) -> str:
    """Other marks at both ends, a mark between two words, and more white space."""
    bare = query.text.strip(" ?.!؟？。\"'")
    opening, closing = rng.choice(
        [("", ""), ("“", "”?"), ("- ", " !!"), ("(", ")"), ("… ", "."), ("", "؟"), ("", "？")]
    )
    if query.language != "zh":
        words = bare.split()
        place = rng.randrange(len(words))
        bare = "  ".join([*words[:place], words[place] + rng.choice([",", ";", " -", ":"]), *words[place + 1 :]])
    return f"{opening}{bare}{closing}"


def full_width(query: Query, _: random.Random) -> str | None:
    """ASCII as full-width characters, as East Asian input methods write it."""
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" if c == " " else c for c in query.text)
    return wide if wide != query.text else None


def misspelt(query: Query, rng: random.Random) -> str | None:
    """One letter of a word left out, doubled, replaced, or exchanged with the next; in Chinese doubled or exchanged."""
    if query.language == "zh":
        words, places = query.words, _between_characters(query.words)
        if not places:
            return None
        place = rng.choice(places)
        first, second = words[place - 1 : place + 1]
        return "".join([*words[: place - 1], rng.choice([second + first, first + first + second]), *words[place + 1 :]])

    def slip(word: str) -> str:
        at = rng.randrange(len(word) - 1)
        first, second, rest = word[at], word[at + 1], word[at + 2 :]
        new = rng.choice(LETTERS[query.language])
        return word[:at] + rng.choice([second, first + first + second, second + first, new + second]) + rest

    return _changed_word(query, rng, 4, slip)


def small_word_more(query: Query, rng: random.Random) -> str | None:
    """A small word put in."""
    words = query.words
    places = _between_characters(words) if query.language == "zh" else range(len(words))
    if not places:
        return None
    place = rng.choice(places)
    return query.joined([*words[:place], rng.choice(SMALL[query.language]), *words[place:]])


def small_word_less(query: Query, rng: random.Random) -> str | None:
    """A small word left out."""
    words = query.words
    places = [place for place, word in enumerate(words) if word.lower() in SMALL[query.language]]
    if not places:
        return None
    place = rng.choice(places)
    return query.joined(words[:place] + words[place + 1 :])


def exchanged(query: Query, rng: random.Random) -> str | None:
    """Two words that stand beside each other, exchanged."""
    words = query.words
    if query.language == "zh" or len(words) < 2:
        return None
    place = rng.randrange(len(words) - 1)
    return query.joined([*words[:place], words[place + 1], words[place], *words[place + 2 :]])


def split(query: Query, rng: random.Random) -> str | None:
    """A word in two."""
    if query.language == "zh":
        return None
    return _changed_word(query, rng, 6, lambda word: f"{word[: len(word) // 2]} {word[len(word) // 2 :]}")


def run_together(query: Query, rng: random.Random) -> str | None:
    """Two words in one."""
    words = query.words
    if query.language == "zh" or len(words) < 2:
        return None
    place = rng.randrange(len(words) - 1)
    return query.joined([*words[:place], words[place] + words[place + 1], *words[place + 2 :]])


def is_long(query: Query) -> bool:
    """Whether a query may be looked for inside longer texts."""
    return len(query.words) >= LONG.get(query.language, LONG_WORDS)


def framed(query: Query, _: random.Random) -> str | None:
    """A query of four words and more (eight characters) with a sentence before and one behind it."""
    return FRAMES[query.language].format(query.text) if is_long(query) else None


def framed_abroad(query: Query, rng: random.Random) -> str | None:
    """The same in another language."""
    others = sorted(FRAMES.keys() - {query.language})
    return FRAMES[rng.choice(others)].format(query.text) if is_long(query) else None


def prompted(query: Query, rng: random.Random) -> str:
    """A query behind the prompt of a model."""
    return rng.choice(PROMPTS).format(query.text)


def other_word(query: Query, rng: random.Random) -> str | None:
    """The longest word replaced by a long one of another query; in Chinese, three characters by three others."""
    words, other = query.words, words_of(rng.choice(query.others), query.language)
    if query.language == "zh":
        if len(words) < 6 or len(other) < 6:
            return None
        place, taken = rng.randrange(len(words) - 3), rng.randrange(len(other) - 3)
        return "".join([*words[:place], *other[taken : taken + 3], *words[place + 3 :]])
    place = max(range(len(words)), key=lambda place: len(words[place]))
    return query.joined([*words[:place], max(other, key=len), *words[place + 1 :]])


def other_number(query: Query, rng: random.Random) -> str | None:
    """One number replaced by another of as many digits."""
    numbers = list(re.finditer(r"[0-9]+", query.text))
    if not numbers:
        return None
    number = rng.choice(numbers)
    least = 10 ** (len(number[0]) - 1)
    new = str(rng.randrange(least, 10 * least))
    return query.text[: number.start()] + new + query.text[number.end() :] if new != number[0] else None


def other_end(query: Query, rng: random.Random) -> str | None:
    """The first half, and then the second half of another query."""
    words, other = query.words, words_of(rng.choice(query.others), query.language)
    if min(len(words), len(other)) < 6:
        return None
    return query.joined(words[: len(words) // 2] + other[len(other) // 2 :])


def other_topic(query: Query, rng: random.Random) -> str | None:
    """The first three words, and then the second half of another query."""
    words, other = query.words, words_of(rng.choice(query.others), query.language)
    if len(words) < 8 or len(other) < 6:
        return None
    return query.joined(words[:3] + other[len(other) // 2 :])


def cut(query: Query, _: random.Random) -> str | None:
    """The first half of a query."""
    words = query.words
    return query.joined(words[: len(words) // 2]) if len(words) >= 6 else None


#: What must be found, and what must be kept.
PLANTED: Mapping[str, Edit] = {
    "verbatim": verbatim,
    "upper, lower, swapped case": cased,
    "other punctuation and spaces": repunctuated,
    "full width": full_width,
    "a typing error": misspelt,
    "a small word more": small_word_more,
    "a small word less": small_word_less,
    "two words exchanged": exchanged,
    "a word split": split,
    "two words joined": run_together,
    "inside a longer text (4 words, 8 characters and more)": framed,
    "inside a text in another language (the same)": framed_abroad,
    "behind a prompt": prompted,
}
ORDINARY: Mapping[str, Edit] = {
    "another content word": other_word,
    "another number": other_number,
    "another second half": other_end,
    "the same three words first": other_topic,
    "the first half alone": cut,
}


def runs(text: str, language: str) -> set[tuple[str, ...]]:
    """Runs of five words of a text (in Chinese of ten characters), in the form for matching."""
    words = words_of(matching_form(text), language)
    size = RUN_CHARACTERS if language == "zh" else RUN
    return {tuple(words[place : place + size]) for place in range(len(words) - size + 1)}
