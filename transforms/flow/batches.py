"""The one noun in flight: ``pa.RecordBatch``, its coder, and the shuffle keys it travels under.

Beam pickles what it does not know, and a pickled slice drags its whole buffer along; the coder below writes Arrow IPC
and is registered on import, wherever a worker imports it from.
"""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.coders.typecoders import registry

#: A batch holds at most this many rows and about this many bytes: Flink's sorter refuses large records.
MAX_ROWS = 8192
MAX_BYTES = 4 << 20
#: Arrow's defaults; without them it looks for two variables in the environment at every batch.
_IPC = pa.ipc.IpcWriteOptions()


class RecordBatchCoder(beam.coders.Coder):
    """``pa.RecordBatch`` as an Arrow IPC stream of one batch. Deterministic: equal batches give equal bytes."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema, options=_IPC) as writer:
            writer.write_batch(value)
        data: bytes = sink.getvalue().to_pybytes()
        return data

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        with pa.ipc.open_stream(encoded) as reader:
            return reader.read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """The bytes of its buffers, for Beam's counters: they ask at every other batch, and would have it encoded."""
        size: int = value.get_total_buffer_size()
        return size

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> Any:
        return pa.RecordBatch

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


registry.register_coder(pa.RecordBatch, RecordBatchCoder)


def split_batches(rows: pa.Table | pa.RecordBatch, max_rows: int = MAX_ROWS) -> Iterator[pa.RecordBatch]:
    """Cut rows into batches of at most ``max_rows`` rows and about ``MAX_BYTES`` bytes; one row always fits a batch.

    Empty input gives no batch.
    """
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows.combine_chunks()
    if not table.num_rows:
        return
    row_bytes = max(1, table.nbytes // table.num_rows)
    step = max(1, min(max_rows, MAX_BYTES // row_bytes))
    for start in range(0, table.num_rows, step):
        yield from _within_bytes(table.slice(start, step))


def _within_bytes(table: pa.Table) -> Iterator[pa.RecordBatch]:
    if table.nbytes <= MAX_BYTES or table.num_rows == 1:
        yield to_batch(table)
        return
    middle = table.num_rows // 2
    yield from _within_bytes(table.slice(0, middle))
    yield from _within_bytes(table.slice(middle))


def to_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as one batch of its own (an empty table gives an empty batch)."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def first_words(hashes: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each ``binary(16)`` hash as a big-endian number, so that numbers sort as the hashes do."""
    array = hashes.combine_chunks() if isinstance(hashes, pa.ChunkedArray) else hashes
    if array.null_count:
        raise ValueError(f"{array.null_count} of {len(array)} hashes are null")
    words = np.frombuffer(array.buffers()[1] or b"", dtype=">u8")
    return words.reshape(-1, 2)[array.offset : array.offset + len(array), 0].astype(np.uint64)


def partitions_of(hashes: npt.NDArray[np.uint64], num_partitions: int) -> npt.NDArray[np.int64]:
    """Range partition of each 64-bit hash: partition p holds the p-th of ``num_partitions`` equal ranges."""
    high = hashes >> np.uint64(32)
    return ((high * np.uint64(num_partitions)) >> np.uint64(32)).astype(np.int64)


def by_partition(
    rows: pa.Table | pa.RecordBatch, partitions: npt.NDArray[np.int64]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """``(partition, batch)`` for each partition that has rows, in the order of partitions; order inside is kept."""
    if not len(partitions):
        return
    order = np.argsort(partitions, kind="stable")
    table = (pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows).take(pa.array(order))
    ordered = partitions[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    for start, end in zip(starts, np.r_[starts[1:], len(ordered)], strict=True):
        for batch in split_batches(table.slice(start, end - start)):
            yield int(ordered[start]), batch
