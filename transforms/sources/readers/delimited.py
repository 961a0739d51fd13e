"""CSV and TSV. Every field is text; an empty one is the empty text.

CSV is read as RFC 4180 has it: fields may stand in double quotes, in which commas, line ends and doubled quotes are
text. TSV is read as its IANA registration has it: a quote mark is a character, and no field holds a tab or a line end.
An entry may say otherwise of either (``schemas.catalog.CsvDialect``).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import pyarrow as pa

from schemas.errors import SourceError
from schemas.reasons import RejectReason
from transforms.sources.readers.dialects import (
    Dialect,
    Record,
    dialect_of,
    missing_column_remedy,
    quoted_fields,
    records,
)
from transforms.sources.readers.raw import Broken, RawBatch, Refusal, batches, excerpt
from transforms.sources.readers.request import Request
from transforms.sources.readers.streams import BLOCK_BYTES, line_blocks, open_text
from transforms.sources.units import Unit

#: A file's first rows say how many columns it has, if it has no header, and how it writes its ids.
SAMPLE_ROWS = 1_000
#: What becomes of whole numbers where a table with a gap in it kept them as fractions, as pandas does.
_WHOLE_FRACTION = re.compile(r"[+-]?\d+\.0")


class _Columns(NamedTuple):
    """Where the wanted columns stand, of how many; ``floats``: those whose whole numbers are written ``12.0``."""

    indices: dict[str, int]
    width: int
    floats: frozenset[str]


def read_delimited_unit(
    unit: Unit, request: Request, batch_rows: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[RawBatch]:
    """The rows of a CSV or TSV file. The first row names the columns, unless ``#1``, ``#2``, ... are wanted.

    Blank lines are no rows. A row with another number of fields than there are columns is MALFORMED_ROW, and so is a
    line with a quote that is never closed; reading goes on with the next line. Ids of which all of the first rows are
    whole numbers with the fraction ``.0`` lose it. Raises SourceError for a missing column.
    """
    dialect = dialect_of(unit.format, request.options.csv)
    with open_text(unit, request.options.encoding) as stream:
        lines = (line for block in line_blocks(stream, unit, block_bytes) for line in _lines(block))
        header, sample, rows = _begun(unit, request, records(lines, dialect))
        if header is None and not sample:
            return
        columns = _columns_of(unit, request, header, sample, dialect)
        number = 0
        while piece := list(islice(rows, batch_rows)):
            yield from batches(*_read(piece, columns, number), batch_rows)
            number += len(piece)


def _lines(block: bytes) -> Iterator[str]:
    """Lines of a block with their ends; undecodable bytes stay recognisable as lone surrogates."""
    *lines, last = block.decode("utf-8", "surrogateescape").split("\n")
    yield from (f"{line}\n" for line in lines)
    if last:
        yield last


def _begun(
    unit: Unit, request: Request, found: Iterator[Record]
) -> tuple[Record | None, Sequence[Record], Iterator[Record]]:
    """The header (None where there is none), the first rows, and all rows."""
    header = None
    if not any(name.startswith("#") for name in request.columns):
        header = next(found, None)
        if header and header.fault:
            raise SourceError(
                f"the first line of {unit.file}, which should name the columns, cannot be read: {header.fault}"
            )
    sample = list(islice(found, SAMPLE_ROWS))
    return header, sample, chain(sample, found)


def _columns_of(
    unit: Unit, request: Request, header: Record | None, sample: Sequence[Record], dialect: Dialect
) -> _Columns:
    names = _numbered(sample) if header is None else header.fields
    first = sample[0] if header is None else header
    remedy = missing_column_remedy(first.raw, list(request.columns), dialect)
    wanted = request.present(unit, names, remedy).columns
    if request.options.csv.quotes is None and not dialect.quotes and (number := quoted_fields(sample, dialect)):
        request.notes[
            f"fields of {unit.format} files begin and end with quotation marks, which are text there; if they frame "
            f"the fields, set source.csv.quotes: true"
        ] += number
    indices = {name: names.index(name) for name in wanted}
    ids = {name: index for name, index in indices.items() if name in request.options.ids}
    floats = frozenset(name for name, index in ids.items() if _are_floats(sample, index, len(names)))
    return _Columns(indices, len(names), floats)


def _numbered(sample: Sequence[Record]) -> list[str]:
    """Names of the columns of a file without a header: as many as most of its first rows have fields."""
    widths = Counter(len(record.fields) for record in sample if record.fields)
    width = max(widths, key=lambda width: (widths[width], width), default=0)
    return [f"#{index + 1}" for index in range(width)]


def _are_floats(sample: Sequence[Record], index: int, width: int) -> bool:
    """Whether a column's values are all whole numbers that are written as fractions, but for empty ones."""
    values = [record.fields[index] for record in sample if len(record.fields) == width and record.fields[index]]
    return bool(values) and all(map(_WHOLE_FRACTION.fullmatch, values))


def _read(records: list[Record], columns: _Columns, first: int) -> tuple[pa.RecordBatch, pa.Array, list[Broken]]:
    good: list[list[str]] = []
    numbers: list[int] = []
    broken: list[Broken] = []
    for number, record in enumerate(records, first):
        refusal = _refusal(record, columns.width)
        if refusal is None:
            good.append(record.fields)
            numbers.append(number)
        else:
            broken.append(Broken(number, *refusal, excerpt(record.raw.encode("utf-8", "surrogateescape"))))
    fields = {name: [row[index] for row in good] for name, index in columns.indices.items()}
    values = [_without_fractions(column) if name in columns.floats else column for name, column in fields.items()]
    arrays = [pa.array(column, pa.string()) for column in values]
    return pa.RecordBatch.from_arrays(arrays, names=list(fields)), pa.array(numbers, pa.int64()), broken


def _without_fractions(values: list[str]) -> list[str]:
    return [value[:-2] if _WHOLE_FRACTION.fullmatch(value) else value for value in values]


def _refusal(record: Record, width: int) -> Refusal | None:
    if record.fault:
        return Refusal(RejectReason.MALFORMED_ROW, record.fault)
    if len(record.fields) != width:
        return Refusal(RejectReason.MALFORMED_ROW, f"{len(record.fields)} fields where there are {width} columns")
    if not record.raw.isascii():
        try:
            record.raw.encode()
        except UnicodeEncodeError as error:
            return Refusal(RejectReason.INVALID_UTF8, f"an undecodable byte at character {error.start} of the row")
    return None
