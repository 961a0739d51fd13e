"""What to train, on what, with which numbers: one field for each flag."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError

from schemas.config import explain
from schemas.errors import ConfigError

TINY = "tiny"
BUNDLED = "minilm"

#: Peak learning rates. A random model learns nothing at the rate that suits a trained one (KaLM-Embedding: 1e-5).
TINY_LEARNING_RATE = 1e-3
LEARNING_RATE = 1e-5

_DESCRIPTION = "Train an embedding model on curated shards: InfoNCE over in-batch positives and hard negatives."
_PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]


class TrainConfig(BaseModel):
    """A training run. Defaults are KaLM-Embedding's fine-tuning where it states them (rate, batch, temperature,
    length, 7 negatives).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest: Path = Field(Path("out/manifest.json"), description="manifest of the curated data, or its folder")
    model: str = Field(
        TINY,
        description=f"{TINY} (random and small, for a first try), {BUNDLED} (bundled), or a folder with a "
        "sentence-transformers model or a Hugging Face decoder",
    )
    output: Path | None = Field(
        None,
        description="folder of the trained model; an older model there is replaced (default: model, beside the "
        "manifest)",
    )
    epochs: _PositiveFloat = Field(1.0, description="passes over the data")
    max_steps: PositiveInt | None = Field(None, description="stop after so many steps (default: whole epochs)")
    batch_size: int = Field(48, ge=2, description="queries in a batch; each sees the others' positives and negatives")
    learning_rate: _PositiveFloat | None = Field(
        None,
        description=f"peak learning rate (default: {TINY_LEARNING_RATE:g} for {TINY}, {LEARNING_RATE:g} otherwise)",
    )
    warmup_ratio: FiniteFloat = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    temperature: _PositiveFloat = Field(0.01, description="temperature of the contrastive loss")
    max_seq_length: int = Field(512, ge=8, description="tokens of a text that are read, at most")
    num_negatives: int = Field(7, ge=0, description="hard negatives of a query, at most; the first ones are taken")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of random weights, of dropout and of the order of batches")
    quiet: bool = Field(False, description="no progress, no summary; errors only")

    @property
    def manifest_file(self) -> Path:
        """The manifest itself, also where its folder was given."""
        return self.manifest / "manifest.json" if self.manifest.is_dir() else self.manifest

    @property
    def output_folder(self) -> Path:
        """Where the trained model goes."""
        return self.output or self.manifest_file.parent / "model"

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate that was given, or the one that suits the model."""
        return self.learning_rate or (TINY_LEARNING_RATE if self.model == TINY else LEARNING_RATE)


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="kalm train", description=_DESCRIPTION, allow_abbrev=False)
    for name, field in TrainConfig.model_fields.items():
        if name == "quiet":
            parser.add_argument("-q", "--quiet", action="store_true", help=field.description)
        else:
            default = "" if field.default is None else f" (default: {field.default})"
            parser.add_argument(f"--{name}", help=f"{field.description}{default}", metavar=name.upper())
    return parser


def parse(argv: Sequence[str] | None) -> TrainConfig:
    """Flags as a configuration. Raises ConfigError for a value that cannot be; argparse exits for an unknown flag."""
    given = {name: value for name, value in vars(build_parser().parse_args(argv)).items() if value is not None}
    try:
        return TrainConfig(**given)
    except ValidationError as error:
        raise ConfigError(explain(error, "command line")) from error
