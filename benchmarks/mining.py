"""How long mining takes from given vectors to chosen negatives, beside bare FAISS and the miners that people use.

    python -m benchmarks.mining [--queries=20000] [--passages=100000] [--dims=384] [--rounds=3] [--write=docs/mining.md]

All sides get the same vectors and take seven negatives from ranks 50 to 99. Each runs in a process of its own with as
many threads as the others, in turn, round after round; what counts is CPU time, and of all rounds the median.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks._measure import cpu_seconds, run_module, tell
from benchmarks._report import fill, machine, table, versions
from mining import pools

HEADER = ("side", "queries per CPU second", "of FAISS", "peak MiB")
_REFERENCE = "FAISS IndexFlatIP"


def measure(arguments: argparse.Namespace) -> tuple[list[tuple[str, ...]], float, bool]:
    """The table, the share of the scan in ours, and whether every round of ours, on Beam too, gave the same bytes."""
    from benchmarks._mining_sides import FEWER, OURS, SIDES

    queries = {name: min(arguments.queries, FEWER.get(name, arguments.queries)) for name in SIDES}
    sizes = [f"--{name}={getattr(arguments, name)}" for name in ("passages", "dims")]
    told: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    for number in range(arguments.rounds):
        for name in SIDES:
            told[name].append(run_module("benchmarks.mining", f"--side={name}", f"--queries={queries[name]}", *sizes))
            print(f"round {number}: {name} {told[name][-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    rates = {name: queries[name] / statistics.median(run["seconds"] for run in runs) for name, runs in told.items()}
    lines = [
        (name, f"{rate:,.0f}", f"{rate / rates[_REFERENCE]:.2f}", f"{max(run['peak_mib'] for run in told[name]):,}")
        for name, rate in rates.items()
    ]
    scan = statistics.median(run["scan"] for run in told[OURS[0]])
    return lines, scan, len({run["result"] for name in OURS for run in told[name]}) == 1


def run_side(name: str, queries: int, passages: int, dims: int) -> None:
    """One side once, after a run on a few vectors that compiles and loads what it needs."""
    from benchmarks._mining_sides import SIDES, given

    SIDES[name](*given(64, 1000, dims))()
    work = SIDES[name](*given(queries, passages, dims))
    with timed_scan() as scan:
        before = cpu_seconds()
        result = work()
        seconds = cpu_seconds() - before
    tell(seconds=seconds, result=result, scan=sum(scan) / seconds)


@contextmanager
def timed_scan() -> Iterator[list[float]]:
    """While this lasts, the CPU seconds of each scan of a shard are noted."""
    scan, noted = pools.scan, list[float]()

    def timed(*arguments: Any) -> Any:
        before = cpu_seconds()
        found = scan(*arguments)
        noted.append(cpu_seconds() - before)
        return found

    with mock.patch.object(pools, "scan", timed):
        yield noted


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mining", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--queries", type=int, default=20_000, help="queries (default: 20000)")
    parser.add_argument("--passages", type=int, default=100_000, help="passages (default: 100000)")
    parser.add_argument("--dims", type=int, default=384, help="dimensions (default: 384)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (default: 3)")
    parser.add_argument("--write", type=Path, help="document whose block bench:mining is filled")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    if arguments.side:
        run_side(arguments.side, arguments.queries, arguments.passages, arguments.dims)
        return 0
    facts = machine()
    lines, scan, same = measure(arguments)
    sizes = " ".join(f"--{name}={getattr(arguments, name)}" for name in ("queries", "passages", "dims", "rounds"))
    notes = [
        f"`python -m benchmarks.mining {sizes}`",
        facts,
        versions(("faiss-cpu", "numba", "numpy", "sentence-transformers", "torch")),
        f"The scan takes {scan:.0%} of the CPU time of `mine_dataset`.",
        "Of batches of 64 no more than 2,048 queries are asked: their pace does not depend on the number.",
        f"Every round of `mine_dataset`, on Beam too, gave {'the same bytes' if same else 'OTHER BYTES'}.",
    ]
    text = table(HEADER, lines) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "mining", text)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
