"""Arrow schemas of everything that stands in a file or travels between steps, and the ids of rows.

An id is the xxh3-128 of what the row says (dataset, texts, label, score), never of where it came from, so that the same
row has the same id whatever the order, the names and the number of its source files.
"""

import json
from collections.abc import Iterable

import pyarrow as pa
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

#: A row of ``<OUT>/rejections/<dataset>/*.parquet``. ``id`` is null for rows that never became examples; ``kept_id`` is
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
    columns = [rows.column(name).to_pylist() for name in names]
    encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder for every row
    return pa.array([xxhash.xxh3_128_digest(encode(values).encode()) for values in zip(*columns, strict=True)], type=ID)


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
#: The score is the teacher's cosine (NaN where no teacher was asked), the rank 0-based (-1 for what was given).
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
