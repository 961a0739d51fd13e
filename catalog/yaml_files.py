"""YAML files as values with the line of every key, so that a mistake is reported where it stands.

Files come from anybody: what could make a small one cost much (aliases that multiply, brackets without end) is refused
as it is met. Values are built from the parser's events, so that a file is gone through once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.constructor import ConstructorError

from schemas.errors import CatalogError

#: The folder of this package, whose files are shown as a person would look for them.
_PACKAGE = Path(__file__).parent
_TAG = "tag:yaml.org,2002:"
_WORD = f"{_TAG}str"
_COLLECTION_TAGS = (None, "!", f"{_TAG}map", f"{_TAG}seq")
#: libyaml where PyYAML was built with it, as its wheels are: six times as fast for the same values and lines.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Levels of brackets and indentation; entries have four.
_MAX_DEPTH = 32
_MAX_BYTES = 1 << 20
#: What PyYAML raises, beside its own errors, for a value that is none: ``2001-13-45``, ``!!int ''``, ``!!bool x``.
_NO_VALUE = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)


class Document(NamedTuple):
    """A YAML file that holds a mapping: its value, its name as shown to a person, and the line of each dotted key."""

    value: dict[str, Any]
    file: str
    lines: dict[str, int]

    def where(self, key: str) -> str:
        """``file:line`` of a dotted key, or the file where it has none."""
        return f"{self.file}:{self.lines[key]}" if key in self.lines else self.file


def read_document(path: Path, rule: str) -> Document:
    """Read a YAML file with the line of every key. Raises CatalogError; ``rule`` says what the file should be."""
    shown = str(path.relative_to(_PACKAGE.parent)) if path.is_relative_to(_PACKAGE) else str(path)
    try:
        builder = _Builder(_read_text(path, shown), shown)
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        where = f"{shown}:{mark.line + 1}" if mark else shown
        raise CatalogError(f"{where}: not a YAML document: {said}") from error
    except (yaml.YAMLError, *_NO_VALUE) as error:
        raise CatalogError(f"{shown}: not a YAML document: {error}") from error
    if not isinstance(value, dict):
        raise CatalogError(
            f"{shown}: {rule}, {'and nothing is here' if value is None else f'not {type(value).__name__}'}"
        )
    return Document(value, shown, builder.lines)


def _read_text(path: Path, shown: str) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CatalogError(f"{shown}: a file of {path.stat().st_size:,} bytes is no entry of a catalog")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogError(f"{shown}: cannot be read: {error.strerror or error}") from error


class _Builder:
    """The value of a text, and in ``lines`` the 1-based line of each dotted key: ``sets.0.name``."""

    def __init__(self, text: str, shown: str) -> None:
        self.lines: dict[str, int] = {}
        self._shown = shown
        self._loader = _Loader(text)

    def document(self) -> Any:
        """The one document of the text; None where it has none."""
        try:
            events = iter(self._loader.get_event, None)
            next(events)  # the beginning of the stream
            if isinstance(next(events), yaml.StreamEndEvent):
                return None
            value = self._value(next(events), events, "", 1)
            next(events)  # the end of the document
            after = next(events)
            if not isinstance(after, yaml.StreamEndEvent):
                raise yaml.composer.ComposerError(
                    "expected a single document in the stream", None, "but found another document", after.start_mark
                )
            return value
        finally:
            self._loader.dispose()

    def _value(self, event: Any, events: Iterator[Any], prefix: str, depth: int) -> Any:
        """The value that begins with an event; its keys have a line below ``prefix``."""
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
            return node.value if node.tag == _WORD else self._loader.construct_object(node)
        if isinstance(event, yaml.AliasEvent):
            raise CatalogError(
                f"{self._where(event)}: *{event.anchor}: aliases are not read in a catalog; write the value out"
            )
        if depth > _MAX_DEPTH:
            raise CatalogError(
                f"{self._where(event)}: lists and mappings stand in each other {depth} deep; an entry has a few"
            )
        if event.tag not in _COLLECTION_TAGS:
            text = f"could not determine a constructor for the tag {event.tag!r}"
            raise ConstructorError(None, None, text, event.start_mark)
        build = self._mapping if isinstance(event, yaml.MappingStartEvent) else self._list
        return build(events, prefix, depth + 1)

    def _scalar(self, event: Any) -> yaml.ScalarNode:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        return yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)

    def _mapping(self, events: Iterator[Any], prefix: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, prefix, values)
            self.lines[prefix + key] = event.start_mark.line + 1
            values[key] = None
            values[key] = self._value(next(events), events, f"{prefix}{key}.", depth)
        return values

    def _key(self, event: Any, prefix: str, values: dict[str, Any]) -> str:
        """A key; YAML takes some for no words, and of those that stand twice it would take the last."""
        if not isinstance(event, yaml.ScalarEvent):
            raise ConstructorError("while constructing a mapping", event.start_mark, "found a key that is no word")
        node = self._scalar(event)
        if node.tag != _WORD:
            raise CatalogError(
                f"{self._where(event)}: {event.value}: a key is a word, and YAML reads another thing; quote it"
            )
        if event.value in values:
            first = self.lines[prefix + event.value]
            raise CatalogError(f"{self._where(event)}: {event.value}: this key stands twice, at line {first} already")
        return str(event.value)

    def _list(self, events: Iterator[Any], prefix: str, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            key = f"{prefix}{len(values)}"
            self.lines[key] = event.start_mark.line + 1
            values.append(self._value(event, events, f"{key}.", depth))
        return values

    def _where(self, event: Any) -> str:
        return f"{self._shown}:{event.start_mark.line + 1}" if event.start_mark else self._shown
