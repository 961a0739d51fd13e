"""A table of words made from a teacher: each word of its vocabulary goes through it once, alone.

    kalm static-teacher out/static --dims=256
    make curate TEACHER=out/static

The mean over a text's words is a poor copy of the teacher's vector and takes a fraction of the time: for first tries
on a CPU. Principal components keep what differs most among the words (as model2vec does, without its weights by
frequency).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError, CurationError, tell
from trainer.config import BUNDLED
from trainer.saving import save_model, staged

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: A letter that stands in one manuscript: a vocabulary without bytes does not know it.
_RARE = "\ua66e"

Floats = npt.NDArray[np.float64]


def static_teacher(output: Path, teacher: str = BUNDLED, dims: int = 256) -> None:
    """Write the table of a teacher's words, ``[words, dims]``, as a sentence-transformers model.

    Raises ConfigError for a teacher that is not there, that has no fast tokenizer of words, or whose vectors have fewer
    than ``dims`` components; OutputError for ``output``.
    """
    from mining.encoder import load_encoder

    encoder = load_encoder(teacher)
    if not 1 <= dims <= encoder.dims:
        raise ConfigError(
            f"--dims={dims}: {teacher} gives vectors of {encoder.dims} components; give 1 to {encoder.dims}"
        )
    with staged(output) as folder:
        tokenizer = _tokenizer(encoder.model, teacher)
        ids, texts = words(tokenizer)
        table = np.zeros((max(tokenizer.get_vocab().values()) + 1, dims), np.float32)
        table[ids] = principal_components(encoder.encode(texts).astype(np.float64), dims)
        save_model(_model(tokenizer, table), folder)


def words(tokenizer: Any) -> tuple[list[int], list[str]]:
    """The ids of a tokenizer's words and their texts, by id; special tokens and those that spell nothing are none.

    What stands for words that it does not know is one: a text of such words alone needs a vector too.
    """
    unknown = tokenizer(_RARE, add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) - set(unknown)
    ids = [number for number in sorted(tokenizer.get_vocab().values()) if number not in special]
    texts = [tokenizer.decode([number]).removeprefix("##").strip() for number in ids]
    spelt = [(number, text) for number, text in zip(ids, texts, strict=True) if text]
    return [number for number, _ in spelt], [text for _, text in spelt]


def principal_components(vectors: Floats, dims: int) -> Floats:
    """Vectors ``[N, D]`` less their mean, by their ``dims`` directions of largest variance, largest first.

    A direction's sign is such that its largest entry is positive, so that equal vectors give equal components.
    """
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    directions = directions[:, ::-1][:, :dims]
    largest = np.abs(directions).argmax(axis=0)
    found: Floats = centred @ (directions * np.sign(directions[largest, np.arange(directions.shape[1])]))
    return found


def _tokenizer(model: "SentenceTransformer", teacher: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    if not isinstance(model.tokenizer, PreTrainedTokenizerFast):
        raise ConfigError(
            f"teacher {teacher!r} has no fast tokenizer ({type(model.tokenizer).__name__}), whose words a table could "
            "hold: choose a transformer with one"
        )
    return model.tokenizer


def _model(tokenizer: Any, table: npt.NDArray[np.float32]) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table), Normalize()], device="cpu")


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(
        prog="kalm static-teacher", description="Make a fast teacher: a table of another's words.", allow_abbrev=False
    )
    parser.add_argument("output", type=Path, help="folder of the new teacher; an older model there is replaced")
    parser.add_argument("--teacher", default=BUNDLED, help=f"{BUNDLED} (bundled) or a folder (default: {BUNDLED})")
    parser.add_argument("--dims", type=int, default=256, help="components of its vectors (default: 256)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = build_parser().parse_args(argv)
    try:
        static_teacher(given.output, given.teacher, given.dims)
    except CurationError as error:
        return tell(error)
    print(f"saved in {given.output}\nnext: make curate TEACHER={given.output}", file=sys.stderr)
    return 0
