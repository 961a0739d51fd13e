"""Shards: rows, their positives and their negatives come together under (dataset, shard) keys, are sorted and written.

Which shard a row belongs to follows from its id and from the number of rows of its dataset, never from workers. Texts
travel here for the first time since they were read: each mined row asks the parts that hold its texts for them.

Some engines hold all that comes together under one key in memory, more than once. For them a shard is put together of
pieces: ranges of ids under keys of their own, which rest as files until a worker joins them. The bytes are the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import ID, MINED, SHARD
from transforms.flow import progress
from transforms.flow.batches import by_partition, first_words
from transforms.flow.counts import KEPT, READ, count
from transforms.flow.files import parquet_bytes, publish, sha256
from transforms.flow.manifests import FileRecord
from transforms.flow.parts import read_part, write_part
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.text.part_texts import NEGATIVES, POSITIVES, QUERY, TEXT

TO_SHARDS_TAG = "to shards"
#: Folder of a stage's pieces of shards, until it ends.
PIECES = "pieces"

#: A mined row asks a part for a text (``slot`` p or n, ``position`` in its list) or for the row itself (slot ``row``).
REQUESTS = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("id", ID, nullable=False),
        pa.field("slot", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("element", pa.int32(), nullable=False),
    ]
)
ROW = "row"

#: The answer to a request for a text.
ANSWERS = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("slot", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)

#: The answer to a request for a row: what a shard takes over from it as it is.
BODIES = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("instruction", pa.string()),
        pa.field("query", pa.string(), nullable=False),
        pa.field("label", pa.string()),
    ]
)


#: A piece of a shard that rests as a part: its range of ids among those of its dataset, and the part.
RESTING = pa.schema([pa.field("range", pa.int64(), nullable=False), pa.field("part", pa.int64(), nullable=False)])


@dataclass(frozen=True, kw_only=True)
class ShardPlace:
    """What the shards of a dataset share: their folder's first levels, the instruction, how many there are, and of how
    many pieces each is put together.
    """

    stage: str
    task_type: str
    instruction: str | None
    num_shards: int
    num_pieces: int = 1

    @property
    def num_ranges(self) -> int:
        """Ranges of ids that the dataset's rows come together in."""
        return self.num_shards * self.num_pieces

    def path(self, dataset: str, shard: int) -> str:
        """Path of a shard below OUT."""
        return f"{self.stage}/{self.task_type}/{dataset}/part-{shard:05d}-of-{self.num_shards:05d}.parquet"


@dataclass(frozen=True, kw_only=True)
class PackSpec:
    """Places of parts and shards, and for each dataset where its shards go."""

    mined: str
    kept: str
    corpus: str
    folder: str
    places: Mapping[str, ShardPlace]
    progress: str | None


