"""The vector store: each text's teacher vector once, under the hash of what the teacher saw.

The teacher's output is fixed here in 16 bits and everything after it is exact (see ``mining.fixed_point``). Files are
named by the range of keys they hold and by their content, so that runs add to a store and a retry changes nothing:
``<store>/<first byte>-<last byte>/<content>.parquet``. Anything of another name there is somebody else's and is left
alone.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.core import url_to_fs

from schemas.rows import ID
from transforms.flow.content import Fault, KnownFile, content_name, find_faults, is_named_by_content
from transforms.flow.files import parquet_bytes, publish, read_parquet

#: Key ranges are cut at whole first bytes, so that stores written with other numbers of partitions fit together.
MAX_PARTITIONS = 256
_RANGE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{2})")


def vector_schema(dims: int) -> pa.Schema:
    """Key of the text as the teacher saw it, and its vector in 16-bit fixed point."""
    return pa.schema([pa.field("key", ID, nullable=False), pa.field("vector", pa.binary(2 * dims), nullable=False)])


def num_store_partitions(texts: int, per_partition: int = 16_384) -> int:
    """How many key ranges a run works in: a power of two that follows from the number of texts, never from workers."""
    wanted = max(2, -(-texts // per_partition))
    return min(MAX_PARTITIONS, 1 << (wanted - 1).bit_length())


def key_range(partition: int, num_partitions: int) -> tuple[int, int]:
    """First and last value of the first key byte in a partition."""
    width = MAX_PARTITIONS // num_partitions
    return partition * width, (partition + 1) * width - 1


def write_vectors(store: str, partition: int, num_partitions: int, vectors: pa.Table) -> str:
    """Write vectors of one partition; gives the file's path below the store."""
    data = parquet_bytes(vectors)
    low, high = key_range(partition, num_partitions)
    name = f"{low:02x}-{high:02x}/{content_name(data)}.parquet"
    publish(f"{store}/{name}", data)
    return name


def _files(store: str, low: int, high: int) -> Iterator[str]:
    """Names below the store of all files that may hold keys of a range of first bytes, in order."""
    filesystem, root = url_to_fs(store)
    if not filesystem.isdir(root):
        return
    for folder in sorted(_names(filesystem.ls(root, detail=False))):
        span = _RANGE.fullmatch(folder)
        if span and int(span[1], 16) <= high and low <= int(span[2], 16) and filesystem.isdir(f"{root}/{folder}"):
            found = sorted(filter(is_named_by_content, _names(filesystem.ls(f"{root}/{folder}", detail=False))))
            yield from (f"{folder}/{name}" for name in found)


def _names(paths: Iterable[str]) -> Iterator[str]:
    return (path.rstrip("/").rsplit("/", 1)[-1] for path in paths)


def stored_files(store: str, partition: int, num_partitions: int) -> list[tuple[str, int]]:
    """``(name below the store, vectors in it)`` of all files that a partition is read from."""
    return [
        (name, read_parquet(f"{store}/{name}", ["key"]).num_rows)
        for name in _files(store, *key_range(partition, num_partitions))
    ]


def remove_damaged(store: str) -> list[Fault]:
    """Remove the store's files that hold other bytes than their names say; gives them. What they held is encoded anew
    where it is needed.
    """
    names = _files(store, 0, MAX_PARTITIONS - 1)
    faults = find_faults([KnownFile(path=f"{store}/{name}", shown=name) for name in names])
    filesystem, root = url_to_fs(store)
    for fault in faults:
        filesystem.rm_file(f"{root}/{fault.file.shown}")
    return faults


def read_vectors(
    store: str, partition: int, num_partitions: int, dims: int, columns: list[str] | None = None
) -> pa.Table:
    """All vectors of a partition, sorted by key, each key once (the first file in the order of names wins)."""
    low, high = key_range(partition, num_partitions)
    schema = vector_schema(dims)
    tables = [read_parquet(f"{store}/{name}", columns) for name in _files(store, low, high)]
    names = columns or schema.names
    table = pa.concat_tables([*tables, pa.schema([schema.field(n) for n in names]).empty_table()])
    first = pc.binary_slice(table.column("key"), 0, 1)
    inside = pc.and_(pc.greater_equal(first, bytes([low])), pc.less_equal(first, bytes([high])))
    return unique_by(table.filter(inside), "key")


def unique_by(table: pa.Table, column: str) -> pa.Table:
    """Rows sorted by a column, the first of equal ones (in the table's order) kept."""
    numbered = table.append_column("__n", pa.array(np.arange(table.num_rows)))
    ordered = numbered.sort_by([(column, "ascending"), ("__n", "ascending")])
    values = ordered.column(column)
    if len(values) < 2:
        return ordered.drop_columns("__n")
    differs = pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)).to_numpy()
    return ordered.filter(pa.array(np.r_[True, differs])).drop_columns("__n")
