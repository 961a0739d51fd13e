"""Arrow files and streams (``datasets`` saves such, Feather is one), one record batch after the other."""

from collections.abc import Iterator

import pyarrow as pa

from transforms.sources.readers.decompression import ByteStream
from transforms.sources.readers.raw import RawBatch, file_error
from transforms.sources.readers.request import Request
from transforms.sources.readers.streams import open_stream, read_fully
from transforms.sources.readers.typed_rows import TypedRows
from transforms.sources.units import Unit

_FILE_MAGIC = b"ARROW1\0\0"


def read_arrow_unit(unit: Unit, request: Request, batch_rows: int) -> Iterator[RawBatch]:
    """The rows of an Arrow file or stream, compressed or not. An Arrow file is a stream between its magic and a footer.

    Raises SourceError for a file that is gone, damaged, cut off, or lacks a column.
    """
    with open_stream(unit) as stream:
        head = read_fully(stream, len(_FILE_MAGIC))
        if not head:
            return
        source = pa.PythonFile(_Rest(b"" if head == _FILE_MAGIC else head, stream), mode="r")
        try:
            with pa.ipc.open_stream(source) as reader:
                rows = TypedRows(unit, request.present(unit, reader.schema.names), reader.schema)
                number = 0
                for batch in reader:
                    yield from rows.read(batch, number, batch_rows)
                    number += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise file_error(unit, error) from error


class _Rest:
    """A stream whose beginning was read, as the kind of file that Arrow asks for exact numbers of bytes."""

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
