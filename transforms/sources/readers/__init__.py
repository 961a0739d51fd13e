"""Readers: a unit of a source becomes batches of rows as they stand there, and of rows that could not be read."""

from collections.abc import Iterator, Mapping

from transforms.sources.readers.delimited import read_delimited_unit
from transforms.sources.readers.json_document import read_json_unit
from transforms.sources.readers.json_lines import read_json_lines_unit
from transforms.sources.readers.parquet import read_parquet_unit
from transforms.sources.readers.raw import BROKEN, RawBatch, at_most
from transforms.sources.readers.text import read_text_unit
from transforms.sources.units import Unit

__all__ = ["BROKEN", "RawBatch", "read_unit"]


def read_unit(
    unit: Unit, columns: Mapping[str, str], records: str | None = None, batch_rows: int = 8192
) -> Iterator[RawBatch]:
    """Read a unit's rows in batches of at most ``batch_rows``, in the order of the file.

    ``columns`` maps each wanted top-level column to the place of the catalog that asks for it; nothing else is read,
    and names that begin with ``@`` are no columns (``@stem`` is a part of the file's name). ``records`` is the entry's
    option of that name.

    Raises SourceError for a file that is gone, truncated, damaged, or lacks a column.
    """
    wanted = {name: where for name, where in columns.items() if not name.startswith("@")}
    if not wanted or batch_rows < 1:
        raise ValueError(f"{unit.file}: at least one column and one row a batch; got {dict(columns)}, {batch_rows}")
    batches = _read(unit, wanted, records, batch_rows)
    yield from batches if unit.format == "parquet" or unit.rows is None else at_most(batches, unit.rows)


def _read(unit: Unit, columns: Mapping[str, str], records: str | None, batch_rows: int) -> Iterator[RawBatch]:
    if unit.format == "parquet":
        return read_parquet_unit(unit, columns, batch_rows)
    if unit.format == "jsonl":
        return read_json_lines_unit(unit, columns, batch_rows)
    if unit.format == "json":
        return read_json_unit(unit, columns, records, batch_rows)
    if unit.format == "text" and not any(name.startswith("#") for name in columns):
        return read_text_unit(unit, columns, batch_rows)
    return read_delimited_unit(unit, columns, batch_rows)
