"""Where values come from: defaults, then a file, then ``--set``, then the named flags; the later one holds.

Each value keeps its origin (``curation.yaml:12``, ``--set``, ``--limit``), so that a mistake is told where it stands.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from catalog.yaml_files import read_document
from pipelines.configuration.keys import Key, Path, keys_of, unknown_key
from pipelines.configuration.model import CurationConfig, DatasetConfig, LanguageTeachers
from pipelines.configuration.teachers import BY_LANGUAGE, TEACHER, written_out
from schemas.config import RunConfig
from schemas.errors import CatalogError, ConfigError

DATASETS = "datasets"
_Model = TypeVar("_Model", bound=BaseModel)
#: The keys that named flags stand for; the other fields of ``RunConfig`` are the keys of the same name, or places.
FLAG_KEYS: Mapping[str, Path] = {
    "teacher": ("teacher", "name"),
    "teacher_languages": ("teacher", "languages"),
    "seed": ("mining", "seed"),
    "against": ("against", "out"),
}
_PACKAGE = File(__file__).parents[1]
#: Configurations that ship with the project: beside its packages in a checkout, below ``pipelines`` when installed.
PRESETS = next((place for place in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if place.is_dir()), _PACKAGE)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Nested values, and where the value at a path was given."""

    values: Mapping[str, Any]
    where: Callable[[Path], str]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What holds for a run, and the origin of each value that is no default."""

    config: CurationConfig
    origins: Mapping[Path, str]

    def origin(self, path: Path) -> str:
        """Where the value at a path was given: of itself, or of the nearest key above it or below it."""
        found = nearest(self.origins, path)
        return found or next((text for key, text in self.origins.items() if key[: len(path)] == path), "default")


def nearest(origins: Mapping[Path, str], path: Path) -> str | None:
    """The origin of a path, or of the nearest key above it."""
    return next((origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), None)


def load(config: str | None, settings: Sequence[str], flags: Mapping[str, Any]) -> Configuration:
    """The configuration of a command: a file or a preset, ``--set`` values, and flags by name.

    Raises ConfigError with one line for each mistake: where it stands, its path, what is allowed.
    """
    layers = [file_layer(config)] if config is not None else []
    return resolve([*layers, *map(setting_layer, settings), flag_layer(flags)])


def file_layer(name: str) -> Layer:
    """A file of keys, by its path, or one of ``PRESETS`` by its name."""
    try:
        document = read_document(_file_of(name), "a configuration is a mapping of keys (category, clean, mining, ...)")
    except CatalogError as error:
        raise ConfigError(" ".join(error.message.split())) from error
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error
    return Layer(values=document.value, where=lambda path: document.where(".".join(path)))


def _file_of(name: str) -> File:
    path = File(name).expanduser()
    preset = PRESETS / f"{name}.yaml"
    if path.is_file() or not preset.is_file():
        if not path.is_file():
            names = ", ".join(sorted(found.stem for found in PRESETS.glob("*.yaml")))
            raise ConfigError(f"there is no configuration {name!r}: give the path of a YAML file, or a preset: {names}")
        return path
    return preset


def setting_layer(text: str) -> Layer:
    """One ``key.path=value``; the value is YAML, so that ``null``, ``0.85`` and ``[30, 100]`` mean what they say."""
    key, equals, written = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"--set {text}: a setting is key.path=value, for example --set mining.num_negatives=15")
    try:
        value = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: {written!r} is not a YAML value; quote it if it is a text") from error
    return Layer(values=_nested(path, value), where=lambda _: f"--set {key.strip()}")


def flag_layer(flags: Mapping[str, Any]) -> Layer:
    """The named flags that were given."""
    values: dict[str, Any] = {}
    names = {FLAG_KEYS.get(name, (name,)): name for name in flags}
    for path, name in names.items():
        values = merged(values, _nested(path, flags[name]))
    return Layer(values=values, where=lambda path: f"--{names.get(path, path[-1])}")


def _nested(path: Path, value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both have a value the second one's holds."""
    both = {
        key: merged(under[key], value) if isinstance(value, Mapping) and isinstance(under.get(key), Mapping) else value
        for key, value in over.items()
    }
    return {**under, **both}


def resolve(layers: Sequence[Layer]) -> Configuration:
    """Merge layers, the later over the earlier, and check the result."""
    values: dict[str, Any] = {}
    origins: dict[Path, str] = {}
    mistakes: list[str] = []
    for given in layers:
        layer, wrong = _written_out(given)
        found = [*((given.where(path), path, text) for path, text in wrong), *_told(layer)]
        mistakes += [f"{where}: {'.'.join(path)}: {text}" for where, path, text in found]
        values = merged(values, layer.values)
        origins |= {path: layer.where(path) for path in leaf_paths(layer.values)}
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    config = validated(CurationConfig, values, origins)
    _check_teachers(config, origins)
    return Configuration(config=config, origins=origins)


