"""A dry run says what would be read and what is absent; it opens no rows and leaves nothing behind."""

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalog.loading import load_catalog
from pipelines.curate import main
from pipelines.dry_run import COLUMNS
from schemas.errors import CatalogError, ConfigError
from tests.hub_server import HubServer
from tests.transforms.test_hub import hub, parquet
from transforms.sources import SAMPLE_ROOT

__all__ = ["hub"]

Rows = list[dict[str, str]]


def dry(capsys: pytest.CaptureFixture[str], out: Path, *flags: str) -> tuple[Rows, list[str]]:
    """The table's rows and the lines on standard error of a dry run that succeeds."""
    capsys.readouterr()
    assert main(["--dry_run", f"--out={out}", *flags]) == 0
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
    assert "0 of 2 datasets" in said[2]
    assert "at most 70 rows of each" in said[2]


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


def test_mistakes_are_errors_here_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "toy.yaml").write_text("name: toy\n", encoding="utf-8")
    assert main(["--dry_run", f"--catalog={tmp_path}"]) == CatalogError.exit_code
    assert main(["--dry_run", "--category=banking77", "--languages=zh"]) == ConfigError.exit_code
    assert "LANGUAGES=zh leaves none of the datasets that CATEGORY chose (1)" in capsys.readouterr().err
