"""A training step with all of KaLM's parts beside sentence-transformers' trainer with MultipleNegativesRankingLoss.

    python -m benchmarks.training [--manifest=out/manifest.json] [--model=minilm] [--batch_size=48] [--negatives=7]
        [--steps=2] [--rounds=2] [--write=docs/measured.md]

Both train the same student on the same curated rows, those with so many negatives: from rows to tokens, forward,
backward and AdamW. Ours has masks, focal weight, mixing and Matryoshka on; the peer none of them. A third side has our
forward pass and the peer's loss, which tells what our parts add to it. Each side works in a process of its own, in
turns; the first step is not counted. What counts is the ratio of the sums.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from benchmarks._measure import cpu_seconds, run_module, tell
from benchmarks._report import fill, machine, table, versions
from trainer.batches import Batches, BatchParams, Layout
from trainer.losses import LossParams, matryoshka_weights
from trainer.models import open_model
from trainer.objective import Objective
from trainer.order import OrderParams
from trainer.rows import Rows
from trainer.shards import open_rows, read_manifest

PEER, OURS, MIXED = "MultipleNegativesRankingLoss", "ours, all parts", "our passes, the peer's loss"
HEADER = ("side", "CPU s a step", "wall s a step", "times the peer by CPU", "by wall", "peak MiB")
_TEMPERATURE = 0.01

Step = Callable[[Sequence[int]], torch.Tensor]


class Chosen(Batches):
    """Batches of given rows, in place of those of an epoch."""

    rows_of_step: Sequence[int] = ()

    def numbers(self, step: int) -> list[int]:
        """The rows that were chosen, whatever the step."""
        return list(self.rows_of_step)


def full_batches(rows: Rows, batch_size: int, negatives: int) -> Iterator[list[int]]:
    """Batches of rows of one dataset that have so many negatives, spread over the datasets."""
    first, full = 0, []
    for size in rows.sizes:
        numbers = range(first, first + size)
        own = [
            number for number, row in zip(numbers, rows.take(numbers), strict=True) if len(row.negatives) >= negatives
        ]
        full.append([own[i : i + batch_size] for i in range(0, len(own) - batch_size + 1, batch_size)])
        first += size
    for place in range(max(map(len, full), default=0)):
        yield from (batches[place] for batches in full if place < len(batches))


def our_batches(model: SentenceTransformer, rows: Rows, arguments: Any) -> Chosen:
    """Batches of distinct texts as our trainer makes them."""
    params = BatchParams(num_negatives=arguments.negatives, tokens_per_pass=arguments.tokens_per_pass)
    return Chosen(rows, model.preprocess, OrderParams(batch_size=arguments.batch_size), params)


def our_step(model: SentenceTransformer, rows: Rows, arguments: Any) -> Step:
    """The loss of a batch by our way."""
    batches = our_batches(model, rows, arguments)
    dims = matryoshka_weights(model.get_embedding_dimension() or 0)
    objective = Objective(model, LossParams(dims=dims, temperature=_TEMPERATURE))

    def step(numbers: Sequence[int]) -> torch.Tensor:
        batches.rows_of_step = numbers
        batch = batches[0]
        return torch.stack(list(objective(batch["passes"], batch["layout"]).values())).sum()

    return step


def mixed_step(model: SentenceTransformer, rows: Rows, arguments: Any) -> Step:
    """The peer's loss of vectors that come from our passes: of rows that all have their negatives."""
    batches, loss = our_batches(model, rows, arguments), MultipleNegativesRankingLoss(model, scale=1 / _TEMPERATURE)

    def step(numbers: Sequence[int]) -> torch.Tensor:
        batches.rows_of_step = numbers
        batch = batches[0]
        vectors_TD = torch.cat([model(features)["sentence_embedding"] for features in batch["passes"]])
        layout = Layout.from_tensors(batch["layout"])
        passages_PD, negatives_QN = vectors_TD[layout.passages_P], layout.candidates.negatives_QN
        columns = [passages_PD[layout.candidates.positive_Q], *(passages_PD[column] for column in negatives_QN.T)]
        found: torch.Tensor = loss.compute_loss_from_embeddings([vectors_TD[layout.queries_Q], *columns], None)
        return found

    return step


