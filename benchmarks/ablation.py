"""Does curation help? The same student, steps and seeds on raw rows, and on rows with one step of curation more each.

    python -m benchmarks.ablation --source=DIR --evaluation=DIR [--limit=1500] [--steps=120] [--negatives=3]
        [--seeds=5] [--teacher=minilm] [--work=.work/ablation] [--write=docs/measured.md]

One run of ``kalm curate`` over ten English datasets gives the rows of all arms (``benchmarks/_ablation_arms.py``); two
of them hold what evaluation asks. The student is a table of words (``static``), so that an arm takes 20 CPU seconds.
Arms are compared in pairs, by seed and query; what stands within the spread of seeds, or whose bootstrap interval
holds 0, is no difference seen.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ablation_arms import ARMS, DISTILLED, LEAKY, MIXED, RAW, arm_rows
from benchmarks._ablation_scores import Floats, Scores
from benchmarks._paired import difference
from benchmarks._report import fill, machine, table, versions

STUDENT = "static"
#: Sets of the evaluation folder. SciFact's training split is trained on, so its test split is no unseen set.
SEEN, UNSEEN = ("scifact",), ("cacm", "cosqa", "stsb-en", "vaswani", "xquad-en")
DATASETS = (
    "scifact,natural-questions,all-nli,multinli,banking77,amazoncounterfactual,trecqa,"
    "medquad,scifact-test,stsbenchmark-test"
)
UNTRAINED, TEACHER = "untrained", "the teacher itself"

#: By arm and collection: values ``[seeds, items]``.
Measured = dict[str, dict[str, Floats]]


def curate(arguments: argparse.Namespace) -> Path:
    """The folder of the curated rows; what is there already is not made again."""
    out = Path(arguments.work) / "out"
    flags = [
        f"--category={DATASETS}",
        "--languages=en",
        f"--catalog={Path(__file__).with_name('ablation_catalog')}",
        f"--source={arguments.source}",
        f"--evaluation={arguments.evaluation},STSBenchmark",
        f"--teacher={arguments.teacher}",
        f"--limit={arguments.limit}",
        f"--out={out}",
        "--allow_alarms",
        "--quiet",
    ]
    command = [sys.executable, "-c", "from pipelines.command import run; run()", "curate", *flags]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("curate failed; its own lines above say why")
    return out


@lru_cache(maxsize=1)
def _scores(evaluation: Path) -> Scores:
    from trainer.models import open_model

    return Scores(evaluation, [*SEEN, *UNSEEN], open_model(STUDENT, [], 512, 0))


def train_and_score(task: tuple[int, int, argparse.Namespace, Path]) -> tuple[str, int, dict[str, Floats]]:
    """Train the student on an arm with a seed; gives the arm, its number of rows and what it scores."""
    number, seed, arguments, folder = task
    _quiet()
    from trainer.config import TrainConfig
    from trainer.fit import fit
    from trainer.models import open_model
    from trainer.progress import ShowProgress
    from trainer.shards import read_manifest
    from trainer.teacher_vectors import open_teacher

    model = open_model(STUDENT, [], 512, seed)
    if number < 0:
        return UNTRAINED, 0, _scores(arguments.evaluation)(model)
    arm = ARMS[number]
    manifest = read_manifest(folder / "manifest.json")
    rows = arm_rows(arm, manifest, folder)
    told: dict[str, Any] = {"manifest": folder, "model": STUDENT, "seed": seed}
    told |= {"max_steps": arguments.steps, "num_negatives": arguments.negatives}
    config = TrainConfig(**(told | dict(arm.loss)))
    with tempfile.TemporaryDirectory() as scratch, ShowProgress(quiet=True) as progress:
        in_batch = config.distils and config.soft_labels == "batch"
        teacher = open_teacher(manifest, folder, Path(scratch), rows, config.most_negatives) if in_batch else None
        fit(model, rows, config, Path(scratch), progress, teacher)
    return arm.name, len(rows), _scores(arguments.evaluation)(model)


def teacher_scores(teacher: str, evaluation: Path) -> dict[str, Floats] | None:
    """What the teacher itself scores, where it is a table of words; any other would take longer than all arms."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.losses.gradcache import has_static_embedding_input

    if not (Path(teacher) / "modules.json").is_file():
        return None
    model = SentenceTransformer(teacher, device="cpu", local_files_only=True)
    return Scores(evaluation, [*SEEN, *UNSEEN], model)(model) if has_static_embedding_input(model) else None


def _quiet() -> None:
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()


