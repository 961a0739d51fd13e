"""What mining reads: queries with what is known about them, and the pool of passages of their dataset, both with
vectors.

Hashes and addresses go to the range of the store that holds their vectors, take them there, and travel on to
(dataset, pool shard) keys. Texts stay where they rest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from schemas.rows import ID, MINED, TEXTS, text_hash
from schemas.vectors import vector_schema
from transforms.flow import progress
from transforms.flow.batches import by_partition, first_words, partitions_of, split_batches
from transforms.flow.counts import KEPT, READ, count
from transforms.flow.manifests import FileRecord
from transforms.flow.parts import DECISIONS, write_part
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.text.part_texts import AS_PASSAGE, AS_QUERY, NEGATIVES, POSITIVES, cluster_hashes
from transforms.vectors.embedding import TextSpec, read_texts
from transforms.vectors.near_passages import NEAR
from transforms.vectors.vector_store import is_unreadable, read_vectors

_HASHES = pa.list_(ID)

#: Rows that ask, and the texts that they name, by part.
ROWS_TAG = "rows"
#: Decisions on rows that mining refuses, by part.
REFUSED_TAG = "refused"

#: A row that asks: its id and address, the hash and the store key of its query, and the hashes of what it was given.
ASKING = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("key", ID, nullable=False),
        pa.field("query_hash", ID, nullable=False),
        pa.field("id", ID, nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("positives", _HASHES, nullable=False),
        pa.field("negatives", _HASHES, nullable=False),
        pa.field("label", pa.string()),
        pa.field("other_labels", TEXTS),
        pa.field("cluster", ID, nullable=False),
        pa.field("language", pa.string()),
    ]
)

#: A passage that may be found: hash, store key, label, cluster (hash of its form for matching), the language of the row
#: that it stands in, and the text's address.
FINDABLE = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("key", ID, nullable=False),
        pa.field("text_hash", ID, nullable=False),
        pa.field("label", pa.string()),
        pa.field("other_labels", TEXTS),
        pa.field("cluster", ID, nullable=False),
        pa.field("language", pa.string()),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("element", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """Texts of the run, the number of pool shards of each dataset, and the folder of the mine stage."""

    texts: TextSpec
    num_shards: Mapping[str, int]
    folder: str


def asking(rows: pa.Table, texts: pa.Table, part: int) -> pa.Table:
    """The rows of mined datasets as ASKING."""
    queries = texts.filter(pc.equal(texts.column("role"), AS_QUERY))
    numbers = queries.column("row")
    chosen = rows.take(numbers)
    columns = {
        "dataset": queries.column("dataset"),
        "key": queries.column("key"),
        "query_hash": queries.column("hash"),
        "id": chosen.column("id"),
        "part": pa.array(np.full(len(numbers), part)),
        "row": numbers,
        "positives": _hash_lists(chosen, texts, POSITIVES),
        "negatives": _hash_lists(chosen, texts, NEGATIVES),
        "label": chosen.column("label"),
        "other_labels": chosen.column("other_labels"),
        "cluster": cluster_hashes(queries.column("text")),
        "language": chosen.column("language"),
    }
    return pa.table([columns[name] for name in ASKING.names], schema=ASKING)


def _hash_lists(rows: pa.Table, texts: pa.Table, field: str) -> pa.ListArray:
    """Hashes of a list field's texts, in lists as the rows have them (texts come in the order of rows)."""
    lengths = pc.fill_null(pc.list_value_length(rows.column(field)), 0).to_numpy()
    offsets = pa.array(np.r_[0, np.cumsum(lengths)], pa.int32())
    hashes = texts.filter(pc.equal(texts.column("field"), field)).column("hash").combine_chunks()
    return pa.ListArray.from_arrays(offsets, hashes)


def findable(rows: pa.Table, texts: pa.Table) -> pa.Table:
    """The passages among a part's texts as FINDABLE; a text of a row brings the row's label and language."""
    passages = texts.filter(pc.equal(texts.column("role"), AS_PASSAGE))
    labelled = {
        field.name: rows.column(field.name).take(passages.column("row"))
        if field.name in rows.schema.names
        else pa.nulls(passages.num_rows, field.type)
        for field in (FINDABLE.field("label"), FINDABLE.field("other_labels"), FINDABLE.field("language"))
    }
    columns = (
        {name: passages.column(name) for name in ("dataset", "key", "part", "row", "field", "element")}
        | {
            "text_hash": passages.column("hash"),
            "cluster": cluster_hashes(passages.column("text")),
        }
        | labelled
    )
    return pa.table([columns[name] for name in FINDABLE.names], schema=FINDABLE)


