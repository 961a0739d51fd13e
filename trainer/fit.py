"""The training loop: sentence-transformers' trainer with the contrastive loss of the recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from schemas.errors import ConfigError
from trainer.config import TrainConfig


def fit(
    model: SentenceTransformer,
    datasets: Mapping[str, Dataset],
    config: TrainConfig,
    folder: Path,
    callback: TrainerCallback,
) -> None:
    """Train ``model`` in place. ``folder`` is the trainer's, which writes nothing to it.

    Raises ConfigError where the weights do not stay finite.
    """
    trainer = PlainTrainer(
        model=model,
        args=arguments(config, folder),
        train_dataset=dict(datasets),
        loss=contrastive_loss(model, config.temperature),
        callbacks=[callback],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
        raise ConfigError(
            f"training diverged: weights are no longer finite with learning_rate={config.peak_learning_rate:g} and "
            f"temperature={config.temperature:g}; nothing was saved: choose a lower learning rate"
        )


class PlainTrainer(SentenceTransformerTrainer):
    """sentence-transformers' trainer without its model card, for which it would tokenize samples of every dataset."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none."""


def contrastive_loss(model: SentenceTransformer, temperature: float) -> MultipleNegativesRankingLoss:
    """InfoNCE. For query i of a batch, with s the cosine and t the temperature::

        -log( exp(s(q_i, p_i)/t) / (sum_j exp(s(q_i, p_j)/t) + sum_jk exp(s(q_i, n_jk)/t)) )

    The sums run over the positives and all hard negatives of all queries of the batch; there are no query-query and no
    passage-passage terms. Source: KaLM-Embedding's training code.
    """
    return MultipleNegativesRankingLoss(model, scale=1 / temperature, similarity_fct=cosine)


def cosine(queries_QD: torch.Tensor, passages_PD: torch.Tensor) -> torch.Tensor:
    """Cosines ``[Q, P]``, in float32 under autocast too: bfloat16 errs by 0.002 near 1, which temperature 0.01 makes
    0.2.
    """
    with torch.autocast(queries_QD.device.type, enabled=False):
        return cos_sim(queries_QD.float(), passages_PD.float())


def arguments(config: TrainConfig, folder: Path) -> SentenceTransformerTrainingArguments:
    """The run's configuration in the trainer's words: AdamW, linear warm-up and decay, bfloat16 where a GPU has it."""
    gpu = torch.cuda.is_available()
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.peak_learning_rate,
        warmup_steps=config.warmup_ratio,
        bf16=gpu and torch.cuda.is_bf16_supported(),
        dataloader_pin_memory=gpu,
        save_strategy="no",
        logging_steps=0.05,
        logging_first_step=True,
        disable_tqdm=True,
        report_to="none",
        seed=config.seed,
    )
