"""How many rows of Parquet can be decoded at once.

A text of many megabytes may stand in a file once, in a dictionary, and be the text of every row.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

#: What the rows that are decoded at once may take, of texts that stand in dictionaries.
DECODED_BYTES = 64 << 20
#: Writers end their dictionaries at about 1 MiB, and then a single text may go beyond it. Up to this size the texts of
#: a dictionary are taken to be as long as their mean; in a larger one the longest is looked up.
_USUAL_BYTES = 5 << 18
_HEADER_BYTES = 64
_INT32, _STRUCT = 5, 12
_UNCOMPRESSED_SIZE, _DICTIONARY_HEADER = 2, 7


class Dictionary(NamedTuple):
    """The dictionary of a column chunk: its size without compression, and its number of values."""

    size: int
    values: int


def rows_at_once(source: Any, metadata: pq.FileMetaData, group: int, columns: list[str], batch_rows: int) -> int:
    """How many rows of a row group to decode at once, at least 1 and at most ``batch_rows``.

    ``source``: the file, at any position.
    """
    widest = 0
    for leaf, dictionary in _dictionaries(source, metadata.row_group(group), columns):
        mean = dictionary.size // max(dictionary.values, 1)
        large = dictionary.size > _USUAL_BYTES
        widest += _longest(source, metadata, group, leaf) if large else mean
    return max(1, min(batch_rows, DECODED_BYTES // max(widest, 1)))


def _dictionaries(source: Any, group: pq.RowGroupMetaData, columns: list[str]) -> Iterator[tuple[str, Dictionary]]:
    """Dictionaries of texts in the wanted columns, each with the path of its leaf."""
    for leaf in range(group.num_columns):
        chunk = group.column(leaf)
        wanted = chunk.path_in_schema.split(".", 1)[0] in columns or chunk.path_in_schema in columns
        if wanted and chunk.physical_type == "BYTE_ARRAY" and chunk.dictionary_page_offset:
            source.seek(chunk.dictionary_page_offset)
            yield chunk.path_in_schema, read_dictionary_header(source.read(_HEADER_BYTES))


def _longest(source: Any, metadata: pq.FileMetaData, group: int, leaf: str) -> int:
    """The bytes of the longest text in a chunk's dictionary."""
    file = pq.ParquetFile(source, metadata=metadata, read_dictionary=[leaf], page_checksum_verification=True)
    batch = next(file.iter_batches(batch_size=1, row_groups=[group], columns=[leaf]), None)
    array = None if batch is None else batch.column(0)
    while array is not None and pa.types.is_nested(array.type):
        array = array.flatten() if pa.types.is_list(array.type) else array.field(0)
    if array is None or not pa.types.is_dictionary(array.type):
        return 0
    return int(pc.max(pc.binary_length(array.dictionary)).as_py() or 0)


def read_dictionary_header(data: bytes) -> Dictionary:
    """The header of a dictionary page, a struct in Thrift's compact protocol (parquet.thrift: PageHeader)."""
    fields = _read_struct(data, 0)[0]
    return Dictionary(fields.get((_UNCOMPRESSED_SIZE,), 0), fields.get((_DICTIONARY_HEADER, 1), 0))


def _read_struct(data: bytes, at: int) -> tuple[dict[tuple[int, ...], int], int]:
    """``({path of field ids: whole number}, end)`` of a struct that holds nothing but whole numbers and structs."""
    fields: dict[tuple[int, ...], int] = {}
    number = 0
    while at < len(data) and data[at]:
        number += data[at] >> 4
        kind, at = data[at] & 15, at + 1
        if kind == _STRUCT:
            inner, at = _read_struct(data, at)
            fields |= {(number, *path): value for path, value in inner.items()}
        elif kind == _INT32:
            value, at = _read_varint(data, at)
            fields[(number,)] = (value >> 1) ^ -(value & 1)
    return fields, at + 1


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return value, at
