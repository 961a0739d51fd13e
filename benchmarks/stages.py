"""Rows per second and peak memory of the four stages of curate, and of what people run today for the same work.

    python -m benchmarks.stages --source=DIR [--limit=N] [--category=...] [--peer_rows=N] [--write=docs/measured.md]

Each stage and each peer runs in a process of its own, on the direct runner, one after the other, in a fresh work
folder. prepare reads the whole source; embed, mine and pack work on ``--limit`` rows of each dataset, since a CPU
embeds about a hundred texts a second. A peer gets the same rows, texts or queries; the script beside prepare gets a
sample of the source rows. The teacher must be one without prompts, such as the bundled one: mine's peer knows none.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._measure import run_module
from benchmarks._report import fill, machine, table, versions

_LIBRARIES = (
    "apache-beam",
    "pyarrow",
    "numba",
    "torch",
    "sentence-transformers",
    "faiss-cpu",
    "faiss-gpu",
    "datasets",
    "datasketch",
)
_HEADER = ("stage", "input", "seconds", "per second", "peak MiB")
Told = dict[str, Any]


@dataclass(kw_only=True)
class Bench:
    """Where the runs of a benchmark work, what they read, and the lines of the table so far."""

    folder: Path
    source: str
    category: str
    teacher: str
    evaluation: str | None
    lines: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def flags(
        self, run: str, category: str | None = None, limit: int | None = None, work: str | None = None
    ) -> list[str]:
        """Flags of curate for one run below the folder. ``work``: the run whose work folder, and vectors, it shares."""
        optional = {"limit": limit, "evaluation": self.evaluation}
        return [
            f"--source={self.source}",
            f"--category={category or self.category}",
            f"--teacher={self.teacher}",
            f"--out={self.folder / run}",
            f"--work={self.folder / (work or run) / 'work'}",
            *(f"--{name}={value}" for name, value in optional.items() if value),
        ]

    def stage(self, name: str, flags: Sequence[str], show: str = "") -> Told:
        """Run a stage; ``show`` is its first cell in the table, if it is to stand there."""
        return self._run("benchmarks._stage", [name, *flags], show)

    def inputs(self, kind: str, flags: Sequence[str], number: int = 0) -> Told:
        """Write what a peer is given."""
        return self._run("benchmarks._inputs", [kind, str(self.folder / kind), str(number), *flags], "")

    def peer(self, name: str, kind: str, teacher: str, show: str) -> Told:
        """Run a peer on its inputs."""
        return self._run("benchmarks._peers", [name, str(self.folder / kind), teacher], show)

    def _run(self, module: str, arguments: Sequence[str], show: str) -> Told:
        print(f"{module} {shlex.join(arguments[:2])}", file=sys.stderr, flush=True)
        told = run_module(module, *arguments)
        return self.show(show, told) if show else told

    def show(self, first: str, told: Told) -> Told:
        """Add a line to the table, and say it at once."""
        self.lines.append(line(first, told))
        print("  ".join(self.lines[-1]), file=sys.stderr, flush=True)
        return told


def line(show: str, told: Told) -> tuple[str, ...]:
    """A stage or a peer as cells: texts where it counts texts, rows otherwise."""
    unit = "texts" if told.get("texts") else "rows"
    count, seconds = told[unit], told["seconds"]
    return show, f"{count:,} {unit}", f"{seconds:,.1f}", f"{count / seconds:,.0f}", f"{told['peak_mib']:,}"


def measure(bench: Bench, limit: int, peer_rows: int) -> None:
    """Run everything and fill the bench's lines and notes."""
    compiled = ["--source=sample", "--category=trecqa", f"--out={bench.folder / 'compiled'}"]
    bench.stage("prepare", compiled)  # compiled loops come from numba's cache from here on
    whole = bench.flags("whole")
    bench.stage("prepare", whole, "**prepare**")
    unlabelled = measure_script(bench, whole, peer_rows)
    limited = bench.flags("limited", limit=limit)
    bench.stage("prepare", limited)
    bench.stage("embed", limited, "**embed**")
    texts = bench.inputs("texts", limited)
    bench.peer("embed", "texts", texts["teacher"], "`SentenceTransformer.encode`, the same texts")
    bench.stage("mine", limited, "**mine**")
    bench.stage("pack", limited, "**pack**")
    if unlabelled:
        measure_miner(bench, bench.flags("pairs", ",".join(unlabelled), limit, "limited"), texts["teacher"])
    else:
        bench.notes.append("None of these datasets has given positives, so no miner of pairs stands beside mine.")


