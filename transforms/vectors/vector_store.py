"""The vector store as the stages fill and read it; ``schemas.vectors`` says what it is at rest.

The teacher's output is fixed here in 16 bits and everything after it is exact (see ``mining.fixed_point``). Files are
named by their content, so that runs add to a store and a retry changes nothing.
"""

import pyarrow as pa
import pyarrow.compute as pc

from schemas.content_names import content_name
from schemas.filesystems import filesystem_of
from schemas.vectors import MAX_PARTITIONS, key_range, store_files, vector_schema, vectors_of_range
from transforms.flow.content import Fault, KnownFile, find_faults
from transforms.flow.files import parquet_bytes, publish, read_parquet
from transforms.flow.stores import ask


def write_vectors(store: str, partition: int, num_partitions: int, vectors: pa.Table) -> str:
    """Write vectors of one partition; gives the file's path below the store."""
    data = parquet_bytes(vectors)
    low, high = key_range(partition, num_partitions)
    name = f"{low:02x}-{high:02x}/{content_name(data)}.parquet"
    publish(f"{store}/{name}", data)
    return name


def stored_files(store: str, partition: int, num_partitions: int) -> list[tuple[str, int]]:
    """``(name below the store, vectors in it)`` of all files that a partition is read from."""
    return [
        (name, read_parquet(f"{store}/{name}", ["key"]).num_rows)
        for name in _names(store, *key_range(partition, num_partitions))
    ]


def _names(store: str, low: int = 0, high: int = MAX_PARTITIONS - 1) -> list[str]:
    """``store_files``, asked for again where the vectors are in a store that does not answer at once."""

    def listed() -> list[str]:
        return list(store_files(store, low, high))

    return ask(f"listing {store}", listed) if "://" in store else listed()


def remove_damaged(store: str) -> list[Fault]:
    """Remove the store's files that hold other bytes than their names say; gives them. What they held is encoded anew
    where it is needed.
    """
    faults = find_faults([KnownFile(path=f"{store}/{name}", shown=name) for name in _names(store)])
    filesystem, root = filesystem_of(store)
    for fault in faults:
        filesystem.rm_file(f"{root}/{fault.file.shown}")
    return faults


def is_unreadable(vectors: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which stored vectors are zeros: of texts that the teacher cannot read (``embedding.Encode``)."""
    return pc.equal(vectors, pa.scalar(bytes(vectors.type.byte_width), vectors.type))


def read_vectors(
    store: str, partition: int, num_partitions: int, dims: int, columns: list[str] | None = None
) -> pa.Table:
    """All vectors of a partition, sorted by key, each key once (the first file in the order of names wins)."""
    low, high = key_range(partition, num_partitions)
    schema = vector_schema(dims)
    names = columns or schema.names
    tables = (read_parquet(f"{store}/{name}", columns) for name in _names(store, low, high))
    return vectors_of_range(tables, low, high, pa.schema([schema.field(name) for name in names]))
