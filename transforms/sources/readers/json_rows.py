"""Rows of JSON objects as Arrow columns: the wanted fields of each, and a reason for each that does not fit."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.reasons import RejectReason
from transforms.sources.readers.raw import Broken, Refusal, excerpt
from transforms.sources.readers.request import Request
from transforms.sources.readers.shape import (
    NULL,
    NULL_SCALAR,
    Shape,
    arrow_type,
    has_objects,
    learn,
    majority,
    misfit,
    settled,
)
from transforms.sources.units import Unit

#: So many rows at the beginning of a file decide what its columns hold.
SAMPLE_ROWS = 1_000
#: Longer whole numbers are no ids; they become fractions.
_MAX_DIGITS = 100
REPEATED_KEY = "a JSON object has a key twice; the last one counts"


class RepeatedKeys(dict[str, Any]):
    """A JSON object in which a key stood twice: the last value of each key."""


def parse(text: str) -> Any:
    """The value of a JSON text. Whole numbers are exact, NaN is null, and of equal keys in an object the last counts.

    Raises ValueError or RecursionError.
    """
    return json.loads(text, parse_int=_parse_int, parse_constant=_parse_constant, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedKeys(found)


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _parse_constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


def parse_or_refuse(text: str | bytes) -> Any:
    """The value of a JSON text (bytes: in UTF-8), or a Refusal where it has none."""
    try:
        return parse(text.decode() if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        return Refusal(RejectReason.INVALID_UTF8, f"byte {error.start} of the line: {error.reason}")
    except (ValueError, RecursionError) as error:
        told = str(error).splitlines()[0]
        if told.startswith("Extra data"):
            told = f"more stands behind the first value, and each row wants a line of its own ({told})"
        return Refusal(RejectReason.MALFORMED_ROW, f"the line is not JSON: {told}")


class JsonRows:
    """The columns of one file, as far as its rows have shown them.

    Where columns are asked for by their place (``#1``, ``#2``), rows are arrays; else they are objects.
    """

    def __init__(self, unit: Unit, request: Request) -> None:
        self._unit = unit
        self._request = request
        self._columns = list(request.columns)
        self._positional = any(name.startswith("#") for name in self._columns)
        ids = request.options.ids
        self._unknown = {name: NULL_SCALAR if name in ids else NULL for name in self._columns}
        self._shapes: dict[str, Shape] = {}

    @property
    def known(self) -> bool:
        """Whether a sample has decided what the columns hold."""
        return bool(self._shapes) or not self._columns

    def sample(self, values: Sequence[Any]) -> None:
        """Decide by the majority of those of these values that are rows; nothing is decided where none is.

        Raises SourceError where a wanted column is in none of them.
        """
        records = [row for value in values if isinstance(row := self._row(value), dict)]
        if records:
            self._request.present(self._unit, list(dict.fromkeys(key for record in records for key in record)))
            found = {name: [record.get(name) for record in records] for name in self._columns}
            self._shapes = {name: majority(found[name], self._unknown[name].scalar) for name in self._columns}

    def _row(self, value: Any) -> Mapping[str, Any] | Refusal:
        """The value as a row: an object, or an array where columns are asked for by their place."""
        if isinstance(value, Refusal):
            return value
        if self._positional:
            if isinstance(value, list):
                return {f"#{place}": element for place, element in enumerate(value, 1)}
            return Refusal(RejectReason.MALFORMED_ROW, f"the row is not a JSON array but {_shown(value)}")
        if isinstance(value, dict):
            return value
        remedy = "; arrays are read where the entry names columns #1, #2, ..." if isinstance(value, list) else ""
        return Refusal(RejectReason.MALFORMED_ROW, f"the row is not a JSON object but {_shown(value)}{remedy}")

    @property
    def schema(self) -> pa.Schema:
        """The Arrow types of the wanted columns, as far as they are known."""
        return pa.schema([(name, arrow_type(self._shapes.get(name, NULL))) for name in self._columns])

    @property
    def may_grow(self) -> bool:
        """Whether a column holds objects, whose keys are never all known."""
        return any(has_objects(shape) for shape in self._shapes.values())

    def admit(self, record: Mapping[str, Any]) -> Refusal | None:
        """None where the row fits the columns, which learn from it; else why it does not."""
        learnt = {name: learn(self._shapes.get(name, self._unknown[name]), record.get(name)) for name in self._columns}
        for name, shape in learnt.items():
            if reason := misfit(record.get(name), shape, name):
                return Refusal(RejectReason.WRONG_TYPE, reason)
        if any(has_lone_surrogate(record.get(name)) for name in self._columns):
            return Refusal(RejectReason.INVALID_UTF8, "a text holds half of a surrogate pair, which UTF-8 cannot write")
        self._shapes = learnt
        if isinstance(record, RepeatedKeys) or any(_repeats(record.get(name)) for name in self._columns):
            self._request.notes[REPEATED_KEY] += 1
        return None

    def build(self, records: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
        """Admitted rows as Arrow columns."""
        schema = self.schema
        arrays = [
            pa.array([settled(record.get(name), self._shapes[name]) for record in records], schema.field(name).type)
            for name in self._columns
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def read(
        self, rows: Sequence[tuple[Any, str | bytes]], first: int
    ) -> tuple[pa.RecordBatch, pa.Array, list[Broken]]:
        """Rows, their numbers and the broken ones among parsed values (or refusals to parse) with their raw text."""
        good: list[Mapping[str, Any]] = []
        numbers: list[int] = []
        broken: list[Broken] = []
        for number, (value, raw) in enumerate(rows, first):
            row = self._row(value)
            refusal = row if isinstance(row, Refusal) else self.admit(row)
            if refusal is None:
                good.append(row)  # type: ignore[arg-type]
                numbers.append(number)
            else:
                broken.append(Broken(number, *refusal, excerpt(raw)))
        return self.build(good), pa.array(numbers, pa.int64()), broken


def has_lone_surrogate(value: Any) -> bool:
    """Whether a text anywhere in a JSON value cannot be written as UTF-8."""
    if isinstance(value, str):
        return not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, list):
        return any(map(has_lone_surrogate, value))
    return isinstance(value, dict) and any(has_lone_surrogate(part) for pair in value.items() for part in pair)


def _repeats(value: Any) -> bool:
    """Whether an object anywhere in a JSON value has a key twice."""
    if isinstance(value, list):
        return any(map(_repeats, value))
    return isinstance(value, RepeatedKeys) or (isinstance(value, dict) and any(map(_repeats, value.values())))


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return excerpt(json.dumps(value, ensure_ascii=False))[:60]
