"""Small pieces that the stages' graphs share: typed tagged outputs, and the manifest at the end."""

from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.flow.accounting import SumCounts, WriteStageManifest
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG, same

Keyed = PCollection[tuple[int, pa.RecordBatch]]


def batches(tagged: PCollection[Any], label: str, key: type = int) -> Keyed:
    """A tagged output with its type: without one the batches in it would be pickled."""
    kind = beam.typehints.KV[key, pa.RecordBatch]
    typed: Keyed = tagged | label >> beam.Map(same).with_output_types(kind)
    return typed


def write_manifest(
    counted: Sequence[Any], filed: Sequence[Any], folder: str, datasets: Iterable[str], facts: dict[str, Any]
) -> None:
    """Sum the counts and gather the file records of a stage's steps, and write its manifest after all of them."""
    counts = [
        step[COUNTS_TAG] | f"Counts {i}" >> beam.Map(same).with_output_types(tuple[str, int])
        for i, step in enumerate(counted)
    ]
    totals = counts | "Counts" >> beam.Flatten() | "Sum" >> SumCounts()
    records = file_records(filed, "Files")
    (totals, records) | "Manifest" >> WriteStageManifest(folder, datasets, facts)


def file_records(filed: Sequence[Any], label: str) -> PCollection[str]:
    """The file records of some steps, together."""
    files = [step[FILES_TAG] | f"{label} {i}" >> beam.Map(same).with_output_types(str) for i, step in enumerate(filed)]
    records: PCollection[str] = files | label >> beam.Flatten()
    return records
