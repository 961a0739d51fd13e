"""Rows of JSON objects as Arrow columns: the wanted fields of each, and a reason for each that does not fit."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.reasons import RejectReason
from transforms.sources.readers.raw import Broken, Refusal, excerpt, require_columns
from transforms.sources.readers.shape import NULL, Shape, arrow_type, has_objects, learn, majority, misfit, settled
from transforms.sources.units import Unit

#: So many rows at the beginning of a file decide what its columns hold.
SAMPLE_ROWS = 1_000
_INT64 = range(-(2**63), 2**63)


def parse(text: str) -> Any:
    """The value of a JSON text; whole numbers beyond 64 bits become fractions. Raises ValueError or RecursionError."""
    return json.loads(text, parse_int=_parse_int)


def _parse_int(digits: str) -> int | float:
    return number if len(digits) <= 20 and (number := int(digits)) in _INT64 else float(digits)


class JsonRows:
    """The columns of one file, as far as its rows have shown them."""

    def __init__(self, unit: Unit, columns: Mapping[str, str]) -> None:
        self._unit = unit
        self._columns = columns
        self._shapes: dict[str, Shape] = {}

    @property
    def known(self) -> bool:
        """Whether a sample has decided what the columns hold."""
        return bool(self._shapes) or not self._columns

    def sample(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Decide by the majority of these rows. Raises SourceError where a wanted column is in none of them."""
        require_columns(self._unit, self._columns, list(dict.fromkeys(key for record in records for key in record)))
        self._shapes = {name: majority(record.get(name) for record in records) for name in self._columns}

    @property
    def schema(self) -> pa.Schema:
        """The Arrow types of the wanted columns, as far as they are known."""
        return pa.schema([(name, arrow_type(self._shapes.get(name, NULL))) for name in self._columns])

    @property
    def may_grow(self) -> bool:
        """Whether a column holds objects, whose keys are never all known."""
        return any(has_objects(shape) for shape in self._shapes.values())

    def admit(self, record: Any) -> Refusal | None:
        """None where the row fits the columns, which learn from it; else why it does not."""
        if not isinstance(record, dict):
            return Refusal(RejectReason.MALFORMED_ROW, f"the row is not a JSON object but {_shown(record)}")
        learnt = {name: learn(self._shapes.get(name, NULL), record.get(name)) for name in self._columns}
        for name, shape in learnt.items():
            if reason := misfit(record.get(name), shape, name):
                return Refusal(RejectReason.WRONG_TYPE, reason)
        if any(has_lone_surrogate(record.get(name)) for name in self._columns):
            return Refusal(RejectReason.INVALID_UTF8, "a text holds half of a surrogate pair, which UTF-8 cannot write")
        self._shapes = learnt
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
        """Rows, their numbers and the broken ones among parsed records (or refusals to parse) with their raw text."""
        good: list[Mapping[str, Any]] = []
        numbers: list[int] = []
        broken: list[Broken] = []
        for number, (record, raw) in enumerate(rows, first):
            refusal = record if isinstance(record, Refusal) else self.admit(record)
            if refusal is None:
                good.append(record)
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


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return excerpt(json.dumps(value, ensure_ascii=False))[:60]
