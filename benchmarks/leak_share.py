"""What the check for leaks costs with evaluation sets as large as all that the catalog names, of prepare's CPU time.

    python -m benchmarks.leak_share --source=DIR [--queries=644916] [--texts=6236704] [--few=200] [--rounds=3]
        [--write=FILE]

mteb 2.26 counts 644,916 queries in the 275 sets of ``catalog/evaluation`` (its ``descriptive_stats``, scored splits),
which are looked for inside longer texts, and 6,236,704 other scored texts, which are looked for as wholes. The
stand-ins are as many texts of 4 to 20 words, made of runs of up to three words from the source's own texts: words and
phrases are those of the rows, as those of real sets are, and the texts shorter than real ones. What a run pays once
(reading the sets, making the index) is told apart from what it pays for each row by a run over ``--few`` rows of each
dataset. Of ``--rounds`` runs of each kind, one kind after the other, the least CPU time counts.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks._measure import run_module
from benchmarks._report import fill, machine, table, versions
from benchmarks.leaks import prepared

HEADER = ("prepare", "rows", "CPU s", "peak MiB")
_KINDS = (
    "few rows, nothing kept out",
    "few rows, all sets kept out",
    "all rows, nothing kept out",
    "all rows, all sets kept out",
)
_QUERIES, _TEXTS = 644_916, 6_236_704
_SET = "StandInTexts"
_ENTRY = f"""benchmark: stand-ins
title: Texts that are looked for as wholes
sets:
  - name: {_SET}
    hub: stand-ins/texts
    type: Classification
    splits: [test]
    languages: [en]
    columns: [text]
"""
_TEXT = pa.schema([("text", pa.string())])
_FEWEST, _MOST = 4, 20
_LONGEST_RUN, _LONGEST_WORD = 3, 24
_AT_ONCE = 250_000


def stand_ins(texts: pa.Array, number: int, seed: int) -> pa.Array:
    """``number`` texts of 4 to 20 words: runs of up to three words from anywhere in ``texts``, one behind the other."""
    generator = np.random.default_rng(seed)
    words = pc.list_flatten(pc.utf8_split_whitespace(texts))
    words = words.filter(pc.less_equal(pc.utf8_length(words), _LONGEST_WORD))  # Chinese sentences are single words here
    offsets = np.concatenate([[0], np.cumsum(generator.integers(_FEWEST, _MOST + 1, number))])
    lengths = generator.integers(1, _LONGEST_RUN + 1, offsets[-1])
    starts = np.repeat(generator.integers(0, len(words) - _LONGEST_RUN, len(lengths)), lengths)
    within = np.arange(len(starts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = (starts + within)[: offsets[-1]]
    runs = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), words.take(pa.array(places)))
    return pc.binary_join(runs, " ")


def write_sets(folder: Path, texts: pa.Array, queries: int, others: int) -> tuple[Path, Path]:
    """A folder of one collection of queries, in hub layout a set of other texts too, and the catalog that names it."""
    source, catalog = folder / "source", folder / "catalog"
    for path, name, number, seed in (
        (source / "StandInQueries" / "queries.parquet", "_id", queries, 1),
        (source / "datasets" / "stand-ins" / "texts" / "test.parquet", "text", others, 2),
    ):
        path.parent.mkdir(parents=True)
        schema = pa.schema([("_id", pa.string()), ("text", pa.string())]) if name == "_id" else _TEXT
        with pq.ParquetWriter(path, schema) as writer:
            for first in range(0, number, _AT_ONCE):
                made = stand_ins(texts, min(_AT_ONCE, number - first), seed * 1000 + first)
                ids = [pc.cast(pa.array(np.arange(first, first + len(made))), pa.string())] if name == "_id" else []
                writer.write_table(pa.table([*ids, made], schema=schema))
    (catalog / "evaluation").mkdir(parents=True)
    (catalog / "evaluation" / "stand-ins.yaml").write_text(_ENTRY, "utf-8")
    return source, catalog


def prepare(source: str, folder: Path, few: int | None, sets: Sequence[str]) -> dict[str, Any]:
    """One run of prepare in a process of its own: ``rows``, ``cpu_seconds``, ``peak_mib``."""
    limit = [f"--limit={few}"] if few else []
    with tempfile.TemporaryDirectory(dir=folder) as out:
        return run_module(
            "benchmarks._stage", "prepare", f"--source={source}", "--category=all", f"--out={out}", *limit, *sets
        )


def measure(arguments: argparse.Namespace, folder: Path) -> str:
    """The block of the document."""
    rows = ds.dataset(prepared(arguments.source, "all", folder / "rows")).to_table(columns=["query"])
    source, catalog = write_sets(folder, rows.column("query").combine_chunks(), arguments.queries, arguments.texts)
    without = ["--evaluation=none"]
    with_all = [f"--evaluation={source},stand-ins", f"--catalog={catalog}"]
    kinds = [(arguments.few, without), (arguments.few, with_all), (None, without), (None, with_all)]
    rounds = [[prepare(arguments.source, folder, *kind) for kind in kinds] for _ in range(arguments.rounds)]
    least = [min(told, key=lambda one: float(one["cpu_seconds"])) for told in zip(*rounds, strict=True)]
    cpu = [told["cpu_seconds"] for told in least]
    once = cpu[1] - cpu[0]
    rest, checked = cpu[2] - cpu[0], cpu[3] - cpu[1]
    lines = [
        (name, f"{told['rows']:,}", f"{told['cpu_seconds']:.1f}", f"{told['peak_mib']:,}")
        for name, told in zip(_KINDS, least, strict=True)
    ]
    notes = [
        f"A run reads the sets and makes the index once, for {once:.0f} CPU s ({arguments.queries:,} queries, "
        f"{arguments.texts:,} other texts). All rows take {rest:.1f} CPU s more than few with nothing kept out, and "
        f"{checked:.1f} CPU s more with all sets kept out.",
        f"- `{arguments.command}`",
        f"- {arguments.machine}",
        f"- {versions(('apache-beam', 'pyarrow', 'numba', 'numpy'))}",
    ]
    return "\n".join([table(HEADER, lines), "", *notes[:1], "", *notes[1:]])


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leak_share", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--source", required=True, help="a directory in hub layout")
    parser.add_argument("--queries", type=int, default=_QUERIES, help=f"stand-ins for queries (default: {_QUERIES})")
    parser.add_argument("--texts", type=int, default=_TEXTS, help=f"stand-ins for other texts (default: {_TEXTS})")
    parser.add_argument("--few", type=int, default=200, help="rows of each dataset in the small runs (default: 200)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind (default: 3)")
    parser.add_argument("--write", type=Path, help="document whose block bench:leak-share is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    arguments.machine = machine()
    arguments.command = f"python -m benchmarks.leak_share --source=DIR --rounds={arguments.rounds}"
    with tempfile.TemporaryDirectory() as folder:
        text = measure(arguments, Path(folder))
    print(text)
    if arguments.write:
        fill(arguments.write, "leak-share", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
