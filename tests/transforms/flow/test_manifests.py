"""Stage manifests: order-free, refused when rows are lost, and written after everything that they name."""

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from schemas.errors import BalanceError, find_message
from transforms.flow.counts import KEPT, MERGED, READ, REJECTED, count, stage_counts
from transforms.flow.files import read_json
from transforms.flow.manifests import MANIFEST, FileRecord, WriteStageManifest, check_balance, stage_manifest

TOTALS = [count("a", READ, 5), count("a", KEPT, 3), count("a", MERGED, 1), count("a", REJECTED, 1, "TIE")]
RECORDS = [
    FileRecord(kind="kept", path="kept/2.parquet", rows=2).to_json(),
    FileRecord(kind="kept", path="kept/1.parquet", rows=1).to_json(),
    FileRecord(kind="shards", path="s.parquet", rows=3, dataset="a", sha256="0").to_json(),
]
FACTS = {"stage": "prepare", "key": "k"}


def test_a_manifest_holds_facts_counts_and_files_by_kind() -> None:
    assert stage_manifest(TOTALS, RECORDS, ["a", "b"], FACTS) == {
        "stage": "prepare",
        "key": "k",
        "counts": {
            "a": {"read": 5, "kept": 3, "merged": 1, "rejected": {"TIE": 1}},
            "b": {"read": 0, "kept": 0, "merged": 0, "rejected": {}},
        },
        "files": {
            "kept": [{"path": "kept/1.parquet", "rows": 1}, {"path": "kept/2.parquet", "rows": 2}],
            "shards": [{"path": "s.parquet", "rows": 3, "dataset": "a", "sha256": "0"}],
        },
    }


def test_a_manifest_is_the_same_whatever_the_order_and_however_often_a_file_was_recorded() -> None:
    once = json.dumps(stage_manifest(TOTALS, RECORDS, ["a", "b"], FACTS))
    again = json.dumps(stage_manifest(TOTALS[::-1], [*RECORDS[::-1], RECORDS[0]], ["b", "a"], FACTS))
    assert once == again


@pytest.mark.parametrize("lost", [1, -1])
def test_rows_that_are_unaccounted_for_are_a_fault(lost: int) -> None:
    with pytest.raises(BalanceError, match=rf"prepare: rows are unaccounted for \(a: {lost}\)"):
        stage_manifest([*TOTALS, count("a", READ, lost)] if lost > 0 else [*TOTALS, count("a", KEPT, 1)], [], [], FACTS)


def test_only_what_is_lost_is_named() -> None:
    counts = stage_counts([*TOTALS, count("b", READ, 2)], ["a", "b"])
    with pytest.raises(BalanceError) as caught:
        check_balance("mine", counts)
    assert "(b: 2)" in caught.value.message
    check_balance("mine", {"a": counts["a"]})


def _write(folder: Path, totals: list[Any], records: list[str]) -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        counted = pipeline | "Totals" >> beam.Create(totals, reshuffle=False).with_output_types(tuple[str, int])
        filed = pipeline | "Records" >> beam.Create(records, reshuffle=False).with_output_types(str)
        (counted, filed) | WriteStageManifest(str(folder), ["a", "b"], FACTS)


def test_the_graph_writes_the_manifest_once_everything_has_come(tmp_path: Path) -> None:
    _write(tmp_path, TOTALS, RECORDS)
    assert read_json(f"{tmp_path}/{MANIFEST}") == stage_manifest(TOTALS, RECORDS, ["a", "b"], FACTS)


def test_a_stage_without_rows_has_a_manifest_too(tmp_path: Path) -> None:
    _write(tmp_path, [], [])
    assert read_json(f"{tmp_path}/{MANIFEST}")["counts"]["b"]["read"] == 0


def test_an_unbalanced_run_fails_and_leaves_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unaccounted") as caught:
        _write(tmp_path, TOTALS[1:], [])
    found = find_message(str(caught.value))
    assert found is not None
    assert found[1] == BalanceError.exit_code
    assert not (tmp_path / MANIFEST).exists()
