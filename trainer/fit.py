"""The training loop: sentence-transformers' trainer with our batches, our loss and our checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.losses.gradcache import has_static_embedding_input
from torch.utils.data import DataLoader, Sampler
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from schemas.errors import ConfigError
from trainer import processes
from trainer.batches import Batches, BatchParams
from trainer.checkpoints import Checkpoints
from trainer.config import TrainConfig
from trainer.losses import LossParams, matryoshka_weights
from trainer.objective import Objective
from trainer.order import OrderParams
from trainer.progress import tensorboard
from trainer.rows import Rows
from trainer.teacher_vectors import SoftLabels


def fit(
    model: SentenceTransformer,
    rows: Rows,
    config: TrainConfig,
    folder: Path,
    callback: TrainerCallback,
    teacher: SoftLabels | None = None,
) -> list[tuple[int, float]]:
    """Train ``model`` in place; gives the losses that were logged, by step. ``folder``: the trainer's own; ``teacher``:
    where soft labels are for whole batches.

    Goes on from the last checkpoint where there is one and the configuration says so. Raises ConfigError where a
    dimension of the loss is larger than the model's, where the loss or the weights do not stay finite, and where a
    checkpoint is of another configuration.
    """
    batches = batches_of(model, rows, config, teacher)
    total = config.max_steps or max(1, round(config.epochs * batches.per_epoch))
    checkpoints = Checkpoints(config, rows.digest, teacher.store if teacher else None)
    last = checkpoints.last()
    start = last.step if last else 0
    first = processes.rank() == 0
    if first:
        checkpoints.begin()
    with tensorboard(config.log_folder if first else None, start) as boards:
        trainer = StepTrainer(
            model=model,
            args=arguments(config, checkpoints.folder if config.checkpoint_steps else folder, total),
            loss=Objective(model, loss_params(model, config), config.gradient_caching),
            callbacks=[callback, checkpoints, *boards],
            batches=batches,
            start=start,
        )
        trainer.remove_callback(PrinterCallback)
        if config.gradient_checkpointing:
            keep_no_activations(model)
        trainer.train(resume_from_checkpoint=str(last.folder) if last else None)
    _refuse_infinite(model, config)
    if first:
        checkpoints.finish()
    return [(int(entry["step"]), entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


def batches_of(
    model: SentenceTransformer, rows: Rows, config: TrainConfig, teacher: SoftLabels | None = None
) -> Batches:
    """The batches of a run, as its configuration says."""
    order = OrderParams(
        batch_size=config.batch_size,
        homogeneous_share=config.homogeneous_share,
        mixing_temperature=config.mixing_temperature,
        seed=config.seed,
    )
    params = BatchParams(
        num_negatives=config.most_negatives, masks=config.masks, tokens_per_pass=config.tokens_per_pass
    )
    return Batches(rows, model.preprocess, order, params, processes.rank(), processes.world(), teacher)


def loss_params(model: SentenceTransformer, config: TrainConfig) -> LossParams:
    """The numbers of the loss. Raises ConfigError where a dimension is larger than the model's vectors."""
    width = model.get_embedding_dimension()
    if width is None:
        raise ConfigError(f"model {config.student}: no module of it says how many dimensions its vectors have")
    try:
        dims = matryoshka_weights(width, config.dims)
    except ValueError as error:
        raise ConfigError(
            f"dims: {error} ({config.student}): choose dimensions up to {width} (--dims={width},...), or leave it out"
        ) from error
    return LossParams(
        dims=dims,
        temperature=config.contrastive_temperature,
        gamma=config.focal_gamma,
        mix=config.mix,
        kl_share=config.kl_share if config.distils else 0.0,
        kl_temperature=config.kl_temperature,
    )


class Steps(Sampler[int]):
    """The numbers of the steps from ``start`` on; its length counts all steps, as the trainer's schedule does."""

    def __init__(self, start: int, total: int) -> None:
        self._start, self._total = start, total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._start, self._total))

    def __len__(self) -> int:
        return self._total


class StepTrainer(SentenceTransformerTrainer):
    """sentence-transformers' trainer over steps instead of rows: a step's number says what its batch is.

    It makes no model card, for which it would tokenize samples of every dataset.
    """

    def __init__(self, *, batches: Batches, start: int, **kwargs: Any) -> None:
        self._batches, self._start = batches, start
        super().__init__(**kwargs)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none."""

    def get_train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """One batch for each step that is left."""
        return DataLoader(
            self._batches,
            batch_size=None,
            sampler=Steps(self._start, self.args.max_steps),
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            # A loader draws a seed when it begins; from the run's own generator a resumed run would be one draw ahead.
            generator=torch.Generator().manual_seed(self.args.seed),
        )

    def collect_features(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """What ``Objective`` takes."""
        return inputs["passes"], inputs["layout"]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The loss. Raises ConfigError where it is not finite: the trainer would hide it behind the mean before."""
        loss: Any = super().compute_loss(model, inputs, *args, **kwargs)
        if not bool(loss.isfinite()):
            raise ConfigError(
                f"training diverged: the loss of step {self.state.global_step + 1} is {loss.item()} with "
                f"learning_rate={self.args.learning_rate:g}; nothing was saved but earlier checkpoints: choose a lower "
                "learning rate (--learning_rate), or a higher temperature (--temperature)"
            )
        return loss

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The model alone: neither a card nor the trainer's arguments as a pickle."""
        self.model.save_pretrained(str(output_dir), create_model_card=False)


def _refuse_infinite(model: SentenceTransformer, config: TrainConfig) -> None:
    if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
        raise ConfigError(
            f"training diverged: weights are no longer finite with learning_rate={config.peak_learning_rate:g} and "
            f"temperature={config.contrastive_temperature:g}; nothing was saved: choose a lower learning rate"
        )


def arguments(config: TrainConfig, folder: Path, total_steps: int) -> SentenceTransformerTrainingArguments:
    """The run's configuration in the trainer's words: AdamW, warm-up, decay, bfloat16 where a GPU has it."""
    gpu = torch.cuda.is_available()
    automatic = gpu and torch.cuda.is_bf16_supported()
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=total_steps,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.peak_learning_rate,
        warmup_steps=config.warmup_ratio,
        lr_scheduler_type=config.schedule,
        use_cpu=not gpu,
        ddp_backend=None if gpu or processes.world() == 1 else "gloo",
        bf16=automatic if config.precision == "auto" else config.precision == "bf16",
        dataloader_num_workers=config.workers,
        dataloader_pin_memory=gpu,
        save_strategy="steps" if config.checkpoint_steps else "no",
        save_steps=config.checkpoint_steps or 500,
        save_total_limit=5,
        ignore_data_skip=True,
        logging_steps=0.05,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        seed=config.seed,
    )


def keep_no_activations(model: SentenceTransformer) -> None:
    """Has layers computed anew where the backward pass wants their activations.

    The trainer's own option calls a method of SentenceTransformer that transformers has given up.
    """
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.activation_checkpointing_enable({"use_reentrant": False})
            return


def check_memory_options(model: SentenceTransformer, config: TrainConfig) -> None:
    """Raises ConfigError for options that save memory of layers where a model has none."""
    if not has_static_embedding_input(model):
        return
    for name in ("gradient_caching", "gradient_checkpointing"):
        if getattr(config, name):
            raise ConfigError(
                f"{name}=true: {config.student} is a table of words (StaticEmbedding), which has no layers whose "
                f"activations could be saved: leave {name} out"
            )
