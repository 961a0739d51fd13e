"""Passages of evaluation corpora that training datasets hold too: reported, never removed, since they are public texts.

Both sides travel as hashes of the form for matching to the range of the hash, where they meet; no corpus is ever held.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from apache_beam.pvalue import PCollection

from schemas.evaluation import PASSAGES
from transforms.duplicates.scopes import mixed
from transforms.flow.batches import by_partition, partitions_of
from transforms.flow.counts import Count, overlap_count
from transforms.flow.files import read_parquet
from transforms.flow.overlapping import OverlappingDoFn
from transforms.flow.tagged import COUNTS, KEYED_BATCHES, typed
from transforms.leaks.evaluation_sightings import (
    CORPUS,
    POSITIVES,
    SIGHTINGS,
    CountSightings,
    distinct,
    sightings_by_range,
)
from transforms.leaks.evaluation_texts import read_passages
from transforms.sources.units import Unit
from transforms.text.matching import matching_forms, text_hashes

COUNTS_TAG = "counts"

_TEXT = [pa.field("high", pa.uint64(), nullable=False), pa.field("low", pa.uint64(), nullable=False)]
#: A text of a training dataset, by its hash, and where it stands.
TRAINING_KEYS = pa.schema(
    [*_TEXT, pa.field("dataset", pa.string(), nullable=False), pa.field("kind", pa.string(), nullable=False)]
)
#: A text by which a passage of an evaluation corpus is known, and the passage (two words that stand for its address).
PASSAGE_KEYS = pa.schema(
    [
        *_TEXT,
        pa.field("evaluation_set", pa.string(), nullable=False),
        pa.field("passage_high", pa.uint64(), nullable=False),
        pa.field("passage_low", pa.uint64(), nullable=False),
    ]
)

Keyed = tuple[int, pa.RecordBatch]


@dataclass(frozen=True, kw_only=True)
class PassageSpec:
    """What looking for passages needs to know.

    ``units``: of the evaluation sets' corpora. ``folder``: of the stage, below which the training rows' files lie.
    """

    units: Sequence[str]
    folder: str
    num_partitions: int

    @property
    def checks(self) -> bool:
        """Whether there is a corpus to look for."""
        return bool(self.units)


def training_keys(texts: pa.Array, datasets: pa.Array, kind: str) -> pa.Table:
    """TRAINING_KEYS of some texts, each once; texts that say nothing have none."""
    forms = matching_forms(texts)
    words = text_hashes(forms)
    kinds = pa.array([kind] * len(forms), pa.string())
    keys = pa.table([pa.array(words[:, 0]), pa.array(words[:, 1]), datasets, kinds], schema=TRAINING_KEYS)
    return distinct(keys.filter(pc.greater(pc.binary_length(forms), 0)), TRAINING_KEYS.names)


def passage_keys(unit: Unit, numbers: pa.Array, known: Sequence[pa.Array]) -> pa.Table:
    """PASSAGE_KEYS of a batch of passages, one for each text by which one is known."""
    file = np.uint64(xxhash.xxh3_64_intdigest(unit.file.encode()))
    passages = pa.array(mixed(numbers.to_numpy(zero_copy_only=False).astype(np.uint64) + file))
    tables = []
    for texts in known:
        forms = matching_forms(texts)
        words = text_hashes(forms)
        names = pa.array([unit.dataset] * len(forms), pa.string())
        files = pa.array(np.full(len(forms), file))
        columns = [pa.array(words[:, 0]), pa.array(words[:, 1]), names, passages, files]
        tables.append(pa.table(columns, schema=PASSAGE_KEYS).filter(pc.greater(pc.binary_length(forms), 0)))
    return pa.concat_tables(tables)


def match_passages(training: pa.Table, passages: pa.Table) -> pa.Table:
    """SIGHTINGS of evaluation passages in training datasets; all keys of a range are there."""
    once = distinct(training, TRAINING_KEYS.names)
    met = passages.join(once, keys=["high", "low"], join_type="inner")
    columns = ["passage_high", "passage_low", "dataset", "evaluation_set", "kind"]
    return distinct(met.select(columns).rename_columns(SIGHTINGS.names).cast(SIGHTINGS), SIGHTINGS.names)


def _by_text(keys: pa.Table, num_partitions: int) -> Iterator[Keyed]:
    yield from by_partition(keys, partitions_of(keys.column("high").to_numpy(), num_partitions))


@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class KeyTrainingTexts(OverlappingDoFn):
    """The record of a file -> keys of the positives of kept rows, or of the passages that mining may draw on."""

    def __init__(self, spec: PassageSpec) -> None:
        self._spec = spec

    def work(self, element: str) -> Iterator[Keyed]:
        record = json.loads(element)
        if not self._spec.checks or record["kind"] not in ("kept", "corpus"):
            return
        path = f"{self._spec.folder}/{record['path']}"
        keys = _positive_keys(path) if record["kind"] == "kept" else _corpus_keys(path)
        yield from _by_text(keys, self._spec.num_partitions)


def _positive_keys(path: str) -> pa.Table:
    """Keys of positives; a row without any is a labelled one, whose own text becomes a positive of its class."""
    rows = read_parquet(path, ["dataset", "query", "positives"]).combine_chunks()
    lists = rows.column("positives").combine_chunks()
    datasets = rows.column("dataset").combine_chunks()
    alone = rows.filter(pc.equal(pc.list_value_length(lists), 0))
    texts = pa.chunked_array([lists.flatten(), *alone.column("query").chunks])
    names = pa.chunked_array([datasets.take(pc.list_parent_indices(lists)), *alone.column("dataset").chunks])
    return training_keys(texts.combine_chunks(), names.combine_chunks(), POSITIVES)


def _corpus_keys(path: str) -> pa.Table:
    rows = read_parquet(path, ["dataset", "text", "sampled"])
    drawn = rows.filter(rows.column("sampled"))
    return training_keys(drawn.column("text").combine_chunks(), drawn.column("dataset").combine_chunks(), CORPUS)


@beam.typehints.with_input_types(str)
class KeyPassages(OverlappingDoFn):
    """A unit of an evaluation corpus -> keys of its passages; tagged: how many there are."""

    def __init__(self, num_partitions: int) -> None:
        self._num_partitions = num_partitions

    def work(self, element: str) -> Iterator[Any]:
        unit, passages = Unit.from_json(element), 0
        for numbers, known in read_passages(unit):
            passages += len(numbers)
            yield from _by_text(passage_keys(unit, numbers, known), self._num_partitions)
        yield beam.pvalue.TaggedOutput(COUNTS_TAG, overlap_count("", unit.dataset, PASSAGES, passages))


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class MatchPassages(beam.DoFn):
    """All keys of a range -> sightings of passages, by what was seen."""

    def __init__(self, num_partitions: int) -> None:
        self._num_partitions = num_partitions

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        batches = list(keyed[1])
        training = [batch for batch in batches if batch.schema.names == TRAINING_KEYS.names]
        passages = [batch for batch in batches if batch.schema.names == PASSAGE_KEYS.names]
        if training and passages:
            seen = match_passages(pa.Table.from_batches(training), pa.Table.from_batches(passages))
            yield from sightings_by_range(seen, self._num_partitions)


@dataclass(eq=False, kw_only=True)
class CountOverlap(beam.PTransform[Any, Any]):
    """(records of files, sightings of evaluation queries) -> counts by training dataset and evaluation set."""

    spec: PassageSpec

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: Any) -> PCollection[Count]:
        records, leaks = inputs
        num = self.spec.num_partitions
        training = records | "Key training texts" >> beam.ParDo(KeyTrainingTexts(self.spec))
        units = records.pipeline | "Corpora" >> beam.Create(self.spec.units, reshuffle=False).with_output_types(str)
        passages = (
            units
            | "Spread corpora" >> beam.Reshuffle()
            | "Key passages" >> beam.ParDo(KeyPassages(num)).with_outputs(COUNTS_TAG, main="keys")
        )
        keys = typed(passages["keys"], KEYED_BATCHES)
        seen = (
            (training, keys)
            | "Texts" >> beam.Flatten()
            | "By text" >> beam.GroupByKey()
            | "Match" >> beam.ParDo(MatchPassages(num))
        )
        counts = (
            (seen, leaks)
            | "Sightings" >> beam.Flatten()
            | "By what was seen" >> beam.GroupByKey()
            | "Count" >> beam.ParDo(CountSightings())
        )
        sizes = typed(passages[COUNTS_TAG], COUNTS)
        both: PCollection[Count] = (counts, sizes) | "Overlap" >> beam.Flatten()
        return both
