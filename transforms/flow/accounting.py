"""Accounting in the graph: counts are summed, and the stage's manifest is written last, after all of them."""

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms.flow.counts import Count
from transforms.flow.files import write_json
from transforms.flow.manifests import MANIFEST, sealed, stage_manifest


def total(numbers: Iterable[int]) -> int:
    """The sum; Beam reads its types, and with them takes the coder for numbers."""
    return sum(numbers)


@beam.typehints.with_input_types(tuple[str, int])
@beam.typehints.with_output_types(tuple[str, int])
class SumCounts(beam.PTransform[Any, Any]):
    """Sum the numbers of each key."""

    def expand(self, counts: PCollection[Count]) -> PCollection[Count]:
        summed: PCollection[Count] = counts | beam.CombinePerKey(total)
        return summed


class _Write(beam.DoFn):
    def __init__(self, folder: str, datasets: tuple[str, ...], facts: dict[str, Any]) -> None:
        self._folder, self._datasets, self._facts = folder, datasets, facts

    def process(self, _: str, totals: list[Count], records: list[str]) -> Iterable[str]:
        manifest = stage_manifest(totals, records, self._datasets, self._facts)
        write_json(f"{self._folder}/{MANIFEST}", sealed(manifest))
        yield f"{self._folder}/{MANIFEST}"


class WriteStageManifest(beam.PTransform[Any, Any]):
    """Write the manifest once all counts and all file records have come: both are side inputs, so it runs after
    them.
    """

    def __init__(self, folder: str, datasets: Iterable[str], facts: dict[str, Any]) -> None:
        super().__init__()
        self._write = _Write(folder, tuple(sorted(datasets)), facts)

    def expand(self, inputs: Any) -> PCollection[str]:
        totals, records = inputs
        written: PCollection[str] = (
            totals.pipeline
            | "Once" >> beam.Create([self._write._folder], reshuffle=False)
            | "Write"
            >> beam.ParDo(self._write, beam.pvalue.AsList(totals), beam.pvalue.AsList(records)).with_output_types(str)
        )
        return written
