"""prepare: read the sources, make examples, clean, deduplicate, keep evaluation data out, cap; rows rest in parts.

The dataset is a value in the data, so the graph is the same for one dataset and for a hundred.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from pipelines.wiring import Keyed, batches, file_records, write_manifest
from transforms.duplicates.published import Published, addresses
from transforms.examples.passage_join import MISSING_TAG, FetchPassages, FindPassages, GroupRows
from transforms.examples.read_rows import JUDGMENTS_TAG, MEMBERS_TAG, PASSAGES_TAG, OfferHashes, ReadRows, ReadSpec
from transforms.flow.accounting import SumCounts
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.keeping.decisions import (
    CAP_TAG,
    SIGHTINGS_TAG,
    ApplyDecisions,
    ApplySpec,
    CapRows,
    FinalCheck,
    KeepRows,
    cap_counts,
)
from transforms.leaks.evaluation_passages import CountOverlap, PassageSpec
from transforms.sources.limit import FindThreshold


@dataclass(frozen=True, kw_only=True)
class PrepareJob:
    """Everything that the prepare pipeline is built from; ``published``: rows of earlier runs to compare with."""

    units: Sequence[str]
    read: ReadSpec
    exact: beam.PTransform[Any, Any]
    near: beam.PTransform[Any, Any]
    apply: ApplySpec
    final_check: FinalCheck | None
    passages: PassageSpec
    facts: dict[str, Any]
    published: Published = field(default_factory=dict)


def build(pipeline: beam.Pipeline, job: PrepareJob) -> None:
    """Add the whole prepare stage to a pipeline."""
    units = pipeline | "Units" >> beam.Create(job.units).with_output_types(str) | "Spread units" >> beam.Reshuffle()
    read = units | "Read" >> _read(units, job.read)
    asked, there = batches(read[JUDGMENTS_TAG]), batches(read[PASSAGES_TAG])
    judged = (asked, there) | "Judge" >> JoinPassages(job.read)
    grouped = (
        (batches(read[MEMBERS_TAG]), judged["members"])
        | "All members" >> beam.Flatten()
        | "By group" >> beam.GroupByKey()
        | "Group" >> beam.ParDo(GroupRows(job.read)).with_outputs(COUNTS_TAG, FILES_TAG, main="rows")
    )
    parts = (batches(read["rows"]), batches(grouped["rows"])) | "Parts" >> beam.Flatten()
    compared = _with_published(parts, job.published)
    exact = compared | "Exact duplicates" >> job.exact
    near = (compared, exact) | "Near duplicates" >> job.near
    applied = (
        (parts, exact, near)
        | "Parts and decisions" >> beam.Flatten()
        | "By part" >> beam.GroupByKey()
        | "Apply"
        >> beam.ParDo(ApplyDecisions(job.apply, job.final_check)).with_outputs(
            COUNTS_TAG, FILES_TAG, CAP_TAG, SIGHTINGS_TAG, main="rows"
        )
    )
    survivors = batches(applied["rows"])
    caps = batches(applied[CAP_TAG]) | "Cap" >> Cap(job.apply.caps)
    kept = (
        (survivors, caps)
        | "Survivors and caps" >> beam.Flatten()
        | "By surviving part" >> beam.GroupByKey()
        | "Keep" >> beam.ParDo(KeepRows(job.apply)).with_outputs(COUNTS_TAG, FILES_TAG, main="none")
    )
    steps = [read, grouped, applied, kept]
    records = file_records([read, applied, kept], "Written")
    overlap = (records, batches(applied[SIGHTINGS_TAG])) | "Overlap" >> CountOverlap(spec=job.passages)
    counted = [*steps, judged, {COUNTS_TAG: overlap}]
    write_manifest(counted, steps, job.read.folder, job.read.entries, job.facts)


def _with_published(parts: Keyed, published: Published) -> Keyed:
    """The addresses of parts, and of published rows; not a step more where there are none."""
    if not published:
        return parts
    told = beam.Create(list(addresses(published))).with_output_types(tuple[int, pa.RecordBatch])
    together: Keyed = (parts, parts.pipeline | "Published" >> told) | "With published" >> beam.Flatten()
    return together


def _read(units: PCollection[str], spec: ReadSpec) -> beam.PTransform[Any, Any]:
    thresholds = (
        units
        | "Offer hashes" >> beam.ParDo(OfferHashes(spec))
        | "By dataset" >> beam.GroupByKey()
        | "Threshold" >> beam.ParDo(FindThreshold(spec.limit or 0))
    )
    tags = (MEMBERS_TAG, JUDGMENTS_TAG, PASSAGES_TAG, COUNTS_TAG, FILES_TAG)
    read: beam.PTransform[Any, Any] = beam.ParDo(ReadRows(spec), beam.pvalue.AsDict(thresholds)).with_outputs(
        *tags, main="rows"
    )
    return read


class JoinPassages(beam.PTransform[Any, Any]):
    """(judgments, passage addresses) by range of ids -> ``members`` with text, by group, and counts."""

    def __init__(self, spec: ReadSpec) -> None:
        super().__init__()
        self._spec = spec

    def expand(self, inputs: Any) -> dict[str, Any]:
        found = (
            inputs
            | beam.Flatten()
            | "By passage" >> beam.GroupByKey()
            | "Find"
            >> beam.ParDo(FindPassages(self._spec.num_partitions)).with_outputs(MISSING_TAG, COUNTS_TAG, main="found")
        )
        fetched = (
            batches(found["found"])
            | "By corpus part" >> beam.GroupByKey()
            | "Fetch" >> beam.ParDo(FetchPassages(self._spec))
        )
        members: Keyed = (fetched, batches(found[MISSING_TAG])) | "Judged" >> beam.Flatten()
        return {"members": members, COUNTS_TAG: found[COUNTS_TAG]}


class Cap(beam.PTransform[Any, Any]):
    """Keys of rows under a cap, by range of ids -> decisions on those beyond it, by part."""

    def __init__(self, caps: Mapping[str, int]) -> None:
        super().__init__()
        self._caps = caps

    def expand(self, keys: Keyed) -> Keyed:
        rows_by_range = (
            keys
            | "Count ranges" >> beam.FlatMap(cap_counts).with_output_types(tuple[str, int])
            | "Sum ranges" >> SumCounts()
        )
        beyond: Keyed = (
            keys
            | "By range" >> beam.GroupByKey()
            | "Cut" >> beam.ParDo(CapRows(self._caps), beam.pvalue.AsDict(rows_by_range))
        )
        return beyond
