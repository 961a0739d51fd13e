"""Loading entries from YAML, keeping the line of every key so that a mistake is reported where it stands.

Entries come from anybody: what could make a small file cost much (aliases that multiply, brackets without end) is
refused before anything is built from it.
"""

from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import CatalogError

#: The folder of the catalog that ships with the project; its subfolders hold the entries.
BUNDLED = Path(__file__).parent
FOLDERS = ("pretrain", "finetune", "extra")
#: The folder of a catalog, ours and others', whose files are no entries but evaluation sets.
EVALUATION = "evaluation"
_WORD = "tag:yaml.org,2002:str"
#: libyaml where PyYAML was built with it, as its wheels are: six times as fast for the same values and lines.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Model = TypeVar("_Model", bound=BaseModel)
#: Levels of brackets and indentation; entries have four.
_MAX_DEPTH = 32
_MAX_BYTES = 1 << 20
#: What PyYAML raises, beside its own errors, for a value that is none: ``2001-13-45``, ``!!int ''``, ``!!bool x``.
_NO_VALUE = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)


def load_catalog(extra_folder: str | None = None) -> dict[str, LocatedEntry]:
    """All entries by name: the bundled ones, then those of ``extra_folder``, which add to them or override them.

    What lies below ``<extra_folder>/evaluation`` are evaluation sets, which ``load_evaluation`` loads.
    Raises CatalogError with file, line, key and what is allowed when an entry is wrong or a folder holds none.
    """
    entries = _load_files(sorted(path for folder in FOLDERS for path in (BUNDLED / folder).glob("*.yaml")))
    if extra_folder is not None:
        files = sorted(Path(extra_folder).rglob("*.yaml"))
        if not files:
            raise CatalogError(
                f"catalog folder {extra_folder!r} holds no *.yaml file; give a folder of catalog entries, or of "
                f"evaluation sets below {EVALUATION}/"
            )
        entries |= _load_files([path for path in files if Path(extra_folder, EVALUATION) not in path.parents])
    return entries


def _load_files(files: list[Path]) -> dict[str, LocatedEntry]:
    entries: dict[str, LocatedEntry] = {}
    for path in files:
        located = load_entry(path)
        name = located.entry.name
        if name in entries:
            raise CatalogError(f"{located.where('name')}: the name {name!r} is already taken by {entries[name].file}")
        entries[name] = located
    return entries


def load_entry(path: Path) -> LocatedEntry:
    """Read one entry. Raises CatalogError, which names file, line, key and rule."""
    document = read_document(path, "an entry is a mapping of keys (name, title, stage, ...)")
    if "benchmark" in document.value:
        raise CatalogError(
            f"{document.where('benchmark')}: benchmark: this file describes evaluation sets and no dataset; put it "
            f"below {EVALUATION}/ in the folder of your catalog"
        )
    return LocatedEntry(entry=validated(document, CatalogEntry, "entry"), file=document.file, lines=document.lines)


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
    shown = _shown(path)
    try:
        text = _read_text(path, shown)
        _refuse_costly(text, shown)
        node, value = _loaded(text)
    except (yaml.YAMLError, *_NO_VALUE) as error:
        raise CatalogError(f"{shown}: not a YAML document: {error}") from error
    if not isinstance(value, dict) or node is None:
        raise CatalogError(f"{shown}: {rule}, not {type(value).__name__}")
    _check_keys(node, shown)
    return Document(value, shown, dict(_lines(node)))


def _read_text(path: Path, shown: str) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CatalogError(f"{shown}: a file of {path.stat().st_size:,} bytes is no entry of a catalog")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogError(f"{shown}: cannot be read: {error.strerror or error}") from error


def _refuse_costly(text: str, shown: str) -> None:
    """Refuse aliases and deep nesting, seen in the stream of events, of which nothing is built yet."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        where = f"{shown}:{event.start_mark.line + 1}" if event.start_mark else shown
        if isinstance(event, yaml.AliasEvent):
            raise CatalogError(f"{where}: *{event.anchor}: aliases are not read in a catalog; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise CatalogError(f"{where}: lists and mappings stand in each other {depth} deep; an entry has a few")


def _loaded(text: str) -> tuple[Any, Any]:
    """``(node, value)`` of a document, which is read once for both."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def validated(document: Document, model: type[_Model], what: str) -> _Model:
    """The model that a document holds. Raises CatalogError with a line for each mistake; ``what`` names the whole."""
    try:
        return model(**document.value)
    except ValidationError as error:
        raise CatalogError(_explain(error, document, model, what)) from error


def _shown(path: Path) -> str:
    """The file as a person would look for it: below the project for bundled entries, as given otherwise."""
    return str(path.relative_to(BUNDLED.parent)) if path.is_relative_to(BUNDLED) else str(path)


def _check_keys(node: Any, file: str) -> None:
    """Refuse keys that YAML does not take for words, and keys that stand twice, of which it would take the last."""
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_keys(value, file)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag != _WORD:
            raise CatalogError(f"{file}:{line}: {key.value}: a key is a word, and YAML reads another thing; quote it")
        if key.value in lines:
            raise CatalogError(f"{file}:{line}: {key.value}: this key stands twice, at line {lines[key.value]} already")
        lines[key.value] = line
        _check_keys(value, file)


def _lines(node: Any, prefix: str = "") -> list[tuple[str, int]]:
    """``(dotted key, 1-based line)`` of every key below a YAML node."""
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key.start_mark.line + 1, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(i), value.start_mark.line + 1, value) for i, value in enumerate(node.value)]
    else:
        return []
    found = []
    for key, line, value in children:
        found.append((prefix + key, line))
        found.extend(_lines(value, f"{prefix}{key}."))
    return found


def _explain(error: ValidationError, document: Document, model: type[BaseModel], what: str) -> str:
    lines, messages = document.lines, []
    for item in error.errors():
        path = [str(part) for part in item["loc"]] or item.get("ctx", {}).get("key", "").split(".")
        line = next((lines[key] for n in range(len(path), 0, -1) if (key := ".".join(path[:n])) in lines), 1)
        allowed = ""
        if item["type"] == "extra_forbidden":
            allowed = f"unknown key; known here: {', '.join(_known_keys(model, path))}"
        messages.append(
            f"{document.file}:{line}: {'.'.join(path) or what}: {allowed or item['msg']} (got {item['input']!r:.80})"
        )
    return "\n".join(messages)


def _known_keys(model: Any, path: list[str]) -> list[str]:
    """The keys that the model at ``path`` has, so that an unknown one can be mended."""
    for part in path[:-1]:
        if part.isdecimal():  # a place in a list, whose model was found by the list's name
            continue
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        inner = next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), None)
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)
