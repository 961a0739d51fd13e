"""Parts: the files in which rows rest between steps. What travels is a part's number; who needs texts reads them again.

A part holds at most 65,536 rows and is named by its content, so that a retried bundle writes the same file once more
and nothing changes. The address of a row is (part, row in part).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from schemas.rows import TEXTS
from transforms.flow.content import part_number
from transforms.flow.files import parquet_bytes, publish, read_parquet

MAX_PART_ROWS = 65_536
MAX_PART_BYTES = 128 << 20

#: Says that a part exists; travels beside decisions under the same key, so that a part without decisions is seen too.
ADDRESSES = pa.schema([pa.field("part", pa.int64(), nullable=False), pa.field("rows", pa.int64(), nullable=False)])

#: What was decided about rows of the part that is the key.
DECISIONS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("kept_id", pa.binary(16)),
    ]
)

#: Rows of the part that is the key that stay with these labels: those of all rows of their text, in order.
UNITED = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("labels", TEXTS, nullable=False),
    ]
)


class Grouped(NamedTuple):
    """What was grouped under a part: its number of rows (0 if it was never announced), DECISIONS and UNITED."""

    rows: int
    decisions: pa.Table
    united: pa.Table


def part_path(folder: str, part: int) -> str:
    """Where a part lies in its folder."""
    return f"{folder}/{part:016x}.parquet"


def write_part(folder: str, table: pa.Table) -> int:
    """Write rows as a part and give its number: 63 bits of the xxh3 hash of the file's bytes."""
    data = parquet_bytes(table, fast=True)
    part = part_number(data)
    publish(part_path(folder, part), data)
    return part


def read_part(folder: str, part: int, columns: list[str] | None = None) -> pa.Table:
    """Read a part, whole or some columns."""
    return read_parquet(part_path(folder, part), columns)


def address(part: int, rows: int) -> tuple[int, pa.RecordBatch]:
    """The keyed element that announces a part."""
    return part, pa.RecordBatch.from_pydict({"part": [part], "rows": [rows]}, schema=ADDRESSES)


@dataclass
class PartWriter:
    """Gathers batches and writes a part whenever enough rows or bytes have come together."""

    folder: str
    max_rows: int = MAX_PART_ROWS
    max_bytes: int = MAX_PART_BYTES
    _batches: list[pa.RecordBatch] = field(default_factory=list)
    _rows: int = 0
    _bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
        """Take a batch; gives ``(part, rows)`` of each part that this filled."""
        while batch.num_rows:
            room = batch.slice(0, self.max_rows - self._rows)
            batch = batch.slice(room.num_rows)
            self._batches.append(room)
            self._rows += room.num_rows
            self._bytes += room.nbytes
            if self._rows >= self.max_rows or self._bytes >= self.max_bytes:
                yield from self.close()

    def close(self) -> Iterator[tuple[int, int]]:
        """Write what is left, if anything."""
        if self._rows:
            rows, self._batches, self._rows, self._bytes = self._batches, [], 0, 0
            table = pa.Table.from_batches(rows)
            yield write_part(self.folder, table), table.num_rows


def split_addresses(batches: Iterable[pa.RecordBatch]) -> Grouped:
    """Separate what was grouped under a part, by its schemas."""
    rows, decisions, united = 0, [], []
    for batch in batches:
        if batch.schema.names == ADDRESSES.names:
            rows = batch.column("rows")[0].as_py()
        elif batch.schema.names == UNITED.names:
            united.append(batch)
        else:
            decisions.append(batch)
    return Grouped(rows, pa.Table.from_batches(decisions, DECISIONS), pa.Table.from_batches(united, UNITED))
