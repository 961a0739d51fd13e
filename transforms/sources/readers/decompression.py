"""Compressed files as streams of their bytes: what the tools of each compression read is read, damage is an OSError."""

import bz2
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa

from transforms.sources.units import Compression

_PIECE_BYTES = 1 << 20
_GZIP_WRAPPER = 31  # zlib's wbits for the largest window between gzip's header and trailer


class ByteStream(Protocol):
    """Anything that gives its next bytes: any number of them, none only at its end."""

    def read(self, size: int, /) -> bytes: ...


@contextmanager
def decompressed(source: pa.NativeFile, compression: Compression | None) -> Iterator[ByteStream]:
    """The bytes of a file without its compression. Raises OSError, on reading too, where it is damaged or cut off."""
    if compression is None:
        yield source
    elif compression == "gzip":
        yield GzipStream(source)
    elif compression == "zstd":
        with pa.CompressedInputStream(source, compression) as stream:
            yield stream
    else:
        with bz2.BZ2File(source) if compression == "bz2" else lzma.LZMAFile(source) as file:
            yield _Checked(file)


class GzipStream:
    """The members of a gzip file one after the other; zeros behind a member are padding, as they are to gzip itself."""

    def __init__(self, source: ByteStream) -> None:
        self._source = source
        self._data = b""
        self._member: Any = None
        self._padded = False

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes. Raises OSError for a member that is damaged or cut off, and for what is none."""
        while self._refilled():
            self._member = self._member or zlib.decompressobj(_GZIP_WRAPPER)
            found = self._decompress(size)
            if self._member.eof:
                self._data, self._member, self._padded = self._member.unused_data, None, True
            if found:
                return found
        return b""

    def _refilled(self) -> bool:
        """Whether there is anything to decompress."""
        while True:
            if self._padded and self._member is None:
                self._data = self._data.lstrip(b"\0")
            if self._data:
                return True
            self._data = self._source.read(_PIECE_BYTES)
            if not self._data:
                if self._member is not None:
                    raise OSError("the gzip data end in the middle")
                return False

    def _decompress(self, size: int) -> bytes:
        try:
            found: bytes = self._member.decompress(self._data, size)
        except zlib.error as error:
            raise OSError(f"no gzip data: {error}") from error
        self._data = self._member.unconsumed_tail
        return found


class _Checked:
    """A file of the standard library whose every complaint about its data is an OSError."""

    def __init__(self, file: bz2.BZ2File | lzma.LZMAFile) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, lzma.LZMAError) as error:
            raise OSError(str(error)) from error
