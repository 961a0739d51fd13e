"""Rows of formats with types of their own (Parquet, Arrow): plain columns, and rows that are no UTF-8 or no JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.reasons import RejectReason
from transforms.sources.readers.json_rows import SAMPLE_ROWS, JsonRows, parse_or_refuse
from transforms.sources.readers.plain_types import hex_texts, plain_array, plain_batch
from transforms.sources.readers.raw import Broken, RawBatch, Refusal, batches, count_from
from transforms.sources.readers.request import Request
from transforms.sources.units import Unit


class TypedRows:
    """The batches of one unit, whose first row has the number ``first`` in its file.

    ``json_columns`` hold JSON by what the file says of them, beside those whose Arrow type says so.
    """

    def __init__(
        self,
        unit: Unit,
        request: Request,
        schema: pa.Schema,
        json_columns: frozenset[str] = frozenset(),
    ) -> None:
        self._names = list(request.columns)
        self._ids = request.options.ids
        self._metadata = schema.metadata
        self._json = [name for name in self._names if name in json_columns or _holds_json(schema.field(name).type)]
        self._state = JsonRows(unit, Request(columns={name: request.columns[name] for name in self._json}))

    def read(self, batch: pa.RecordBatch, first: int, batch_rows: int) -> Iterator[RawBatch]:
        """The wanted columns of a batch, whose first row has this number in the file."""
        chosen = batch.select(self._names)
        rows = _without_fixed(plain_batch(chosen), self._ids).replace_schema_metadata(self._metadata)
        rows, numbers, broken = _sound(rows, count_from(first, rows.num_rows))
        if self._json and rows.num_rows:
            kinds = {name: _json_kind(chosen.schema.field(name).type) for name in self._json}
            rows, numbers, refused = self._with_json(rows, numbers, kinds)
            broken = sorted([*broken, *refused])
        yield from batches(rows, numbers, broken, batch_rows)

    def _with_json(
        self, rows: pa.RecordBatch, numbers: pa.Array, kinds: Mapping[str, pa.DataType]
    ) -> tuple[pa.RecordBatch, pa.Array, list[Broken]]:
        """Rows with the values of their JSON texts; those whose text is no JSON, or holds another kind, are broken."""
        columns = [[_parsed(value, kind) for value in rows.column(name).to_pylist()] for name, kind in kinds.items()]
        records = [_record(list(kinds), values) for values in zip(*columns, strict=True)]
        if not self._state.known:
            self._state.sample([record for record in records if isinstance(record, dict)][:SAMPLE_ROWS])
        values, places, broken = self._state.read([(record, "") for record in records], 0)
        kept, numbers_read = rows.take(places), numbers.to_pylist()
        for name in kinds:
            kept = kept.set_column(kept.schema.get_field_index(name), name, values.column(name))
        refused = [item._replace(number=numbers_read[item.number]) for item in broken]
        return kept.replace_schema_metadata(self._metadata), numbers.take(places), refused


def _holds_json(kind: pa.DataType) -> bool:
    """Whether a type says that texts anywhere in it are JSON."""
    if getattr(kind, "extension_name", "") == "arrow.json":
        return True
    return pa.types.is_nested(kind) and any(_holds_json(kind.field(index).type) for index in range(kind.num_fields))


def _json_kind(kind: pa.DataType) -> pa.DataType | None:
    """The type by which ``_parsed`` finds the JSON texts of a column; None where the file calls all of them JSON."""
    return kind if _holds_json(kind) else None


def _parsed(value: Any, kind: Any) -> Any:
    """A value of a column with its JSON texts (all of them where ``kind`` is None) parsed, or a Refusal."""
    if value is None:
        return None
    if isinstance(value, str):
        is_json = kind is None or getattr(kind, "extension_name", "") == "arrow.json"
        return parse_or_refuse(value) if is_json else value
    if isinstance(value, list):
        found = [_parsed(element, None if kind is None else kind.value_type) for element in value]
        return next((element for element in found if isinstance(element, Refusal)), found)
    return value


def _record(names: list[str], values: tuple[Any, ...]) -> Any:
    refusal = next((value for value in values if isinstance(value, Refusal)), None)
    return refusal or dict(zip(names, values, strict=True))


def _without_fixed(rows: pa.RecordBatch, ids: frozenset[str]) -> pa.RecordBatch:
    """Columns of bytes of a fixed number as texts: of ids in hexadecimal, 16 bytes as UUIDs; of others as UTF-8."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_fixed_size_binary(field.type):
            column = rows.column(index)
            texts = hex_texts(column) if field.name in ids else plain_array(column.cast(pa.binary()))
            rows = rows.set_column(index, field.name, texts)
    return rows


def _sound(rows: pa.RecordBatch, numbers: pa.Array) -> tuple[pa.RecordBatch, pa.Array, list[Broken]]:
    """A format says that a column is text and does not check it; rows that are not UTF-8 become broken ones."""
    bad = list(_undecodable(rows, 0))
    if not bad:
        return rows, numbers, []
    detail = "a text of this row is not valid UTF-8"
    broken = [Broken(numbers[index].as_py(), RejectReason.INVALID_UTF8, detail, "") for index in bad]
    good = pa.array(np.setdiff1d(np.arange(rows.num_rows), bad))
    return rows.take(good), numbers.take(good), broken


def _undecodable(rows: pa.RecordBatch, first: int) -> Iterator[int]:
    """Indices of rows with text that is not UTF-8, by halving: a sound batch costs one check."""
    try:
        rows.validate(full=True)
    except pa.ArrowInvalid:
        if rows.num_rows == 1:
            yield first
            return
        middle = rows.num_rows // 2
        for start, stop in ((0, middle), (middle, rows.num_rows)):
            # A slice of a list still holds all elements of the list, so the half is copied out.
            yield from _undecodable(rows.take(pa.array(range(start, stop), pa.int64())), first + start)
