"""Which copies of evaluation queries the check for leaks finds, and which ordinary rows it keeps.

    python -m benchmarks.leaks --source=DIR [--evaluation=DIR] [--category=all] [--queries=300] [--write=FILE]

Evaluation queries are real: ``<set>/queries.parquet`` below ``--evaluation``; a set ``name-de`` is German, one without
a language English. Of each language some queries are planted, verbatim and with a light edit, and rows are made that
share a phrase with one. Inside longer texts those are counted that have four words or eight Chinese characters and
more, since a shorter query is looked for only as a whole. Queries are planted as second and third positive of a row,
too. Genuine rows are those of the source that share a run of five words (in Chinese ten characters) with an evaluation
query and do not hold it, found by looking at every run of every row.
"""

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks._measure import run_module
from benchmarks._planted import FRAMES, ORDINARY, PLANTED, Edit, Query, runs, words_of
from benchmarks._report import fill, machine, table, versions
from pipelines.curate import plan
from pipelines.jobs import prepare_job
from pipelines.options import parse
from pipelines.workplace import Workplace
from schemas.config import SAMPLE
from schemas.rows import TEXTS
from transforms.cleaning.clean import first_texts
from transforms.leaks.decontaminate import EvaluationIndex
from transforms.leaks.leak_check import matches_of
from transforms.sources.opening import SAMPLE_ROOT
from transforms.text.matching import matching_form, matching_forms

HEADER = ("copies of evaluation queries", "language", "rows", "found")
ORDINARY_HEADER = ("ordinary rows that share a phrase with one", "language", "rows", "kept")
POSITIVE = "as second or third positive"
GENUINE = "rows of the source that share five words"
ENGLISH = "en"


class Line(NamedTuple):
    """How many rows of a kind and language were looked up, and of how many the check said that they hold a query."""

    kind: str
    language: str
    rows: int
    found: int


def read_sets(folder: Path) -> dict[str, pa.Array]:
    """The queries of each evaluation set below a folder. Raises FileNotFoundError where there is none."""
    files = sorted(folder.glob("*/queries.parquet"))
    if not files:
        raise FileNotFoundError(f"no <set>/queries.parquet below {folder}: give a folder of evaluation sets")
    return {path.parent.name: pq.read_table(path).column("text").combine_chunks() for path in files}


def by_language(sets: Mapping[str, pa.Array]) -> dict[str, list[str]]:
    """Distinct queries of at least two words, by the language that the name of their set ends with."""
    found: dict[str, dict[str, None]] = {}
    for name, texts in sets.items():
        ending = name.rpartition("-")[2]
        language = ending if ending in FRAMES else ENGLISH
        several = [text for text in texts.to_pylist() if len(words_of(text, language)) > 1]
        found.setdefault(language, {}).update(dict.fromkeys(several))
    return {language: list(texts) for language, texts in sorted(found.items())}


def made(edit: Edit, language: str, queries: Sequence[str], wanted: int, rng: random.Random) -> list[str]:
    """Rows that an edit makes of up to ``wanted`` queries."""
    chosen = rng.sample(queries, min(wanted, len(queries)))
    rows = (edit(Query(text, language, queries), rng) for text in chosen)
    return [row for row in rows if row is not None]


def genuine(folder: Path, queries: Mapping[str, Sequence[str]], wanted: int) -> Iterator[tuple[str, list[str]]]:
    """By language: texts of prepared rows that share a run with a query and do not hold all of it."""
    rows = ds.dataset(folder).to_table(columns=["query", "positives"]).combine_chunks()
    columns = (rows.column("query").combine_chunks(), first_texts(rows.column("positives").combine_chunks()))
    texts = sorted({text for column in columns for text in column.to_pylist() if text})
    random.Random(0).shuffle(texts)
    for language, own in queries.items():
        holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for query in own:
            for run in runs(query, language):
                holders[run].append(f" {matching_form(query)} ")
        shared: list[str] = []
        for text in texts:
            met = [form for run in runs(text, language) & holders.keys() for form in holders[run]]
            form = f" {matching_form(text)} "
            if met and not any(query.strip() in form if language == "zh" else query in form for query in met):
                shared.append(text)
                if len(shared) == wanted:
                    break
        yield language, shared


def prepared(source: str, category: str, folder: Path) -> Path:
    """Where the kept rows of a source lie, with nothing kept out."""
    flags = [f"--source={source}", f"--category={category}", "--evaluation=none", f"--out={folder}"]
    run_module("benchmarks._stage", "prepare", *flags)
    command = parse(flags)
    run, _ = plan(command, Workplace(command.config.out, command.config.work))
    return Path(prepare_job(run).folder.path) / "kept"


def look(index: EvaluationIndex, kind: str, language: str, rows: Sequence[str]) -> tuple[Line, list[tuple[str, str]]]:
    """A line of the table, and the rows that hold a query, each with that query."""
    matches = index.find(pa.array(rows, pa.string())).to_pylist()
    held = [(row, match["evaluation_query"]) for row, match in zip(rows, matches, strict=True) if match["matched"]]
    return Line(kind, language, len(rows), len(held)), held


