"""Train an embedding model on curated shards: contrastive, with hard negatives and the one prompt template.

    kalm train --manifest=out/manifest.json --model=tiny
    torchrun --nproc-per-node=8 --no-python kalm train --manifest=out/manifest.json

What is heavy to import is imported when it is needed, so that ``--help`` and a mistyped flag answer at once.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigError, CurationError, SourceError, tell
from schemas.manifest import Manifest
from trainer import processes
from trainer.card import card, write_card
from trainer.config import TrainConfig, parse
from trainer.curve import write_curve
from trainer.saving import save_model

if TYPE_CHECKING:
    from trainer.rows import Rows
    from trainer.teacher_vectors import SoftLabels

_VOCABULARY_ROWS = 1000  # of each dataset, to learn the tiny model's vocabulary from


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run: the loss of its first step, and the mean over its last 20th of steps."""

    student: str
    num_examples: int
    num_datasets: int
    losses: list[tuple[int, float]]


def train(config: TrainConfig) -> Trained:
    """Read the shards, train the model and save it in ``config.output_folder``.

    The same configuration and shards give the same weights on the same machine with the same number of threads, on a
    CPU, also where a run was stopped and went on. Raises SourceError for shards, ConfigError for a model or numbers,
    OutputError for a folder that will not do.
    """
    _need_libraries()
    if config.log_folder is not None:
        _need_tensorboard()
    from trainer.shards import read_manifest

    manifest = read_manifest(config.manifest_file)
    student = config.student  # now, before anything is written: distill may have none
    with processes.working_folder(config.output_folder) as folder:
        return _train(config, student, manifest, folder)


def _train(config: TrainConfig, student: str, manifest: Manifest, folder: Path) -> Trained:
    from transformers.utils import logging

    from trainer.fit import check_memory_options, fit
    from trainer.model_meta import write_model_meta
    from trainer.models import open_model, takes_prompts
    from trainer.progress import ShowProgress
    from trainer.prompts import prompts
    from trainer.shards import open_rows

    logging.disable_progress_bar()
    rows = open_rows(manifest, config.manifest_file.parent, folder, config.data_stage)
    model = open_model(student, rows.sample_texts(_VOCABULARY_ROWS), config.max_seq_length, config.seed)
    check_memory_options(model, config)
    teacher = _soft_labels(config, manifest, folder, rows)
    if config.distils:
        config = config.model_copy(update={"soft_labels": "batch" if teacher else "row"})
    records = manifest.with_rows(config.data_stage)
    rows = replace(rows, prompted=takes_prompts(model, config.prompts))
    model.prompts = {**prompts(records)} if rows.prompted else {"query": "", "document": ""}
    with ShowProgress(config.quiet or processes.rank() > 0) as progress:
        losses = fit(model, rows, config, folder / "trainer", progress, teacher)
    shutil.rmtree(folder / "trainer", ignore_errors=True)
    trained = Trained(student=student, num_examples=len(rows), num_datasets=len(records), losses=losses)
    if processes.rank() > 0:
        return trained
    save_model(model, folder)
    write_model_meta(folder, model, config, student, manifest)
    write_card(folder, card(config, trained, manifest))
    write_curve(folder, losses)
    return trained


def _soft_labels(config: TrainConfig, manifest: Manifest, folder: Path, rows: "Rows") -> "SoftLabels | None":
    """The teacher's vectors, where soft labels are for whole batches; says once where ``auto`` has to do without."""
    from trainer.teacher_vectors import open_teacher

    if not config.distils or config.soft_labels == "row":
        return None
    try:
        return open_teacher(manifest, config.manifest_file.parent, folder, rows, config.most_negatives)
    except SourceError as error:
        if config.soft_labels == "batch":
            raise
        if not config.quiet and processes.rank() == 0:
            print(f"soft labels are over a row's own candidates alone, since {error.message}", file=sys.stderr)
        return None


def _need_libraries() -> None:
    missing = [name for name in ("accelerate", "datasets") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"training needs the Python packages {' and '.join(missing)}, which curation does not; install them with "
            "`make setup`, or `pip install 'kalm-curation[train]'`"
        )


def _need_tensorboard() -> None:
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "log_folder: the package tensorboard, which writes what TensorBoard reads, is not installed; install it "
            "with `pip install 'kalm-curation[tensorboard]'`, or leave log_folder out"
        )


def summary(config: TrainConfig, trained: Trained) -> str:
    """What a person is told at the end."""
    output = str(config.output_folder)
    return "\n".join(
        [
            f"trained {trained.student} on {trained.num_examples:,} examples of {trained.num_datasets} datasets, "
            f"loss {trained.losses[0][1]:.3f} -> {trained.losses[-1][1]:.3f}",
            f"saved in {output}",
            f"use:  SentenceTransformer({output!r}).encode_query(['...'])",
            f"next: make curate TEACHER={output} OUT=<folder>   # mine again, with this model as the teacher",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    try:
        config = parse(argv)
        trained = train(config)
    except CurationError as error:
        return tell(error)
    except KeyboardInterrupt:
        print("stopped; nothing was saved but checkpoints, if there were to be any", file=sys.stderr)
        return 130
    if not config.quiet and processes.rank() == 0:
        print(summary(config, trained), file=sys.stderr)
    return 0
