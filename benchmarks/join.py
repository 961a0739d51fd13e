"""Peak memory of prepare on generated BEIR collections of growing size, the judgments staying the same.

    python -m benchmarks.join [--passages=1000000,4000000] [--queries=100000] [--write=docs/measured.md]

Each query has two judgments. Corpus, queries and judgments lie in Parquet files in hub layout, one of them for every
500,000 passages; prepare reads them, joins judgments with passages through parts, cleans, groups and deduplicates.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._measure import run_module
from benchmarks._report import fill, machine, numbers, table, versions

NAME = "generated-beir"
WORDS = Path(__file__).parents[1] / "tests" / "e2e" / "words.txt"
ENTRY = f"""
name: {NAME}
title: Generated collection
stage: finetune
task_type: retrieval
languages: [en]
source: {{hub: generated/beir}}
adapter: beir
columns:
  corpus: {{config: corpus, split: corpus, id: _id, text: [title, text]}}
  queries: {{config: queries, split: queries, id: _id, text: text}}
  qrels: {{config: default, split: train, query_id: query-id, corpus_id: corpus-id, score: score}}
"""
FILE_ROWS, GROUP_ROWS, JUDGMENTS = 500_000, 50_000, 2
HEADER = ("passages", "judgments", "seconds", "passages/s", "peak MiB")


def english_words() -> npt.NDArray[np.object_]:
    """Words that the language check knows."""
    return np.array(WORDS.read_text("utf-8").split(), dtype=object)


def passages(rows: int, seed: int) -> Iterator[pa.Table]:
    """Passages of about 200 bytes, a row group at a time."""
    words, rng = english_words(), np.random.default_rng(seed)
    for start in range(0, rows, GROUP_ROWS):
        size = min(GROUP_ROWS, rows - start)
        drawn = words[rng.integers(0, len(words), (size, 24))]
        texts = ["The " + " ".join(row[:12]) + " and the " + " ".join(row[12:]) for row in drawn]
        titles = [" ".join(row[:2]) for row in drawn]
        ids = [f"p{start + number}" for number in range(size)]
        yield pa.table({"_id": ids, "title": titles, "text": texts})


def write_collection(root: Path, num_passages: int, num_queries: int) -> None:
    """Write a collection in hub layout below ``root``, and its entry in ``root/catalog``."""
    folder = root / "hub" / "datasets" / "generated" / "beir"
    for name in ("corpus", "queries", "default"):
        (folder / name).mkdir(parents=True)
    (root / "catalog").mkdir()
    (root / "catalog" / f"{NAME}.yaml").write_text(ENTRY, "utf-8")
    num_files, writer = -(-num_passages // FILE_ROWS), None
    for number, group in enumerate(passages(num_passages, seed=1)):
        at, into = divmod(number * GROUP_ROWS, FILE_ROWS)
        if into == 0:
            if writer:
                writer.close()
            writer = pq.ParquetWriter(folder / "corpus" / f"corpus-{at:05d}-of-{num_files:05d}.parquet", group.schema)
        assert writer
        writer.write_table(group, row_group_size=GROUP_ROWS)
    if writer:
        writer.close()
    _write_judgments(folder, num_passages, num_queries)


def _write_judgments(folder: Path, num_passages: int, num_queries: int) -> None:
    words, rng = english_words(), np.random.default_rng(2)
    ids = [f"q{number}" for number in range(num_queries)]
    drawn = words[rng.integers(0, len(words), (num_queries, 7))]
    texts = [f"What is the {' '.join(row)} of {number}?" for number, row in enumerate(drawn)]
    pq.write_table(
        pa.table({"_id": ids, "text": texts}),
        folder / "queries" / "queries-00000-of-00001.parquet",
        row_group_size=GROUP_ROWS,
    )
    judged = rng.permutation(num_passages)[: JUDGMENTS * num_queries]
    columns = {
        "query-id": [id_ for id_ in ids for _ in range(JUDGMENTS)],
        "corpus-id": [f"p{number}" for number in judged],
        "score": np.ones(len(judged), np.int64),
    }
    pq.write_table(pa.table(columns), folder / "default" / "train-00000-of-00001.parquet", row_group_size=GROUP_ROWS)


def measure(sizes: Sequence[int], num_queries: int, folder: Path) -> tuple[list[tuple[str, ...]], list[int]]:
    """Lines of the table, and the peaks in MiB."""
    lines, peaks = [], []
    for size in sizes:
        root = folder / str(size)
        print(f"writing {size:,} passages", file=sys.stderr, flush=True)
        write_collection(root, size, num_queries)
        flags = [
            f"--source={root / 'hub'}",
            f"--catalog={root / 'catalog'}",
            f"--category={NAME}",
            f"--out={root / 'out'}",
        ]
        told = run_module("benchmarks._stage", "prepare", *flags)
        peaks.append(told["peak_mib"])
        rate = size / told["seconds"]
        lines.append((f"{size:,}", f"{told['rows']:,}", f"{told['seconds']:,.0f}", f"{rate:,.0f}", f"{peaks[-1]:,}"))
        print("  ".join(lines[-1]), file=sys.stderr, flush=True)
    return lines, peaks


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.join", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--passages", type=numbers, default=[1_000_000, 4_000_000], help="sizes of the corpus")
    parser.add_argument("--queries", type=int, default=100_000, help="queries, two judgments each (default: 100000)")
    parser.add_argument("--folder", type=Path, help="where to work; deleted afterwards (default: the system's)")
    parser.add_argument("--write", type=Path, help="document whose block bench:join is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    facts = machine()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        lines, peaks = measure(arguments.passages, arguments.queries, Path(folder))
    sizes = ",".join(map(str, arguments.passages))
    notes = [
        f"`python -m benchmarks.join --passages={sizes} --queries={arguments.queries}`",
        facts,
        versions(("apache-beam", "pyarrow", "numba")),
        f"The largest corpus takes {peaks[-1] / peaks[0]:.2f} times the memory of the smallest.",
    ]
    text = table(HEADER, lines) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "join", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
