"""Around the encoder: which texts the store lacks, in which order they are encoded, and where the vectors go."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from transforms.examples.read_rows import COUNTS_TAG, FILES_TAG
from transforms.flow import progress
from transforms.flow.batches import by_partition, first_words, partitions_of, split_batches
from transforms.flow.counts import DISTINCT, KEPT, READ, count
from transforms.flow.manifests import FileRecord
from transforms.flow.parts import read_part
from transforms.text.part_texts import Prompts, texts_of_corpus, texts_of_rows
from transforms.vectors.vector_store import read_vectors, stored_files, unique_by, vector_schema, write_vectors

#: A text to be encoded: its key in the store, the dataset that counts it, and what the teacher sees (prompt and text).
TO_ENCODE = pa.schema(
    [
        pa.field("key", pa.binary(16), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """Where prepared rows lie, which datasets are mined, and how their texts reach the teacher.

    ``kept`` and ``corpus`` are folders of parts; ``mined`` names the datasets that get teacher scores at all.
    """

    kept: str
    corpus: str
    mined: frozenset[str]
    prompts: Prompts
    store: str
    dims: int
    num_store_partitions: int
    progress: str | None


def part_element(kind: str, part: int) -> str:
    """A part as it travels to its reader: ``kept`` or ``corpus`` and its number."""
    return f"{kind}\t{part}"


def read_texts(spec: TextSpec, element: str) -> tuple[str, int, pa.Table, pa.Table]:
    """``(kind, part, rows, texts)`` of a part: its rows as they rest, and its texts (TEXT_ROWS) of mined datasets."""
    kind, number = element.split("\t")
    part = int(number)
    if kind == "corpus":
        passages = read_part(spec.corpus, part)
        return kind, part, passages, _of_mined(texts_of_corpus(passages, part, spec.prompts), spec)
    rows = read_part(spec.kept, part)
    return kind, part, rows, _of_mined(texts_of_rows(rows, part, spec.prompts), spec)


def _of_mined(texts: pa.Table, spec: TextSpec) -> pa.Table:
    return texts.filter(pc.is_in(texts.column("dataset"), pa.array(sorted(spec.mined), pa.string())))


@beam.typehints.with_input_types(str)
class GatherTexts(beam.DoFn):
    """A part -> its distinct texts by range of keys, and counts: embed keeps every row it reads."""

    def __init__(self, spec: TextSpec) -> None:
        self._spec = spec

    def process(self, element: str) -> Iterator[Any]:
        kind, _, rows, texts = read_texts(self._spec, element)
        if kind == "kept":
            for item in pc.value_counts(rows.column("dataset")).to_pylist():
                yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], READ, item["counts"]))
                yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], KEPT, item["counts"]))
            progress.report(self._spec.progress, read=rows.num_rows, kept=rows.num_rows)
        seen = pc.binary_join_element_wise(texts.column("prompt"), texts.column("text"), "")
        wanted = pa.table([texts.column("key"), texts.column("dataset"), seen], schema=TO_ENCODE)
        distinct = _each_once(wanted)
        progress.report(self._spec.progress, texts_expected=distinct.num_rows)
        partitions = partitions_of(first_words(distinct.column("key")), self._spec.num_store_partitions)
        yield from by_partition(distinct, partitions)


def _each_once(texts: pa.Table) -> pa.Table:
    """Each text once, in the order of keys, with the first by name of the datasets that hold it."""
    return unique_by(texts.sort_by([("key", "ascending"), ("dataset", "ascending")]), "key")


def to_encode(spec: TextSpec, partition: int, texts: pa.Table) -> tuple[pa.Table, pa.Table]:
    """``(distinct texts of a partition, those of them that the store lacks)``, the latter in canonical order.

    The order (length in bytes, which across scripts is nearer to tokens than characters are; then key) makes the
    batches, with them the padding and with it the floating point, independent of how texts arrived. The dataset that
    counts a text is the first by name of those that hold it.
    """
    distinct = _each_once(texts)
    known = read_vectors(spec.store, partition, spec.num_store_partitions, spec.dims, ["key"]).column("key")
    lacking = distinct.filter(pc.invert(pc.is_in(distinct.column("key"), value_set=known.combine_chunks())))
    lengths = pc.binary_length(lacking.column("text"))
    ordered = lacking.append_column("length", lengths).sort_by([("length", "ascending"), ("key", "ascending")])
    return distinct, ordered.drop_columns("length")


class EncodePartition(beam.DoFn):
    """All texts of a range of keys -> vectors in the store for those that it lacks.

    ``encode`` takes a list of texts to their packed 16-bit vectors, ``fixed_size_binary(2 * dims)``; it is given by the
    pipeline, since only ``mining`` knows models. The records name every file of the store that holds a text of the
    range, so that one that is missing later is missed.
    """

    def __init__(self, spec: TextSpec, encode: Any, block: int = 128) -> None:
        self._spec, self._encode, self._block = spec, encode, block

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        partition, batches = keyed
        spec = self._spec
        texts = pa.Table.from_batches(list(batches), schema=TO_ENCODE)
        distinct, lacking = to_encode(spec, partition, texts)
        progress.report(spec.progress, texts_expected=lacking.num_rows - texts.num_rows)
        for item in pc.value_counts(distinct.column("dataset")).to_pylist():
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], DISTINCT, item["counts"]))
        vectors = [self._vectors(block) for block in split_batches(lacking, self._block)]
        if vectors:
            table = pa.concat_tables(vectors).sort_by("key")
            write_vectors(spec.store, partition, spec.num_store_partitions, table)
        for name, rows in stored_files(spec.store, partition, spec.num_store_partitions):
            record = FileRecord(kind="vectors", path=name, rows=rows)
            yield beam.pvalue.TaggedOutput(FILES_TAG, record.to_json())

    def _vectors(self, texts: pa.RecordBatch) -> pa.Table:
        vectors = self._encode(texts.column("text").to_pylist())
        progress.report(self._spec.progress, texts=texts.num_rows)
        return pa.table([texts.column("key"), vectors], schema=vector_schema(self._spec.dims))
