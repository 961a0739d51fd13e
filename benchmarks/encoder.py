"""The encoder beside sentence-transformers' own ``encode``: seconds, and whether the neighbours are the same.

    python -m benchmarks.encoder [--source=DIR] [--category=retrieval] [--texts=2000] [--rounds=3] [--write=README.md]

Distinct texts of the prepared rows, spread over them, in the order of their keys. Loading is not counted. All sides
work in one process on the same texts and take turns; what counts is the ratio of the sums. Neighbours: the share of
each text's nearest ten, by the vectors of sentence-transformers, that are the nearest ten by the vectors of a side too.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks._measure import run_module
from benchmarks._report import fill, machine, table, versions
from mining.encoder import load_encoder
from mining.teacher import BUNDLED, TeacherParams

Vectors = npt.NDArray[np.float32]
Side = Callable[[list[str]], Vectors]

NEIGHBOURS = 10
PEER = "sentence-transformers, batches of 32"
HEADER = ("side", "CPU s", "wall s", "times the peer by CPU", "by wall", "same nearest 10")


def sides(teacher: str, texts: Sequence[str]) -> dict[str, Side]:
    """What is compared, loaded and asked once: the peer, ours with torch, and with OpenVINO where it is installed."""
    encoder = load_encoder(teacher)
    found: dict[str, Side] = {
        PEER: lambda asked: encoder.model.encode(asked, batch_size=32, show_progress_bar=False),
        "ours, torch": encoder.encode,
    }
    if importlib.util.find_spec("openvino"):
        found["ours, OpenVINO"] = load_encoder(teacher, TeacherParams(backend="openvino")).encode
    for side in found.values():
        side(list(texts[:64]))
    return found


def rounds(
    compared: Mapping[str, Side], texts: list[str], number: int
) -> tuple[dict[str, tuple[float, float]], dict[str, Vectors]]:
    """CPU and wall seconds of each side, summed over rounds in which they take turns, and its vectors."""
    seconds, vectors = dict.fromkeys(compared, (0.0, 0.0)), {}
    for _ in range(number):
        for name, side in compared.items():
            cpu, wall = time.process_time(), time.perf_counter()
            vectors[name] = side(texts)
            spent = time.process_time() - cpu, time.perf_counter() - wall
            seconds[name] = (seconds[name][0] + spent[0], seconds[name][1] + spent[1])
    return seconds, vectors


def overlap(vectors: Vectors, others: Vectors, wanted: int = NEIGHBOURS) -> float:
    """Share of each text's nearest by ``vectors`` that are among its nearest by ``others``."""
    ours, theirs = (_nearest(each, wanted) for each in (vectors, others))
    return float(np.mean([len(np.intersect1d(*pair)) / wanted for pair in zip(ours, theirs, strict=True)]))


def _nearest(vectors: Vectors, wanted: int) -> npt.NDArray[np.int64]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argpartition(-scores, wanted, axis=1)[:, :wanted]


def lines(
    seconds: Mapping[str, tuple[float, float]], vectors: Mapping[str, Vectors]
) -> list[tuple[str, str, str, str, str, str]]:
    """The rows of the table."""
    peer = seconds[PEER]
    return [
        (
            name,
            f"{cpu:.1f}",
            f"{wall:.1f}",
            f"{peer[0] / cpu:.2f}",
            f"{peer[1] / wall:.2f}",
            f"{overlap(vectors[PEER], vectors[name]):.4f}",
        )
        for name, (cpu, wall) in seconds.items()
    ]


def prepared_texts(source: str, category: str, wanted: int) -> list[str]:
    """So many distinct texts, spread over those that embed would encode."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--source={source}", f"--category={category}", f"--out={folder}/out"]
        run_module("benchmarks._stage", "prepare", *flags)
        run_module("benchmarks._inputs", "texts", f"{folder}/texts", "0", *flags)
        texts: list[str] = pq.read_table(f"{folder}/texts/texts.parquet").column("text").to_pylist()
    return texts[:: max(1, len(texts) // wanted)][:wanted]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", default="sample", help="sample, or a directory in hub layout (default: sample)")
    parser.add_argument("--category", default="retrieval", help="which datasets (default: retrieval)")
    parser.add_argument("--teacher", default=BUNDLED, help="bundled teacher, path or id (default: minilm)")
    parser.add_argument("--texts", type=int, default=2000, help="texts in a round (default: 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each side (default: 3)")
    parser.add_argument("--given", type=Path, help="Parquet file with a column text, in place of a source")
    parser.add_argument("--write", type=Path, help="document whose block bench:encoder is filled")
    return parser


def measured(arguments: Any, texts: list[str]) -> str:
    """The table in Markdown, and what was compared."""
    compared = sides(arguments.teacher, texts)
    seconds, vectors = rounds(compared, texts, arguments.rounds)
    notes = [
        f"`python -m benchmarks.encoder --texts={len(texts)} --rounds={arguments.rounds}`",
        machine(),
        versions(("sentence-transformers", "transformers", "torch", "openvino")),
    ]
    return "\n".join([table(HEADER, lines(seconds, vectors)), "", *(f"- {note}" for note in notes)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    if arguments.given:
        texts = pq.read_table(arguments.given).column("text").to_pylist()
        texts = texts[:: max(1, len(texts) // arguments.texts)][: arguments.texts]
    else:
        texts = prepared_texts(arguments.source, arguments.category, arguments.texts)
    found = measured(arguments, texts)
    print(found)
    if arguments.write:
        fill(arguments.write, "encoder", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
