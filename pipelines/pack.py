"""pack: mined rows fetch their texts and become sorted shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipelines.wiring import batches, write_manifest
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.shards.writing import (
    TO_SHARDS_TAG,
    AskForTexts,
    FetchTexts,
    JoinPieces,
    PackSpec,
    WritePiece,
    WriteShard,
    every_range,
    nothing_for,
)


@dataclass(frozen=True, kw_only=True)
class PackJob:
    """Everything that the pack pipeline is built from; ``parts`` are the numbers of mined parts.

    ``datasets`` also names those of which no row is left; they have no place in ``pack`` and are counted all the same.
    """

    parts: Sequence[str]
    datasets: Sequence[str]
    pack: PackSpec
    facts: dict[str, Any]


def build(pipeline: beam.Pipeline, job: PackJob) -> None:
    """Add the whole pack stage to a pipeline."""
    asked = (
        pipeline
        | "Mined parts" >> beam.Create(job.parts).with_output_types(str)
        | "Spread parts" >> beam.Reshuffle()
        | "Ask for texts" >> beam.ParDo(AskForTexts(job.pack)).with_outputs(TO_SHARDS_TAG, COUNTS_TAG, main="requests")
    )
    fetched = (
        batches(asked["requests"]) | "By part" >> beam.GroupByKey() | "Fetch texts" >> beam.ParDo(FetchTexts(job.pack))
    )
    all_shards = (
        pipeline
        | "All shards" >> beam.Create(every_range(job.pack.places)).with_output_types(str)
        | "Even empty ones" >> beam.FlatMap(nothing_for).with_output_types(tuple[str, pa.RecordBatch])
    )
    ranges = (
        (batches(asked[TO_SHARDS_TAG], str), fetched, all_shards)
        | "For shards" >> beam.Flatten()
        | "By shard" >> beam.GroupByKey()
    )
    write: beam.DoFn = WriteShard(job.pack)
    if any(place.num_pieces > 1 for place in job.pack.places.values()):
        write = JoinPieces(job.pack)
        ranges = ranges | "Write pieces" >> beam.ParDo(WritePiece(job.pack)) | "Pieces by shard" >> beam.GroupByKey()
    written = ranges | "Write shards" >> beam.ParDo(write).with_outputs(COUNTS_TAG, FILES_TAG, main="none")
    write_manifest([asked, written], [written], job.pack.folder, job.datasets, job.facts)