def unmined(rows: pa.Table, part: int, chosen: pa.Array) -> pa.Table:
    """Rows whose dataset is not mined, as MINED: what they were given, without scores."""
    kept = rows.take(chosen)
    columns: dict[str, Any] = {
        "dataset": kept.column("dataset"),
        "id": kept.column("id"),
        "part": pa.array(np.full(len(chosen), part)),
        "row": chosen.cast(pa.int32()),
        "cluster_id": cluster_hashes(kept.column("query")),
    } | {field: _given(kept, part, chosen, field) for field in (POSITIVES, NEGATIVES)}
    return pa.table([columns[name] for name in MINED.names], schema=MINED)


def _given(rows: pa.Table, part: int, numbers: pa.Array, field: str) -> pa.Array:
    lists = []
    for number, texts in zip(numbers.to_pylist(), rows.column(field).to_pylist(), strict=True):
        address = {"part": part, "row": number, "field": field, "score": float("nan"), "rank": -1}
        lists.append([address | {"hash": text_hash(text), "element": i} for i, text in enumerate(texts)])
    return pa.array(lists, MINED.field(field).type)


@beam.typehints.with_input_types(str)
class GatherPools(beam.DoFn):
    """A part -> rows that ask and passages that may be found, by range of store keys. Rows of datasets that are not
    mined are written as they are (files and counts are tagged)."""

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec

    def process(self, element: str) -> Iterator[Any]:
        kind, part, rows, texts = read_texts(self._spec.texts, element)
        if kind == "kept":
            yield from self._count(rows)
            yield from self._pass_unmined(rows, part)
            yield from self._by_key(asking(rows, texts, part))
        yield from self._by_key(findable(rows, texts))

    def _count(self, rows: pa.Table) -> Iterator[Any]:
        own = rows.column("dataset").filter(self._spec.texts.own(rows))
        progress.report(self._spec.texts.progress, read=len(own))
        for item in pc.value_counts(own).to_pylist():
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], READ, item["counts"]))

    def _pass_unmined(self, rows: pa.Table, part: int) -> Iterator[Any]:
        mined = pc.is_in(rows.column("dataset"), pa.array(sorted(self._spec.texts.mined), pa.string()))
        chosen = pa.array(np.flatnonzero(~mined.to_numpy()))
        if len(chosen):
            yield from publish_mined(self._spec, unmined(rows, part, chosen))

    def _by_key(self, rows: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
        yield from by_partition(
            rows, partitions_of(first_words(rows.column("key")), self._spec.texts.num_store_partitions)
        )


def publish_mined(spec: PoolSpec, mined: pa.Table) -> Iterator[Any]:
    """Write mined rows of one dataset as a part; gives its record and the rows kept, as tagged outputs."""
    part = write_part(f"{spec.folder}/mined", mined)
    progress.report(spec.texts.progress, kept=mined.num_rows)
    dataset = mined.column("dataset")[0].as_py()
    record = FileRecord(kind="mined", path=f"mined/{part:016x}.parquet", rows=mined.num_rows, dataset=dataset)
    yield beam.pvalue.TaggedOutput(FILES_TAG, record.to_json())
    for item in pc.value_counts(mined.column("dataset")).to_pylist():
        yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], KEPT, item["counts"]))


