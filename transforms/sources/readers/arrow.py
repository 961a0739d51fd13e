"""Arrow files and streams (``datasets`` saves such, Feather is one), one record batch after the other."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from schemas.errors import SourceError
from transforms.sources.file_errors import file_error
from transforms.sources.readers.decompression import ByteStream
from transforms.sources.readers.raw import RawBatch
from transforms.sources.readers.request import Request
from transforms.sources.readers.streams import BLOCK_BYTES, open_stream, read_fully
from transforms.sources.readers.typed_rows import TypedRows
from transforms.sources.units import Unit

_FILE_MAGIC = b"ARROW1"
#: A compressed Arrow file is held in memory whole, since its footer says where everything stands; so much at most.
MAX_COMPRESSED_BYTES = 1 << 30


def read_arrow_unit(unit: Unit, request: Request, batch_rows: int) -> Iterator[RawBatch]:
    """The rows of an Arrow file or stream, compressed or not.

    Raises SourceError for a file that is gone, damaged, cut off, or lacks a column.
    """
    with open_stream(unit) as stream:
        head = read_fully(stream, len(_FILE_MAGIC))
        if not head:
            return
        try:
            schema, batches = _file(unit, head, stream) if head == _FILE_MAGIC else _stream(head, stream)
            rows = TypedRows(unit, request.present(unit, schema.names), schema)
            number = 0
            for batch in batches:
                yield from rows.read(batch, number, batch_rows)
                number += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise file_error(unit, error) from error


def _file(unit: Unit, head: bytes, stream: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """A file is read by its footer: what stands before it need not be a stream (polars writes it otherwise)."""
    reader = pa.ipc.open_file(stream if unit.compression is None else pa.BufferReader(_whole(unit, head, stream)))
    return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))


def _stream(head: bytes, stream: ByteStream) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    reader = pa.ipc.open_stream(pa.PythonFile(_Rest(head, stream), mode="r"))
    return reader.schema, iter(reader)


def _whole(unit: Unit, head: bytes, stream: ByteStream) -> bytes:
    pieces, left = [head], MAX_COMPRESSED_BYTES
    while data := stream.read(BLOCK_BYTES):
        pieces.append(data)
        left -= len(data)
        if left < 0:
            raise SourceError(
                f"{unit.file} is a compressed Arrow file of more than {MAX_COMPRESSED_BYTES >> 20} MiB, which is read "
                f"into memory whole; decompress it"
            )
    return b"".join(pieces)


class _Rest:
    """A stream whose beginning was read, as the kind of file of which Arrow asks for exact numbers of bytes."""

    closed = False

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head = head
        self._stream = stream
        self._position = 0

    def read(self, size: int) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        data = head + read_fully(self._stream, size - len(head)) if len(head) < size else head
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
