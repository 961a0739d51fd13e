"""What holds for each dataset: of the overrides that match it the most specific one wins, key by key."""

import difflib
import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipelines.configuration.keys import Path
from pipelines.configuration.layers import DATASETS, Configuration, leaf_paths, merged, nearest, validated
from pipelines.configuration.model import ENTRY_KEYS, DatasetConfig
from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import ConfigError

#: Prefixes of patterns that are no name and no glob, and what of an entry they stand for.
_KINDS: Mapping[str, Callable[[CatalogEntry], str]] = {
    "task:": lambda entry: entry.task_type.value,
    "stage:": lambda entry: entry.stage.value,
}
_NAME, _GLOB, _TASK, _STAGE = 4, 3, 2, 1


@dataclass(frozen=True, kw_only=True)
class Effective:
    """What holds for one dataset, the overrides that made it so, and the entry as it is then."""

    config: DatasetConfig
    patterns: tuple[str, ...]
    located: LocatedEntry


def effective(configuration: Configuration, entries: Mapping[str, LocatedEntry]) -> dict[str, Effective]:
    """What holds for every entry of the catalog, by name.

    Raises ConfigError for an override that matches none, for two of equal weight that disagree, and for values that do
    not fit together once they are merged.
    """
    overrides = configuration.config.datasets
    matches = {pattern: matching(pattern, entries) for pattern in overrides}
    for pattern, names in matches.items():
        if not names:
            raise ConfigError(f"{_where(configuration, pattern)}: {_unmatched(pattern, entries)}")
    made: dict[tuple[str, ...], DatasetConfig] = {}
    found = {}
    for name, located in entries.items():
        patterns = tuple(sorted(pattern for pattern, names in matches.items() if name in names))
        if patterns not in made:
            made[patterns] = _merged(configuration, patterns, located.entry)
        found[name] = Effective(
            config=made[patterns], patterns=patterns, located=_entry(configuration, located, made[patterns], patterns)
        )
    return found


def matching(pattern: str, entries: Mapping[str, LocatedEntry]) -> set[str]:
    """The entries that a pattern means, by name."""
    for prefix, value_of in _KINDS.items():
        if pattern.startswith(prefix):
            word = pattern.removeprefix(prefix)
            return {name for name, located in entries.items() if value_of(located.entry) == word}
    return {name for name in entries if fnmatch.fnmatchcase(name, pattern)}


def weight(pattern: str, name: str) -> int:
    """How specific a pattern is that matches a dataset: its name, a glob, its task type, its stage."""
    if pattern == name:
        return _NAME
    return {"task:": _TASK, "stage:": _STAGE}.get(pattern.partition(":")[0] + ":", _GLOB)


def _where(configuration: Configuration, pattern: str, path: Path = ()) -> str:
    """``curation.yaml:12: datasets.fever.cap``."""
    return f"{configuration.origin((DATASETS, pattern, *path))}: {'.'.join((DATASETS, pattern, *path))}"


def _unmatched(pattern: str, entries: Mapping[str, LocatedEntry]) -> str:
    kinds = {prefix + value_of(located.entry) for prefix, value_of in _KINDS.items() for located in entries.values()}
    near = difflib.get_close_matches(pattern, [*entries, *sorted(kinds)], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "no name is near it."
    return f"matches no dataset of the catalog: {hint} A key is a name, a glob, task:<task type> or stage:<stage>"


def _merged(configuration: Configuration, patterns: tuple[str, ...], entry: CatalogEntry) -> DatasetConfig:
    config = configuration.config
    shared = {name: getattr(config, name) for name in DatasetConfig.model_fields if name not in ENTRY_KEYS}
    if not patterns:
        return DatasetConfig(**shared)
    values: dict[str, Any] = DatasetConfig(**shared).model_dump()
    origins = dict(configuration.origins)
    for pattern, path, value in _winners(configuration, patterns, entry.name):
        for part in reversed(path):
            value = {part: value}
        values = merged(values, value)
        origins[path] = f"{configuration.origin((DATASETS, pattern, *path))}: {DATASETS}.{pattern}"
    return validated(DatasetConfig, values, origins)


def _winners(configuration: Configuration, patterns: tuple[str, ...], name: str) -> Iterator[tuple[str, Path, Any]]:
    """For each key that any of the patterns sets: the pattern that wins, the key's path, its value."""
    given: dict[Path, list[tuple[int, str, Any]]] = {}
    for pattern in patterns:
        values = configuration.config.datasets[pattern]
        for path in leaf_paths(values):
            given.setdefault(path, []).append((weight(pattern, name), pattern, _at(values, path)))
    for path, found in given.items():
        most = max(rank for rank, _, _ in found)
        first, *others = [(pattern, value) for rank, pattern, value in found if rank == most]
        for pattern, value in others:
            if value != first[1]:
                raise ConfigError(
                    f"{_where(configuration, pattern, path)}: {value!r} disagrees with {first[1]!r} at "
                    f"{_where(configuration, first[0], path)}; both patterns match {name} and are equally specific: "
                    f"narrow one of them, or name {name} itself"
                )
        yield first[0], path, first[1]


def _at(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values


def _entry(
    configuration: Configuration, located: LocatedEntry, config: DatasetConfig, patterns: tuple[str, ...]
) -> LocatedEntry:
    """The entry with what the configuration says in its place."""
    values = {key: getattr(config, key) for key in ENTRY_KEYS if getattr(config, key) is not None}
    if not values:
        return located
    try:
        entry = CatalogEntry.model_validate(located.entry.model_dump(exclude_unset=True) | values)
    except ValidationError as error:
        origins = {path: text for pattern in patterns for path, text in _of_pattern(configuration, pattern)}
        where = next((found for key in values if (found := nearest(origins, (key,)))), DATASETS)
        said = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise ConfigError(f"{where}: {located.entry.name}: {said}") from error
    return located.model_copy(update={"entry": entry})


def _of_pattern(configuration: Configuration, pattern: str) -> Iterator[tuple[Path, str]]:
    for path, text in configuration.origins.items():
        if path[:2] == (DATASETS, pattern):
            yield path[2:], text
