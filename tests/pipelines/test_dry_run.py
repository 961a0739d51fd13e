"""A dry run says what would be read and what is absent; it opens no rows and leaves nothing behind."""

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalog import load_catalog
from catalog.evaluation_sets import load_evaluation
from pipelines.curate_command import main
from pipelines.dry_run import COLUMNS
from schemas.errors import CatalogError, ConfigError, SourceError
from tests.hub_server import HubServer
from tests.transforms.sources.test_hub import hub, parquet
from transforms.sources.opening import SAMPLE_ROOT

__all__ = ["hub"]

Rows = list[dict[str, str]]


def dry(
    capsys: pytest.CaptureFixture[str], out: Path, *flags: str, evaluation: str | None = "none"
) -> tuple[Rows, list[str]]:
    """The table's rows and the lines on standard error of a dry run that succeeds."""
    capsys.readouterr()
    sets = [] if evaluation is None else [f"--evaluation={evaluation}"]
    assert main(["--dry_run", f"--out={out}", *flags, *sets]) == 0
    said = capsys.readouterr()
    assert not out.exists()
    table = csv.DictReader(io.StringIO(said.out), delimiter="\t", strict=True)
    return list(table), said.err.splitlines()


def test_each_configuration_is_told_with_its_files_bytes_and_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, said = dry(capsys, tmp_path / "out", "--category=nli-zh,scifact")
    assert tuple(rows[0]) == COLUMNS
    assert [(row["dataset"], row["role"], row["config"], row["split"]) for row in rows] == [
        *(("nli-zh", "rows", config, "train") for config in load_catalog()["nli-zh"].entry.source.configs),
        ("scifact", "corpus", "corpus", "corpus"),
        ("scifact", "queries", "queries", "queries"),
        ("scifact", "qrels", "default", "train"),
    ]
    for row in rows:
        path = SAMPLE_ROOT / row["path"]
        assert (row["files"], int(row["bytes"])) == ("1", path.stat().st_size)
        assert row["rows"] == (str(pq.read_metadata(path).num_rows) if path.suffix == ".parquet" else "")
    assert [row["stated"] for row in rows if row["dataset"] == "scifact"] == ["919", "", ""]
    assert said[-1].startswith("dry run: 2 of 2 datasets are in sample: 8 files, ")
    assert f"{sum(int(row['bytes']) for row in rows):,} bytes" in said[-1]


def test_what_is_absent_is_told_and_no_error_though_it_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "source" / "datasets").mkdir(parents=True)
    flags = ("--category=newsroom,tnews", f"--source={tmp_path / 'source'}", "--limit=70")
    rows, said = dry(capsys, tmp_path / "out", *flags)
    assert rows == []
    assert [line.split(": ")[:3] for line in said[:2]] == [
        ["absent", "newsroom", "catalog/pretrain/newsroom.yaml:7"],
        ["absent", "tnews", "catalog/finetune/tnews.yaml:7"],
    ]
    assert "fill in the form" in said[0]
    assert said[2] == "dry run: no evaluation sets would be kept out"
    assert "0 of 2 datasets" in said[3]
    assert "at most 70 rows of each" in said[3]


def test_rows_are_not_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "source" / "datasets" / "mteb" / "banking77" / "default"
    folder.mkdir(parents=True)
    (folder / "train-00000-of-00002.jsonl").write_bytes(b"\xff\xfe no JSON\n" * 3)
    (folder / "train-00001-of-00002.jsonl").write_bytes(b"\0" * 7)
    rows, _ = dry(capsys, tmp_path / "out", "--category=banking77", f"--source={tmp_path / 'source'}")
    (row,) = rows
    assert (row["files"], row["bytes"], row["rows"]) == ("2", "40", "")
    assert row["path"] == "datasets/mteb/banking77/default/**"


