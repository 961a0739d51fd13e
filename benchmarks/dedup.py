"""Documents per second, CPU time, memory, recall and precision of deduplication, ours and others', on the same texts.

    python -m benchmarks.dedup [--docs=50000,200000,1000000] [--scale=250000,1000000,4000000] [--write=docs/measured.md]

Every run is a process of its own, one after the other. A peer that by its rate so far would take longer than
``--peer_seconds`` is not run at that size, and the table says so. Ours and datatrove read and write Parquet; datasketch
and rensa, libraries, have a loop around them that reads Parquet and names what goes. ``make bench-dedup`` installs the
peers in an environment of their own.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks import _corpus
from benchmarks._measure import run_module
from benchmarks._report import fill, machine, numbers, table, versions

PEERS = ("datasketch", "rensa", "datatrove")
OURS = "**this project**"
HEADER = ("", "documents", "docs/s", "CPU s", "peak MiB", "recall", "precision")
KERNEL_HEADER = ("signatures of 128 values, 1 KB texts", "documents", "docs per CPU second", "ours is faster by")
#: Texts of the sample in which every pair is compared: whole blocks, since copies stand in the block of what they copy.
SAMPLE = 5 * _corpus.BLOCK
THRESHOLD = 0.8
Told = dict[str, Any]
Truth = npt.NDArray[np.int64]


@dataclass(kw_only=True)
class Bench:
    """Where the runs work, the interpreter of the peers, their time, and the lines so far."""

    folder: Path
    peers_python: str
    peer_seconds: float
    lines: list[tuple[str, ...]] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)

    def corpus(self, docs: int, num_bytes: int) -> Path:
        """The file of so many texts, written once."""
        path = self.folder / f"{docs}-{num_bytes}.parquet"
        if not path.exists():
            _say(f"writing {docs:,} texts of {num_bytes} bytes")
            _corpus.write(path, docs, num_bytes)
        return path

    def run(self, name: str, *arguments: str) -> Told:
        """Run ours or a peer."""
        _say(f"{name} {' '.join(arguments[:1])}")
        if name == OURS:
            return run_module("benchmarks._dedup", *arguments)
        first = [name] if arguments[0] != "kernel" else ["kernel", name]
        rest = arguments[1:] if arguments[0] == "kernel" else arguments
        return run_module("benchmarks._dedup_peers", *first, *rest, python=self.peers_python)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def true_pairs(texts: Sequence[str]) -> Truth:
    """All pairs of texts whose sets of 5-character shingles have an exact Jaccard of at least 0.8, ``[pairs, 2]``."""
    from scipy.sparse import csr_array, triu

    numbers: dict[str, int] = {}
    sets = [{text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in texts]
    columns = np.array([numbers.setdefault(shingle, len(numbers)) for found in sets for shingle in found])
    sizes = np.array([len(found) for found in sets])
    starts = np.r_[0, np.cumsum(sizes)]
    holds = csr_array((np.ones(len(columns), np.int32), columns, starts), shape=(len(sets), len(numbers)))
    common = triu(holds @ holds.T, k=1).tocoo()
    jaccards = common.data / (sizes[common.row] + sizes[common.col] - common.data)
    near = jaccards >= THRESHOLD
    return np.stack([common.row[near], common.col[near]], axis=1).astype(np.int64)


def quality(truth: Truth, removed: npt.NDArray[np.int64]) -> tuple[float, float]:
    """``(recall, precision)``: similar pairs of which not both stayed; removed texts that resemble another one."""
    gone = np.zeros(SAMPLE, bool)
    gone[removed[removed < SAMPLE]] = True
    similar = np.zeros(SAMPLE, bool)
    similar[truth.ravel()] = True
    recall = float(np.mean(gone[truth[:, 0]] | gone[truth[:, 1]])) if len(truth) else 1.0
    return recall, float(np.mean(similar[gone])) if gone.any() else 1.0


def compare(bench: Bench, docs: int) -> None:
    """Ours and every peer on ``docs`` texts of 400 bytes."""
    path = bench.corpus(docs, 400)
    truth = true_pairs(pq.ParquetFile(path).read_row_group(0).column("text").slice(0, SAMPLE).to_pylist())
    for name in (OURS, *PEERS):
        rate = bench.rates.get(name)
        if name != OURS and rate and docs / rate > bench.peer_seconds:
            skipped = f"not run: {docs / rate / 60:,.0f} minutes at its rate above"
            bench.lines.append((name, f"{docs:,}", skipped, "", "", "", ""))
            continue
        folder = bench.folder / f"{name.strip('*').replace(' ', '-')}-{docs}"
        told = bench.run(name, str(path), str(folder))
        bench.rates[name] = docs / told["seconds"]
        found = quality(truth, np.load(folder / "removed.npy"))
        bench.lines.append((name, *cells(told), *(f"{share:.4f}" for share in found)))
        _say("  ".join(bench.lines[-1]))


def cells(told: Told) -> list[str]:
    """What a run told, for the table."""
    docs, rate = told["docs"], told["docs"] / told["seconds"]
    return [f"{docs:,}", f"{rate:,.0f}", f"{told['cpu_seconds']:,.0f}", f"{told['peak_mib']:,}"]


def scale(bench: Bench, sizes: Sequence[int]) -> tuple[str, float]:
    """Ours at several sizes: the table, and the exponent with which CPU time grows (least squares on logarithms)."""
    lines, costs = [], []
    for docs in sizes:
        path = bench.corpus(docs, 400)
        told = bench.run(OURS, str(path), str(bench.folder / f"scale-{docs}"))
        lines.append(cells(told))
        costs.append(told["cpu_seconds"])
        _say("  ".join(lines[-1]))
    exponent = float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
    return table(("documents", *HEADER[2:5]), lines), exponent


def kernels(bench: Bench, docs: int) -> str:
    """The signature kernel alone beside those of datasketch and rensa, per CPU second."""
    told = {OURS: bench.run(OURS, "kernel", str(bench.corpus(20 * docs, 1000)))}
    for name in ("datasketch", "rensa"):
        told[name] = bench.run(name, "kernel", str(bench.corpus(docs, 1000)))
    rates = {name: run["docs"] / run["cpu_seconds"] for name, run in told.items()}
    lines = [
        (name, f"{told[name]['docs']:,}", f"{rate:,.0f}", "" if name == OURS else f"{rates[OURS] / rate:,.0f} times")
        for name, rate in rates.items()
    ]
    return table(KERNEL_HEADER, lines)


def notes(bench: Bench, command: str, facts: str) -> list[str]:
    """What the tables were measured with, and what they leave open."""
    pins = Path(__file__).with_name("peers.txt").read_text("utf-8").splitlines()
    return [
        f"`{command}`",
        facts,
        versions(("apache-beam", "pyarrow", "numba", "numpy")),
        "Peers: " + ", ".join(pin.replace("==", " ") for pin in pins if "==" in pin),
        f"Recall and precision: against the exact Jaccard (5 characters, at least {THRESHOLD}) of every pair of the "
        f"first {SAMPLE:,} texts. datatrove compares runs of five words, datasketch and rensa do not verify.",
        "The peak is that of the largest process; datatrove has two workers, the others one process.",
        f"A peer that would take more than {bench.peer_seconds:,.0f} s is not run at that size.",
    ]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dedup", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--docs", type=numbers, default=[50_000, 200_000, 1_000_000], help="sizes beside the peers")
    parser.add_argument("--scale", type=numbers, default=[250_000, 1_000_000, 4_000_000], help="sizes of ours alone")
    parser.add_argument("--kernel_docs", type=int, default=5_000, help="texts of 1 KB for the kernels (default: 5000)")
    parser.add_argument("--peer_seconds", type=float, default=600, help="longest run of a peer (default: 600)")
    parser.add_argument("--peers_python", default=".venv-peers/bin/python", help="interpreter that has the peers")
    parser.add_argument("--folder", type=Path, help="where to work; deleted afterwards (default: the system's)")
    parser.add_argument("--write", type=Path, help="document whose block bench:dedup is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    facts = machine()
    sizes = {name: ",".join(map(str, getattr(arguments, name))) for name in ("docs", "scale")}
    sizes["peer_seconds"] = f"{arguments.peer_seconds:.0f}"
    command = " ".join(["python -m benchmarks.dedup", *(f"--{name}={value}" for name, value in sizes.items())])
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        bench = Bench(folder=Path(folder), peers_python=arguments.peers_python, peer_seconds=arguments.peer_seconds)
        warm = bench.corpus(_corpus.BLOCK, 400)
        bench.run(OURS, str(warm), f"{folder}/compiled")  # compiled loops come from numba's cache from here on
        blocks = [kernels(bench, arguments.kernel_docs)] if arguments.kernel_docs else []
        for docs in arguments.docs:
            compare(bench, docs)
        blocks += [table(HEADER, bench.lines)] if arguments.docs else []
        if len(arguments.scale) > 1:
            grown, exponent = scale(bench, arguments.scale)
            blocks += [grown, f"CPU time grows with the number of documents to the power of {exponent:.2f}."]
        blocks.append("\n".join(f"- {note}" for note in notes(bench, command, facts)))
    text = "\n\n".join(blocks)
    print(text)
    if arguments.write:
        fill(arguments.write, "dedup", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
