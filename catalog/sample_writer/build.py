"""Puts the entries together and writes the sample, its README and the planted counts."""

import argparse
import json
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from catalog.sample_writer import answers, encyclopedia, labeled, pairs, papers
from catalog.sample_writer.every import generic_entries
from catalog.sample_writer.formats import SourceFile, write
from catalog.sample_writer.grammar import MATERIAL, Composer
from catalog.sample_writer.planting import Ledger

ROOT = Path(__file__).resolve().parents[2]
Built = tuple[list[SourceFile], dict[str, Ledger]]
ENTRIES: tuple[Callable[[], Built], ...] = (
    lambda: encyclopedia.natural_questions(Composer(rng=random.Random("natural-questions"))),
    encyclopedia.jaquad,
    encyclopedia.refgpt,
    papers.csl,
    papers.scifact,
    answers.trecqa,
    answers.cail,
    answers.webgpt,
    labeled.banking77,
    labeled.tnews,
    labeled.iflytek,
    labeled.waimai,
    labeled.onlineshopping,
    labeled.amazoncounterfactual,
    pairs.multinli,
    pairs.ocnli,
    pairs.all_nli,
    pairs.afqmc,
    pairs.nli_zh,
    pairs.ntrex,
)


def build() -> Built:
    """Returns every file of the sample and every dataset's account, in a fixed order."""
    files: list[SourceFile] = []
    ledgers: dict[str, Ledger] = {}
    for entry in ENTRIES:
        more, accounts = entry()
        files += more
        ledgers |= accounts
    for more, accounts in generic_entries():
        files += more
        ledgers |= accounts
    return files, ledgers


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def readme(files: Sequence[SourceFile], ledgers: dict[str, Ledger]) -> str:
    """Returns the sample's README with its tables of datasets and files."""
    records = {slug: ledger.record() for slug, ledger in sorted(ledgers.items())}
    datasets = ((slug, r["rows"], r["kept"], r["merged"], sum(r["rejected"].values())) for slug, r in records.items())
    listed = ((f"`{source.path}`", len(source.rows)) for source in sorted(files, key=lambda source: source.path))
    text = (MATERIAL / "readme.md").read_text(encoding="utf-8")
    text = text.replace("<datasets>", _table(("dataset", "rows", "kept", "merged", "rejected"), datasets))
    return text.replace("<files>", _table(("file", "rows"), listed))


def main(argv: Sequence[str] | None = None) -> int:
    """Writes ``catalog/sample`` and ``tests/data/planted.json``, or the places that the options name; gives 0."""
    parser = argparse.ArgumentParser(prog="kalm sample", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "catalog" / "sample", help="folder of the sample")
    parser.add_argument("--planted", type=Path, default=ROOT / "tests" / "data" / "planted.json", help="file of counts")
    options = parser.parse_args(argv)
    files, ledgers = build()
    for part in ("datasets", "eval"):
        shutil.rmtree(options.out / part, ignore_errors=True)
    for source in files:
        write(options.out, source)
    (options.out / "README.md").write_text(readme(files, ledgers), encoding="utf-8")
    planted = {slug: ledger.record() for slug, ledger in sorted(ledgers.items())}
    options.planted.parent.mkdir(parents=True, exist_ok=True)
    options.planted.write_text(json.dumps(planted, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0