def refuse_unreadable(asking: pa.Table, texts: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """``(rows that ask, texts, decisions)`` of a part: a row goes (DECISIONS) with a text that has no vector."""
    bad_queries, bad_texts = (table.filter(is_unreadable(table["vector"])) for table in (asking, texts))
    fields = {row: f"its {field}" for row, field in zip(*_rows_and_fields(bad_texts), strict=True)}
    fields |= dict.fromkeys(bad_queries.column("row").to_pylist(), "its query")
    rows = pa.array(sorted(fields), pa.int32())
    decisions = {
        "row": rows,
        "reason": pa.array([RejectReason.UNREADABLE_TEXT.value] * len(rows), pa.string()),
        "detail": pa.array([f"the teacher cannot read {fields[row]}" for row in sorted(fields)], pa.string()),
        "kept_id": pa.nulls(len(rows), ID),
    }
    stay = pc.invert(pc.is_in(asking.column("row"), value_set=rows))
    return asking.filter(stay), texts.filter(pc.invert(is_unreadable(texts["vector"]))), pa.table(decisions, DECISIONS)


def _rows_and_fields(texts: pa.Table) -> tuple[list[int], list[str]]:
    """Of a row with several such texts the last line counts, so that positives are named before negatives."""
    ordered = texts.sort_by([("row", "ascending"), ("field", "ascending"), ("element", "descending")])
    return ordered.column("row").to_pylist(), ordered.column("field").to_pylist()


def attach_vectors(rows: pa.Table, vectors: pa.Table) -> pa.Table:
    """Add each row's vector by its key. Raises AssertionError where the store lacks one: embed must have run before."""
    positions = pc.index_in(rows.column("key"), value_set=vectors.column("key").combine_chunks())
    if positions.null_count:
        raise AssertionError(f"the vector store lacks {positions.null_count} of {rows.num_rows} texts")
    return rows.append_column("vector", vectors.column("vector").take(positions))


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class AttachVectors(beam.DoFn):
    """All of a range of store keys -> passages, with the cluster that they are near-duplicates of (``near``), for the
    pool shard that they are in; rows that ask, and the texts that rows name, for the part that they stand in (tagged
    ``ROWS_TAG``).

    Texts of one cluster and their near-duplicates lie in one shard, so that they are seen together.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        partition, batches = keyed[0], list(keyed[1])
        texts = self._spec.texts
        vectors = read_vectors(texts.store, partition, texts.num_store_partitions, texts.dims)
        asking, findable = (
            attach_vectors(
                pa.Table.from_batches([b for b in batches if b.schema.names == schema.names], schema=schema), vectors
            )
            for schema in (ASKING, FINDABLE)
        )
        named = findable.filter(pc.is_in(findable.column("field"), pa.array([POSITIVES, NEGATIVES])))
        for rows in (asking, named):
            for pair in by_partition(rows, rows.column("part").to_numpy()):
                yield beam.pvalue.TaggedOutput(ROWS_TAG, pair)
        near = pa.Table.from_batches([batch for batch in batches if "near" in batch.schema.names], schema=NEAR)
        yield from self._to_shards(findable.filter(pc.invert(is_unreadable(findable["vector"]))), near)

    def _to_shards(self, passages: pa.Table, near: pa.Table) -> Iterator[tuple[str, pa.RecordBatch]]:
        for dataset in sorted(pc.unique(passages.column("dataset")).to_pylist()):
            chosen, copies = (t.filter(pc.equal(t.column("dataset"), dataset)) for t in (passages, near))
            places = pc.index_in(chosen.column("key"), value_set=copies.column("key").combine_chunks())
            chosen = chosen.append_column(NEAR.field("near").with_nullable(True), copies.column("near").take(places))
            groups = pc.coalesce(chosen.column("near"), chosen.column("cluster"))
            shards = partitions_of(first_words(groups), self._spec.num_shards[dataset])
            for shard, batch in by_partition(chosen, shards):
                yield f"{dataset}\t{shard}", batch


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class ScoreRows(beam.DoFn):
    """All rows of a part that ask and the texts that they name -> the rows with the scores of these, for every pool
    shard of their dataset. ``score`` (from ``mining``) takes queries and texts, both with vectors. Rows with a text
    that the teacher could not read leave as decisions of their part (tagged ``REFUSED_TAG``).
    """

    def __init__(self, spec: PoolSpec, score: Callable[[pa.Table, pa.Table], pa.Table]) -> None:
        self._spec, self._score = spec, score

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        batches = list(keyed[1])
        asking = pa.Table.from_batches([batch for batch in batches if "query_hash" in batch.schema.names])
        named = [batch for batch in batches if "text_hash" in batch.schema.names]
        texts = pa.Table.from_batches(named) if named else attached(FINDABLE, self._spec.texts.dims).empty_table()
        asking, texts, decisions = refuse_unreadable(asking, texts)
        for batch in split_batches(decisions):
            yield beam.pvalue.TaggedOutput(REFUSED_TAG, (keyed[0], batch))
        for dataset in sorted(pc.unique(asking.column("dataset")).to_pylist()):
            rows, own = (t.filter(pc.equal(t.column("dataset"), dataset)) for t in (asking, texts))
            searches = rows.num_rows * self._spec.num_shards[dataset]
            progress.report(self._spec.texts.progress, searches_expected=searches)
            for batch in split_batches(self._score(rows, own)):
                yield from ((f"{dataset}\t{shard}", batch) for shard in range(self._spec.num_shards[dataset]))


def attached(schema: pa.Schema, dims: int) -> pa.Schema:
    """A schema with the vector of each row."""
    return schema.append(vector_schema(dims).field("vector"))
