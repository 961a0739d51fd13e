"""Train an embedding model on curated shards: contrastive, with hard negatives and the one prompt template.

    kalm train --manifest=out/manifest.json --model=tiny

What is heavy to import is imported when it is needed, so that ``--help`` and a mistyped flag answer at once.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from schemas.errors import ConfigError, CurationError
from schemas.manifest import Manifest
from trainer.config import TrainConfig, parse
from trainer.saving import save_model, staged

_VOCABULARY_ROWS = 1000  # of each dataset, to learn the tiny model's vocabulary from


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run: the loss of its first step, and the mean over its last 20th of steps."""

    num_examples: int
    num_datasets: int
    first_loss: float
    last_loss: float


def train(config: TrainConfig) -> Trained:
    """Read the shards, train the model and save it in ``config.output_folder``.

    The same configuration and shards give the same weights on the same machine with the same number of threads, on a
    CPU. Raises SourceError for shards, ConfigError for a model or numbers, OutputError for a folder that will not do.
    """
    _need_libraries()
    from trainer.shards import read_manifest

    manifest = read_manifest(config.manifest_file)
    with staged(config.output_folder) as folder:
        return _train(config, manifest, folder)


def _train(config: TrainConfig, manifest: Manifest, folder: Path) -> Trained:
    from transformers.utils import logging

    from trainer.fit import fit
    from trainer.models import open_model
    from trainer.progress import ShowProgress
    from trainer.shards import prompts, sample_texts, training_datasets, with_rows

    logging.disable_progress_bar()
    datasets = training_datasets(manifest, config.manifest_file.parent, config.num_negatives)
    texts = sample_texts(datasets.values(), _VOCABULARY_ROWS)
    model = open_model(config.model, texts, config.max_seq_length, config.seed)
    records = with_rows(manifest)
    model.prompts = {**prompts(records)}
    with ShowProgress(config.quiet) as progress:
        fit(model, datasets, config, folder, progress)
    save_model(model, folder)
    return Trained(
        num_examples=sum(len(dataset) for dataset in datasets.values()),
        num_datasets=len(records),
        first_loss=progress.losses[0],
        last_loss=progress.losses[-1],
    )


def _need_libraries() -> None:
    missing = [name for name in ("accelerate", "datasets") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"training needs the Python packages {' and '.join(missing)}, which curation does not; install them with "
            "`make setup`, or `pip install 'kalm-curation[train]'`"
        )


def summary(config: TrainConfig, trained: Trained) -> str:
    """What a person is told at the end."""
    output = str(config.output_folder)
    return "\n".join(
        [
            f"trained {config.model} on {trained.num_examples:,} examples of {trained.num_datasets} datasets, "
            f"loss {trained.first_loss:.3f} -> {trained.last_loss:.3f}",
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
        print(f"error: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; nothing was saved", file=sys.stderr)
        return 130
    if not config.quiet:
        print(summary(config, trained), file=sys.stderr)
    return 0
