"""Stage manifests: order-free, refused when rows are lost, and written after everything that they name."""

import json

import pytest

from schemas.errors import BalanceError
from transforms.flow.counts import KEPT, MERGED, READ, REJECTED, count, stage_counts
from transforms.flow.manifests import FileRecord, check_balance, stage_manifest

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


def test_what_an_earlier_run_made_stands_beside_the_rest() -> None:
    known = {"counts": {"c": {"read": 1, "kept": 1}}, "files": {"kept": [{"path": "kept/0.parquet", "rows": 1}]}}
    found = stage_manifest(TOTALS, RECORDS, ["a", "b"], FACTS | {"reused": known})
    alone = stage_manifest(TOTALS, RECORDS, ["a", "b"], FACTS)
    assert "reused" not in found
    assert found["counts"] == alone["counts"] | known["counts"]
    assert found["files"]["kept"] == [*known["files"]["kept"], *alone["files"]["kept"]]
    assert found["files"]["shards"] == alone["files"]["shards"]
