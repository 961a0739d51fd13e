"""Columns in their plainest types, so that nothing after the readers meets ten kinds of text.

Large, view and unannotated binary texts become ``string``, all lists ``list``, dictionaries their values, UUIDs their
text, other extension types their storage. Bytes that are no UTF-8 stay as they are until their rows are refused.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint8).reshape(256, 2)
#: The bytes of a UUID, and where the dashes of its text stand.
_UUID_BYTES = 16
_DASHES = (8, 13, 18, 23)
_TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view())


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with its columns in their plainest types."""
    arrays = [plain_array(column) for column in batch.columns]
    fields = [field.with_type(array.type) for field, array in zip(batch.schema, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=batch.schema.metadata))


def plain_array(array: pa.Array) -> pa.Array:
    """An array in its plainest type, with the same values."""
    kind = array.type
    if _is_plain(kind):
        return array
    if kind in _TEXT_TYPES:
        return _as_text(array)
    if pa.types.is_dictionary(kind):
        return plain_array(array.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return hex_texts(array.storage) if is_uuid(kind) else plain_array(array.storage)
    if pa.types.is_struct(kind):
        return _plain_struct(array)
    return _plain_list(array) if is_list(kind) else array


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _is_plain(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_primitive(kind) or pa.types.is_null(kind))


def _as_text(array: pa.Array) -> pa.StringArray:
    """Bytes as text without a look at what they are; ``cast`` would raise for the first that is no UTF-8."""
    if pa.types.is_large_string(array.type):
        array = array.view(pa.large_binary())
    return (array if pa.types.is_binary(array.type) else array.cast(pa.binary())).view(pa.string())


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is any of Arrow's lists."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind) or _is_view(kind)
    )


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def _plain_list(array: pa.Array) -> pa.ListArray:
    values = plain_array(array.flatten())
    sizes = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=array.is_null())


def _plain_struct(array: pa.StructArray) -> pa.StructArray:
    columns = [plain_array(array.field(index)) for index in range(array.type.num_fields)]
    fields = [field.with_type(column.type) for field, column in zip(array.type, columns, strict=True)]
    return pa.StructArray.from_arrays(columns, fields=fields, mask=array.is_null())


def is_uuid(kind: Any) -> bool:
    """Whether a type is Arrow's extension type of UUIDs."""
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def hex_texts(array: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """Bytes in hexadecimal, of UUIDs with their dashes: ``123e4567-e89b-12d3-a456-426614174000`` for 16 bytes."""
    size, width = len(array), array.type.byte_width
    dashes = _DASHES if width == _UUID_BYTES else ()
    length = 2 * width + len(dashes)
    data = np.frombuffer(array.buffers()[1] or b"", np.uint8)[width * array.offset :][: width * size]
    characters = np.full((size, length), ord("-"), np.uint8)
    places = [place for place in range(length) if place not in dashes]
    characters[:, places] = _HEX[data].reshape(size, 2 * width)
    offsets = np.arange(size + 1, dtype=np.int32) * length
    texts = pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(characters))
    return pc.if_else(array.is_valid(), texts, pa.scalar(None, pa.string())) if array.null_count else texts
