"""Parquet by row groups, only the wanted columns, with the schema's metadata (class names stand there)."""

from collections.abc import Iterator
from itertools import accumulate

import pyarrow.parquet as pq

from schemas.errors import SourceError
from transforms.sources.file_errors import file_error
from transforms.sources.footers import READ_ERRORS, open_parquet
from transforms.sources.ranges import Range, RangeFile
from transforms.sources.readers.dictionaries import rows_at_once
from transforms.sources.readers.raw import RawBatch
from transforms.sources.readers.request import Request
from transforms.sources.readers.typed_rows import TypedRows
from transforms.sources.units import Unit


def read_parquet_unit(unit: Unit, request: Request, batch_rows: int) -> Iterator[RawBatch]:
    """The row groups of a unit, one after the other. Of a remote file only footer and wanted column chunks are fetched.

    Raises SourceError for a file that is gone, damaged, no longer what was planned, or lacks a column.
    """
    try:
        with open_parquet(unit.path, unit.ranges) as (source, file):
            request = request.present(unit, file.schema_arrow.names)
            columns = list(request.columns)
            rows = TypedRows(unit, request, file.schema_arrow, _json_columns(file.schema))
            starts = _group_starts(unit, file.metadata)
            groups = unit.row_groups or ()
            if isinstance(source, RangeFile):
                # A unit is small by design, so all it needs is fetched side by side before its first row is read.
                source.prefetch(span for group in groups for span in column_ranges(file.metadata, group, columns))
            for group in groups:
                number = starts[group]
                size = rows_at_once(source, file.metadata, group, columns, batch_rows)
                for batch in file.iter_batches(batch_size=size, row_groups=[group], columns=columns):
                    yield from rows.read(batch, number, batch_rows)
                    number += batch.num_rows
    except READ_ERRORS as error:
        raise file_error(unit, error) from error


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


def _json_columns(schema: pq.ParquetSchema) -> frozenset[str]:
    """The top-level columns whose texts are JSON by what the file says."""
    leaves = (schema.column(index) for index in range(len(schema)))
    return frozenset(leaf.path for leaf in leaves if leaf.logical_type.type == "JSON")