def _written_out(layer: Layer) -> tuple[Layer, list[tuple[Path, str]]]:
    """A layer with the teachers of languages in one form, and what is wrong with them."""
    teacher = layer.values.get(TEACHER)
    if not isinstance(teacher, Mapping):
        return layer, []
    found = written_out(teacher)
    values = {**layer.values, TEACHER: found.values}
    return Layer(values=values, where=lambda path: layer.where(found.place(path))), found.mistakes


def _told(layer: Layer) -> Iterator[tuple[str, Path, str]]:
    for path, text in find_mistakes(layer.values):
        yield layer.where(path), path, text


def _check_teachers(config: CurationConfig, origins: Mapping[Path, str]) -> None:
    """Raises ConfigError where the teacher of a language has no name, or values that do not fit."""
    for language, given in (config.teacher.by_language or {}).items():
        path = (TEACHER, BY_LANGUAGE, language)
        if "name" not in given:
            where = next((text for key, text in origins.items() if _related(key, path)), "configuration")
            raise ConfigError(f"{where}: {'.'.join(path)}: a teacher of its own needs a name (its path or id)")
    validated(LanguageTeachers, config.teacher.filled, origins, (TEACHER, BY_LANGUAGE))


def leaf_paths(values: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    """The path of every value that is no mapping, or an empty one."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaf_paths(value, (*above, key))
        else:
            yield (*above, key)


def find_mistakes(values: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Keys that are not there, sections that are none, numbers that are none: ``(path, what is wrong)``."""
    root, of_dataset = keys_of(CurationConfig), keys_of(DatasetConfig)
    yield from _mistakes({key: value for key, value in values.items() if key != DATASETS}, root, root, ())
    overrides = values.get(DATASETS) or {}
    if not isinstance(overrides, Mapping):
        yield (
            (DATASETS,),
            f"a mapping from names, globs, task:.. or stage:.. to keys is wanted, not {overrides!r:.60}",
        )
        return
    known = ", ".join(of_dataset.children)
    for pattern, keys in overrides.items():
        if isinstance(keys, Mapping):
            yield from _mistakes(keys, of_dataset, of_dataset, (DATASETS, pattern))
        else:
            yield (
                (DATASETS, pattern),
                f"a mapping of keys ({known}) is wanted, not {keys!r:.60}",
            )


def _mistakes(values: Mapping[str, Any], at: Key, root: Key, above: Path) -> Iterator[tuple[Path, str]]:
    for key, value in values.items():
        path, child = (*above, key), at.children.get(key)
        if child is None:
            yield path, _why_unknown((*at.path, key), root)
        elif child.is_section and isinstance(value, Mapping):
            yield from _mistakes(value, child, root, path)
        elif child.is_section:
            yield path, f"a section with the keys {', '.join(child.children)} is wanted, not {value!r:.60}"
        elif isinstance(value, float) and not math.isfinite(value):
            yield path, f"{value} is no number to compare with"


def _why_unknown(path: Path, root: Key) -> str:
    if path[0] in RunConfig.model_fields and path[0] not in root.children and path[0] not in FLAG_KEYS:
        return f"is a place and changes no result, so it is a flag: --{path[0]}"
    if len(path) == 1 and root is keys_of(DatasetConfig) and path[0] in keys_of(CurationConfig).children:
        return (
            f"{path[0]} holds for the whole run, not for a dataset (rows of several datasets meet in it); known here: "
            f"{', '.join(root.children)}"
        )
    return unknown_key(path, root)


def validated(model: type[_Model], values: Mapping[str, Any], origins: Mapping[Path, str], below: Path = ()) -> _Model:
    """The model of nested values. Raises ConfigError with the origin of each value that does not fit.

    ``below``: the path of ``values`` in the configuration, where they are not all of it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_in_words(item, origins, below) for item in error.errors())) from error


def _in_words(item: Any, origins: Mapping[Path, str], below: Path) -> str:
    path = (*below, *(str(part) for part in item["loc"]))
    known = max((key for key in origins if _related(key, path)), key=len, default=())
    got = "" if isinstance(item["input"], Mapping) else f" (got {item['input']!r:.80})"
    return f"{origins.get(known, 'configuration')}: {'.'.join(path)}: {item['msg'].removeprefix('Value error, ')}{got}"


def _related(key: Path, path: Path) -> bool:
    """Whether one of two paths lies below the other: a rule about a section is broken by a value in it."""
    return key[: len(path)] == path or path[: len(key)] == key
