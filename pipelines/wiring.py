"""Small pieces that the stages' graphs share: typed tagged outputs, and the manifest at the end."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.flow.accounting import SumCounts, WriteStageManifest
from transforms.flow.tagged import COUNTS, COUNTS_TAG, FILES_TAG, typed

Keyed = PCollection[tuple[int, pa.RecordBatch]]


def batches(tagged: PCollection[Any], key: type = int) -> Keyed:
    """A tagged output of batches with its type."""
    return typed(tagged, beam.typehints.KV[key, pa.RecordBatch])


def on_accelerator(step: beam.ParDo, hint: str | None) -> Any:
    """The same ParDo, asking for machines with a GPU by Beam's resource hint where there is one.

    Only the runner that fetches machines is given hints: to others a step with a hint is one of another environment,
    which starts workers of its own.
    """
    return step.with_resource_hints(accelerator=hint) if hint else step


def write_manifest(
    counted: Sequence[Any], filed: Sequence[Any], folder: str, datasets: Iterable[str], facts: dict[str, Any]
) -> None:
    """Sum the counts and gather the file records of a stage's steps, and write its manifest after all of them."""
    counts = [typed(step[COUNTS_TAG], COUNTS) for step in counted]
    totals = counts | "Counts" >> beam.Flatten() | "Sum" >> SumCounts()
    records = file_records(filed, "Files")
    (totals, records) | "Manifest" >> WriteStageManifest(folder, datasets, facts)


#: What adds the steps of one teacher: gives those with counts, and those with file records.
AddSteps = Callable[[Any], tuple[Sequence[Any], Sequence[Any]]]


class Branch(beam.PTransform[Any, Any]):
    """The steps of one teacher of several, from the beginning of a pipeline to their counts and file records."""

    def __init__(self, add_steps: AddSteps) -> None:
        super().__init__()
        self._add_steps = add_steps

    def expand(self, begin: Any) -> Any:
        counted, filed = self._add_steps(begin)
        counts = [typed(step[COUNTS_TAG], COUNTS) for step in counted]
        return {
            COUNTS_TAG: typed(counts | "Counts" >> beam.Flatten(), COUNTS),
            FILES_TAG: file_records(filed, "Files"),
        }


def file_records(filed: Sequence[Any], label: str) -> PCollection[str]:
    """The file records of some steps, together."""
    files = [typed(step[FILES_TAG], str) for step in filed]
    records: PCollection[str] = files | label >> beam.Flatten()
    return records
