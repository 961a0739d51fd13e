"""Digests of source files, by which a stage knows whether its input changed."""

import os
from pathlib import Path

import fsspec
import xxhash

from schemas.filesystems import is_local

#: Files up to this size are digested whole; of larger ones size, time of change and both ends are.
WHOLE_BYTES = 256 << 20
END_BYTES = 1 << 20
_CHUNK_BYTES = 4 << 20


def file_digest(filesystem: fsspec.AbstractFileSystem, inner: str) -> str:
    """A digest of a file: of a local one xxh3-128 over its content, elsewhere what its store says changes with it.

    Raises OSError where the file cannot be read.
    """
    return _local_digest(Path(inner)) if is_local(filesystem) else str(filesystem.ukey(inner))


def _local_digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_size <= WHOLE_BYTES:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
            return digest.hexdigest()
        digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
        for start in (0, facts.st_size - END_BYTES):
            file.seek(start)
            digest.update(file.read(END_BYTES))
    return f"ends-{digest.hexdigest()}"
