"""Parquet by row groups, only the wanted columns, with the schema's metadata (class names stand there)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SourceError
from schemas.reasons import RejectReason
from transforms.sources.filesystems import filesystem_of, is_local
from transforms.sources.readers.ranges import Range, RangeFile, RangeParams
from transforms.sources.readers.raw import Broken, RawBatch, batches, count_from, file_error, plain, require_columns
from transforms.sources.units import Unit

READ_ERRORS = (OSError, pa.ArrowException)


def read_parquet_unit(unit: Unit, columns: Mapping[str, str], batch_rows: int) -> Iterator[RawBatch]:
    """The row groups of a unit, one after the other. Of a remote file only footer and wanted column chunks are fetched.

    Raises SourceError for a file that is gone, damaged, no longer what was planned, or lacks a column.
    """
    try:
        with _opened(unit.path) as (source, file):
            require_columns(unit, columns, file.schema_arrow.names)
            starts = _group_starts(unit, file.metadata)
            groups = unit.row_groups or ()
            if isinstance(source, RangeFile):
                # A unit is small by design, so all it needs is fetched side by side before its first row is read.
                source.prefetch(span for group in groups for span in column_ranges(file.metadata, group, list(columns)))
            for group in groups:
                yield from _read_group(file, group, starts[group], list(columns), batch_rows)
    except READ_ERRORS as error:
        raise file_error(unit, error) from error


@contextmanager
def _opened(place: str) -> Iterator[tuple[Any, pq.ParquetFile]]:
    filesystem, inner = filesystem_of(place)
    with pa.OSFile(inner) if is_local(filesystem) else RangeFile(place, RangeParams()) as source:
        yield source, pq.ParquetFile(source)


def read_footer(place: str) -> pq.FileMetaData:
    """A Parquet file's metadata, for which only its last bytes are fetched.

    Raises OSError or pyarrow's ArrowInvalid where the file cannot be read as Parquet.
    """
    with _opened(place) as (_, file):
        return file.metadata


def column_ranges(metadata: pq.FileMetaData, group: int, columns: list[str]) -> list[Range]:
    """Byte ranges [start, stop) of a row group's chunks that belong to top-level columns, nested leaves included."""
    row_group = metadata.row_group(group)
    ranges = []
    for leaf in range(row_group.num_columns):
        chunk = row_group.column(leaf)
        if any(chunk.path_in_schema == name or chunk.path_in_schema.startswith(f"{name}.") for name in columns):
            # A dictionary page, if any, stands before the data pages; writers that have none may state offset 0.
            start = min(offset for offset in (chunk.dictionary_page_offset, chunk.data_page_offset) if offset)
            ranges.append((start, start + chunk.total_compressed_size))
    return ranges


def _group_starts(unit: Unit, metadata: pq.FileMetaData) -> list[int]:
    groups = unit.row_groups or ()
    if groups and max(groups) >= metadata.num_row_groups:
        raise SourceError(
            f"{unit.file} has {metadata.num_row_groups} row groups, and the plan of this run asks for number "
            f"{max(groups)}: the file was replaced since; run again to plan anew"
        )
    sizes = (metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
    return list(accumulate(sizes, initial=0))


def _read_group(
    file: pq.ParquetFile, group: int, first_row: int, columns: list[str], batch_rows: int
) -> Iterator[RawBatch]:
    number = first_row
    metadata = file.schema_arrow.metadata
    for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group], columns=columns):
        rows = plain_batch(batch.select(columns)).replace_schema_metadata(metadata)
        yield from _split_off_undecodable(rows, number, batch_rows)
        number += batch.num_rows


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with its columns cast to the plainest types (``raw.plain``)."""
    fields = [field.with_type(plain(field.type)) for field in batch.schema]
    arrays = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=batch.schema.metadata))


def _split_off_undecodable(rows: pa.RecordBatch, first: int, batch_rows: int) -> Iterator[RawBatch]:
    """Parquet says that a column is text and does not check it; rows that are not UTF-8 become broken ones."""
    numbers = count_from(first, rows.num_rows)
    bad = list(_undecodable(rows, 0))
    broken = [
        Broken(first + index, RejectReason.INVALID_UTF8, "a text of this row is not valid UTF-8", "") for index in bad
    ]
    if bad:
        good = pa.array(sorted(set(range(rows.num_rows)) - set(bad)), pa.int64())
        rows, numbers = rows.take(good), numbers.take(good)
    yield from batches(rows, numbers, broken, batch_rows)


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
