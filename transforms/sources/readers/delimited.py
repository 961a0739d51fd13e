"""CSV and TSV. Every field is text; an empty one is the empty text.

CSV is read as RFC 4180 has it: fields may stand in double quotes, in which commas, line ends and doubled quotes are
text. TSV is read as its IANA registration has it: a quote mark is a character, and no field holds a tab or a line end.
"""

import csv
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple

import pyarrow as pa

from schemas.errors import SourceError
from schemas.reasons import RejectReason
from transforms.sources.readers.raw import Broken, RawBatch, Refusal, batches, excerpt, require_columns
from transforms.sources.readers.streams import BLOCK_BYTES, MAX_LINE_BYTES, line_blocks, open_stream
from transforms.sources.units import Unit

#: A quoted field that runs over more lines or characters than this was most likely never closed.
MAX_RECORD_LINES = 1_000
MAX_RECORD_CHARACTERS = 4 << 20
#: A file without a header has as many columns as most of its first rows.
SAMPLE_ROWS = 1_000

csv.field_size_limit(
    max(csv.field_size_limit(), MAX_LINE_BYTES)
)  # the module's own limit, 128 KiB, is below real texts


class Record(NamedTuple):
    """The fields of a row and the text it stood in; without fields, why it is none."""

    fields: list[str]
    raw: str
    fault: str = ""


def read_delimited_unit(
    unit: Unit, columns: Mapping[str, str], batch_rows: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[RawBatch]:
    """The rows of a CSV or TSV file. The first row names the columns, unless ``#1``, ``#2``, ... are wanted.

    Blank lines are no rows. A row with another number of fields than there are columns is MALFORMED_ROW, and so is a
    line with a quote that is never closed; reading goes on with the next line. Raises SourceError for a missing column.
    """
    with open_stream(unit) as stream:
        lines = (line for block in line_blocks(stream, unit, block_bytes) for line in _lines(block))
        records = csv_records(lines) if unit.format == "csv" else tsv_records(lines)
        names, rows = _named(unit, records, headless=any(name.startswith("#") for name in columns))
        if names is None:
            return
        require_columns(unit, columns, names)
        indices = {name: names.index(name) for name in columns}
        number = 0
        while piece := list(islice(rows, batch_rows)):
            yield from batches(*_columns(piece, indices, len(names), number), batch_rows)
            number += len(piece)


def _lines(block: bytes) -> Iterator[str]:
    """Lines of a block with their ends; undecodable bytes stay recognisable as lone surrogates."""
    *lines, last = block.decode("utf-8", "surrogateescape").split("\n")
    yield from (f"{line}\n" for line in lines)
    if last:
        yield last


def _named(unit: Unit, records: Iterator[Record], headless: bool) -> tuple[list[str] | None, Iterator[Record]]:
    """The columns' names and the rows, or no names where the file is empty."""
    if not headless:
        header = next(records, None)
        if header and header.fault:
            raise SourceError(
                f"the first line of {unit.file}, which should name the columns, cannot be read: {header.fault}"
            )
        return (header.fields if header else None), records
    sample = list(islice(records, SAMPLE_ROWS))
    widths = Counter(len(record.fields) for record in sample if record.fields)
    if not sample:
        return None, iter(())
    width = max(widths, key=lambda width: (widths[width], width), default=0)
    return [f"#{index + 1}" for index in range(width)], chain(sample, records)


def tsv_records(lines: Iterable[str]) -> Iterator[Record]:
    """Each line that is not blank, cut at its tabs."""
    for line in lines:
        if line.strip():
            yield Record(line.rstrip("\r\n").split("\t"), line)


class _Lines:
    """Lines for one record after the other; those that the present record has taken can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._returned: deque[str] = deque()
        self.taken: list[str] = []
        self._characters = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES or self._characters >= MAX_RECORD_CHARACTERS:
            raise csv.Error(f"a quote is not closed within {len(self.taken)} lines")
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        self._characters += len(line)
        return line

    def take(self) -> str:
        """The text of the present record, which is complete."""
        text = "".join(self.taken)
        self.taken, self._characters = [], 0
        return text

    def give_back(self) -> str:
        """Return all lines of the present record but the first, and hand out that one."""
        first, *rest = self.taken
        self._returned.extendleft(reversed(rest))
        self.taken, self._characters = [], 0
        return first


def csv_records(lines: Iterable[str]) -> Iterator[Record]:
    """Each row of a CSV file that is not blank; of a faulty one, the first line alone, and the next is tried afresh."""
    source = _Lines(lines)
    while True:
        try:
            for fields in csv.reader(source, strict=True):
                raw = source.take()
                if raw.strip():
                    yield Record(fields, raw)
            return
        except csv.Error as error:
            yield Record([], source.give_back(), str(error))


def _columns(
    records: list[Record], indices: Mapping[str, int], width: int, first: int
) -> tuple[pa.RecordBatch, pa.Array, list[Broken]]:
    good: list[list[str]] = []
    numbers: list[int] = []
    broken: list[Broken] = []
    for number, record in enumerate(records, first):
        refusal = _refusal(record, width)
        if refusal is None:
            good.append(record.fields)
            numbers.append(number)
        else:
            broken.append(Broken(number, *refusal, excerpt(record.raw.encode("utf-8", "surrogateescape"))))
    arrays = [pa.array([fields[index] for fields in good], pa.string()) for index in indices.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(indices)), pa.array(numbers, pa.int64()), broken


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
