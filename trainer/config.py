"""What to train, on what, with which numbers: one field for each flag."""

import argparse
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    ValidationError,
    field_serializer,
)

from schemas.config import explain
from schemas.errors import ConfigError

TINY = "tiny"
BUNDLED = "minilm"
STATIC = "static"
QWEN = "qwen2-0.5b"
#: Models that are made here, of random weights but for ``static``.
PRESETS = (TINY, STATIC, BUNDLED, QWEN)

#: Peak learning rates, by preset; a folder with a table of words counts as ``static``. A random model learns nothing at
#: the rate that suits a trained one (KaLM-Embedding: 1e-5), and a table of words, each row of which few texts touch,
#: wants more than either.
LEARNING_RATES = {TINY: 1e-3, STATIC: 5e-3}
LEARNING_RATE = 1e-5

#: Temperatures of the contrastive loss: KaLM-Embedding's, and what suits a table of words. Its cosines of different
#: texts lie far apart from the start, so that at 0.01 a few texts have all of the gradient: what it learns of the rows
#: does not carry over to other sets (docs/training.md).
TEMPERATURES = {STATIC: 0.1}
TEMPERATURE = 0.01

MASKS = ("text", "positives", "label")

_DESCRIPTION = "Train an embedding model on curated shards, in the stages of KaLM-Embedding-V2."
_PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]

#: What a run may differ in and still go on from another's checkpoint: it changes no weight.
_INDIFFERENT = {"output", "manifest", "quiet", "resume", "workers", "checkpoint_steps", "log_folder"}


class Stage(StrEnum):
    """Stages of training; each starts from the one before."""

    PRETRAIN = "pretrain"
    FINETUNE = "finetune"
    DISTILL = "distill"


#: Where each stage's model goes, beside the manifest.
FOLDERS = {Stage.PRETRAIN: "model-pretrain", Stage.FINETUNE: "model", Stage.DISTILL: "model-distill"}
_BEFORE = {Stage.FINETUNE: Stage.PRETRAIN, Stage.DISTILL: Stage.FINETUNE}


def _masks(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",") if word.strip()]
    if unknown := [word for word in words if word not in MASKS]:
        raise ValueError(f"{', '.join(unknown)} is no mask: {', '.join(MASKS)} are, or an empty value for none")
    return words


def _dims(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words) or len(set(words)) < len(words):
        raise ValueError("must be different whole numbers above 0, joined by commas, such as 384,256,64")
    return [int(word) for word in words]


