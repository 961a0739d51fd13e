"""Source rows as an adapter sees them: by the entry's keys, with errors that name file, path and catalog line."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalog import COLUMNS, Adapter, CatalogEntry, LocatedEntry
from schemas.errors import CatalogError
from transforms.examples.adapters.labels import Numbers, as_numbers, class_names, label_texts
from transforms.examples.adapters.lists import as_lists
from transforms.examples.adapters.texts import as_text, as_texts, is_blank, join_texts
from transforms.sources.column_paths import ColumnPath, PathError, parse_path, resolve_path
from transforms.sources.readers.request import ReadOptions
from transforms.sources.units import COMPRESSIONS, FORMATS, Unit

STEM = "@stem"
#: Keys of an entry's columns that are no rows' content: for its reader alone, or (``id``) of no use to an example.
_UNREAD = frozenset({"extra", "id"})
#: Keys of a ``beir`` role that say where it lies, not what to read from it.
_PLACES = frozenset({"config", "split", "files"})

Key = tuple[str, ...]


def column_specs(entry: CatalogEntry, role: str) -> dict[Key, Any]:
    """What an entry asks of the files of a role: its key below ``columns`` -> path, list of paths or names to paths."""
    if entry.adapter is not Adapter.BEIR:
        return {(key,): spec for key, spec in entry.columns.items() if key not in _UNREAD}
    columns = entry.columns.get(role)
    if not isinstance(columns, Mapping):
        raise CatalogError(
            f"entry {entry.name}: adapter beir has the roles corpus, queries and qrels, each a mapping of columns; "
            f"got role {role!r} with {columns!r}"
        )
    specs: dict[Key, Any] = {(role, key): spec for key, spec in columns.items() if key not in _PLACES}
    if role == "queries" and "language" in entry.columns:
        specs[("language",)] = entry.columns["language"]
    return specs


def spec_paths(spec: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """Every path below a key: ``(key down to it, path)``."""
    if isinstance(spec, str):
        yield key, spec
    elif isinstance(spec, Mapping):
        for name, inner in spec.items():
            yield from spec_paths(inner, (*key, str(name)))
    elif isinstance(spec, list | tuple):
        for number, inner in enumerate(spec):
            yield from spec_paths(inner, (*key, str(number)))
    else:
        raise PathError(f"a path is a text such as 'title' or 'answers.text[]', not {spec!r}")


def source_columns(located: LocatedEntry, role: str, config: str | None = None) -> dict[str, str]:
    """The top-level columns that an entry needs for a role, each with the catalog's ``file:line`` that asks for it.

    ``@stem`` needs no column. ``config`` is only of use to an entry whose columns themselves are named ``{code_a}``.
    Raises CatalogError for a path that cannot be parsed.
    """
    columns: dict[str, str] = {}
    for key, spec in column_specs(located.entry, role).items():
        for inner, path in _paths(located, spec, key):
            column = _parsed(located, inner, path, config).column
            if column != STEM:
                columns.setdefault(column, located.where("columns", *inner))
    return columns


#: Keys of ids, by role.
_ID_KEYS: frozenset[Key] = frozenset(
    {("corpus", "id"), ("queries", "id"), ("qrels", "query_id"), ("qrels", "corpus_id")}
)


def read_options(located: LocatedEntry, role: str, config: str | None = None) -> ReadOptions:
    """How the files of a role are to be read: what the entry's source says, and which columns may be absent or are ids.

    A column may be absent where every path into it may: by a ``?`` behind it, or since the adapter can do without its
    key. Raises CatalogError for a path that cannot be parsed.
    """
    entry = located.entry
    asked = [
        (key, _parsed(located, inner, path, config))
        for key, spec in column_specs(entry, role).items()
        for inner, path in _paths(located, spec, key)
    ]
    spared = frozenset() if entry.adapter is Adapter.PAIR else COLUMNS[entry.adapter][1]
    required = {path.column for key, path in asked if not path.optional and key[0] not in {*spared, "language"}}
    return ReadOptions(
        records=entry.options.records,
        encoding=entry.source.encoding,
        csv=entry.source.csv,
        optional=frozenset(path.column for _, path in asked) - required,
        ids=frozenset(path.column for key, path in asked if key in _ID_KEYS),
    )


def _paths(located: LocatedEntry, spec: Any, key: Key) -> list[tuple[Key, str]]:
    try:
        return list(spec_paths(spec, key))
    except PathError as error:
        raise CatalogError(f"{located.where('columns', *key)}: {'.'.join(key)}: {error}") from error


def _parsed(located: LocatedEntry, key: Key, path: str, config: str | None) -> ColumnPath:
    try:
        return parse_path(path, config or located.entry.source.configs[0])
    except PathError as error:
        raise CatalogError(f"{located.where('columns', *key)}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Source:
    """The well-formed rows of a batch, their numbers in the file, and the entry that says what they mean."""

    located: LocatedEntry
    unit: Unit
    rows: pa.RecordBatch
    numbers: pa.Array

    @property
    def entry(self) -> CatalogEntry:
        return self.located.entry

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def has(self, *key: str) -> bool:
        """Whether the entry maps a key."""
        return key in column_specs(self.entry, self.unit.role)

    def spec(self, *key: str) -> Any:
        """What the entry's columns say under a key, or under a name or number inside what a key says."""
        specs = column_specs(self.entry, self.unit.role)
        outer = next(known for known in specs if known == key[: len(known)])
        spec = specs[outer]
        for name in key[len(outer) :]:
            spec = spec[name] if isinstance(spec, Mapping) else spec[int(name)]
        return spec

    def values(self, *key: str) -> pa.Array:
        """The values of a key that holds one path, in the type of the source."""
        (inner, path), *more = _paths(self.located, self.spec(*key), key)
        if more:
            raise self.error(key, "one path is wanted here, not several")
        return self._resolved(inner, path)

    def texts(self, *key: str) -> pa.ListArray:
        """The texts of a key as one list for each row, several paths joined; one text counts as a list of it alone."""
        texts = self._joined(key)
        return texts if pa.types.is_list(texts.type) else as_lists(texts)

    def text(self, *key: str) -> pa.StringArray:
        """The one text for each row of a key, several paths joined. Raises CatalogError where they give lists."""
        return self.checked(key, as_text, self._joined(key))

    def each_text(self, key: str) -> dict[str, pa.StringArray]:
        """One text a row for each path of a list or mapping, not joined, by its name (of a list: its number)."""
        return {
            inner[-1]: self.checked(inner, as_text, self._resolved(inner, path))
            for inner, path in _paths(self.located, self.spec(key), (key,))
        }

    def numbers_of(self, *key: str) -> Numbers:
        """The numbers of a key."""
        numbers: Numbers = self.checked(key, as_numbers, self.values(*key))
        return numbers

    def class_names(self, *key: str) -> tuple[str, ...] | None:
        """The names of a key's classes: those of the entry, else those of the file's own ``huggingface`` metadata."""
        (inner, path), *_ = _paths(self.located, self.spec(*key), key)
        stated = class_names(self.rows.schema, _parsed(self.located, inner, path, self.unit.config))
        declared = self.entry.label_names
        if declared is not None and stated is not None:
            self._check_order(declared, stated)
        return stated if declared is None else declared

    def _check_order(self, declared: tuple[str, ...], stated: tuple[str, ...]) -> None:
        """Refuse the file's own class names in another order: every label would be taken for another one."""
        ours, theirs = ([name.casefold() for name in names] for names in (declared, stated))
        if ours != theirs and sorted(ours) == sorted(theirs):
            raise CatalogError(
                f"{self.located.where('label_names')}: label_names: {self.unit.file} of {self.entry.name} has the same "
                f"classes in another order: {', '.join(stated)}; write them in the file's order, or leave them out"
            )

    def labels(self, *key: str) -> pa.Array:
        """The labels of a key by name: ``string``, or ``list<string>`` of several; null where there is none."""
        names = self.class_names(*key)
        return self.checked(key, lambda values: label_texts(values, names), self.values(*key))

    def languages(self) -> pa.StringArray:
        """The language of each row: its column's where the entry maps one and the row has it, else the entry's."""
        declared = self.entry.language_of(self.unit.config)
        if not self.has("language"):
            return self.constant(declared)
        language = self.text("language")
        return pc.if_else(is_blank(language), declared, language)

    def provenance(self) -> pa.StringArray:
        """``file#row`` of each row."""
        return provenance(self.unit, self.numbers)

    def constant(self, value: str | None) -> pa.StringArray:
        """The same text for each row."""
        return pa.repeat(pa.scalar(value, pa.string()), len(self))

    def error(self, key: Key, message: str) -> CatalogError:
        """A mistake of the entry that shows in this file."""
        where = self.located.where("columns", *key)
        return CatalogError(f"{where}: {'.'.join(key)}, read from {self.unit.file} of {self.entry.name}: {message}")

    def checked(self, key: Key, convert: Callable[[pa.Array], Any], values: pa.Array) -> Any:
        """``convert(values)``, its PathError told with the key's place in the catalog."""
        try:
            return convert(values)
        except PathError as error:
            shown = ", ".join(path for _, path in _paths(self.located, self.spec(*key), key))
            raise self.error(key, f"{error} (path {shown})") from error

    def _joined(self, key: Key) -> pa.Array:
        spec = self.spec(*key)
        if isinstance(spec, Mapping):
            raise self.error(key, "a path, or a list of paths to join, is wanted here, not a mapping")
        parts = [
            self.checked(inner, as_texts, self._resolved(inner, path))
            for inner, path in _paths(self.located, spec, key)
        ]
        if not parts:
            raise self.error(key, "there is no path here")
        try:
            return join_texts(parts)
        except PathError as error:
            raise self.error(key, str(error)) from error

    def _resolved(self, key: Key, path: str) -> pa.Array:
        parsed = _parsed(self.located, key, path, self.unit.config)
        if parsed.column == STEM:
            return self.constant(stem(self.unit.file))
        try:
            return resolve_path(parsed, self.rows)
        except PathError as error:
            raise self.error(key, str(error)) from error


def provenance(unit: Unit, numbers: pa.Array) -> pa.StringArray:
    """``file#row`` for the numbers of rows in a unit's file."""
    return pc.binary_join_element_wise(pa.scalar(f"{unit.file}#"), pc.cast(numbers, pa.string()), "")


def stem(file: str) -> str:
    """A file's name without the endings of its format and compression.

    >>> stem("a/law.stackexchange.com.txt.gz")
    'law.stackexchange.com'
    """
    name = file.rsplit("/", 1)[-1]
    for endings in (COMPRESSIONS, FORMATS):
        name = next((name[: -len(ending)] for ending in endings if name.endswith(ending) and name != ending), name)
    return name
