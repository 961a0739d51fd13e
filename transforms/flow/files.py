"""Writing files so that nothing half-written is ever visible under a final name, here and on object stores."""

import errno
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import DamageError, OutputError
from schemas.filesystems import filesystem_of, is_local
from transforms.flow.stores import ask

#: Rows of a row group in every Parquet file we write; part of the contract that equal rows give equal bytes.
ROW_GROUP_ROWS = 8192
TEMPORARY_PREFIX = ".tmp-"


def publish(path: str, data: bytes | pa.Buffer) -> None:
    """Write a whole file under its final name: a temporary file and a rename locally, one whole object elsewhere.

    Raises OutputError, which names the path and what to do, when the place cannot be written or is full.
    """
    filesystem, inner = filesystem_of(path)
    if not is_local(filesystem):
        _put(filesystem, inner, path, data)
        return
    try:
        _rename_into_place(Path(inner), data)
    except OSError as error:
        raise output_error(path, error) from error


def _put(filesystem: fsspec.AbstractFileSystem, inner: str, path: str, data: bytes | pa.Buffer) -> None:
    """One request, or several that a last one makes an object of: what is cut off leaves nothing under the name."""
    whole = data if isinstance(data, bytes) else data.to_pybytes()
    try:
        ask(f"writing {path}", lambda: filesystem.pipe_file(inner, whole))
    except FileNotFoundError as error:
        raise no_bucket(path) from error


def no_bucket(path: str) -> OutputError:
    """What is said where a store knows nothing that an object could lie in."""
    return OutputError(
        f"cannot write {path}: there is no such bucket; make it first, or choose another with OUT=<folder>"
    )


def _rename_into_place(path: Path, data: bytes | pa.Buffer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as sink:
            sink.write(memoryview(data))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def output_error(path: str, error: OSError) -> OutputError:
    """The same failure in words: the path, the cause, and the remedy."""
    remedy = {
        errno.ENOSPC: "the disk is full: free space, or choose another place with OUT=<folder>",
        errno.EDQUOT: "the quota is used up: free space, or choose another place with OUT=<folder>",
        errno.EACCES: "no permission to write there: choose another place with OUT=<folder>",
        errno.EROFS: "the file system is read-only: choose another place with OUT=<folder>",
        errno.ENOTDIR: "a file stands where a folder is needed: choose another place with OUT=<folder>",
        errno.EEXIST: "a file stands where a folder is needed: choose another place with OUT=<folder>",
    }.get(error.errno or 0, "check that the place exists and can be written, or choose another with OUT=<folder>")
    return OutputError(f"cannot write {path}: {error.strerror or error}; {remedy}")


def parquet_bytes(table: pa.Table, fast: bool = False) -> pa.Buffer:
    """A table as Parquet: fixed row groups, zstd, no timestamps. Equal tables give equal bytes.

    ``fast`` is for what is soon read again: lz4 without dictionaries and statistics takes half the time to write and a
    quarter to read, and twice the room.
    """
    how: dict[str, Any] = (
        {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
        if fast
        else {"compression": "zstd", "compression_level": 3}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, row_group_size=ROW_GROUP_ROWS, version="2.6", **how)
    return sink.getvalue()


def read_parquet(path: str, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file that we wrote, whole or some columns.

    Raises DamageError for one that is gone or cannot be decoded: whatever rests was looked at when the run began, so it
    was damaged since.
    """
    filesystem, inner = filesystem_of(path)
    try:
        if is_local(filesystem):
            return pq.ParquetFile(inner, memory_map=False).read(columns=columns)
        # Whole, in one request: by columns, fsspec reads tens of megabytes ahead of each.
        data = ask(f"reading {path}", lambda: filesystem.cat_file(inner))
        return pq.ParquetFile(pa.BufferReader(data)).read(columns=columns)
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DamageError(
            f"{path} was written by this program and cannot be read any more: {error}; it was damaged or removed while "
            "the run was at work. Start again with the same command: what is damaged is found and made again"
        ) from error


def sha256(data: bytes | pa.Buffer) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    return hashlib.sha256(memoryview(data)).hexdigest()


def exists(path: str) -> bool:
    """Whether there is anything of that name. Raises OutputError where a store does not say."""
    filesystem, inner = filesystem_of(path)
    if is_local(filesystem):
        return bool(filesystem.exists(inner))
    return ask(f"looking for {path}", lambda: bool(filesystem.exists(inner)))


def read_bytes(path: str) -> bytes | None:
    """What a file holds; None where there is none. Raises OutputError for one that cannot be read."""
    filesystem, inner = filesystem_of(path)
    try:
        if is_local(filesystem):
            return bytes(filesystem.cat_file(inner)) if filesystem.exists(inner) else None
        return ask(f"reading {path}", lambda: bytes(filesystem.cat_file(inner)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise output_error(path, error) from error


def write_json(path: str, value: Any) -> None:
    """Publish a JSON document with sorted keys."""
    publish(path, (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: str) -> Any:
    """Read a JSON document; None where there is none. Raises OSError for a local file that cannot be read, and
    OutputError where a store does not give it.
    """
    filesystem, inner = filesystem_of(path)
    try:
        if is_local(filesystem):
            with open(inner, "rb") as source:
                return json.load(source)
        return json.loads(ask(f"reading {path}", lambda: filesystem.cat_file(inner)))
    except FileNotFoundError:
        return None
