"""Choosing entries by what a person writes after ``CATEGORY=``."""

import difflib
import fnmatch
from collections.abc import Mapping

from catalog.narrowing import LICENCE_CLASSES, languages_of, narrow_entries
from schemas.catalog import LocatedEntry, Stage, TaskType
from schemas.errors import ConfigError

ALL = "all"


def select_entries(
    entries: Mapping[str, LocatedEntry], category: str, *, licenses: str | None = None, languages: str | None = None
) -> tuple[list[LocatedEntry], frozenset[str]]:
    """The entries that a category means, by name, and those of them that were named exactly.

    A category is ``all``, a task type, a stage, a dataset's name or a glob over names, or several of these with
    commas; ``licenses`` and ``languages`` narrow what it means (``narrow_entries``). What is named exactly must be
    there; the rest may be absent from a source. Raises ConfigError, with near matches, when a word means nothing.
    """
    chosen, named = _chosen(entries, category)
    left = narrow_entries(chosen, entries, licenses=licenses, languages=languages)
    return left, named & {located.entry.name for located in left}


def _chosen(entries: Mapping[str, LocatedEntry], category: str) -> tuple[list[LocatedEntry], frozenset[str]]:
    chosen: set[str] = set()
    named: set[str] = set()
    for word in filter(None, (part.strip() for part in category.split(","))):
        found = _matches(entries, word)
        if not found:
            raise ConfigError(_unknown(entries, word))
        chosen |= found
        if word in entries:
            named.add(word)
    if not chosen:
        raise ConfigError(
            f"CATEGORY is empty; give one of: {', '.join(_words(entries)[:12])}, a dataset's name or a glob"
        )
    return [entries[name] for name in sorted(chosen)], frozenset(named)


def _matches(entries: Mapping[str, LocatedEntry], word: str) -> set[str]:
    if word in entries:
        return {word}
    return {
        name
        for name, located in entries.items()
        if word in (ALL, located.entry.task_type, located.entry.stage) or fnmatch.fnmatchcase(name, word)
    }


def _words(entries: Mapping[str, LocatedEntry]) -> list[str]:
    task_types = {located.entry.task_type.value for located in entries.values()}
    stages = {located.entry.stage.value for located in entries.values()}
    return [ALL, *sorted(stages), *sorted(task_types), *sorted(entries)]


def _unknown(entries: Mapping[str, LocatedEntry], word: str) -> str:
    for variable, there in (("LANGUAGES", languages_of(entries.values())), ("LICENSES", LICENCE_CLASSES)):
        if word in there:
            return f"unknown category {word!r}: did you mean {variable}={word}? With CATEGORY=all it takes all of them"
    words = [*_words(entries), *(t.value for t in TaskType), *(s.value for s in Stage)]
    near = difflib.get_close_matches(word, list(dict.fromkeys(words)), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "no name is near it."
    kinds = ", ".join(w for w in _words(entries) if w not in entries)
    return (
        f"unknown category {word!r}: {hint} A category is {kinds}, a dataset's name "
        f"(there are {len(entries)}, for example {', '.join(list(entries)[:3])}), or a glob such as 'csl-*'"
    )
