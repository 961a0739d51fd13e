"""mine: one search for each dataset, and from it the consistency filter, positives for labelled rows, hard
negatives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from mining.beam import ChooseExamples, SearchShard
from mining.mine import share_positives
from mining.policies import MiningParams
from pipelines.wiring import batches, write_manifest
from transforms.examples.read_rows import COUNTS_TAG, FILES_TAG
from transforms.vectors.mining_input import AttachVectors, GatherPools, PoolSpec
from transforms.vectors.mining_output import RejectMined, WriteMined


@dataclass(frozen=True, kw_only=True)
class MineJob:
    """Everything that the mine pipeline is built from. ``num_ranges``: ranges of queries that are decided together.

    ``unjudged``: datasets in languages that the teacher does not know.
    """

    parts: Sequence[str]
    datasets: Sequence[str]
    pools: PoolSpec
    params: MiningParams
    num_ranges: Mapping[str, int]
    unjudged: frozenset[str]
    facts: dict[str, Any]


def build(pipeline: beam.Pipeline, job: MineJob) -> None:
    """Add the whole mine stage to a pipeline."""
    gathered = (
        pipeline
        | "Parts" >> beam.Create(job.parts).with_output_types(str)
        | "Spread parts" >> beam.Reshuffle()
        | "Gather pools" >> beam.ParDo(GatherPools(job.pools)).with_outputs(COUNTS_TAG, FILES_TAG, main="pools")
    )
    written = (
        batches(gathered["pools"], "Pools")
        | "By key range" >> beam.GroupByKey()
        | "Attach vectors" >> beam.ParDo(AttachVectors(job.pools, share_positives))
        | "By pool shard" >> beam.GroupByKey()
        | "Search" >> beam.ParDo(SearchShard(job.params, job.num_ranges)).with_output_types(tuple[str, pa.RecordBatch])
        | "By range of queries" >> beam.GroupByKey()
        | "Choose" >> beam.ParDo(ChooseExamples(job.params, job.unjudged)).with_output_types(tuple[str, pa.RecordBatch])
        | "Write" >> beam.ParDo(WriteMined(job.pools)).with_outputs(COUNTS_TAG, FILES_TAG, main="refused")
    )
    rejected = (
        batches(written["refused"], "Refused")
        | "Refused by part" >> beam.GroupByKey()
        | "Reject" >> beam.ParDo(RejectMined(job.pools)).with_outputs(COUNTS_TAG, FILES_TAG, main="none")
    )
    steps = [gathered, written, rejected]
    write_manifest(steps, steps, job.pools.folder, job.datasets, job.facts)