class TrainConfig(BaseModel):
    """A training run. Defaults are KaLM-Embedding's where it states them (rate, batch, temperatures, length, 7
    negatives, Matryoshka dimensions, focal weight, shares of distillation).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Stage = Field(
        Stage.FINETUNE,
        description="pretrain (pairs of the pre-training datasets, no hard negatives), finetune (with hard negatives), "
        "or distill (the same with the teacher's scores)",
    )
    manifest: Path = Field(Path("out/manifest.json"), description="manifest of the curated data, or its folder")
    model: str | None = Field(
        None,
        description=f"{TINY} (random and small, for a first try), {STATIC} (a table of words: fast on a CPU), "
        f"{BUNDLED} (bundled), {QWEN} (its shape, random), or a folder with a sentence-transformers model or a "
        f"Hugging Face decoder (default: what the stage before saved beside the manifest, else {TINY})",
    )
    output: Path | None = Field(
        None,
        description="folder of the trained model; an older model there is replaced (default: model, for pretrain and "
        "distill model-<stage>, beside the manifest)",
    )
    epochs: _PositiveFloat = Field(1.0, description="passes over the data")
    max_steps: PositiveInt | None = Field(None, description="stop after so many steps (default: whole epochs)")
    batch_size: int = Field(48, ge=2, description="queries in a batch; each sees the others' positives and negatives")
    homogeneous_share: _Share = Field(
        1.0, description="share of a batch that comes from one dataset; the rest is dealt from all"
    )
    mixing_temperature: FiniteFloat = Field(
        1.0,
        ge=1,
        description="a dataset takes part in proportion to its size to the power of 1 over this: above 1 rows of small "
        "ones come more than once an epoch and large ones in part; 1: each row once",
    )
    learning_rate: _PositiveFloat | None = Field(
        None,
        description="peak learning rate (default: "
        + ", ".join(f"{rate:g} for {name}" for name, rate in LEARNING_RATES.items())
        + f", {LEARNING_RATE:g} otherwise)",
    )
    warmup_ratio: FiniteFloat = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    schedule: Literal["linear", "cosine"] = Field("linear", description="how the rate falls to 0: linear or cosine")
    temperature: _PositiveFloat | None = Field(
        None,
        description="temperature of the contrastive loss (default: "
        + ", ".join(f"{value:g} for {name}" for name, value in TEMPERATURES.items())
        + f", {TEMPERATURE:g} otherwise)",
    )
    focal_gamma: FiniteFloat = Field(0.5, ge=0, description="a query's loss weighs (1 - p)^gamma; 0: all alike")
    mix: bool = Field(True, description="add a pair-wise and a list-wise mixture of a query's hard negatives")
    masks: Annotated[frozenset[str], BeforeValidator(_masks)] = Field(
        frozenset(MASKS),
        description="what is kept out of a query's denominator, joined by commas: text (copies of a passage, and the "
        "query's own text), positives (its known positives and those of its cluster), label (other rows' positives of "
        "its label); an empty value: nothing, as published",
    )
    dims: Annotated[tuple[int, ...] | None, BeforeValidator(_dims)] = Field(
        None,
        description="Matryoshka dimensions, joined by commas, with the paper's weights (default: the model's own, and "
        "those of 512, 256, 128 and 64 below it)",
    )
    kl_share: _Share = Field(
        0.7, description="weight of the teacher's scores in distill; the contrastive loss has 1 less it"
    )
    soft_labels: Literal["auto", "batch", "row"] = Field(
        "auto",
        description="passages that the teacher's scores of distill are over: all of the batch, by the vectors that "
        "curation left in its work folder (batch), a row's own positive and hard negatives (row), or auto: batch where "
        "these vectors are there",
    )
    kl_temperature: _PositiveFloat = Field(0.05, description="temperature of the teacher's and the student's scores")
    max_seq_length: int = Field(512, ge=8, description="tokens of a text that are read, at most")
    num_negatives: int | None = Field(
        None, ge=0, description="hard negatives of a query, at most; the first ones are taken (default: 7; pretrain: 0)"
    )
    tokens_per_pass: int = Field(4096, ge=1, description="tokens that go through the model at once, padding included")
    gradient_caching: bool = Field(False, description="compute passes twice and keep the activations of one only")
    gradient_checkpointing: bool = Field(False, description="keep no activations between layers: less memory, slower")
    precision: Literal["auto", "bf16", "float32"] = Field(
        "auto", description="bf16 (autocast; weights stay float32), float32, or auto: bf16 where a GPU has it"
    )
    prompts: Literal["auto", "always", "never"] = Field(
        "auto",
        description="whether instructions stand before queries: always, never, or auto: not for a table of words, in "
        "whose mean a prompt's words would count like any others",
    )
    workers: int = Field(0, ge=0, description="processes that prepare batches beside the training itself")
    checkpoint_steps: int = Field(0, ge=0, description="save a checkpoint after so many steps, to go on from (0: none)")
    resume: bool | None = Field(
        None, description="true: go on from the last checkpoint; false: begin anew (default: refuse where one is)"
    )
    log_folder: Path | None = Field(
        None,
        description="write loss, learning rate and length of the gradient there as TensorBoard reads them (needs the "
        "extra tensorboard)",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of random weights, of dropout and of the order of batches")
    quiet: bool = Field(False, description="no progress, no summary; errors only")

    @field_serializer("masks")
    def _in_order(self, masks: frozenset[str]) -> list[str]:
        return sorted(masks)

    def effective(self) -> dict[str, object]:
        """What decides the weights, as JSON holds it: a checkpoint is only gone on from where this is the same."""
        named = self.model_dump(mode="json", exclude=_INDIFFERENT)
        return named | {
            "model": self.student,
            "learning_rate": self.peak_learning_rate,
            "temperature": self.contrastive_temperature,
            "num_negatives": self.most_negatives,
        }

    @property
    def student(self) -> str:
        """The model to begin with: the one that was named, or what the stage before left beside the manifest.

        Raises ConfigError where distill has none to begin with: a random model has nothing to be refined.
        """
        if self.model is not None:
            return self.model
        before = _BEFORE.get(self.stage)
        folder = self.manifest_file.parent / FOLDERS[before] if before else None
        if folder and (folder / "modules.json").is_file():
            return str(folder)
        if self.stage is Stage.DISTILL:
            raise ConfigError(
                f"distill goes on from a fine-tuned model, and there is none in {folder}: train one first (make train "
                "STAGE=finetune), or name one (MODEL=<folder>, --model=<folder>)"
            )
        return TINY

    @property
    def distils(self) -> bool:
        """Whether the loss has a term of the teacher's scores."""
        return self.stage is Stage.DISTILL and self.kl_share > 0

    @property
    def most_negatives(self) -> int:
        """Hard negatives of a query that take part, at most."""
        default = 0 if self.stage is Stage.PRETRAIN else 7
        return default if self.num_negatives is None else self.num_negatives

    @property
    def data_stage(self) -> str:
        """The stage of the datasets that are trained on: distill takes those of fine-tuning."""
        return Stage.PRETRAIN if self.stage is Stage.PRETRAIN else Stage.FINETUNE

    @property
    def checkpoints_folder(self) -> Path:
        """Where checkpoints stand: beside the trained model."""
        return self.output_folder.with_name(f"{self.output_folder.name}-checkpoints")

    @property
    def manifest_file(self) -> Path:
        """The manifest itself, also where its folder was given."""
        return self.manifest / "manifest.json" if self.manifest.is_dir() else self.manifest

    @property
    def output_folder(self) -> Path:
        """Where the trained model goes."""
        return self.output or self.manifest_file.parent / FOLDERS[self.stage]

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate that was given, or the one that suits the model."""
        return self.learning_rate or LEARNING_RATES.get(_kind(self.student), LEARNING_RATE)

    @property
    def contrastive_temperature(self) -> float:
        """The temperature that was given, or the one that suits the model."""
        return self.temperature or TEMPERATURES.get(_kind(self.student), TEMPERATURE)


def _kind(student: str) -> str:
    """The preset that a student is, or is like: a folder with a table of words trains as ``static`` does."""
    modules = Path(student).expanduser() / "modules.json"
    tables = student not in PRESETS and modules.is_file() and "StaticEmbedding" in modules.read_text("utf-8")
    return STATIC if tables else student


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="kalm train", description=_DESCRIPTION, allow_abbrev=False)
    for name, field in TrainConfig.model_fields.items():
        if name == "quiet":
            parser.add_argument("-q", "--quiet", action="store_true", help=field.description)
        else:
            default = "" if field.default is None else f" (default: {_shown(field.default)})"
            parser.add_argument(f"--{name}", help=f"{field.description}{default}", metavar=name.upper())
    return parser


def _shown(default: object) -> object:
    return ",".join(mask for mask in MASKS if mask in default) if isinstance(default, frozenset) else default


def parse(argv: Sequence[str] | None) -> TrainConfig:
    """Flags as a configuration. Raises ConfigError for a value that cannot be; argparse exits for an unknown flag."""
    given = {name: value for name, value in vars(build_parser().parse_args(argv)).items() if value is not None}
    try:
        return TrainConfig(**given)
    except ValidationError as error:
        raise ConfigError(explain(error, "command line")) from error
