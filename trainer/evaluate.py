"""Evaluate a model on collections of this machine, with the prompts that it was saved with; nothing is downloaded.

kalm evaluate out/model ../eval/scifact ../eval/stsb-en --dims=384,128
kalm evaluate out/model ../eval --through=mteb      the same folders as tasks of the mteb package, with its measures
kalm evaluate out/model --mteb="MTEB(eng, v2)"      mteb's own tasks, whose data come from the hub
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigError, CurationError, OutputError, tell
from trainer.bars import bars
from trainer.config import BUNDLED
from trainer.evaluation_sets import Collection, Labelled, Pairs, Retrieval, find_collections
from trainer.metrics import MAP_DEPTH, accuracy, rank, retrieval_measures, spearman, v_measure
from trainer.model_meta import read_training_datasets, zero_shot_percentage
from trainer.mteb_folders import measure_folders, mteb_names
from trainer.mteb_tasks import Measured, find_tasks, measure_tasks, need_mteb
from trainer.mteb_tasks import zero_shot_percentage as mteb_zero_shot

if TYPE_CHECKING:
    from mining.encoder import Encoder

Vectors = npt.NDArray[np.float32]
Scores = dict[str, dict[str, dict[str, float]]]

_QUERIES_AT_ONCE = 256


def evaluate(model: str, folders: Sequence[Path], dims: Sequence[int] | None = None) -> Scores:
    """Measures by collection, dimension (as text) and name. ``dims``: how many of the first components are kept; all,
    by default. Each text is encoded once for all dimensions.

    Raises ConfigError for a model that is not there or narrower than a dimension, SourceError for collections.
    """
    sets = find_collections(folders)
    encoder, kept = _opened(model, dims)
    return {each.name: _measured(encoder, each, kept) for each in sets}


def _opened(model: str, dims: Sequence[int] | None) -> tuple["Encoder", Sequence[int]]:
    """The model, and the dimensions that are measured."""
    from mining.encoder import load_encoder

    try:
        encoder = load_encoder(model)
    except ConfigError as error:
        if model == BUNDLED or Path(model).expanduser().exists():
            raise
        raise ConfigError(
            f"there is no model at {model}: train one first (make train), or name another (make evaluate MODEL=..): a "
            f"folder, {BUNDLED} (bundled), or the id of one in the local Hugging Face cache"
        ) from error
    kept = list(dims or [encoder.dims])
    if max(kept) > encoder.dims:
        raise ConfigError(f"--dims={max(kept)}: {model} gives {encoder.dims} dimensions; give {encoder.dims} or fewer")
    return encoder, kept


def _measured(encoder: "Encoder", given: Collection, dims: Sequence[int]) -> dict[str, dict[str, float]]:
    if isinstance(given, Retrieval):
        return _of_retrieval(encoder, given, dims)
    return _of_pairs(encoder, given, dims) if isinstance(given, Pairs) else _of_labelled(encoder, given, dims)


def _of_retrieval(encoder: "Encoder", given: Retrieval, dims: Sequence[int]) -> dict[str, dict[str, float]]:
    prompts = encoder.model.prompts
    queries = encoder.encode(given.queries, prompts.get("Retrieval-query") or prompts.get("query") or "")
    passages = encoder.encode(given.passages, prompts.get("document") or "")
    found = {}
    for dim in dims:
        shorter = shortened(passages, dim)
        parts = np.array_split(shortened(queries, dim), max(1, len(queries) // _QUERIES_AT_ONCE))
        ranking = np.concatenate([rank(part @ shorter.T, MAP_DEPTH) for part in parts])
        found[str(dim)] = retrieval_measures(ranking, given.judged)
    return found


def _of_pairs(encoder: "Encoder", given: Pairs, dims: Sequence[int]) -> dict[str, dict[str, float]]:
    prompt = encoder.model.prompts.get("STS") or ""
    first, second = (encoder.encode(texts, prompt) for texts in (given.first, given.second))
    found = {}
    for dim in dims:
        cosines = np.einsum("nd,nd->n", shortened(first, dim), shortened(second, dim))
        found[str(dim)] = {"spearman": spearman(cosines, np.asarray(given.scores))}
    return found


def _of_labelled(encoder: "Encoder", given: Labelled, dims: Sequence[int]) -> dict[str, dict[str, float]]:
    prompt = encoder.model.prompts.get("Classification" if given.train_texts else "Clustering") or ""
    train, test = (encoder.encode(texts, prompt) for texts in (given.train_texts, given.texts))
    found = {}
    for dim in dims:
        one, other = shortened(train, dim), shortened(test, dim)
        found[str(dim)] = (
            {"accuracy": accuracy(one, given.train_labels, other, given.labels)}
            if given.train_texts
            else {"v-measure": v_measure(other, given.labels)}
        )
    return found


def shortened(vectors: Vectors, dim: int) -> Vectors:
    """The first ``dim`` components, of length 1; a vector without any stays 0."""
    kept = vectors[:, :dim]
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    shorter: Vectors = kept / np.maximum(lengths, np.finfo(np.float32).tiny)
    return shorter


def table(scores: Scores) -> str:
    """A line for each collection and measure, a column for each dimension."""
    dims = list(next(iter(scores.values())))
    width = max(map(len, scores))
    wide = max(10, *(len(measure) for by_dim in scores.values() for measure in by_dim[dims[0]]))
    lines = [f"{'collection':<{width}}  {'measure':<{wide}}" + "".join(f"{dim:>8}" for dim in dims)]
    for name, by_dim in scores.items():
        for measure in by_dim[dims[0]]:
            values = "".join(f"{100 * by_dim[dim][measure]:8.2f}" for dim in dims)
            lines.append(f"{name:<{width}}  {measure:<{wide}}{values}")
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(
        prog="kalm evaluate", description="Evaluate a model on collections of this machine.", allow_abbrev=False
    )
    parser.add_argument("model", help="folder of a model, or minilm (bundled)")
    parser.add_argument(
        "collections",
        type=Path,
        nargs="*",
        help="folders in BEIR's layout (corpus, queries, qrels), of sentence pairs or labelled texts (test, train), or "
        "of several of these",
    )
    parser.add_argument(
        "--through",
        choices=("own", "mteb"),
        default="own",
        help="what measures the folders: own (default), for which no other package is needed, or mteb, as tasks of "
        "that package, for numbers beside published ones",
    )
    parser.add_argument(
        "--mteb",
        action="append",
        default=[],
        metavar="NAME",
        help="a benchmark (MTEB(eng, v2)) or task (SciFact) of the mteb package, may be given several times; its data "
        "come from the hub",
    )
    parser.add_argument("--dims", help="dimensions to evaluate at, joined by commas (default: all)")
    parser.add_argument("--output", type=Path, help="JSON file for the measures")
    parser.add_argument(
        "--picture", type=Path, help="SVG file: each collection's first measure, dimensions side by side"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = build_parser().parse_args(argv)
    try:
        return _run(given)
    except CurationError as error:
        return tell(error)


def _run(given: argparse.Namespace) -> int:
    if not given.collections and not given.mteb:
        raise ConfigError("nothing to evaluate on: name folders of collections, or a benchmark (--mteb=NAME)")
    dims = _dims(given.dims)
    _refuse_places(path for path in (given.output, given.picture) if path)
    if given.through == "mteb":
        need_mteb("--through=mteb", "leave --through out: folders are then measured without it")
    tasks = find_tasks(given.mteb) if given.mteb else []
    sets = find_collections(given.collections)
    _refuse_clashes(sets, tasks)
    scores, faults = _measure_all(given, dims, sets, tasks)
    print(table(scores))
    if (share := _zero_shot(given, sets, tasks, scores)) is not None:
        print(f"zero-shot: {share} % of {len(scores)} collections (not named in the model's training_datasets)")
    for fault in faults:
        print(f"not measured: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _refuse_places(paths: Iterable[Path]) -> None:
    """Raises OutputError where what is measured could not be written, before anything is."""
    for path in paths:
        if not path.parent.is_dir() or path.is_dir():
            why = (
                "it is a folder; choose another file" if path.is_dir() else f"there is no folder {path.parent}; make it"
            )
            raise OutputError(f"cannot write {path}: {why}")


def _refuse_clashes(sets: Sequence[Collection], tasks: Sequence[Any]) -> None:
    if both := {each.name for each in sets} & {task.metadata.name for task in tasks}:
        raise ConfigError(
            f"{min(both)} is a folder and a task of --mteb, and scores have one name each: measure them one by one, or "
            "rename the folder"
        )


def _measure_all(
    given: argparse.Namespace, dims: Sequence[int] | None, sets: Sequence[Collection], tasks: Sequence[Any]
) -> tuple[Scores, list[str]]:
    """Scores of folders, then of mteb's tasks, and a line for each of what could not be measured."""
    encoder, kept = _opened(given.model, dims)
    scores: Scores = {}
    faults: list[str] = []

    def measured(name: str, by_dim: Measured) -> None:
        scores[name] = by_dim
        _keep(given, scores)

    if given.through == "mteb":
        faults += measure_folders(encoder, kept, sets, measured)
    else:
        scores |= {each.name: _measured(encoder, each, kept) for each in sets}
        _keep(given, scores)
    faults += measure_tasks(encoder, kept, tasks, measured)
    return scores, faults


def _zero_shot(
    given: argparse.Namespace, sets: Sequence[Collection], tasks: Sequence[Any], scores: Scores
) -> int | None:
    folder = Path(given.model)
    trained_on = read_training_datasets(folder)
    if given.through == "own" and sets:
        return zero_shot_percentage(trained_on, scores)
    # mteb knows which of its tasks are alike
    names = [*mteb_names(sets, trained_on or []), *(task.metadata.name for task in tasks)]
    return mteb_zero_shot(folder, names)


def _keep(given: argparse.Namespace, scores: Scores) -> None:
    """Write what has been measured so far to the files that were asked for."""
    if given.output and scores:
        through = {"through": f"mteb {version('mteb')}"} if given.through == "mteb" else {}
        _write(given.output, json.dumps({"model": given.model, **through, "scores": scores}, indent=1) + "\n")
    if given.picture and scores:
        _write(given.picture, bars(scores))


def _dims(text: str | None) -> list[int] | None:
    if text is None:
        return None
    words = text.split(",")
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ConfigError(f"--dims={text}: whole numbers above 0, joined by commas, are wanted, such as 384,128,64")
    return [int(word) for word in words]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error}; choose another file") from error
