"""The configuration for people and editors: as a file with comments, as a table of all keys, as a JSON Schema."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from pipelines.configuration.keys import Key, Path, first_sentence, keys_of, kind_in_words
from pipelines.configuration.layers import DATASETS, Configuration
from pipelines.configuration.model import CurationConfig, DatasetConfig
from pipelines.configuration.overrides import Effective

_COMMENT_COLUMN = 44


def as_file(configuration: Configuration) -> str:
    """The effective configuration as YAML: every value, its origin and what it means. Reading it gives the same."""
    values = configuration.config.model_dump(mode="json")
    root = keys_of(CurationConfig)
    lines = list(_lines({k: v for k, v in root.children.items() if k != DATASETS}, values, configuration.origin))
    return "\n".join([*lines, *_dataset_lines(configuration), ""])


def as_file_of(effective: Effective, origin_of: Configuration) -> str:
    """What holds for one dataset, in the same form, below the keys that would say so in a file."""
    values = effective.config.model_dump(mode="json")
    entry = effective.located.entry
    name = entry.name
    values |= {"cap": entry.cap, "priority": entry.priority, "compare": entry.compare, "instruction": entry.instruction}

    def origin(path: Path) -> str:
        given = [origin_of.origins.get((DATASETS, pattern, *path)) for pattern in effective.patterns]
        found = next((text for text in given if text), None)
        return found or ("catalog" if path[0] not in keys_of(CurationConfig).children else origin_of.origin(path))

    lines = _lines(keys_of(DatasetConfig).children, values, origin, indent=4)
    return "\n".join([f"{DATASETS}:", f"  {name}:", *lines, ""])


def _lines(children: Mapping[str, Key], values: Mapping[str, Any], origin: Any, indent: int = 0) -> Iterator[str]:
    for name, key in children.items():
        if key.is_section:
            yield _commented(f"{' ' * indent}{name}:", key.description)
            yield from _lines(key.children, values[name], origin, indent + 2)
        else:
            text = f"{' ' * indent}{name}: {_value(values.get(name))}"
            meaning = first_sentence(key.description)
            yield _commented(text, f"{origin(key.path)}; {meaning}" if meaning else origin(key.path))


def _dataset_lines(configuration: Configuration) -> Iterator[str]:
    overrides = configuration.config.datasets
    if not overrides:
        yield _commented(f"{DATASETS}: {{}}", keys_of(CurationConfig).children[DATASETS].description)
        return
    yield f"{DATASETS}:"
    for pattern, values in overrides.items():
        yield f"  {_value(pattern)}:" if values else f"  {_value(pattern)}: {{}}"
        yield from _given(values, configuration, (DATASETS, pattern), 4)


def _given(values: Mapping[str, Any], configuration: Configuration, above: Path, indent: int) -> Iterator[str]:
    for name, value in values.items():
        path = (*above, name)
        if isinstance(value, Mapping) and value:
            yield f"{' ' * indent}{_value(name)}:"
            yield from _given(value, configuration, path, indent + 2)
        else:
            yield _commented(f"{' ' * indent}{_value(name)}: {_value(value)}", configuration.origin(path))


def _value(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1_000_000, allow_unicode=True)
    return str(text).removesuffix("...\n").strip()


def _commented(text: str, comment: str) -> str:
    return f"{text:<{_COMMENT_COLUMN}}  # {comment}" if comment else text


def as_table() -> str:
    """All keys as Markdown, a table for each section."""
    root = keys_of(CurationConfig)
    tables = [_table("The run", [key for key in root.children.values() if not key.is_section])]
    tables += [_table(f"`{name}`", list(key.leaves())) for name, key in root.children.items() if key.is_section]
    own = [key for key in keys_of(DatasetConfig).children.values() if key.path[0] not in root.children]
    tables.append(_table(f"`{DATASETS}.<pattern>`, besides {', '.join(_shared())}", own))
    return "\n\n".join(tables) + "\n"


def _shared() -> list[str]:
    return [f"`{name}`" for name in keys_of(DatasetConfig).children if name in keys_of(CurationConfig).children]


def _table(title: str, keys: list[Key]) -> str:
    defaults = CurationConfig.model_validate({}).model_dump(mode="json")
    rows = [
        f"| `{'.'.join(key.path)}` | {kind_in_words(key.kind)} | {_cell(_at(defaults, key.path))} | {key.description} |"
        for key in keys
    ]
    return "\n".join([f"### {title}", "", "| key | value | default | means |", "|---|---|---|---|", *rows])


def _at(values: Any, path: Path) -> Any:
    for part in path:
        values = values.get(part)
    return values


def _cell(value: Any) -> str:
    return f"`{_value(value)}`".replace("|", "\\|")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file, for editors that complete and check it."""
    schema = CurationConfig.model_json_schema()
    inner = DatasetConfig.model_json_schema()
    definitions = schema.setdefault("$defs", {}) | inner.pop("$defs", {}) | {DatasetConfig.__name__: inner}
    for definition in (schema, *definitions.values()):
        if "properties" in definition:
            definition["additionalProperties"] = False
    datasets = schema["properties"][DATASETS]
    datasets["additionalProperties"] = {"$ref": f"#/$defs/{DatasetConfig.__name__}"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kalm-curation configuration",
        **{key: value for key, value in schema.items() if key not in ("title", "$defs", "description")},
        "$defs": dict(sorted(definitions.items())),
    }


def parts(model: BaseModel, *names: str) -> dict[str, Any]:
    """Some keys of a model as JSON values, for digests."""
    values = model.model_dump(mode="json")
    return {name: values[name] for name in names}
