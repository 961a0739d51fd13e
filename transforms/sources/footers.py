"""Parquet files opened wherever they lie; their footers are all that a plan reads of them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.filesystems import filesystem_of, is_local
from transforms.sources.params import AS_USUAL, RangeParams
from transforms.sources.ranges import RangeFile

READ_ERRORS = (OSError, pa.ArrowException)


@contextmanager
def open_parquet(place: str, ranges: RangeParams) -> Iterator[tuple[Any, pq.ParquetFile]]:
    """A Parquet file, and what it is read from: a ``RangeFile`` where it is not on this machine."""
    filesystem, inner = filesystem_of(place)
    with pa.OSFile(inner) if is_local(filesystem) else RangeFile(place, ranges) as source:
        yield source, pq.ParquetFile(source, page_checksum_verification=True)


def read_footer(place: str, ranges: RangeParams = AS_USUAL.ranges) -> pq.FileMetaData:
    """A Parquet file's metadata, for which only its last bytes are fetched.

    Raises OSError or pyarrow's ArrowInvalid where the file cannot be read as Parquet.
    """
    with open_parquet(place, ranges) as (_, file):
        return file.metadata


def column_bytes(footer: pq.FileMetaData, columns: Collection[str]) -> int:
    """Bytes of some columns of a file, and of all that lies in them, before compression."""
    groups = (footer.row_group(index) for index in range(footer.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(each.total_uncompressed_size for each in chunks if each.path_in_schema.partition(".")[0] in columns)
