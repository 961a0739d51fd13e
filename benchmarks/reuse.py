"""What a run recomputes that follows another: nothing changed, a dataset more, one dataset's filter, mining alone.

    python -m benchmarks.reuse --source=DIR [--category=A,B,C] [--limit=N] [--teacher=minilm] [--write=docs/measured.md]

Each run is a process of its own on the OUT of the first, which had all datasets but the last. Every change is made to
a copy of that first OUT, so that each is measured against the same.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._measure import cpu_seconds
from benchmarks._report import fill, machine, table, versions

HEADER = ("run", "CPU s", "wall s", "of the first's CPU", "prepare", "embed", "mine", "pack")
STAGES = ("prepare", "embed", "mine", "pack")
DATASETS = "all-nli,multinli,banking77"
_DONE = re.compile(r"^(?P<stage>prepare|embed|mine|pack) +read .*\((?P<took>[^)]*)\)$")
_REUSED = re.compile(
    r"^(?P<stage>mine|pack) +(?P<number>\d+) of (?P<all>\d+) datasets are as an earlier run left them$"
)


def changes(datasets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The flags of each later run, by what it changes; ``datasets`` are all, the first run had all but the last."""
    first = f"--category={','.join(datasets[:-1])}"
    return {
        "nothing changed": (first,),
        "one dataset more": (f"--category={','.join(datasets)}",),
        "one dataset's filter": (first, f"--set=datasets.{datasets[0]}.clean.filters.max_characters=5000"),
        "one dataset's mining": (first, f"--set=datasets.{datasets[0]}.mining.num_negatives=5"),
        "mining of all": (first, "--set=mining.num_negatives=5"),
    }


def stages_of(said: str) -> tuple[str, ...]:
    """What each stage did, from what a run says: ``kept``, ``made``, or ``made, 1 of 2 kept``."""
    found, parts = dict.fromkeys(STAGES, ""), dict[str, str]()
    for line in said.splitlines():
        if part := _REUSED.match(line):
            parts[part["stage"]] = f", {part['number']} of {part['all']} kept"
        if done := _DONE.match(line):
            kept = done["took"] == "already there"
            found[done["stage"]] = "kept" if kept else f"made{parts.get(done['stage'], '')}"
    return tuple(found.values())


def measure(flags: Sequence[str]) -> tuple[float, float, tuple[str, ...]]:
    """CPU and wall seconds of a run, and what its stages did. Raises RuntimeError with what it said if it failed."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    command = [sys.executable, "-m", "pipelines", "curate", *flags]
    quiet = os.environ | {"TQDM_DISABLE": "1", "COLUMNS": "300"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=quiet, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr}")
    return cpu_seconds() - cpu, time.perf_counter() - wall, stages_of(done.stdout + done.stderr)


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reuse", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", required=True, help="a directory in hub layout")
    parser.add_argument("--category", default=DATASETS, help=f"two datasets or more, with commas (default: {DATASETS})")
    parser.add_argument("--limit", help="rows of a dataset (default: all)")
    parser.add_argument("--teacher", default="minilm", help="teacher (default: minilm)")
    parser.add_argument("--write", type=Path, help="document whose block bench:reuse is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser().parse_args(given)
    datasets = arguments.category.split(",")
    facts, lines = machine(), []
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        common = [f"--source={arguments.source}", f"--teacher={arguments.teacher}", "--allow_alarms"]
        common += [f"--limit={arguments.limit}"] if arguments.limit else []
        later = changes(datasets)
        first = measure([*common, f"--out={out}", *later["nothing changed"]])
        runs = {f"the first, of {len(datasets) - 1} datasets": first}
        for name, flags in later.items():
            shutil.copytree(out, other := Path(place) / "other")
            runs[name] = measure([*common, f"--out={other}", *flags])
            shutil.rmtree(other)
        for name, (cpu, wall, stages) in runs.items():
            lines.append((name, f"{cpu:.1f}", f"{wall:.1f}", f"{cpu / first[0]:.2f}", *stages))
    shown = " ".join(word for word in given if not word.startswith(("--write", "--source")))
    notes = [
        f"`python -m benchmarks.reuse --source=DIR {shown}`".replace(" `", "`"),
        facts,
        versions(("apache-beam", "pyarrow", "torch")),
    ]
    text = table(HEADER, lines) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "reuse", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
