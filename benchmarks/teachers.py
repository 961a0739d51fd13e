"""What a teacher by language gains over one for all: which positives each ranks first, and how far negatives are below.

    python -m benchmarks.teachers --source=DIR --teachers=en=PATH,zh=PATH [--category=A,B] [--limit=1000]
        [--teacher=minilm] [--work=DIR] [--write=docs/measured.md]

Two runs over the same rows: one teacher that is said to know all of the languages, so that its ranks count, and the
teachers of the languages. Scores of different teachers cannot be compared, so what is compared are ranks, rows that go
for their ranks, and the quotient of a teacher's own scores. Ranks are counted by brute force over the vector store,
among all positives of the dataset, those of rows that mining refused included.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks._report import fill, machine, table, versions
from mining.fixed_point import unpack_vectors
from schemas.manifest import DatasetRecord, Manifest, VectorsRecord
from schemas.reasons import RejectReason
from schemas.vectors import store_files, vector_key

HEADER = ("dataset", "rows", "teacher", "its positive first", "refused", "negatives over positives")
DATASETS = "afqmc,csl-finetune,nli-zh,ocnli,natural-questions"
Example = tuple[str, list[str]]


def run(out: Path, flags: Sequence[str]) -> Manifest:
    """Curate; gives the manifest. Raises RuntimeError with what was said where that failed."""
    command = [sys.executable, "-m", "pipelines", "curate", "--quiet", "--allow_alarms", "--evaluation=none"]
    done = subprocess.run([*command, f"--out={out}", *flags], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr}")
    return Manifest.model_validate_json((out / "manifest.json").read_text("utf-8"))


def examples(out: Path, record: DatasetRecord) -> list[Example]:
    """Queries with the positives of the rows that mining read, kept and refused ones."""
    kept = [pq.ParquetFile(out / shard.path).read(["query", "positives"]).to_pylist() for shard in record.shards]
    files = sorted((out / "rejections" / record.name).glob("*.parquet"))
    refused = [pq.ParquetFile(file).read(["query", "positives", "reason"]).to_pylist() for file in files]
    found = [row for rows in kept for row in rows]
    found += [row for rows in refused for row in rows if row["reason"] == RejectReason.INCONSISTENT]
    return [(row["query"], row["positives"]) for row in found if row["positives"]]


def stored(work: Path, vectors: VectorsRecord) -> dict[bytes, Any]:
    """The vectors of a store by key."""
    store = f"{work}/store/{vectors.store}"
    tables = [pq.ParquetFile(f"{store}/{name}").read() for name in store_files(store)]
    return {
        key: vector
        for found in tables
        for key, vector in zip(found["key"].to_pylist(), unpack_vectors(found["vector"]), strict=True)
    }


def ranked_first(rows: Sequence[Example], vectors: dict[bytes, Any], record: VectorsRecord) -> int:
    """Rows whose best positive is nearer than every positive of other rows that is none of theirs."""
    pool = sorted({text for _, positives in rows for text in positives})
    places = {text: place for place, text in enumerate(pool)}
    passages = np.stack([vectors[vector_key(record.passage_prompt, text)] for text in pool]).astype(np.float64)
    relevant: dict[str, set[str]] = {}
    for query, positives in rows:
        relevant.setdefault(query, {query}).update(positives)
    first = 0
    for query, positives in rows:
        scores = passages @ vectors[vector_key(record.query_prompt, query)].astype(np.float64)
        own = max(scores[places[text]] for text in positives)
        scores[[places[text] for text in relevant[query] if text in places]] = -np.inf
        first += bool(own >= scores.max())
    return first


def lines_of(out: Path, work: Path, manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The cells of each dataset that has one teacher, by its name."""
    names = {record.digest: record.name.rsplit("/", 1)[-1] for record in manifest.every_teacher}
    found = {}
    for record in manifest.datasets:
        (vectors,) = record.every_vectors
        rows, mining = examples(out, record), record.stages["mine"]
        first = ranked_first(rows, stored(work, vectors), vectors)
        hardness = mining.mining.hardness if mining.mining else None
        teacher = next(name for digest, name in names.items() if vectors.store.startswith(digest[:32]))
        refused = mining.rejected.get(RejectReason.INCONSISTENT, 0)
        shown = "" if hardness is None else f"{hardness:.2f}"
        found[record.name] = (f"{len(rows):,}", teacher, f"{first / len(rows):.1%}", f"{refused:,}", shown)
    return found


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teachers", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", required=True, help="a directory in hub layout, or sample")
    parser.add_argument("--teachers", required=True, help="teachers of languages: en=PATH,zh=PATH")
    parser.add_argument("--category", default=DATASETS, help=f"datasets of one language each (default: {DATASETS})")
    parser.add_argument("--limit", default="1000", help="rows of a dataset (default: 1000)")
    parser.add_argument("--teacher", default="minilm", help="the teacher of all (default: minilm)")
    parser.add_argument("--work", type=Path, help="folder of stages and vectors (default: a temporary one)")
    parser.add_argument("--write", type=Path, help="document whose block bench:teachers is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    teachers = dict(pair.split("=", 1) for pair in arguments.teachers.split(","))
    facts = machine()
    with tempfile.TemporaryDirectory() as place:
        work = arguments.work or Path(place) / "work"
        common = [f"--{name}={getattr(arguments, name)}" for name in ("source", "category", "limit")]
        sides = {
            "one": [f"--teacher={arguments.teacher}", f"--teacher_languages={','.join(teachers)}"],
            "several": [f"--set=teacher.{language}={path}" for language, path in teachers.items()],
        }
        outs = {name: Path(place) / name for name in sides}
        found = [
            lines_of(outs[name], work, run(outs[name], [*common, f"--work={work}", *flags]))
            for name, flags in sides.items()
        ]
    rows = [(name, *cells[name]) for name in sorted(found[0]) for cells in found if name in cells]
    shown = ",".join(f"{language}={Path(path).name}" for language, path in teachers.items())
    notes = [
        f"`python -m benchmarks.teachers --source=DIR --teachers={shown} --category={arguments.category} "
        f"--limit={arguments.limit} --teacher={arguments.teacher}`",
        facts,
        versions(("apache-beam", "numpy", "sentence-transformers", "torch")),
    ]
    text = table(HEADER, rows) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "teachers", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
