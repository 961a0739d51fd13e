"""What a store of vectors is at rest, for those who fill it and those who read it.

A store holds each text's vector of one teacher once, under the hash of what the teacher saw: the prompt and the text.
Files are named by the range of keys they hold and by their content:
``<store>/<first byte>-<last byte>/<content>.parquet``. Anything of another name there is somebody else's and is left
alone.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.content_names import is_named_by_content
from schemas.filesystems import filesystem_of
from schemas.rows import ID, text_hash

#: A component x of a unit vector is stored as ``round(SCALE * x)`` in 16 bits (``mining.fixed_point``).
SCALE = 32767
#: Key ranges are cut at whole first bytes, so that stores written with other numbers of partitions fit together.
MAX_PARTITIONS = 256
_RANGE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{2})")


def vector_schema(dims: int) -> pa.Schema:
    """Key of the text as the teacher saw it, and its vector in 16-bit fixed point, little-endian."""
    return pa.schema([pa.field("key", ID, nullable=False), pa.field("vector", pa.binary(2 * dims), nullable=False)])


def vector_key(prompt: str, text: str) -> bytes:
    """The 16 bytes under which a store has the vector of a text with this prompt before it."""
    return text_hash(prompt + text)


def num_store_partitions(texts: int, per_partition: int = 16_384) -> int:
    """How many key ranges a run works in: a power of two that follows from the number of texts, never from workers."""
    wanted = max(2, -(-texts // per_partition))
    return min(MAX_PARTITIONS, 1 << (wanted - 1).bit_length())


def key_range(partition: int, num_partitions: int) -> tuple[int, int]:
    """First and last value of the first key byte in a partition."""
    width = MAX_PARTITIONS // num_partitions
    return partition * width, (partition + 1) * width - 1


def store_files(store: str, low: int = 0, high: int = MAX_PARTITIONS - 1) -> Iterator[str]:
    """Names below the store of all files that may hold keys of a range of first bytes, in order; none where it is not
    there."""
    filesystem, root = filesystem_of(store)
    if not filesystem.isdir(root):
        return
    for folder in sorted(_names(filesystem.ls(root, detail=False))):
        span = _RANGE.fullmatch(folder)
        if span and int(span[1], 16) <= high and low <= int(span[2], 16) and filesystem.isdir(f"{root}/{folder}"):
            found = sorted(filter(is_named_by_content, _names(filesystem.ls(f"{root}/{folder}", detail=False))))
            yield from (f"{folder}/{name}" for name in found)


def _names(paths: Iterable[str]) -> Iterator[str]:
    return (path.rstrip("/").rsplit("/", 1)[-1] for path in paths)


def vectors_of_range(tables: Iterable[pa.Table], low: int, high: int, schema: pa.Schema) -> pa.Table:
    """What tables of ``schema``, or of some columns of it, hold of a range of first key bytes: sorted by key, each key
    once (the first table that has it wins).
    """
    table = pa.concat_tables([*tables, schema.empty_table()])
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
