"""What every reader gives: well-formed rows as they stand in the source, and the broken ones beside them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from schemas.reasons import RejectReason

#: A row that could not be read: its 0-based number in the file, why, and the beginning of what stood there.
BROKEN = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)
#: At most this many characters of a broken row are kept, so that a rejection never outgrows what may travel.
RAW_CHARACTERS = 2_000
NAMES_SHOWN = 30


class Refusal(NamedTuple):
    """Why something that stands where a row should is none."""

    reason: RejectReason
    detail: str


class Broken(NamedTuple):
    """One row that could not be read; the fields of ``BROKEN``."""

    number: int
    reason: RejectReason
    detail: str
    raw: str


@dataclass(frozen=True)
class RawBatch:
    """Rows read from a unit: ``len(rows) + len(broken)`` rows of the source, whose numbers in the file are ``numbers``
    (int64, ascending, one for each of ``rows``) and the column ``number`` of ``broken`` (schema ``BROKEN``)."""

    rows: pa.RecordBatch
    numbers: pa.Array
    broken: pa.RecordBatch

    def __post_init__(self) -> None:
        if self.rows.num_rows != len(self.numbers):
            raise ValueError(f"{self.rows.num_rows} rows but {len(self.numbers)} row numbers")

    @property
    def num_read(self) -> int:
        """Rows of the source that this batch accounts for."""
        return int(self.rows.num_rows + self.broken.num_rows)


def broken_rows(broken: list[Broken]) -> pa.RecordBatch:
    """Broken rows as a batch of schema ``BROKEN``."""
    columns = list(zip(*broken, strict=True)) if broken else [()] * len(BROKEN)
    return pa.RecordBatch.from_arrays(
        [pa.array(list(column), field.type) for column, field in zip(columns, BROKEN, strict=True)], schema=BROKEN
    )


def excerpt(raw: bytes | str) -> str:
    """The beginning of a broken row as text that is always valid: undecodable bytes read ``\\xNN``."""
    if isinstance(raw, bytes):
        text = raw[: 4 * RAW_CHARACTERS].decode("utf-8", "backslashreplace")
    else:
        text = raw[:RAW_CHARACTERS].encode("utf-8", "backslashreplace").decode()
    return text[:RAW_CHARACTERS]


def batches(
    rows: pa.Table | pa.RecordBatch, numbers: pa.Array, broken: list[Broken], batch_rows: int
) -> Iterator[RawBatch]:
    """Cut rows into batches of at most ``batch_rows``; broken ones go with the first. Nothing read gives no batch."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows.combine_chunks()
    for start in range(0, max(table.num_rows, 1), batch_rows):
        pieces = table.slice(start, batch_rows).to_batches() or [empty_batch(table.schema)]
        raw = RawBatch(pieces[0], numbers.slice(start, batch_rows), broken_rows(broken if start == 0 else []))
        if raw.num_read:
            yield raw


def at_most(batches: Iterable[RawBatch], rows: int) -> Iterator[RawBatch]:
    """The first ``rows`` rows of the source, well-formed and broken ones together."""
    left = rows
    for batch in batches if rows else ():
        if batch.num_read < left:
            yield batch
            left -= batch.num_read
        else:
            yield _first_rows(batch, left)
            return


def _first_rows(batch: RawBatch, count: int) -> RawBatch:
    well, ill = batch.numbers.to_pylist(), batch.broken.column("number").to_pylist()
    last = sorted(well + ill)[count - 1]
    good, bad = bisect_right(well, last), bisect_right(ill, last)
    return RawBatch(batch.rows.slice(0, good), batch.numbers.slice(0, good), batch.broken.slice(0, bad))


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """A batch of no rows."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def count_from(first: int, count: int) -> pa.Array:
    """Row numbers ``first, first + 1, ...`` as int64."""
    return pa.array(np.arange(first, first + count, dtype=np.int64))
