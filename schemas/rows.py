"""Arrow schemas of everything that stands in a file or travels between steps, and the ids of rows.

An id is the xxh3-128 of what the row says (dataset, texts, label, score), never of where it came from, so that the same
row has the same id whatever the order, the names and the number of its source files.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from json.encoder import encode_basestring

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

ID = pa.binary(16)
TEXTS = pa.list_(pa.string())

#: An example after its adapter and before deduplication. ``provenance`` is ``file#row``; it never reaches a shard.
CANONICAL = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("id", ID, nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("instruction", pa.string()),
        pa.field("query", pa.string(), nullable=False),
        pa.field("positives", TEXTS, nullable=False),
        pa.field("negatives", TEXTS, nullable=False),
        pa.field("label", pa.string()),
        pa.field("other_labels", TEXTS, nullable=False),
        pa.field("score", pa.float64()),
        pa.field("provenance", pa.string(), nullable=False),
    ]
)

#: What an adapter gives: a canonical row whose texts may still be null and which has no id yet.
ADAPTED = pa.schema([field.with_nullable(True) for field in CANONICAL if field.name not in ("id", "dataset")])

#: A passage of a corpus that comes with a dataset (``beir``).
PASSAGES = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)

#: A row of ``<OUT>/rejections/<dataset>/*.parquet``. ``id`` is what the row has where it is kept after all, and null
#: for rows of which no example can be made (no query, no positive, nothing that could be read); ``kept_id`` is
#: the id of the row that was kept in a duplicate's place, in a shard or, where that one went later, in a rejection of
#: its own. ``raw`` holds the source line where no text could be read from it.
REJECTIONS = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("kept_id", pa.string()),
        pa.field("provenance", pa.string(), nullable=False),
        pa.field("query", pa.string()),
        pa.field("positives", TEXTS),
        pa.field("negatives", TEXTS),
        pa.field("label", pa.string()),
        pa.field("raw", pa.string()),
    ]
)

#: A row of a shard, what training reads. The query is stored bare; the manifest holds the prompt template.
SHARD = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("task_type", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("instruction", pa.string()),
        pa.field("query", pa.string(), nullable=False),
        pa.field("positives", TEXTS, nullable=False),
        pa.field("negatives", TEXTS, nullable=False),
        pa.field("positive_scores", pa.list_(pa.float32()), nullable=False),
        pa.field("negative_scores", pa.list_(pa.float32()), nullable=False),
        pa.field("negative_ranks", pa.list_(pa.int32()), nullable=False),
        pa.field("label", pa.string()),
        pa.field("cluster_id", pa.string()),
        pa.field("positive_ids", TEXTS, nullable=False),
        pa.field("negative_ids", TEXTS, nullable=False),
    ]
)

_SEPARATOR = b"\x1f"

#: The file of all evaluation texts of a run. ``whole``: looked for as a whole only, not inside longer texts.
QUERIES = pa.schema(
    [
        pa.field("evaluation_set", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("whole", pa.bool_(), nullable=False),
    ]
)


def text_hash(text: str) -> bytes:
    """The 16 bytes by which a text is known in the vector store and among negatives (xxh3-128 of its UTF-8)."""
    return xxhash.xxh3_128_digest(text.encode())


def fields_hash(fields: Iterable[str | None]) -> bytes:
    """xxh3-128 (16 bytes) of a sequence of fields; null differs from the empty string, and no two sequences collide
    by joining.
    """
    digest = xxhash.xxh3_128()
    for field in fields:
        data = b"" if field is None else field.encode()
        digest.update(b"%d" % (-1 if field is None else len(data)) + _SEPARATOR)
        digest.update(data)
    return digest.digest()


def row_ids(rows: pa.RecordBatch | pa.Table) -> pa.Array:
    """Ids of canonical rows, ``binary(16)``: xxh3-128 over everything of a row that can reach a shard.

    Language, instruction and other labels belong to it, so that rows with equal ids are equal in every byte written.
    """
    names = ("dataset", "language", "instruction", "query", "positives", "negatives", "label", "other_labels", "score")
    written = [_as_json(rows.column(name)) for name in names]
    first, last = _between("[", written[0], ""), _between("", written[-1], "]")
    texts = pc.binary_join_element_wise(first, *written[1:-1], last, _large(", "))
    return _digests(texts)


def _digests(texts: pa.LargeStringArray) -> pa.Array:
    """xxh3-128 of each text, from Arrow's own bytes: a Python object for each would cost more than its hash."""
    _, buffer, data = texts.buffers()
    offsets = np.frombuffer(buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1].tolist()
    view = memoryview(data or b"")
    digests = b"".join([xxhash.xxh3_128_digest(view[start:end]) for start, end in pairwise(offsets)])
    return pa.FixedSizeBinaryArray.from_buffers(ID, len(texts), [None, pa.py_buffer(digests)])


