"""What a writer of generic entries works with: one configuration's texts, rows and account."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from catalog.sample_writer.columns import is_path, put, steps_of
from catalog.sample_writer.facts import Drawn, Supply
from catalog.sample_writer.formats import Row
from catalog.sample_writer.planting import Planter
from catalog.sample_writer.recipes import Recipe
from schemas.catalog import CatalogEntry
from schemas.prompt import TEMPLATE

_ASKED = "Represent this question for finding a passage that answers it:"
_FOUND = "Represent this passage for retrieval:"


@dataclass(kw_only=True)
class Desk:
    """One configuration of an entry. ``number`` counts entries, so that their further defects take turns."""

    entry: CatalogEntry
    recipe: Recipe
    config: str
    language: str
    names: tuple[str, ...]
    size: int
    number: int
    ending: str
    supply: Supply
    planter: Planter = field(default_factory=Planter)
    first: bool = True
    serial: Iterator[int] = field(default_factory=count)

    def take(self, size: int) -> list[Drawn]:
        """Returns further examples of the configuration's domains; of each class in turn where rows keep one."""
        classes = list(self.recipe.labels.items())
        if not classes:
            return self.supply.take(self.names, size)
        chosen = (classes[number % len(classes)] for number in range(size))
        return [replace(self.supply.take(names, 1)[0], label=label) for label, names in chosen]

    def domains_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """Returns the domains of a class in the configuration's language, where that goes before their names."""
        return tuple(f"{language}.{name}" for language in self.names for name in names) if self.names else tuple(names)

    def class_of(self, label: str | None) -> str | int | None:
        """Returns a class as the entry's rows keep it: a number, or its name; one that is missing is -1 or null."""
        names = self.entry.label_names or ()
        if label is None:
            return -1 if all(self._is_number(name) for name in self.recipe.labels) and self.number % 2 else None
        return (int(label) if label.isdigit() else names.index(label)) if self._is_number(label) else label

    def _is_number(self, label: str) -> bool:
        return label.isdigit() or (label in (self.entry.label_names or ()) and not self.recipe.named)

    @property
    def monolingual(self) -> str:
        """The entry's only language, as a base code; empty where it has several."""
        languages = {language.split("-")[0] for language in self.entry.languages}
        return languages.pop() if len(languages) == 1 and "mul" not in languages else ""

    def row(self, drawn: Drawn | None = None, **values: Any) -> Row:
        """Returns a source row with the values under the entry's columns, and something in the unused ones."""
        row: Row = {}
        number = next(self.serial)
        for name, value in values.items():
            columns = self.entry.columns[name]
            if isinstance(columns, str) and columns.startswith("@"):
                continue
            self._put(row, columns, value)
        self._fill(row, number, values, drawn.language if drawn else self.language)
        return row

    def _put(self, row: Row, columns: Any, value: Any) -> None:
        if isinstance(columns, Mapping):
            for name, column in columns.items():
                put(row, column, value[name], self.config)
            return
        put(row, columns, value, self.config)

    def _fill(self, row: Row, number: int, values: Mapping[str, Any], language: str) -> None:
        extra = self.entry.columns.get("extra", ())
        unread = [extra] if isinstance(extra, str) else [*extra]
        code = self.recipe.codes.get(language, language)
        for path in [*unread, *(str(path) for path in [self.entry.columns.get("id")] if path)]:
            if is_path(path) and steps_of(path)[0] not in row:
                put(row, path, self._filler(path, number, values, code))
        if column := self.entry.columns.get("language"):
            put(row, str(column), code)
        used = [int(name[1:]) for name in row if name.startswith("#")]
        for place in range(1, max(used, default=0) + 1):
            row.setdefault(f"#{place}", f"{self.entry.name}-{number}-{place}")

    def _filler(self, path: str, number: int, values: Mapping[str, Any], language: str) -> Any:
        names = self.entry.label_names or ()
        label = values.get("label")
        if path == "label_text" and isinstance(label, int) and 0 <= label < len(names):
            return names[label]
        if path == "label" and label in names:
            return names.index(label)
        if path in ("lang", "language", "product_locale"):
            return language
        return f"{self.entry.name}-{number}"

    def query(self, text: Any) -> Any:
        """Returns the query as the entry keeps it: with its instruction before it where it is cut off again."""
        if self.entry.options.split_instruction and isinstance(text, str) and self.entry.instruction:
            return TEMPLATE.replace("{instruction}", self.entry.instruction).replace("{query}", text)
        return text

    def example(self, drawn: Drawn, negatives: Sequence[str] = (), **other: Any) -> Row:
        """Returns the row of a query with its positive; values in ``other`` go before those of ``drawn``.

        Where an entry keeps a passage under two paths, the first takes its title.
        """
        columns = self.entry.columns
        positive = other.get("positive", drawn.positive)
        values: dict[str, Any] = {"positive": self._passages("positive", [(drawn.title, positive)])}
        if "query" in columns:
            values["query"] = self.query(other.get("query", drawn.query))
        if "negative" in columns:
            values["negative"] = self._passages("negative", [("", text) for text in negatives])
        if "instruction" in columns:
            values["instruction"] = _ASKED
        row = self.row(drawn, **values)
        if "instruction" in columns:
            for name in ("positive", "negative"):
                _instruct(row, columns[name])
        if self.recipe.label_column:
            row[self.recipe.label_column] = drawn.label
        return row

    def _passages(self, name: str, texts: Sequence[tuple[str, Any]]) -> Any:
        """The titles and texts as the column takes them: a list of them or one, with the title or without; or null."""
        columns = self.entry.columns[name]
        titled = isinstance(columns, list | tuple)
        found = [(title, text) if titled else text for title, text in texts if text is not None]
        if _is_many(columns):
            return found or None
        return found[0] if found else None


def _is_many(columns: Any) -> bool:
    first = columns if isinstance(columns, str) else columns[0]
    steps = steps_of(first)
    return None in steps or "*" in steps[1:]


def _instruct(row: Row, path: Any) -> None:
    """Passages kept as pairs of an instruction and a text: puts the instruction first."""
    pairs = row.get(str(steps_of(str(path))[0]))
    for pair in pairs if isinstance(pairs, list) else ():
        if isinstance(pair, list) and len(pair) == 2:
            pair[0] = _FOUND