def measure(arguments: argparse.Namespace, folder: Path) -> tuple[Measured, dict[str, int]]:
    """All arms with all seeds, two at a time; what each scored, and how many rows it has."""
    tasks = [(-1, 0, arguments, folder)]
    tasks += [(number, seed, arguments, folder) for seed in range(arguments.seeds) for number in range(len(ARMS))]
    teacher = teacher_scores(arguments.teacher, arguments.evaluation)
    found: dict[str, list[dict[str, Floats]]] = {TEACHER: [teacher]} if teacher else {}
    sizes = {TEACHER: 0}
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        for name, num_rows, scores in pool.map(train_and_score, tasks):
            found.setdefault(name, []).append(scores)
            sizes[name] = num_rows
            print(f"{name}, seed {len(found[name]) - 1}: {_unseen_mean(scores):.1f}", file=sys.stderr, flush=True)
    stacked = {
        name: {each: np.stack([scores[each] for scores in seeds]) for each in seeds[0]} for name, seeds in found.items()
    }
    return stacked, sizes


def _unseen_mean(scores: Mapping[str, Floats]) -> float:
    return 100 * float(np.mean([scores[name].mean() for name in UNSEEN]))


def arm_table(measured: Measured, sizes: Mapping[str, int]) -> str:
    """A line for each arm: its sets, the mean of those not trained on with the spread of seeds, its step's worth."""
    header = ("trained on", "rows", *SEEN, *UNSEEN, "mean of unseen", "less the arm before")
    lines = []
    before: str | None = None
    for name, by_set in measured.items():
        means_S = np.mean([by_set[each].mean(1) for each in UNSEEN], axis=0)
        spread = f" ±{100 * means_S.std(ddof=1):.1f}" if len(means_S) > 1 else ""
        sets = [f"{100 * by_set[each].mean():.1f}" for each in (*SEEN, *UNSEEN)]
        against = MIXED if name == LEAKY else before
        step = difference(_sets(by_set), _sets(measured[against])).told() if against else ""
        rows = f"{sizes[name]:,}" if sizes[name] else ""
        lines.append((name, rows, *sets, f"{100 * means_S.mean():.1f}{spread}", step))
        before = None if name in (UNTRAINED, TEACHER) else name
    return table(header, lines)


def set_table(measured: Measured) -> str:
    """What curation is worth for each set, up to mixing and with distillation, and what leaks are."""
    pairs = ((MIXED, RAW), (DISTILLED, RAW), (LEAKY, MIXED))
    header = ("collection", "up to mixing less raw rows", "with distillation less raw rows", "with leaks less without")
    return table(
        header,
        [
            (each, *(difference([measured[one][each]], [measured[other][each]]).told() for one, other in pairs))
            for each in (*SEEN, *UNSEEN)
        ],
    )


def _sets(by_set: Mapping[str, Floats]) -> list[Floats]:
    return [by_set[name] for name in UNSEEN]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", required=True, help="directory in hub layout")
    parser.add_argument("--evaluation", type=Path, required=True, help=f"folder of {', '.join((*SEEN, *UNSEEN))}")
    parser.add_argument("--teacher", default="minilm", help="minilm, or a folder: kalm static-teacher makes a fast one")
    parser.add_argument("--limit", type=int, default=1500, help="source rows of each dataset (default: 1500)")
    parser.add_argument("--steps", type=int, default=120, help="steps of each arm (default: 120)")
    parser.add_argument("--negatives", type=int, default=3, help="hard negatives of a query, at most (default: 3)")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each arm (default: 5)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="arms at a time (default: cores)")
    parser.add_argument("--work", type=Path, default=Path(".work/ablation"), help="where curated rows are kept")
    parser.add_argument("--write", type=Path, help="document whose block bench:ablation is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    quiet = machine()  # how busy it is before this makes it so
    measured, sizes = measure(arguments, curate(arguments))
    notes = [
        f"`python -m benchmarks.ablation --source=DIR --evaluation=DIR --teacher={Path(arguments.teacher).name} "
        f"--limit={arguments.limit} --steps={arguments.steps} --negatives={arguments.negatives} "
        f"--seeds={arguments.seeds}`",
        quiet,
        versions(("sentence-transformers", "torch", "faiss-cpu")),
        "nDCG@10, for stsb-en Spearman's correlation, times 100; ± is the standard deviation over seeds. In brackets "
        "95 % of 1,000 resamples of seeds and queries. **Bold** is a difference that was seen: above the spread of the "
        "paired seeds, with 0 outside the brackets.",
        f"{', '.join(SEEN)} is the test split of a set whose training split is trained on; it is not in the mean.",
        "All arms but the last lack the rows that evaluation asks for.",
    ]
    found = "\n".join([arm_table(measured, sizes), "", set_table(measured), "", *(f"- {note}" for note in notes)])
    print(found)
    if arguments.write:
        fill(arguments.write, "ablation", found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
