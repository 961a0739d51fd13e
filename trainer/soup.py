"""Averaging of checkpoints: the mean of the weights of models of one shape (KaLM-Embedding V1 and V2, as LM-Cocktail).

kalm soup out/soup out/model-checkpoints/checkpoint-100 out/model-checkpoints/checkpoint-200
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigError, CurationError, tell
from trainer.saving import save_model, staged

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

_WEIGHTS_TOLERANCE = 1e-6


def soup(output: Path, folders: Sequence[Path], weights: Sequence[float] | None = None) -> None:
    """Write the weighted mean of models to ``output``; equal weights by default.

    What is no floating-point number (positions, for instance) must be the same in all. Means are taken in float64; two
    models are in memory at a time. Modules, tokenizer and prompts are the first model's. Raises ConfigError for models
    that are not of one shape, for fewer than two, and for weights that do not sum to 1; OutputError for ``output``.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    shares = _shares(folders, weights)
    with staged(output) as staging:
        model = _open(folders[0])
        sums = {name: _start(value, shares[0]) for name, value in model.state_dict().items()}
        for folder, share in zip(folders[1:], shares[1:], strict=True):
            _add(sums, folders[0], folder, share)
        model.load_state_dict({name: sums[name].to(value.dtype) for name, value in model.state_dict().items()})
        save_model(model, staging)
        members = [{"folder": str(folder), "weight": share} for folder, share in zip(folders, shares, strict=True)]
        (staging / "soup.json").write_text(json.dumps(members, indent=1) + "\n")


def _shares(folders: Sequence[Path], weights: Sequence[float] | None) -> list[float]:
    if len(folders) < 2:
        raise ConfigError(f"kalm soup averages two models or more, and {len(folders)} was given: name more folders")
    shares = [1 / len(folders)] * len(folders) if weights is None else list(weights)
    if len(shares) != len(folders) or abs(sum(shares) - 1) > _WEIGHTS_TOLERANCE:
        raise ConfigError(
            f"--weights={','.join(map(str, shares))}: {len(folders)} models need as many weights, with the sum 1"
        )
    return shares


def _open(folder: Path) -> "SentenceTransformer":
    from trainer.models import open_folder

    if not (folder / "modules.json").is_file():
        raise ConfigError(
            f"{folder} holds no sentence-transformers model (modules.json): name folders that kalm train wrote, or "
            "checkpoints of it"
        )
    return open_folder(str(folder), folder)


def _start(value: "Tensor", share: float) -> "Tensor":
    return value.double() * share if value.is_floating_point() else value


def _add(sums: dict[str, "Tensor"], first: Path, folder: Path, share: float) -> None:
    state = _open(folder).state_dict()
    ours, theirs = ({name: tuple(value.shape) for name, value in each.items()} for each in (sums, state))
    if differing := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        name = differing[0]
        raise ConfigError(
            f"{folder} is no model of the shape of {first}: {name} has the shape {theirs.get(name)} and not "
            f"{ours.get(name)}; average checkpoints of one model"
        )
    for name, value in state.items():
        if value.is_floating_point():
            sums[name] += value.double() * share
        elif not bool((value == sums[name]).all()):
            raise ConfigError(f"{folder} differs from {first} in {name}, which cannot be averaged")


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(
        prog="kalm soup", description="Average the weights of models of one shape.", allow_abbrev=False
    )
    parser.add_argument("output", type=Path, help="folder of the mean; an older model there is replaced")
    parser.add_argument("models", type=Path, nargs="+", help="folders of trained models, or checkpoints")
    parser.add_argument("--weights", help="weights, joined by commas, with the sum 1 (default: equal)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = build_parser().parse_args(argv)
    try:
        soup(given.output, given.models, _parsed(given.weights))
    except CurationError as error:
        return tell(error)
    print(f"saved the mean of {len(given.models)} models in {given.output}", file=sys.stderr)
    return 0


def _parsed(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(word) for word in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--weights={text}: numbers, joined by commas, are wanted, such as 0.5,0.25,0.25") from error