def test_filters_narrow_what_would_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--category=amazoncounterfactual,banking77", "--languages=de,ja", "--licenses=noncommercial")
    rows, _ = dry(capsys, tmp_path / "out", *flags)
    assert [(row["dataset"], row["config"]) for row in rows] == [
        ("amazoncounterfactual", "de"),
        ("amazoncounterfactual", "ja"),
    ]


def places(rows: Rows) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in ("dataset", "role", "config", "split", "path")) for row in rows]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A directory in hub layout with FiQA's corpus, queries and judgments of two splits, of which one is scored."""
    folder = tmp_path / "mirror" / "datasets" / "mteb" / "fiqa"
    for place in ("corpus/corpus-0", "corpus/corpus-1", "queries/queries-0", "default/test-0", "default/train-0"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{place}.parquet").write_bytes(parquet(250))
    return tmp_path / "mirror"


def test_evaluation_sets_are_told_like_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, said = dry(capsys, tmp_path / "out", "--category=banking77", evaluation=None)
    assert places(rows[1:]) == [
        ("evaluation/sample-en", "queries", "queries", "", "sample-en/queries.parquet"),
        ("evaluation/sample-en", "corpus", "corpus", "", "sample-en/corpus.parquet"),
        ("evaluation/sample-zh", "queries", "queries", "", "sample-zh/queries.parquet"),
        ("evaluation/sample-zh", "corpus", "corpus", "", "sample-zh/corpus.parquet"),
    ]
    for row in rows[1:]:
        path = SAMPLE_ROOT / "eval" / row["path"]
        assert (row["files"], int(row["bytes"])) == ("1", path.stat().st_size)
        assert (row["rows"], row["stated"]) == (str(pq.read_metadata(path).num_rows), "")
    size = sum(int(row["bytes"]) for row in rows[1:])
    assert said[0] == f"dry run: 2 of 2 evaluation sets are in sample/eval: 4 files, {size:,} bytes"
    assert said[1].startswith("dry run: 1 of 1 datasets are in sample: 1 files, ")


def test_sets_of_the_catalog_are_told_where_they_are_read(
    tmp_path: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--category=banking77", "--limit=10")
    rows, said = dry(capsys, tmp_path / "out", *flags, evaluation=f"{mirror},{SAMPLE_ROOT / 'eval'},FiQA2018")
    found = [row for row in rows if row["dataset"] == "evaluation/FiQA2018"]
    assert places(found) == [
        ("evaluation/FiQA2018", "corpus", "corpus", "", "datasets/mteb/fiqa/corpus/**"),
        ("evaluation/FiQA2018", "queries", "queries", "", "datasets/mteb/fiqa/queries/queries-0.parquet"),
        ("evaluation/FiQA2018", "qrels", "default", "test", "datasets/mteb/fiqa/default/test-0.parquet"),
    ]
    assert [(row["files"], row["rows"]) for row in found] == [("2", "500"), ("1", "250"), ("1", "250")]
    assert said[-2].startswith(f"dry run: 3 of 3 evaluation sets are in {SAMPLE_ROOT / 'eval'} and {mirror}: 8 files, ")
    assert said[-1].count("at most 10 rows of each") == 1


def test_sets_of_a_folder_of_ones_own_are_told(
    tmp_path: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "evaluation").mkdir(parents=True)
    described = "{name: Money, hub: mteb/fiqa, splits: [train], languages: [en]}"
    text = f"benchmark: mine\ntitle: Mine\nsets:\n  - {described}\n"
    (tmp_path / "mine" / "evaluation" / "mine.yaml").write_text(text, "utf-8")
    flags = ("--category=banking77", f"--catalog={tmp_path / 'mine'}")
    rows, _ = dry(capsys, tmp_path / "out", *flags, evaluation=f"{mirror},mine")
    assert places(rows)[-1][:4] == ("evaluation/Money", "qrels", "default", "train")


def test_an_evaluation_set_that_is_absent_is_told_and_no_error_though_it_was_named(
    tmp_path: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--category=banking77", f"--source={mirror}")
    rows, said = dry(capsys, tmp_path / "out", *flags, evaluation="SciFact,FiQA*")
    assert {row["dataset"] for row in rows} == {"evaluation/FiQA2018"}
    lines = [line for line in said if line.startswith("absent: evaluation/")]
    assert len(lines) == 1
    assert lines[0].startswith("absent: evaluation/SciFact: catalog/evaluation/mteb-english-v1.yaml:")
    assert "1 of 2 evaluation sets" in said[-2]


ENTRY = """\
name: toy
title: Toy
stage: finetune
task_type: sts
languages: [en]
source: {hub: org/toy, configs: [big, lines]}
adapter: pair
columns: {query: q, positive: noise}
rows: 9000
"""


def test_of_the_hub_only_listings_and_footers_are_fetched(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    big, lines = parquet(5_000), b'{"q": "a", "noise": "b"}\n' * 20_000
    commit = hub.add("org/toy", {"big/train-0.parquet": big, "lines/train-0.jsonl": lines})
    (tmp_path / "toy.yaml").write_text(ENTRY, encoding="utf-8")
    rows, said = dry(capsys, tmp_path / "out", "--category=toy", "--source=hub", f"--catalog={tmp_path}")
    shown = [(row["config"], row["bytes"], row["rows"], row["stated"], row["revision"]) for row in rows]
    assert shown == [
        ("big", str(len(big)), "5000", "9000", commit),
        ("lines", str(len(lines)), "", "", commit),
    ]
    assert hub.bytes_asked("lines/train-0.jsonl") == 0
    assert 0 < hub.bytes_asked("big/train-0.parquet") < len(big) / 4
    assert said[-1].startswith("dry run: 1 of 1 datasets are in hub: 2 files")


def test_of_evaluation_sets_on_the_hub_too_only_listings_and_footers_are_fetched(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pinned,) = [located.entry for located in load_evaluation().sets.values() if located.entry.hub == "mteb/fiqa"]
    corpus, queries, judgments = parquet(5_000), b'{"_id": "1", "text": "a"}\n' * 20_000, b"query-id\tcorpus-id\n1\t1\n"
    files = {"corpus.jsonl": b"", "corpus/corpus-0.parquet": corpus, "queries.jsonl": queries}
    hub.add("mteb/fiqa", files | {"qrels/test.tsv": judgments}, branch=str(pinned.revision))
    rows, said = dry(capsys, tmp_path / "out", "--category=banking77", evaluation=f"hub,{pinned.name}")
    assert [(row["role"], int(row["bytes"]), row["rows"]) for row in rows[1:]] == [
        ("corpus", len(corpus), "5000"),
        ("queries", len(queries), ""),
        ("qrels", len(judgments), ""),
    ]
    assert len({row["revision"] for row in rows[1:]} - {""}) == 1
    assert 0 < hub.bytes_asked("corpus/corpus-0.parquet") < len(corpus) / 4
    assert hub.bytes_asked("queries.jsonl") == hub.bytes_asked("qrels/test.tsv") == 0
    assert said[0].startswith("dry run: 1 of 1 evaluation sets are in hub: 3 files, ")


def test_mistakes_are_errors_here_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "toy.yaml").write_text("name: toy\n", encoding="utf-8")
    assert main(["--dry_run", f"--catalog={tmp_path}"]) == CatalogError.exit_code
    assert main(["--dry_run", "--category=banking77", "--languages=zh"]) == ConfigError.exit_code
    assert main(["--dry_run", "--category=banking77", "--evaluation=scifcat"]) == ConfigError.exit_code
    assert main(["--dry_run", "--category=banking77", f"--evaluation={tmp_path}"]) == SourceError.exit_code
    said = capsys.readouterr().err
    assert "LANGUAGES=zh leaves none of the datasets that CATEGORY chose (1)" in said
    assert "'scifcat' is no evaluation set and no folder: did you mean SciFact" in said
    assert f"--evaluation={tmp_path}: no <set>/queries.parquet below it" in said
