"""Evaluation sets: queries and passages that were planted are counted exactly, on the sample and on real data."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curate import plan, run_stage
from pipelines.display import Display
from pipelines.jobs import Run, prepare_job
from pipelines.options import parse
from pipelines.workplace import Workplace
from tests.e2e.running import ROOT, SAMPLE, curate, flags, rejections
from transforms.text.matching import matching_form

pytestmark = pytest.mark.slow

SHARED = Path(os.environ.get("KALM_SHARED", ROOT.parent / "shared"))
needs_shared = pytest.mark.skipif(
    not ((SHARED / "eval").is_dir() and (SHARED / "hub" / "datasets").is_dir()),
    reason="no real data (KALM_SHARED names where it lies)",
)
CATEGORY = "natural-questions,scifact"
#: What the sample's own sets find in its rows.
OWN = {"exact": 4, "contained": 2, "queries": 6}


def prepare(out: Path, teacher: Path, category: str, **options: object) -> tuple[Run, Path, dict[str, Any]]:
    """Run the prepare stage alone; gives its run, its folder and its manifest."""
    command = parse([*flags(out, teacher, category, **options), "--quiet"])
    workplace = Workplace(command.config.out, None)
    run, _ = plan(command, workplace)
    job = prepare_job(run)
    return run, Path(job.folder.path), dict(run_stage(run, job, command, Display(quiet=True)))


def rows_of(folder: Path, kind: str, dataset: str) -> list[dict[str, Any]]:
    rows = [
        row for path in sorted((folder / kind).glob("*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()
    ]
    return sorted((row for row in rows if row["dataset"] == dataset), key=repr)


def add(path: Path, rows: list[Mapping[str, str]]) -> None:
    """Add rows to a Parquet file of texts."""
    table = pq.ParquetFile(path).read()
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(list(rows), table.schema)]), path)


def edited(query: str) -> str:
    """A query with two letters of its longest word exchanged."""
    word = max(query.split(), key=len)
    return query.replace(word, f"{word[:2]}{word[3]}{word[2]}{word[4:]}")


def plant(folder: Path, kept: list[dict[str, Any]], corpus: list[dict[str, Any]]) -> None:
    """Add to the set sample-en: 3 queries that ``kept`` holds, and passages of its positives and of a corpus."""
    shutil.copytree(SAMPLE / "eval", folder)
    asked = [kept[0]["query"].upper(), f"{kept[1]['query']}!", edited(kept[2]["query"])]
    add(folder / "sample-en" / "queries.parquet", [{"_id": f"x{i}", "text": text} for i, text in enumerate(asked)])
    whole = [row["positives"][0] for row in kept[3:6]]
    title, _, text = kept[6]["positives"][0].partition("\n")
    passages = [("", whole[0].lower()), ("A title", whole[1]), ("", f"({whole[2]})"), ("", whole[2]), (title, text)]
    passages += [("", row["text"]) for row in corpus[:4]] + [("", "")]
    add(
        folder / "sample-en" / "corpus.parquet",
        [{"_id": f"y{i}", "title": title, "text": text} for i, (title, text) in enumerate(passages)],
    )


def asks_alone(row: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    """Whether no other row asks or holds what this one does, and its query has a word that bears a slip."""
    form = matching_form(row["positives"][0])
    others = [other for other in rows if other is not row]
    alone = not any(form == matching_form(text) for other in others for text in other["positives"])
    word = max(row["query"].split(), key=len)
    return alone and len(row["query"].split()) > 6 and word.isascii() and word.isalpha() and word[2:3] != word[3:4]


def test_what_was_planted_is_counted_exactly(tmp_path: Path, teacher: Path) -> None:
    _, before, manifest = prepare(tmp_path / "a", teacher, CATEGORY, evaluation="none")
    assert "evaluation" not in manifest
    kept = rows_of(before, "kept", "natural-questions")
    alone = [row for row in kept if asks_alone(row, kept)][:7]
    corpus = [row for row in rows_of(before, "corpus", "scifact") if row["text"]]
    held = {matching_form(text) for row in rows_of(before, "kept", "scifact") for text in row["positives"]}
    positives = sum(matching_form(row["text"]) in held for row in corpus[:4])
    plant(tmp_path / "eval", alone, corpus)
    run, after, manifest = prepare(tmp_path / "b", teacher, CATEGORY, evaluation=tmp_path / "eval")
    assert manifest["evaluation"] == {
        "": {"sample-en": {"passages": 70}, "sample-zh": {"passages": 40}},
        "natural-questions": {
            "sample-en": {"exact": 4 + 2, "contained": 2, "edited": 1, "queries": 6 + 3, "positives": 5}
        },
        "scifact": {"sample-en": {"corpus": 4} | ({"positives": positives} if positives else {})},
    }
    assert [(r.name, r.queries) for r in run.evaluation.records({})] == [("sample-en", 43), ("sample-zh", 30)]
    gone = {row["query"] for row in kept} - {row["query"] for row in rows_of(after, "kept", "natural-questions")}
    assert {row["query"] for row in alone[:3]} <= gone
    assert {row["query"] for row in alone[3:]}.isdisjoint(gone), "passages are reported and stay"


def test_the_manifest_says_what_was_found_and_a_run_without_sets_says_so(tmp_path: Path, teacher: Path) -> None:
    first = curate(tmp_path, teacher, "scifact,trecqa", evaluation="none")
    assert (first.evaluation_sets, first.training_datasets) == ([], ["SciFact"])
    assert [(record.checked, record.overlaps) for record in first.datasets] == [([], []), ([], [])]
    manifest = curate(tmp_path, teacher, "natural-questions")
    assert [(r.name, r.queries, r.passages) for r in manifest.evaluation_sets] == [
        ("sample-en", 40, 60),
        ("sample-zh", 30, 40),
    ]
    record = manifest.dataset("natural-questions")
    assert record.checked == ["sample-en", "sample-zh"]
    assert [found.model_dump(exclude_defaults=True) for found in record.overlaps] == [
        {"evaluation_set": "sample-en"} | OWN
    ]
    assert record.stages["prepare"].rejected["LEAKED_EVALUATION"] == record.overlaps[0].rejected == 6
    assert manifest.training_datasets == ["NQ", "NQHardNegatives", "SciFact"]
    leaked = [row for row in rejections(tmp_path, "natural-questions") if row["reason"] == "LEAKED_EVALUATION"]
    assert sum("(exact, containment" in row["detail"] for row in leaked) == OWN["exact"]


@needs_shared
def test_real_collections_and_a_set_of_the_catalog(tmp_path: Path, teacher: Path) -> None:
    for name in ("scifact", "cosqa"):
        (tmp_path / "eval").mkdir(exist_ok=True)
        shutil.copytree(SHARED / "eval" / name, tmp_path / "eval" / name)
    run, folder, manifest = prepare(
        *(tmp_path / "out", teacher, "scifact"),
        source=SHARED / "hub",
        evaluation=f"{tmp_path / 'eval'},SciFact",
        limit=100,
    )
    records = run.evaluation.records(manifest["evaluation"])
    assert [(r.name, r.queries, r.passages) for r in records] == [
        ("SciFact", 300, 5183),
        ("cosqa", 500, 6267),
        ("scifact", 300, 5183),
    ]
    found = manifest["evaluation"]["scifact"]
    assert found["SciFact"] == found["scifact"], "the hub's judged queries are the collection's"
    assert "cosqa" not in found
    texts = {matching_form(text) for row in rows_of(folder, "kept", "scifact") for text in row["positives"]}
    assert found["scifact"]["positives"] == len(texts) > 50
    assert found["scifact"]["corpus"] == sum(row["sampled"] for row in rows_of(folder, "corpus", "scifact"))