def num_shards(rows: int, rows_per_shard: int) -> int:
    """Shards of a dataset: enough that none is expected to hold more than ``rows_per_shard`` rows, at least one."""
    return max(1, -(-rows // rows_per_shard))


def shard_keys(rows: pa.Table, places: Mapping[str, ShardPlace]) -> list[str]:
    """``dataset<TAB>range`` of each row: ids cut into as many ranges as the dataset has shards, or pieces of these."""
    words = first_words(rows.column("id"))
    datasets = rows.column("dataset").to_pylist()
    counts = np.array([places[dataset].num_ranges for dataset in datasets], dtype=np.uint64)
    numbers = ((words >> np.uint64(32)) * counts) >> np.uint64(32)
    return [f"{dataset}\t{number}" for dataset, number in zip(datasets, numbers.tolist(), strict=True)]


def requests(mined: pa.Table, shards: list[str]) -> pa.Table:
    """What mined rows ask for (REQUESTS plus the ``part`` that is asked)."""
    keyed = mined.append_column("shard", pa.array(shards, pa.string()))
    size = mined.num_rows
    own = pa.table(
        {
            "shard": keyed["shard"],
            "id": keyed["id"],
            "slot": pa.array([ROW] * size, pa.string()),
            "position": pa.array(np.zeros(size), pa.int32()),
            "row": keyed["row"],
            "field": pa.array([QUERY] * size, pa.string()),
            "element": pa.array(np.zeros(size), pa.int32()),
            "part": keyed["part"],
        }
    )
    asked = [own.cast(REQUESTS.append(pa.field("part", pa.int64())))]
    return pa.concat_tables([*asked, _text_requests(keyed, POSITIVES), _text_requests(keyed, NEGATIVES)])


def _text_requests(mined: pa.Table, field: str) -> pa.Table:
    lists = mined.column(field).combine_chunks()
    parents = pc.list_parent_indices(lists)
    flat = lists.flatten()
    starts = np.asarray(lists.offsets)[:-1] - lists.offsets[0].as_py()
    positions = np.arange(len(flat)) - starts[parents.to_numpy()]
    columns = [
        mined.column("shard").take(parents),
        mined.column("id").take(parents),
        pa.array([field] * len(flat), pa.string()),
        pa.array(positions, pa.int32()),
        *(flat.field(name) for name in ("row", "field", "element", "part")),
    ]
    return pa.table(columns, schema=REQUESTS.append(pa.field("part", pa.int64())))


def by_shard(rows: pa.Table, shards: pa.ChunkedArray) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Rows as keyed batches, one key for each shard among them."""
    encoded = shards.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    for number, batch in by_partition(rows, encoded.indices.to_numpy().astype(np.int64)):
        yield names[number], batch


@beam.typehints.with_input_types(str)
class AskForTexts(beam.DoFn):
    """A mined part -> requests by part; tagged: the mined rows themselves, by shard."""

    def __init__(self, spec: PackSpec) -> None:
        self._spec = spec

    def process(self, part: str) -> Iterator[Any]:
        mined = read_part(self._spec.mined, int(part))
        shards = shard_keys(mined, self._spec.places)
        for item in pc.value_counts(mined.column("dataset")).to_pylist():
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], READ, item["counts"]))
        progress.report(self._spec.progress, read=mined.num_rows)
        asked = requests(mined, shards)
        yield from by_partition(asked.drop_columns("part"), asked.column("part").to_numpy())
        for keyed in by_shard(mined, pa.chunked_array([pa.array(shards, pa.string())])):
            yield beam.pvalue.TaggedOutput(TO_SHARDS_TAG, keyed)


def answer(rows: pa.Table, asked: pa.Table) -> pa.Table:
    """Texts that were asked of a part's rows, as ANSWERS plus the ``shard`` that asked."""
    answered = []
    for field in pc.unique(asked.column("field")).to_pylist():
        of_field = asked.filter(pc.equal(asked.column("field"), field))
        values = rows.column(field).take(of_field.column("row")).combine_chunks()
        if field in (POSITIVES, NEGATIVES):
            values = values.flatten().take(
                pc.add(pa.array(_starts(values)), of_field.column("element").combine_chunks())
            )
        answered.append(of_field.select(["shard", "id", "slot", "position"]).append_column("text", values))
    return pa.concat_tables(answered)


def _starts(lists: pa.ListArray) -> np.ndarray:
    """Where each list begins in the flattened values."""
    offsets = np.asarray(lists.offsets)
    starts: np.ndarray = (offsets[:-1] - offsets[0]).astype(np.int32)
    return starts


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[str, pa.RecordBatch])
class FetchTexts(beam.DoFn):
    """Requests to a part -> the rows and texts that they asked for, by shard."""

    def __init__(self, spec: PackSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, pa.RecordBatch]]:
        part, batches = keyed
        asked = pa.Table.from_batches(list(batches), schema=REQUESTS)
        in_corpus = asked.column("field")[0].as_py() == TEXT
        columns = [TEXT] if in_corpus else ["id", "language", "instruction", QUERY, POSITIVES, NEGATIVES, "label"]
        rows = read_part(self._spec.corpus if in_corpus else self._spec.kept, part, columns)
        whole = asked.filter(pc.equal(asked.column("slot"), ROW))
        if whole.num_rows:
            bodies = rows.select(BODIES.names).take(whole.column("row"))
            yield from by_shard(bodies.cast(BODIES), whole.column("shard"))
        texts = asked.filter(pc.not_equal(asked.column("slot"), ROW))
        if texts.num_rows:
            answers = answer(rows, texts)
            yield from by_shard(answers.select(ANSWERS.names).cast(ANSWERS), answers.column("shard"))


def assemble(mined: pa.Table, bodies: pa.Table, answers: pa.Table, dataset: str, place: ShardPlace) -> pa.Table:
    """The rows of one shard (SHARD schema), sorted by id. Order-free in all three inputs."""
    mined = mined.sort_by("id")
    bodies = bodies.sort_by("id")
    size = mined.num_rows
    if bodies.column("id").to_pylist() != mined.column("id").to_pylist():
        raise AssertionError(f"shard of {dataset}: {bodies.num_rows} rows came for {size} mined rows")
    instructions = bodies.column("instruction")
    if place.instruction is not None:
        instructions = pc.fill_null(instructions, place.instruction)
    columns: dict[str, Any] = {
        "id": _hex(mined.column("id")),
        "dataset": pa.array([dataset] * size, pa.string()),
        "task_type": pa.array([place.task_type] * size, pa.string()),
        "instruction": instructions,
        "cluster_id": _hex(mined.column("cluster_id")),
    } | {name: bodies.column(name) for name in ("language", "query", "label")}
    for name, singular in ((POSITIVES, "positive"), (NEGATIVES, "negative")):
        lists = mined.column(name).combine_chunks()
        flat = lists.flatten()
        columns[name] = _lists(lists, _texts(answers, mined, name, dataset))
        columns[f"{singular}_scores"] = _lists(lists, flat.field("score"))
        columns[f"{singular}_ids"] = _lists(lists, _hex(flat.field("hash")))
        if name == NEGATIVES:
            columns["negative_ranks"] = _lists(lists, flat.field("rank"))
    return pa.table([columns[name] for name in SHARD.names], schema=SHARD)


