"""embed: each distinct text once through the teacher, into a content-addressed store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from mining.encoder import load_encoder
from mining.fixed_point import pack_vectors, quantise
from mining.teacher import BUNDLED, TeacherParams
from pipelines.wiring import batches, write_manifest
from transforms.examples.read_rows import COUNTS_TAG, FILES_TAG
from transforms.vectors.embedding import EncodePartition, GatherTexts, TextSpec


@dataclass(frozen=True, kw_only=True)
class Encode:
    """Texts, prompts included, to packed 16-bit vectors; the teacher is loaded once per worker process, when first
    asked.
    """

    name: str
    params: TeacherParams
    digest: str

    def __call__(self, texts: Sequence[str]) -> pa.FixedSizeBinaryArray:
        return pack_vectors(quantise(load_encoder(self.name, self.params, self.digest).encode(texts)))


def try_teacher(encode: Encode) -> None:
    """Load a teacher before hours of other work. Raises ConfigError where its files cannot be loaded.

    The bundled one is known by its digest; in a run with one process the loaded model is the one that embed uses.
    """
    if encode.name != BUNDLED:
        load_encoder(encode.name, encode.params, encode.digest)


@dataclass(frozen=True, kw_only=True)
class EmbedJob:
    """Everything that the embed pipeline is built from."""

    parts: Sequence[str]
    datasets: Sequence[str]
    texts: TextSpec
    encode: Encode
    folder: str
    facts: dict[str, Any]


def build(pipeline: beam.Pipeline, job: EmbedJob) -> None:
    """Add the whole embed stage to a pipeline."""
    gathered = (
        pipeline
        | "Parts" >> beam.Create(job.parts).with_output_types(str)
        | "Spread parts" >> beam.Reshuffle()
        | "Gather texts" >> beam.ParDo(GatherTexts(job.texts)).with_outputs(COUNTS_TAG, main="texts")
    )
    encoded = (
        batches(gathered["texts"], "Texts")
        | "By key range" >> beam.GroupByKey()
        | "Encode"
        >> beam.ParDo(EncodePartition(job.texts, job.encode)).with_outputs(COUNTS_TAG, FILES_TAG, main="none")
    )
    write_manifest([gathered, encoded], [encoded], job.folder, job.datasets, job.facts)
