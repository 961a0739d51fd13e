"""embed: each distinct text once through the teacher, into a content-addressed store."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import apache_beam as beam
import numpy as np
import pyarrow as pa

from mining.apart import asking, encode_apart
from mining.encoder import Encoded, Encoder, load_encoder
from mining.encoder_process import EncoderProcess, ProcessLostError
from mining.fixed_point import pack_vectors, quantise
from mining.teacher import BUNDLED, TeacherParams
from pipelines.wiring import Branch, batches, on_accelerator, write_manifest
from transforms.flow.progress import count_in_step
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.vectors.embedding import EncodePartition, GatherTexts, TextSpec

#: Counter of how often the stage's workers loaded a teacher.
TEACHERS = "teachers"
#: Counter of texts that the teacher cannot read.
UNREADABLE = "unreadable_texts"
#: Characters of a text that a warning quotes.
_QUOTED = 120
_LOGGER = logging.getLogger(__name__)
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Encode:
    """A teacher as the embed stage asks it; it is loaded once per worker process, when first asked, where no process
    loads it already (``loading_beside``).

    ``path``: by which a worker opens it; ``name``: what a person called it; ``journal``: a folder of this machine that
    tells of texts at which a process died (``mining.apart``); ``alone``: whether a process that loads it lets go of
    others.
    """

    name: str
    path: str
    params: TeacherParams
    digest: str
    journal: str | None = field(default=None, compare=False)
    alone: bool = field(default=False, compare=False)

    def __call__(self, texts: Sequence[str]) -> tuple[pa.FixedSizeBinaryArray, pa.BooleanArray]:
        """Packed 16-bit vectors of texts, prompts included, null where the teacher gives none, zeros where it
        cannot read the text; and which were cut.
        """
        with asking(self.journal, texts) as is_suspect:
            if is_suspect:
                found = encode_apart(texts, self._process)
            else:
                found = self._ask(lambda encoder: encoder.encode_each(texts))
        missing = ~found.directed
        if found.unreadable:
            self._tell_unreadable(texts, found)
            missing[list(found.unreadable)] = False
        fixed = np.zeros(found.vectors.shape, np.int16)
        fixed[found.directed] = quantise(found.vectors[found.directed])
        vectors = pack_vectors(fixed).take(pa.array(np.arange(len(texts)), mask=missing))
        return vectors, self._known(pa.array(found.truncated))

    def _tell_unreadable(self, texts: Sequence[str], found: Encoded) -> None:
        place, reason = next(iter(found.unreadable.items()))
        _LOGGER.warning(
            "teacher %r cannot read %d of %d texts: %r: %s", self.name, len(found.unreadable), len(texts),
            texts[place][:_QUOTED], reason,
        )  # fmt: skip
        count_in_step(UNREADABLE, len(found.unreadable))

    def truncated(self, texts: Sequence[str]) -> pa.BooleanArray:
        """Which texts, prompts included, are longer than the teacher reads; null where that is not known."""
        return self._known(pa.array(self._ask(lambda encoder: encoder.truncated(texts))))

    def _known(self, truncated: pa.BooleanArray) -> pa.BooleanArray:
        known = self._ask(lambda encoder: encoder.knows_truncated)
        return truncated if known else pa.nulls(len(truncated), pa.bool_())

    def _process(self) -> EncoderProcess:
        count_in_step(TEACHERS)
        return EncoderProcess(self.path, self.params, self.digest)

    def _ask(self, question: Callable[[Encoder | EncoderProcess], Answer]) -> Answer:
        beside = _BESIDE.get(self)
        if beside is not None:
            try:
                answer = question(beside)
            except ProcessLostError:  # killed, perhaps for its memory
                _BESIDE.pop(self, None)
            else:
                if beside.is_first_use():
                    count_in_step(TEACHERS)
                return answer
        return question(self.load(lambda: count_in_step(TEACHERS)))

    def load(self, on_load: Callable[[], None] = lambda: None) -> Encoder:
        """The encoder in this process. Raises ConfigError as ``load_encoder`` does."""
        return load_encoder(self.path, self.params, self.digest, on_load, alone=self.alone)


#: Teachers that processes of their own load for this one.
_BESIDE: dict[Encode, EncoderProcess] = {}


@contextmanager
def loading_beside(encode: Encode) -> Iterator[None]:
    """While this lasts, a process of its own loads a teacher, and then answers whoever asks it in this process.

    Where no process can be started (too many, no memory) this one will load the teacher when it is asked.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            _BESIDE[encode] = stack.enter_context(EncoderProcess(encode.path, encode.params, encode.digest))
        try:
            yield
        finally:
            _BESIDE.pop(encode, None)


def try_teacher(encode: Encode) -> None:
    """Load a teacher before hours of other work. Raises ConfigError where its files cannot be loaded.

    The bundled one is known by its digest; in a run with one process the loaded model is the one that embed uses.
    """
    if encode.name != BUNDLED:
        encode.load()


@dataclass(frozen=True, kw_only=True)
class EmbedJob:
    """Everything that the embed pipeline is built from. ``accelerator``: the resource hint of the step that encodes."""

    parts: Sequence[str]
    datasets: Sequence[str]
    texts: TextSpec
    encode: Encode
    folder: str
    facts: dict[str, Any]
    accelerator: str | None = None


def build(pipeline: beam.Pipeline, job: EmbedJob) -> None:
    """Add the whole embed stage to a pipeline."""
    counted, filed = add_steps(pipeline, job)
    write_manifest(counted, filed, job.folder, job.datasets, job.facts)


def build_branches(pipeline: beam.Pipeline, jobs: Mapping[str, EmbedJob]) -> None:
    """The same for several teachers, by label; their jobs have one folder, and the datasets and facts of the stage."""
    branches = [pipeline | label >> Branch(partial(add_steps, job=job)) for label, job in jobs.items()]
    job = next(iter(jobs.values()))
    write_manifest(branches, branches, job.folder, job.datasets, job.facts)


def add_steps(begin: Any, job: EmbedJob) -> tuple[Sequence[Any], Sequence[Any]]:
    """Add the steps of one teacher; gives those with counts, and those with file records."""
    gathered = (
        begin
        | "Parts" >> beam.Create(job.parts).with_output_types(str)
        | "Spread parts" >> beam.Reshuffle()
        | "Gather texts" >> beam.ParDo(GatherTexts(job.texts)).with_outputs(COUNTS_TAG, main="texts")
    )
    encoded = (
        batches(gathered["texts"])
        | "By key range" >> beam.GroupByKey()
        | "Encode"
        >> on_accelerator(beam.ParDo(EncodePartition(job.texts, job.encode)), job.accelerator).with_outputs(
            COUNTS_TAG, FILES_TAG, main="none"
        )
    )
    return [gathered, encoded], [encoded]
