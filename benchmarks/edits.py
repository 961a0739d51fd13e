"""Which edited copies of real texts near-duplicate removal finds, and whether all that it removes is alike.

    python -m benchmarks.edits --source=DIR [--category=...] [--texts=20000] [--write=docs/measured.md]

Texts of at least 100 characters in English and Chinese are taken from the prepared rows of a source. A third gets an
edited copy: an edit in one place (1 to 15 % of the characters replaced, left out or put in), or single characters
replaced all over (1 to 3 %). All go through the same steps as in prepare; exact Jaccard is computed here, in Python.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks._inputs import prepared_texts
from benchmarks._measure import run_module
from benchmarks._report import fill, machine, table, versions
from pipelines.curate import plan
from pipelines.options import parse
from pipelines.workplace import Workplace
from transforms.text.matching import matching_form

LANGUAGES = ("en", "zh")
MIN_CHARACTERS, SHINGLE, THRESHOLD = 100, 5, 0.8
BINS = ((0.9, 1.0), (0.8, 0.9), (0.7, 0.8))
HEADER = ("edited copies by exact Jaccard", "language", "pairs", "found")


class Pair(NamedTuple):
    """A text and its edited copy, by their rows, with their exact Jaccard."""

    language: str
    first: int
    copy: int
    jaccard: float


def shingles(text: str) -> frozenset[str]:
    """Runs of five characters of the form for matching."""
    form = matching_form(text)
    return frozenset(form[i : i + SHINGLE] for i in range(max(1, len(form) - SHINGLE + 1)))


def jaccard(one: str, other: str) -> float:
    """Exact Jaccard of two texts' shingles."""
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def in_one_place(text: str, rng: random.Random, letters: str) -> str:
    """1 to 15 % of a text replaced, left out or put in, in one place."""
    size = max(1, round(len(text) * rng.uniform(0.01, 0.15)))
    start = rng.randrange(len(text) - size)
    new = "".join(rng.choices(letters, k=size))
    kind = rng.randrange(3)
    return text[:start] + ("" if kind == 1 else new) + text[start + (0 if kind == 2 else size) :]


def all_over(text: str, rng: random.Random, letters: str) -> str:
    """1 to 3 % of the characters replaced, anywhere."""
    places = rng.sample(range(len(text)), max(1, round(len(text) * rng.uniform(0.01, 0.03))))
    characters = list(text)
    for place in places:
        characters[place] = rng.choice(letters)
    return "".join(characters)


def real_texts(source: str, category: str, folder: Path, wanted: int) -> dict[str, list[str]]:
    """About half of ``wanted`` texts in each language, chosen by hash, from the prepared rows of a source."""
    flags = [f"--source={source}", f"--category={category}", f"--out={folder}"]
    run_module("benchmarks._stage", "prepare", *flags)
    command = parse(flags)
    run, _ = plan(command, Workplace(command.config.out, command.config.work))
    rows = prepared_texts(run)
    rows = rows.filter(pc.greater_equal(pc.utf8_length(rows.column("text")), MIN_CHARACTERS)).sort_by("hash")
    found = {}
    for language in LANGUAGES:
        names = [name for name, entry in run.entries.items() if entry.languages == (language,)]
        own = rows.filter(pc.is_in(rows.column("dataset"), pa.array(names, pa.string()))).column("text")
        found[language] = list(dict.fromkeys(own.to_pylist()))[: wanted // len(LANGUAGES)]
    return found


def with_copies(found: dict[str, list[str]], seed: int = 0) -> tuple[list[str], list[Pair]]:
    """All texts, then the edited copies of every third of them, with the pairs that these make."""
    rng, texts, pairs = random.Random(seed), [text for own in found.values() for text in own], []
    first = 0
    for language, own in found.items():
        letters = "".join(own)[:20_000]
        for number in range(0, len(own), 3):
            edit = all_over if number % 2 else in_one_place
            copy = edit(own[number], rng, letters)
            pairs.append(Pair(language, first + number, len(texts), jaccard(own[number], copy)))
            texts.append(copy)
        first += len(own)
    return texts, pairs


def removed_rows(folder: Path, texts: Sequence[str]) -> tuple[set[int], float]:
    """Rows that went, and the share of near-duplicates whose exact Jaccard with what was kept reaches the threshold."""
    kept = ds.dataset(folder / "kept").to_table(columns=["id", "query", "provenance"])
    by_id = dict(zip((i.hex() for i in kept.column("id").to_pylist()), kept.column("query").to_pylist(), strict=True))
    survivors = set(map(int, kept.column("provenance").to_pylist()))
    gone = ds.dataset(sorted(map(str, (folder / "rejections").rglob("*.parquet")))).to_table()
    near = gone.filter(pc.equal(gone.column("reason"), "NEAR_DUPLICATE"))
    ids, queries = (near.column(name).to_pylist() for name in ("kept_id", "query"))
    alike = [jaccard(by_id[id_], query) >= THRESHOLD for id_, query in zip(ids, queries, strict=True)]
    return set(range(len(texts))) - survivors, float(np.mean(alike)) if alike else 1.0


def measure(source: str, category: str, wanted: int, folder: Path) -> tuple[list[tuple[str, ...]], list[str]]:
    """The lines of the table, and what to say of them."""
    texts, pairs = with_copies(real_texts(source, category, folder / "prepared", wanted))
    pq.write_table(pa.table({"text": texts}), folder / "texts.parquet", row_group_size=50_000)
    run_module("benchmarks._dedup", str(folder / "texts.parquet"), str(folder / "deduplicated"))
    gone, precision = removed_rows(folder / "deduplicated", texts)
    lines = []
    for low, high in BINS:
        for language in LANGUAGES:
            own = [p for p in pairs if p.language == language and low <= p.jaccard < high]
            hit = sum(p.first in gone or p.copy in gone for p in own)
            lines.append((f"{low} to {high}", language, f"{len(own):,}", f"{hit / max(1, len(own)):.4f}"))
    alike = [p for p in pairs if p.jaccard >= THRESHOLD]
    recall = sum(p.first in gone or p.copy in gone for p in alike) / max(1, len(alike))
    said = f"Of {len(alike):,} pairs at {THRESHOLD} or more {recall:.4f} are found (recall); of the removed texts "
    return lines, [
        said + f"{precision:.4f} are that much like the one that stays (precision), of {len(texts):,} texts."
    ]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", default="sample", help="sample, or a directory in hub layout (default: sample)")
    parser.add_argument("--category", default="all", help="what to take texts from (default: all)")
    parser.add_argument("--texts", type=int, default=20_000, help="texts, half in each language (default: 20000)")
    parser.add_argument("--folder", type=Path, help="where to work; deleted afterwards (default: the system's)")
    parser.add_argument("--write", type=Path, help="document whose block bench:edits is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        lines, notes = measure(arguments.source, arguments.category, arguments.texts, Path(folder))
    shown: dict[str, Any] = {"source": "sample" if arguments.source == "sample" else "DIR", "texts": arguments.texts}
    command = " ".join(["python -m benchmarks.edits", *(f"--{name}={value}" for name, value in shown.items())])
    notes = [f"`{command}`", machine(), versions(("apache-beam", "pyarrow", "numba")), *notes]
    text = table(HEADER, lines) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "edits", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
