"""How lines become fields: the dialect of a CSV or TSV file, its records, and which other dialect would fit better."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from schemas.catalog import CsvDialect
from transforms.sources.readers.streams import MAX_LINE_BYTES
from transforms.sources.units import Format

#: A quoted field that runs over more lines or characters than this was most likely never closed.
MAX_RECORD_LINES = 1_000
MAX_RECORD_CHARACTERS = 4 << 20
#: Lines that were looked at in vain: where they are more than these and the lines read so far, a record may run over
#: few lines only, so that a file in which each line opens a quote takes time in proportion to its size.
_VAIN_LINES = 50_000
_FEW_LINES = 8
WHITESPACE = "whitespace"
#: Delimiters that are tried where the one in use finds no column.
_DELIMITERS = (",", ";", "\t", "|")
_FITTING_SHARE = 0.9

csv.field_size_limit(
    max(csv.field_size_limit(), MAX_LINE_BYTES)
)  # the module's own limit, 128 KiB, is below real texts


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """``CsvDialect`` with what is usual in the format filled in."""

    delimiter: str
    quotes: bool
    quote: str = '"'
    escape: str | None = None
    skip_blank: bool = False


def dialect_of(form: Format, said: CsvDialect) -> Dialect:
    """What an entry says of its files, and else what is usual in their format."""
    delimiter = said.delimiter or ("," if form == "csv" else "\t")
    quotes = form == "csv" if said.quotes is None else said.quotes
    return Dialect(
        delimiter=delimiter,
        quotes=quotes and delimiter != WHITESPACE,
        quote=said.quote,
        escape=said.escape,
        skip_blank=said.skip_blank,
    )


class Record(NamedTuple):
    """The fields of a row and the text it stood in; without fields, why it is none."""

    fields: list[str]
    raw: str
    fault: str = ""


def records(lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """Each row of a file that is not blank."""
    return _quoted_records(lines, dialect) if dialect.quotes else _plain_records(lines, dialect)


def _plain_records(lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """Each line that is not blank, cut at its delimiters."""
    delimiter = None if dialect.delimiter == WHITESPACE else dialect.delimiter
    for line in lines:
        if line.strip():
            fields = line.rstrip("\r\n").split(delimiter)
            yield Record([field.lstrip(" ") for field in fields] if dialect.skip_blank else fields, line)


class _Lines:
    """Lines for one record after the other; those that the present record has taken can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._returned: deque[str] = deque()
        self.taken: list[str] = []
        self._characters = 0
        self._done = 0
        self._vain = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        most = MAX_RECORD_LINES if self._vain <= _VAIN_LINES + self._done else _FEW_LINES
        if len(self.taken) >= most or self._characters >= MAX_RECORD_CHARACTERS:
            raise csv.Error(f"a quote is not closed within {len(self.taken)} lines")
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        self._characters += len(line)
        return line

    def take(self) -> str:
        """The text of the present record, which is complete."""
        text = "".join(self.taken)
        self._done += len(self.taken)
        self.taken, self._characters = [], 0
        return text

    def give_back(self) -> str:
        """Return all lines of the present record but the first, and hand out that one."""
        first, *rest = self.taken
        self._returned.extendleft(reversed(rest))
        self._done, self._vain = self._done + 1, self._vain + len(rest)
        self.taken, self._characters = [], 0
        return first


def _quoted_records(lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """Each row that is not blank; of a faulty one, the first line alone, and the next is tried afresh."""
    source = _Lines(lines)
    while True:
        try:
            for fields in _reader(source, dialect):
                raw = source.take()
                if raw.strip():
                    yield Record(fields, raw)
            return
        except csv.Error as error:
            yield Record([], source.give_back(), str(error))


def _reader(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        strict=True,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        skipinitialspace=dialect.skip_blank,
    )


def quoted_fields(sample: Sequence[Record], dialect: Dialect) -> int:
    """How many fields look framed by marks: some hold doubled marks alone, or they are many; else 0."""
    framed = [
        field[1:-1]
        for record in sample
        for field in record.fields
        if len(field) > 1 and field[0] == field[-1] == dialect.quote
    ]
    doubled = sum(
        2 * dialect.quote in field and not field.replace(2 * dialect.quote, "").count(dialect.quote) for field in framed
    )
    return len(framed) if doubled or 10 * len(framed) > len(sample) else 0


def missing_column_remedy(line: str, wanted: Sequence[str], dialect: Dialect) -> str:
    """Which delimiter would give a file whose first line this is the wanted columns; empty where none would."""
    names = [f"#{place}" for place in range(1, 1_000)] if wanted[0].startswith("#") else None
    for delimiter in (*_DELIMITERS, WHITESPACE):
        fields = next(
            records([line], replace(dialect, delimiter=delimiter, quotes=delimiter != WHITESPACE and dialect.quotes))
        ).fields
        if len(fields) > 1 and set(wanted) <= set(names[: len(fields)] if names else fields):
            shown = "white space" if delimiter == WHITESPACE else repr(delimiter)
            return (
                f"Cut at {shown}, and not at {dialect.delimiter!r}, its first line has {len(fields)} fields, these "
                f"among them: set source.csv.delimiter: {delimiter!r}"
            )
    return ""


def better_dialect(lines: Sequence[str], dialect: Dialect) -> str:
    """What to set in ``source.csv`` so that nearly all of these lines have as many fields; else empty."""
    tried = {
        f"delimiter: {delimiter!r}": {"delimiter": delimiter}
        for delimiter in _DELIMITERS
        if delimiter != dialect.delimiter
    } | {
        "escape: '\\'": {"escape": "\\"},
        "skip_blank: true": {"skip_blank": True},
        "quotes: false": {"quotes": False},
        "quotes: true": {"quotes": True},
    }
    for told, change in tried.items():
        if fits(lines, replace(dialect, **change)):  # type: ignore[arg-type]
            return told
    return ""


def fits(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether nearly all records of these lines have as many fields as the first, which may name them, above 1."""
    found = [len(record.fields) for record in records(lines, dialect)]
    return bool(found) and found[0] > 1 and found.count(found[0]) >= _FITTING_SHARE * len(found)
