"""Readers: a unit of a source becomes batches of rows as they stand there, and of rows that could not be read."""

from collections import Counter
from collections.abc import Iterator, Mapping

import pyarrow as pa

from transforms.sources.readers.arrow import read_arrow_unit
from transforms.sources.readers.delimited import read_delimited_unit
from transforms.sources.readers.hints import note_unreadable
from transforms.sources.readers.json_document import read_json_unit
from transforms.sources.readers.json_lines import read_json_lines_unit
from transforms.sources.readers.parquet import read_parquet_unit
from transforms.sources.readers.raw import BROKEN, RawBatch, at_most
from transforms.sources.readers.request import Notes, ReadOptions, Request
from transforms.sources.readers.text import read_text_unit
from transforms.sources.units import Unit

__all__ = ["BROKEN", "Notes", "RawBatch", "ReadOptions", "read_unit"]


def read_unit(
    unit: Unit,
    columns: Mapping[str, str],
    options: ReadOptions | None = None,
    batch_rows: int = 8192,
    notes: Notes | None = None,
) -> Iterator[RawBatch]:
    """Read a unit's rows in batches of at most ``batch_rows``, in the order of the file.

    ``columns`` maps each wanted top-level column to the place of the catalog that asks for it; nothing else is read,
    and names that begin with ``@`` are no columns (``@stem`` is a part of the file's name). An optional column that the
    file does not have is null. ``notes`` takes what was noticed, and has it when the last batch has been read.

    Raises SourceError for a file that is gone, truncated, damaged, or lacks a column.
    """
    wanted = {name: where for name, where in columns.items() if not name.startswith("@")}
    if not wanted or batch_rows < 1:
        raise ValueError(f"{unit.file}: at least one column and one row a batch; got {dict(columns)}, {batch_rows}")
    request = Request(columns=wanted, options=options or ReadOptions(), notes=Counter() if notes is None else notes)
    batches = _read(unit, request, batch_rows)
    limited = batches if unit.format == "parquet" or unit.rows is None else at_most(batches, unit.rows)
    reasons: Counter[str] = Counter()
    rows = 0
    for batch in limited:
        rows += batch.rows.num_rows
        reasons.update(batch.broken.column("reason").to_pylist())
        yield _with_columns(batch, list(wanted))
    note_unreadable(unit, request, rows, reasons)


def _with_columns(batch: RawBatch, names: list[str]) -> RawBatch:
    """The batch with exactly these columns; those that the file does not have are null."""
    rows = batch.rows
    if rows.schema.names == names:
        return batch
    for name in names:
        if name not in rows.schema.names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows))
    return RawBatch(rows.select(names), batch.numbers, batch.broken)


def _read(unit: Unit, request: Request, batch_rows: int) -> Iterator[RawBatch]:
    if unit.format == "parquet":
        return read_parquet_unit(unit, request, batch_rows)
    if unit.format == "arrow":
        return read_arrow_unit(unit, request, batch_rows)
    if unit.format == "jsonl":
        return read_json_lines_unit(unit, request, batch_rows)
    if unit.format == "json":
        return read_json_unit(unit, request, batch_rows)
    if unit.format == "text" and not any(name.startswith("#") for name in request.columns):
        return read_text_unit(unit, request, batch_rows)
    return read_delimited_unit(unit, request, batch_rows)