def _texts(answers: pa.Table, mined: pa.Table, field: str, dataset: str) -> pa.Array:
    """The texts of a field in the order of the rows' lists. Raises AssertionError unless each came exactly once."""
    of_field = answers.filter(pc.equal(answers.column("slot"), field))
    ordered = of_field.sort_by([("id", "ascending"), ("position", "ascending")])
    wanted = mined.column("id").take(pc.list_parent_indices(mined.column(field).combine_chunks()))
    if not ordered.column("id").equals(wanted):
        raise AssertionError(
            f"shard of {dataset}: {ordered.num_rows} {field} came for {len(wanted)}, or for other rows"
        )
    return ordered.column("text").combine_chunks()


def _lists(like: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """Values as lists of the same lengths as another array's."""
    offsets = np.asarray(like.offsets)
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0], pa.int32()), values)


def _hex(hashes: pa.Array | pa.ChunkedArray) -> pa.Array:
    return pa.array([None if value is None else value.hex() for value in hashes.to_pylist()], pa.string())


def _come_together(batches: Iterable[pa.RecordBatch], dataset: str, place: ShardPlace) -> pa.Table:
    """The rows (SHARD) of all batches of one key."""
    rows: dict[pa.Schema, list[pa.RecordBatch]] = {schema: [] for schema in (MINED, BODIES, ANSWERS)}
    for batch in batches:
        next(found for schema, found in rows.items() if schema.names == batch.schema.names).append(batch)
    mined, bodies, answers = (pa.Table.from_batches(found, schema=schema) for schema, found in rows.items())
    return assemble(mined, bodies, answers, dataset, place)


def _write_shard(spec: PackSpec, dataset: str, shard: int, rows: pa.Table) -> Iterator[Any]:
    """Write a shard; gives its record and the rows kept, as tagged outputs."""
    data = parquet_bytes(rows)
    path = spec.places[dataset].path(dataset, shard)
    publish(f"{spec.folder}/{path}", data)
    progress.report(spec.progress, kept=rows.num_rows)
    record = FileRecord(kind="shards", path=path, rows=rows.num_rows, dataset=dataset, sha256=sha256(data))
    yield beam.pvalue.TaggedOutput(FILES_TAG, record.to_json())
    yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(dataset, KEPT, rows.num_rows))


@beam.typehints.with_input_types(tuple[str, Iterable[pa.RecordBatch]])
class WriteShard(beam.DoFn):
    """Everything of one (dataset, shard) key -> one file, its record and the rows kept."""

    def __init__(self, spec: PackSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[str, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        key, batches = keyed
        dataset, shard = key.split("\t")
        rows = _come_together(batches, dataset, self._spec.places[dataset])
        yield from _write_shard(self._spec, dataset, int(shard), rows)


@beam.typehints.with_input_types(tuple[str, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[str, pa.RecordBatch])
class WritePiece(beam.DoFn):
    """Everything of one (dataset, range) key -> a part, as RESTING under ``dataset<TAB>shard``."""

    def __init__(self, spec: PackSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[str, Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, pa.RecordBatch]]:
        key, batches = keyed
        dataset, number = key.split("\t")
        place = self._spec.places[dataset]
        part = write_part(f"{self._spec.folder}/{PIECES}", _come_together(batches, dataset, place))
        resting = {"range": [int(number)], "part": [part]}
        yield f"{dataset}\t{int(number) // place.num_pieces}", pa.RecordBatch.from_pydict(resting, schema=RESTING)


@beam.typehints.with_input_types(tuple[str, Iterable[pa.RecordBatch]])
class JoinPieces(beam.DoFn):
    """All pieces (RESTING) of one (dataset, shard) key -> one file, its record and the rows kept."""

    def __init__(self, spec: PackSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[str, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        key, batches = keyed
        dataset, shard = key.split("\t")
        resting = pa.Table.from_batches(batches, schema=RESTING).sort_by("range")
        if resting.num_rows != self._spec.places[dataset].num_pieces:
            raise AssertionError(f"shard {shard} of {dataset}: {resting.num_rows} pieces came")
        pieces = (read_part(f"{self._spec.folder}/{PIECES}", part) for part in resting.column("part").to_pylist())
        rows = pa.concat_tables([piece.cast(SHARD) for piece in pieces])
        yield from _write_shard(self._spec, dataset, int(shard), rows)


def every_range(places: Mapping[str, ShardPlace]) -> list[str]:
    """The key of every range, so that a shard without rows is written too and no number is missing."""
    return [f"{name}\t{i}" for name, place in sorted(places.items()) for i in range(place.num_ranges)]


def nothing_for(key: str) -> Iterator[tuple[str, pa.RecordBatch]]:
    """An empty batch under a range's key."""
    yield key, pa.RecordBatch.from_pylist([], schema=MINED)
