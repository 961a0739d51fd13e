"""A remote file read by byte ranges: what will be needed is fetched side by side, each range whole or fetched again."""

import io
from bisect import bisect_right
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import fsspec
from typing_extensions import Buffer

from schemas.filesystems import filesystem_of, is_hub
from transforms.flow.params import RetryParams
from transforms.flow.retry import ShortBody, retrying
from transforms.sources.params import RangeParams

Range = tuple[int, int]


def coalesce(ranges: Iterable[Range], gap: int, piece: int) -> list[Range]:
    """The requests for some byte ranges [start, stop): near ones joined, long ones cut, in ascending order.

    >>> coalesce([(0, 4), (6, 9), (30, 35)], gap=2, piece=5)
    [(0, 5), (5, 9), (30, 35)]
    """
    joined: list[list[int]] = []
    for start, stop in sorted(ranges):
        if joined and start - joined[-1][1] <= gap:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    return [(at, min(at + piece, stop)) for start, stop in joined for at in range(start, stop, piece)]


def fetch(filesystem: fsspec.AbstractFileSystem, inner: str, span: Range, retry: RetryParams) -> bytes:
    """The bytes [start, stop) of a file. Raises SourceError when they cannot be had whole after all attempts."""
    start, stop = span
    # fsspec's hub files read megabytes ahead by default, which is thrown away with each file object.
    options = {"cache_type": "none"} if is_hub(filesystem) else {}

    def once() -> bytes:
        data: bytes = filesystem.cat_file(inner, start=start, end=stop, **options)
        if len(data) != stop - start:
            raise ShortBody(f"{len(data)} of {stop - start} bytes came")
        return data

    return retrying(f"fetching bytes {start}-{stop - 1} of {filesystem.unstrip_protocol(inner)}", once, retry)


class RangeFile(io.RawIOBase):
    """A read-only, seekable remote file. It holds what was prefetched last, and one stretch that was read ahead."""

    def __init__(self, place: str, params: RangeParams) -> None:
        super().__init__()
        self._filesystem, self._inner = filesystem_of(place)
        self._params = params
        self._position = 0
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        self._ahead: tuple[int, bytes] = (0, b"")
        what = f"looking for {place}"
        self.size: int = retrying(what, lambda: int(self._filesystem.info(self._inner)["size"]), params.retry)

    def prefetch(self, ranges: Iterable[Range]) -> None:
        """Fetch byte ranges [start, stop), several at a time, and forget those of the call before."""
        params = self._params
        spans = coalesce([(start, min(stop, self.size)) for start, stop in ranges], params.gap, params.piece)
        self._starts, self._pieces = [], []
        with ThreadPoolExecutor(params.connections) as pool:
            self._pieces = list(pool.map(self._fetch, spans))
        self._starts = [start for start, _ in spans]

    def _fetch(self, span: Range) -> bytes:
        return fetch(self._filesystem, self._inner, span, self._params.retry)

    def _at(self, position: int) -> memoryview:
        """What is at hand from ``position`` on; where nothing is, it is fetched with some read-ahead."""
        index = bisect_right(self._starts, position) - 1
        if index >= 0 and position < self._starts[index] + len(self._pieces[index]):
            return memoryview(self._pieces[index])[position - self._starts[index] :]
        start, data = self._ahead
        if not start <= position < start + len(data):
            start, stop = position, min(self.size, position + self._params.read_ahead)
            data = self._fetch((start, stop))
            self._ahead = start, data
        return memoryview(data)[position - start :]

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target) and self._position < self.size:
            piece = self._at(self._position)[: len(target) - filled]
            target[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position
