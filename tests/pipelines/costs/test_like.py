"""The work of a run that is there, from its manifest and its shards."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.costs.like import work_like
from pipelines.costs.measured import measured
from pipelines.plan import main
from schemas.errors import ConfigError
from schemas.manifest import DatasetRecord
from tests.trainer.curated import DIMS, STORE, manifest_of, record, row, write_shard

VECTORS = {"store": STORE, "dims": DIMS, "query_prompt": "", "passage_prompt": ""}


def records(folder: Path) -> list[DatasetRecord]:
    """Of 40 rows with 30 kept, mined, and of 10 rows of pre-training data, all kept."""
    rows = [row(f"{'long text ' * 40}{number}", 3) for number in range(30)]
    mined: dict[str, Any] = {
        "vectors": VECTORS,
        "stages": {"prepare": {"read": 40, "kept": 30, "rejected": {"X": 10}}, "embed": {"distinct_texts": 90}},
    }
    plain: dict[str, Any] = {"stage": "pretrain", "stages": {"prepare": {"read": 10, "kept": 10}}}
    return [
        record("mined", [write_shard(folder, "finetune/mined/part-0.parquet", rows)], **mined),
        record("plain", [write_shard(folder, "pretrain/plain/part-0.parquet", rows[:10])], **plain),
    ]


def test_a_run_tells_its_rows_texts_and_dimensions(tmp_path: Path) -> None:
    work = work_like(manifest_of(*records(tmp_path)), str(tmp_path), None, measured())
    assert [(each.rows, each.mined) for each in work.datasets] == [(40, True), (10, False)]
    assert (work.kept, work.texts, work.dims) == (40 / 50, 3.0, DIMS)
    # A query and one positive of some 400 bytes each, and Parquet's headers; negatives are no texts of the row.
    assert all(800 < each.text_bytes < 1000 for each in work.datasets)


def test_more_rows_are_dealt_in_the_datasets_shares(tmp_path: Path) -> None:
    work = work_like(manifest_of(*records(tmp_path)), str(tmp_path), 5_000, measured())
    assert [each.rows for each in work.datasets] == [4_000, 1_000]


def test_a_run_that_kept_nothing_tells_nothing(tmp_path: Path) -> None:
    empty = record("none", [], stages={"prepare": {"read": 2, "rejected": {"X": 2}}})
    with pytest.raises(ConfigError, match="read 2 rows and kept 0"):
        work_like(manifest_of(empty), str(tmp_path), None, measured())


def test_the_verb_takes_a_run_and_refuses_what_it_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text(manifest_of(*records(tmp_path)).model_dump_json())
    assert main([f"--like={tmp_path}", "--rows=5000", "--cores=2", "--json"]) == 0
    assert sum(each["rows"] for each in json.loads(capsys.readouterr().out)["work"]["datasets"]) == 5_000
    assert main([f"--like={tmp_path}", "--dims=8"]) == 2
    assert "--dims beside --like" in capsys.readouterr().err
    assert main([f"--like={tmp_path / 'nothing'}"]) == 2
    assert "holds no manifest.json" in capsys.readouterr().err