def _large(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _between(first: str, texts: pa.LargeStringArray, last: str) -> pa.LargeStringArray:
    return pc.binary_join_element_wise(_large(first), texts, _large(last), _large(""))


def _as_json(column: pa.Array | pa.ChunkedArray) -> pa.LargeStringArray:
    """Each value of a column as ``json.dumps(value, ensure_ascii=False)`` writes it."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(values.type):
        return _lists_as_json(values)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _quoted(values)
    encoded = pc.dictionary_encode(values, null_encoding="encode")
    texts = pa.array([json.dumps(value) for value in encoded.dictionary.to_pylist()], pa.large_string())
    return texts.take(encoded.indices)


def _lists_as_json(lists: pa.ListArray) -> pa.LargeStringArray:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    items = _quoted(pc.list_flatten(lists))
    if not len(items):
        written = pa.repeat(_large("[]"), len(lists))
    elif np.all(lengths == 1):
        written = _between("[", items, "]")
    else:
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
        written = _between("[", pc.binary_join(pa.LargeListArray.from_arrays(offsets, items), _large(", ")), "]")
    return pc.if_else(lists.is_valid(), written, _large("null")) if lists.null_count else written


#: Characters with an escape of their own in JSON that texts hold, the backslash first; and RE2 for the others.
_ESCAPES = (("\\", r"\\"), ('"', r"\""), ("\n", r"\n"))
_RARE_ESCAPES = r"[\x00-\x09\x0b-\x1f]"


def _quoted(texts: pa.Array) -> pa.LargeStringArray:
    """Strings of JSON; null for null."""
    plain = texts.cast(pa.large_string())
    escapes = pc.fill_null(pc.match_substring_regex(plain, r'["\\\x00-\x1f]'), False)
    if pc.any(escapes).as_py():
        plain = pc.replace_with_mask(plain, escapes, _escaped(plain.filter(escapes)))
    quoted = _between('"', plain, '"')
    return pc.fill_null(quoted, _large("null")) if quoted.null_count else quoted


def _escaped(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Texts, none of them null, as they stand between the quotes of JSON: as ``encode_basestring`` writes them."""
    written = texts
    for character, escape in _ESCAPES:
        written = pc.replace_substring(written, character, escape)
    rare = pc.match_substring_regex(texts, _RARE_ESCAPES)
    if not pc.any(rare).as_py():
        return written
    others = [encode_basestring(text)[1:-1] for text in texts.filter(rare).to_pylist()]
    return pc.replace_with_mask(written, rare, pa.array(others, pa.large_string()))


_ADDRESSED = [
    pa.field("hash", ID, nullable=False),
    pa.field("part", pa.int64(), nullable=False),
    pa.field("row", pa.int32(), nullable=False),
    pa.field("field", pa.string(), nullable=False),
    pa.field("element", pa.int32(), nullable=False),
    pa.field("score", pa.float32(), nullable=False),
    pa.field("rank", pa.int32(), nullable=False),
]

#: What mine found for a row: its own address, and the addresses, scores and ranks of its positives and negatives.
#: The score is the teacher's cosine (NaN where no teacher was asked), the rank 0-based (-1 for what was given, -2 for
#: what was drawn at random to fill the row up).
MINED = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("id", ID, nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("cluster_id", ID),
        pa.field("positives", pa.list_(pa.struct(_ADDRESSED)), nullable=False),
        pa.field("negatives", pa.list_(pa.struct(_ADDRESSED)), nullable=False),
    ]
)