def peer_step(model: SentenceTransformer, rows: Rows, arguments: Any) -> Step:
    """The loss of a batch as sentence-transformers' trainer collates and computes it."""
    loss = MultipleNegativesRankingLoss(model, scale=1 / _TEMPERATURE)
    with tempfile.TemporaryDirectory() as folder:
        told = SentenceTransformerTrainingArguments(output_dir=folder, report_to="none", use_cpu=True)
        trainer = SentenceTransformerTrainer(model=model, args=told, loss=loss)

    def step(numbers: Sequence[int]) -> torch.Tensor:
        columns = [
            {"anchor": rows.query_text(row), "positive": rows.passage_text(row, row.positives[0])}
            | {f"negative_{i}": rows.passage_text(row, row.negatives[i]) for i in range(arguments.negatives)}
            for row in rows.take(numbers)
        ]
        found: torch.Tensor = trainer.compute_loss(model, trainer.data_collator(columns))
        return found

    return step


SIDES = {PEER: peer_step, OURS: our_step, MIXED: mixed_step}


def one_side(arguments: Any) -> None:
    """Train by one side and tell the seconds of a step."""
    with tempfile.TemporaryDirectory() as scratch:
        manifest = read_manifest(arguments.manifest)
        rows = open_rows(manifest, arguments.manifest.parent, Path(scratch), "finetune")
        model = open_model(arguments.model, rows.sample_texts(100), 512, 0).train()
        step = SIDES[arguments.side](model, rows, arguments)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        found = list(full_batches(rows, arguments.batch_size, arguments.negatives))[: arguments.steps + 1]
        if len(found) < 2:
            raise SystemExit(
                f"{arguments.manifest} has no two batches of {arguments.batch_size} rows with that many negatives"
            )
        for number, numbers in enumerate(found):
            if number == 1:
                cpu, wall = cpu_seconds(), time.perf_counter()
            optimizer.zero_grad()
            step(numbers).backward()
            optimizer.step()
    steps = len(found) - 1
    tell(cpu=(cpu_seconds() - cpu) / steps, wall=(time.perf_counter() - wall) / steps)


def rounds(run: Callable[[str], dict[str, float]], number: int) -> dict[str, list[dict[str, float]]]:
    """What each side told, in rounds in which they take turns."""
    told: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(number):
        for side, each in told.items():
            each.append(run(side))
    return told


def lines(told: dict[str, list[dict[str, float]]]) -> list[tuple[str, ...]]:
    """The rows of the table; of memory the highest peak."""
    means = {
        side: {key: sum(each[key] for each in all_) / len(all_) for key in ("cpu", "wall")}
        for side, all_ in told.items()
    }
    return [
        (
            side,
            f"{mean['cpu']:.2f}",
            f"{mean['wall']:.2f}",
            f"{mean['cpu'] / means[PEER]['cpu']:.2f}",
            f"{mean['wall'] / means[PEER]['wall']:.2f}",
            f"{max(each['peak_mib'] for each in told[side]):,}",
        )
        for side, mean in means.items()
    ]


def loss_ratio(told: dict[str, list[dict[str, float]]]) -> float:
    """CPU time of a step with all our parts over that of the same passes with the peer's loss."""
    return sum(each["cpu"] for each in told[OURS]) / sum(each["cpu"] for each in told[MIXED])


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--manifest", type=Path, default=Path("out/manifest.json"), help="curated data")
    parser.add_argument("--model", default="minilm", help="student (default: minilm)")
    parser.add_argument("--batch_size", type=int, default=48, help="queries (default: 48)")
    parser.add_argument("--negatives", type=int, default=7, help="hard negatives of each query (default: 7)")
    parser.add_argument("--tokens_per_pass", type=int, default=4096, help="as kalm train has it (default: 4096)")
    parser.add_argument("--steps", type=int, default=2, help="steps that are counted, at most (default: 2)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each side (default: 2)")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help="document whose block bench:training is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser().parse_args(given)
    if arguments.side:
        one_side(arguments)
        return 0
    told = rounds(lambda side: run_module("benchmarks.training", *given, f"--side={side}"), arguments.rounds)
    notes = [
        f"`python -m benchmarks.training {' '.join(word for word in given if not word.startswith('--write'))}`",
        machine(),
        versions(("sentence-transformers", "transformers", "torch")),
        f"All parts take {loss_ratio(told):.2f} times the CPU time of our passes with the peer's loss.",
    ]
    found = "\n".join([table(HEADER, lines(told)), "", *(f"- {note}" for note in notes)])
    print(found)
    if arguments.write:
        fill(arguments.write, "training", found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
