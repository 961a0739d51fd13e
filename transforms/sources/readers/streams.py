"""Files without row groups: opened whatever their compression, local or remote, and cut into blocks of whole lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from schemas.errors import SourceError
from schemas.filesystems import filesystem_of, is_local
from transforms.sources.file_errors import file_error
from transforms.sources.ranges import RangeFile
from transforms.sources.readers.decompression import ByteStream, decompressed
from transforms.sources.readers.encodings import utf8_stream
from transforms.sources.units import Unit

#: Bytes read at a time. What is held of a file is this, or its longest line.
BLOCK_BYTES = 4 << 20
#: A longer line is taken for a file of another format (a JSON document under the name of JSON lines, say).
MAX_LINE_BYTES = 64 << 20


@contextmanager
def open_stream(unit: Unit) -> Iterator[ByteStream]:
    """The unit's file as a stream of uncompressed bytes.

    Raises SourceError, also for what goes wrong while the stream is read: a file that is gone, truncated or damaged.
    """
    filesystem, inner = filesystem_of(unit.path)
    try:
        with (
            pa.OSFile(inner) if is_local(filesystem) else _remote(unit) as source,
            decompressed(source, unit.compression) as stream,
        ):
            yield stream
    except OSError as error:
        raise file_error(unit, error) from error


@contextmanager
def open_text(unit: Unit, encoding: str | None = None) -> Iterator[ByteStream]:
    """The unit's file in UTF-8 without a byte order mark, as ``open_stream`` gives it (``encodings.utf8_stream``)."""
    with open_stream(unit) as stream:
        yield utf8_stream(stream, encoding)


def _remote(unit: Unit) -> pa.NativeFile:
    ahead = max(unit.ranges.read_ahead, 2 * BLOCK_BYTES)  # it is read from its beginning to its end
    return pa.PythonFile(RangeFile(unit.path, replace(unit.ranges, read_ahead=ahead)), mode="r")


def line_blocks(stream: ByteStream, unit: Unit, block_bytes: int) -> Iterator[bytes]:
    """Blocks of whole lines, about ``block_bytes`` each, the same for every compression.

    Raises SourceError for a line above ``MAX_LINE_BYTES``.
    """
    pieces: list[bytes] = []
    while data := read_fully(stream, block_bytes):
        cut = data.rfind(b"\n") + 1
        if cut:
            yield b"".join([*pieces, data[:cut]])
            pieces = [data[cut:]]
        else:
            pieces.append(data)
            _check_length(sum(map(len, pieces)), unit)
    if last := b"".join(pieces):
        yield last


def read_fully(stream: ByteStream, size: int) -> bytes:
    """At least ``size`` bytes, fewer only at the end: a decompressor gives what it happens to have."""
    data = stream.read(size)
    if not data or len(data) >= size:
        return data
    pieces, length = [data], len(data)
    while length < size and (data := stream.read(size - length)):
        pieces.append(data)
        length += len(data)
    return b"".join(pieces)


def _check_length(length: int, unit: Unit) -> None:
    if length > MAX_LINE_BYTES:
        raise SourceError(
            f"{unit.file} has a line of more than {MAX_LINE_BYTES >> 20} MiB, so it is hardly a file of {unit.format} "
            f"rows; if it is one JSON document, name it .json and set the entry's option `records`"
        )


def is_utf8(data: bytes) -> bool:
    """Whether bytes are valid UTF-8, without decoding them."""
    offsets = pa.py_buffer(len(data).to_bytes(8, "little").rjust(16, b"\0"))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
