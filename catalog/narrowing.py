"""Narrowing a choice of entries to classes of licences and to languages."""

import difflib
import fnmatch
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import get_args

from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import ConfigError

LICENCE_CLASSES: tuple[str, ...] = get_args(CatalogEntry.model_fields["licence_class"].annotation)


def narrow_entries(
    chosen: Sequence[LocatedEntry],
    entries: Mapping[str, LocatedEntry],
    *,
    licenses: str | None = None,
    languages: str | None = None,
) -> list[LocatedEntry]:
    """Those of the chosen entries that have one of the licence classes and one of the languages.

    Both are words or globs with commas; None means any. An entry that says which configuration is in which language is
    cut down to the configurations that match; any other is taken whole. Raises ConfigError, with what is near, for a
    word that no licence class or no entry of the catalog has, and with what was chosen where nothing is left.
    """
    licence_words = _known("LICENSES", licenses, LICENCE_CLASSES)
    language_words = _known("LANGUAGES", languages, languages_of(entries.values()))
    licensed = [each for each in chosen if not licence_words or _matches(each.entry.licence_class, licence_words)]
    left = [cut for each in licensed if (cut := in_languages(each, language_words) if language_words else each)]
    if not left:
        raise ConfigError(_nothing_left(chosen, {"LICENSES": licenses, "LANGUAGES": languages}))
    return left


def languages_of(entries: Iterable[LocatedEntry]) -> list[str]:
    """All languages that some entry declares."""
    return sorted({language for located in entries for language in located.entry.languages})


def in_languages(located: LocatedEntry, words: Collection[str]) -> LocatedEntry | None:
    """The entry with the configurations that may hold one of these languages; None where there are none."""
    entry = located.entry
    if not any(_matches_language(language, words) for language in entry.languages):
        return None
    declared = entry.config_languages
    configs = [c for c in entry.source.configs if c not in declared or _matches_language(declared[c], words)]
    if len(configs) == len(entry.source.configs):
        return located
    if not configs:
        return None
    update: dict[str, object] = {
        "source": entry.source.model_copy(update={"configs": tuple(configs)}),
        "config_languages": {config: declared[config] for config in configs if config in declared},
        "rows": None,  # the entry's number is that of all configurations
    }
    if declared.keys() >= set(configs):
        found = {declared[config] for config in configs}
        update["languages"] = tuple(language for language in entry.languages if language in found)
    return located.model_copy(update={"entry": entry.model_copy(update=update)})


def _matches(value: str, words: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, word) for word in words)


def _matches_language(language: str, words: Iterable[str]) -> bool:
    """``zh`` means ``zh-Hant`` too: a language means all its varieties."""
    return any(fnmatch.fnmatchcase(tag, word) for word in words for tag in (language, language.split("-")[0]))


def _known(variable: str, text: str | None, there: Collection[str]) -> list[str]:
    """The words of a variable, each of which means something that is there."""
    if text is None:
        return []
    words = [word for part in text.split(",") if (word := part.strip())]
    if not words:
        raise ConfigError(f"{variable} is empty; give one or several with commas of {', '.join(there)}")
    for word in words:
        if not any(_matches_language(value, [word]) for value in there):
            near = difflib.get_close_matches(word, there, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ConfigError(f"unknown word {word!r} in {variable}: {hint}There are {', '.join(there)}")
    return words


def _nothing_left(chosen: Sequence[LocatedEntry], asked: Mapping[str, str | None]) -> str:
    by = " and ".join(f"{variable}={value}" for variable, value in asked.items() if value is not None)
    licences = Counter[str](each.entry.licence_class for each in chosen)
    languages = Counter(language for each in chosen for language in each.entry.languages)
    return (
        f"{by} leaves none of the datasets that CATEGORY chose ({len(chosen)}); their licences are "
        f"{_counted(licences)}; their languages {_counted(languages)}"
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{word} ({count})" for word, count in sorted(counts.items(), key=lambda item: (-item[1], item)))