def look_at_positives(index: EvaluationIndex, language: str, queries: Sequence[str], rng: random.Random) -> Line:
    """Rows that have a query as second or third positive."""
    fillers = ["The ferry leaves at noon.", "Nobody knows."]
    positives = [[*fillers[: rng.randrange(1, 3)], query] for query in queries]
    size = len(positives)
    rows = pa.table(
        {
            "query": pa.array(["what about it"] * size),
            "positives": pa.array(positives, TEXTS),
            "negatives": pa.array([[]] * size, TEXTS),
            "score": pa.nulls(size, pa.float32()),
        }
    )
    return Line(POSITIVE, language, size, len(matches_of(rows, index)))


def measure(sets: Mapping[str, pa.Array], kept: Path, wanted: int, show: int = 0) -> tuple[list[Line], list[Line]]:
    """The lines of planted and of ordinary rows. ``show`` errors of each line go to stderr, to be read."""
    index, queries, rng = EvaluationIndex.build(sets), by_language(sets), random.Random(0)
    forms = {form for texts in sets.values() for form in matching_forms(texts).to_pylist()}
    planted, ordinary = [], []
    for kind, edit in PLANTED.items():
        for language, own in queries.items():
            rows = made(edit, language, own, wanted, rng)
            line, held = look(index, kind, language, rows)
            planted.append(line)
            missed = set(rows) - {row for row, _ in held}
            _show(line, [(row, "") for row in sorted(missed)], show)
    for language, own in queries.items():
        chosen = rng.sample(own, min(wanted, len(own)))
        planted.append(look_at_positives(index, language, chosen, rng))
    for kind, edit in ORDINARY.items():
        for language, own in queries.items():
            rows = [row for row in made(edit, language, own, wanted, rng) if matching_form(row) not in forms]
            line, held = look(index, kind, language, rows)
            ordinary.append(line)
            _show(line, held, show)
    for language, rows in genuine(kept, queries, 10 * wanted):
        line, held = look(index, GENUINE, language, rows)
        ordinary.append(line)
        _show(line, held, show)
    return [line for line in planted if line.rows], [line for line in ordinary if line.rows]


def _show(line: Line, wrong: Sequence[tuple[str, str]], most: int) -> None:
    for row, query in wrong[:most]:
        print(line.kind, line.language, repr(row), repr(query), sep="\t", file=sys.stderr)


def tables(planted: Sequence[Line], ordinary: Sequence[Line]) -> str:
    """Both tables in Markdown."""
    found = [(line.kind, line.language, f"{line.rows:,}", f"{line.found / line.rows:.4f}") for line in planted]
    kept = [(line.kind, line.language, f"{line.rows:,}", f"{1 - line.found / line.rows:.4f}") for line in ordinary]
    return f"{table(HEADER, found)}\n\n{table(ORDINARY_HEADER, kept)}"


def notes_on(planted: Sequence[Line], ordinary: Sequence[Line]) -> list[str]:
    """What to say of all together."""
    true, false = sum(line.found for line in planted), sum(line.found for line in ordinary)
    rows, others = sum(line.rows for line in planted), sum(line.rows for line in ordinary)
    return [
        f"Of {rows:,} copies {true / max(1, rows):.4f} are found (recall); of {true + false:,} rows that were found "
        f"{true / max(1, true + false):.4f} are copies (precision). Of {others:,} ordinary rows "
        f"{1 - false / max(1, others):.4f} are kept."
    ]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--evaluation", type=Path, help="folder of evaluation sets (default: eval in the source)")
    parser.add_argument("--source", default=SAMPLE, help="sample, or a directory in hub layout (default: sample)")
    parser.add_argument("--category", default="all", help="what to take genuine rows from (default: all)")
    parser.add_argument("--queries", type=int, default=300, help="queries of each language and kind (default: 300)")
    parser.add_argument("--show", type=int, default=0, help="errors of each line that go to stderr (default: 0)")
    parser.add_argument("--folder", type=Path, help="where to work; deleted afterwards (default: the system's)")
    parser.add_argument("--write", type=Path, help="document whose block bench:leaks is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    busy, is_sample = machine(), arguments.source == SAMPLE
    evaluation = arguments.evaluation or (SAMPLE_ROOT if is_sample else Path(arguments.source)) / "eval"
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        sets = read_sets(evaluation)
        kept = prepared(arguments.source, arguments.category, Path(folder))
        planted, ordinary = measure(sets, kept, arguments.queries, arguments.show)
    flags = [*(["--evaluation=DIR"] if arguments.evaluation else []), f"--source={SAMPLE if is_sample else 'DIR'}"]
    command = f"`python -m benchmarks.leaks {' '.join(flags)} --queries={arguments.queries}`"
    read = f"Evaluation sets: {', '.join(f'{name} ({len(texts):,})' for name, texts in sets.items())}."
    notes = [command, busy, versions(("pyarrow", "numba", "rapidfuzz")), read, *notes_on(planted, ordinary)]
    text = tables(planted, ordinary) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "leaks", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