def measure_script(bench: Bench, flags: Sequence[str], peer_rows: int) -> list[str]:
    """The script beside prepare, on a sample of its rows; gives the datasets that a miner of pairs can take."""
    sampled = bench.inputs("rows", flags, peer_rows)
    if sampled["total"]:
        show = f"script: `datasets` and `datasketch`, one in {sampled['step']} of those rows"
        bench.peer("prepare", "rows", "-", show)
    else:
        bench.notes.append("The script beside prepare reads Parquet alone, and this source has none.")
    return list(sampled["unlabelled"])


def measure_miner(bench: Bench, flags: Sequence[str], teacher: str) -> None:
    """mine on the datasets whose positives are given, and ``mine_hard_negatives`` on the same."""
    bench.stage("prepare", flags)
    bench.stage("embed", flags)
    bench.stage("mine", flags, "**mine**, datasets with given positives alone")
    rows = bench.inputs("pairs", flags)["rows"]
    bench.peer("mine", "pairs", teacher, "")  # fills its cache of vectors
    told = bench.peer("mine", "pairs", teacher, "")
    bench.show("`mine_hard_negatives`, the same rows, vectors from its cache", told | {"rows": rows})


def report(bench: Bench, command: str, facts: str) -> str:
    """The table, what it was measured on, and what each line includes."""
    leaks = "keeps evaluation queries out, " if bench.evaluation else ""
    notes = [
        f"`{command}`",
        facts,
        versions(_LIBRARIES),
        "Each line is a process of its own, on the direct runner with one worker; its peak includes what it imports.",
        "The script loads, cleans (entities, tags, NFC, white space) and drops MinHash collisions without verifying "
        f"them; prepare also checks languages, filters, groups, verifies, {leaks}and accounts for every row.",
        "mine reads vectors from the store and writes parts; `mine_hard_negatives` works on lists in memory.",
        *bench.notes,
    ]
    return table(_HEADER, bench.lines) + "\n\n" + "\n".join(f"- {note}" for note in notes)


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", default="sample", help="sample, or a directory in hub layout (default: sample)")
    parser.add_argument("--category", default="all", help="what to curate (default: all)")
    parser.add_argument("--limit", type=int, default=200, help="rows per dataset after prepare (default: 200)")
    parser.add_argument("--evaluation", help="folder of evaluation sets that prepare keeps out (default: none)")
    parser.add_argument("--teacher", default="minilm", help="the teacher of embed and its peer (default: minilm)")
    parser.add_argument("--peer_rows", type=int, default=20_000, help="rows of prepare's peer (default: 20000)")
    parser.add_argument("--folder", type=Path, help="where to work; deleted afterwards (default: the system's)")
    parser.add_argument("--write", type=Path, help="document whose block bench:stages is filled")
    return parser


def command_of(arguments: argparse.Namespace) -> str:
    """The command line as the report shows it: numbers as they were, folders by what they are."""
    shown = {
        "source": "sample" if arguments.source == "sample" else "DIR",
        "evaluation": "DIR" if arguments.evaluation else None,
        "category": arguments.category,
        "limit": arguments.limit,
        "peer_rows": arguments.peer_rows,
    }
    return shlex.join(["python", "-m", "benchmarks.stages", *(f"--{k}={v}" for k, v in shown.items() if v)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    facts = machine()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        bench = Bench(
            folder=Path(folder),
            source=arguments.source,
            category=arguments.category,
            teacher=arguments.teacher,
            evaluation=arguments.evaluation,
        )
        measure(bench, arguments.limit, arguments.peer_rows)
    text = report(bench, command_of(arguments), facts)
    print(text)
    if arguments.write:
        fill(arguments.write, "stages", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
