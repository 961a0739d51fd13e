"""Files that are known by their content: what a file's bytes must be stands in its name or in its record.

Every file that rests in a work folder or in OUT is looked at before it is used again. One that is gone, or that holds
other bytes than it should, is a fault with its place; whoever finds one makes the file again.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import xxhash

from schemas.content_names import NAMED, content_name, is_named_by_content
from schemas.filesystems import filesystem_of, is_local
from transforms.flow.files import exists, parquet_bytes, publish, read_bytes, sha256

_CHUNK_BYTES = 4 << 20
_THREADS = 8
#: Below so many files threads cost more than they save.
_FEW = 4
#: Most files that a thread takes at once: handing one over costs as much as reading a small file.
_AT_ONCE = 16


def part_number(data: bytes | pa.Buffer) -> int:
    """The number of a part, 63 bits of xxh3-64, so that it is a key below 2^63; 16 digits of it name the file."""
    return xxhash.xxh3_64_intdigest(memoryview(data)) >> 1


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A file that should be there.

    ``path``: a local path or an fsspec URL. ``shown``: what a person is told of it. ``sha256``: of its bytes; where it
    is empty the file's name says what they are, if it is such a name.
    """

    path: str
    shown: str
    sha256: str = ""


class Fault(NamedTuple):
    """A file that is not as it should be, and what is wrong with it."""

    file: KnownFile
    what: str

    def __str__(self) -> str:
        return f"{self.file.shown} {self.what}"


def find_faults(files: Sequence[KnownFile], *, download: bool = False) -> list[Fault]:
    """What is wrong with files, in their order: those that are gone, and local ones whose bytes are others.

    Local files are read once, at the speed of the disk. Of objects in a store, which checks its own, only those that
    are gone are found, unless ``download`` has them read as well.
    """
    if len(files) < _FEW:
        return _faults_of(files, download)
    at_once = min(_AT_ONCE, max(1, len(files) // (4 * _THREADS)))
    with ThreadPoolExecutor(_THREADS) as pool:
        pieces = (files[start : start + at_once] for start in range(0, len(files), at_once))
        found = pool.map(partial(_faults_of, download=download), pieces)
        return list(chain.from_iterable(found))


def made_once(stem: str, make: Callable[[], pa.Table]) -> str:
    """The path ``<stem>-<content>.parquet`` of a table that follows from ``stem``: of the file that is there already
    and whole, else of one that is written now. A damaged one is removed.
    """
    folder, _, key = stem.rpartition("/")
    filesystem, inner = filesystem_of(folder)
    listed = filesystem.ls(inner, detail=False) if filesystem.isdir(inner) else []
    for name in sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in listed):
        if name.startswith(f"{key}-") and is_named_by_content(name):
            file = KnownFile(path=f"{folder}/{name}", shown=name)
            if not find_faults([file]):
                return file.path
            filesystem.rm_file(f"{inner}/{name}")
    data = parquet_bytes(make())
    path = f"{stem}-{content_name(data)}.parquet"
    publish(path, data)
    return path


def _faults_of(files: Iterable[KnownFile], download: bool) -> list[Fault]:
    return [Fault(file, what) for file in files if (what := _fault_of(file, download)) is not None]


def _fault_of(file: KnownFile, download: bool) -> str | None:
    if "://" in file.path:
        filesystem, inner = filesystem_of(file.path)
        if not is_local(filesystem):
            return _fault_in_store(file, download)
        return _local_fault(Path(inner), file.sha256)
    return _local_fault(Path(file.path), file.sha256)


def _fault_in_store(file: KnownFile, download: bool) -> str | None:
    if not download:
        return None if exists(file.path) else "is gone"
    data = read_bytes(file.path)
    if data is None:
        return "is gone"
    same = sha256(data) == file.sha256 if file.sha256 else _says(Path(file.path).name, xxhash.xxh3_64_intdigest(data))
    return None if same else _other_bytes(len(data))


def _other_bytes(size: int) -> str:
    return f"holds other bytes than it was written with ({size:,} bytes)"


def _local_fault(path: Path, sha256: str) -> str | None:
    try:
        same = _sha256(path) == sha256 if sha256 else _says(path.name, _xxh3(path))
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None if same else _other_bytes(path.stat().st_size)


def _says(name: str, digest: int) -> bool:
    """Whether a name says this digest, whole or as the number of a part, or says nothing of the content."""
    match = NAMED.fullmatch(name)
    return match is None or match[1] in (f"{digest:016x}", f"{digest >> 1:016x}")


def _xxh3(path: Path) -> int:
    digest = xxhash.xxh3_64()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.intdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
