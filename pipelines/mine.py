"""mine: one search for each dataset, and from it the consistency filter, positives for labelled rows, hard
negatives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa

from mining.accounting import account
from mining.beam import ChooseExamples, MiningSpec, SearchShard
from mining.candidates import score_named
from pipelines.wiring import Branch, batches, on_accelerator, write_manifest
from transforms.flow import progress
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.vectors.mining_input import REFUSED_TAG, ROWS_TAG, AttachVectors, GatherPools, PoolSpec, ScoreRows
from transforms.vectors.mining_output import RejectMined, WriteMined
from transforms.vectors.near_passages import FindNearPassages, NearPassageSpec


@dataclass(frozen=True, kw_only=True)
class MineJob:
    """Everything that the mine pipeline is built from. ``removed``: files of rows that prepare rejected, as elements;
    ``near``: how near-duplicates among passages are found; ``mining``: parameters and facts of each dataset;
    ``accelerator``: the resource hint of the step that asks cross-encoders.
    """

    parts: Sequence[str]
    removed: Sequence[str]
    datasets: Sequence[str]
    pools: PoolSpec
    near: NearPassageSpec
    mining: MiningSpec
    facts: dict[str, Any]
    accelerator: str | None = None


class RejectRefused(beam.PTransform[Any, Any]):
    """Rows that mining refused, of several steps -> the files of their parts, and counts (tagged)."""

    def __init__(self, pools: PoolSpec) -> None:
        super().__init__()
        self._pools = pools

    def expand(self, refused: tuple[Any, ...]) -> Any:
        return (
            tuple(batches(rows) for rows in refused)
            | beam.Flatten()
            | "By part" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(RejectMined(self._pools)).with_outputs(COUNTS_TAG, FILES_TAG, main="none")
        )


def _searched(folder: str | None, searches: int) -> None:
    progress.report(folder, searches=searches)


def build(pipeline: beam.Pipeline, job: MineJob) -> None:
    """Add the whole mine stage to a pipeline."""
    counted, filed = add_steps(pipeline, job)
    write_manifest(counted, filed, job.pools.folder, job.datasets, job.facts)


def build_branches(pipeline: beam.Pipeline, jobs: Mapping[str, MineJob]) -> None:
    """The same for several teachers, by label; their jobs have one folder, and the datasets and facts of the stage."""
    branches = [pipeline | label >> Branch(partial(add_steps, job=job)) for label, job in jobs.items()]
    job = next(iter(jobs.values()))
    write_manifest(branches, branches, job.pools.folder, job.datasets, job.facts)


def add_steps(begin: Any, job: MineJob) -> tuple[Sequence[Any], Sequence[Any]]:
    """Add the steps of one teacher; gives those with counts, and those with file records."""
    parts = begin | "Parts" >> beam.Create(job.parts).with_output_types(str) | "Spread parts" >> beam.Reshuffle()
    removed = begin | "Removed" >> beam.Create(job.removed).with_output_types(str) | "Spread" >> beam.Reshuffle()
    near = (parts, removed) | "Compared" >> beam.Flatten() | "Near passages" >> FindNearPassages(job.near)
    gathered = parts | "Gather pools" >> beam.ParDo(GatherPools(job.pools)).with_outputs(
        COUNTS_TAG, FILES_TAG, main="pools"
    )
    attached = (
        (batches(gathered["pools"]), batches(near["near"]))
        | "Pools and near" >> beam.Flatten()
        | "By key range" >> beam.GroupByKey()
        | "Attach vectors" >> beam.ParDo(AttachVectors(job.pools)).with_outputs(ROWS_TAG, main="passages")
    )
    scored = (
        batches(attached[ROWS_TAG])
        | "Rows by part" >> beam.GroupByKey()
        | "Score rows" >> beam.ParDo(ScoreRows(job.pools, score_named)).with_outputs(REFUSED_TAG, main="rows")
    )
    search = beam.ParDo(SearchShard(job.mining, partial(_searched, job.pools.texts.progress)))
    searched = (
        (batches(attached["passages"], str), batches(scored["rows"], str))
        | "Rows and passages" >> beam.Flatten()
        | "By pool shard" >> beam.GroupByKey()
        | "Search" >> search.with_outputs(COUNTS_TAG, main="lists")
    )
    written = (
        batches(searched["lists"], str)
        | "By range of queries" >> beam.GroupByKey()
        | "Choose"
        >> on_accelerator(beam.ParDo(ChooseExamples(job.mining)), job.accelerator).with_output_types(
            tuple[str, pa.RecordBatch]
        )
        | "Write" >> beam.ParDo(WriteMined(job.pools, account)).with_outputs(COUNTS_TAG, FILES_TAG, main="refused")
    )
    rejected = (written["refused"], scored[REFUSED_TAG]) | "Reject" >> RejectRefused(job.pools)
    steps = [gathered, written, rejected]
    return [*steps, searched, near], steps
