"""Rejected rows: one file for each dataset, named by its content, with all that is needed to re-admit a row."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.rows import REJECTIONS
from tests.transforms.rows import canonical_rows
from transforms.flow.manifests import FileRecord
from transforms.flow.rejections import reject, rejection_columns, write_rejections

ROWS = canonical_rows(
    [
        {"dataset": "a", "query": "first", "positives": ["p"], "negatives": ["n"], "provenance": "f#0"},
        {"dataset": "b", "query": "second", "label": "l", "provenance": "f#1"},
        {"dataset": "a", "query": "third", "provenance": "g#7"},
    ]
)


def _rejected() -> pa.Table:
    return reject(ROWS, "mine", ["TIE", "CAPPED", "TIE"], ["x", "y", ""], [b"k" * 16, None, None])


def test_a_rejection_holds_the_row_the_reason_and_what_was_kept_instead() -> None:
    rejected = _rejected()
    assert rejected.schema == REJECTIONS
    assert rejected.to_pylist()[0] == {
        "dataset": "a",
        "stage": "mine",
        "reason": "TIE",
        "detail": "x",
        "id": ROWS.column("id")[0].as_py().hex(),
        "kept_id": "6b" * 16,
        "provenance": "f#0",
        "query": "first",
        "positives": ["p"],
        "negatives": ["n"],
        "label": None,
        "raw": None,
    }
    assert rejected.column("kept_id").to_pylist()[1:] == [None, None]
    assert rejected.column("label").to_pylist() == [None, "l", None]


def test_what_a_rejection_does_not_know_is_null() -> None:
    rows = pa.table(rejection_columns({"dataset": pa.array(["a", "b"])}, 2), names=REJECTIONS.names)
    assert rows.to_pylist() == [dict.fromkeys(REJECTIONS.names) | {"dataset": name} for name in "ab"]
    assert rows.schema.types == REJECTIONS.types


def test_each_dataset_gets_a_file_with_its_rows_in_their_order(tmp_path: Path) -> None:
    written = list(write_rejections(str(tmp_path), _rejected()))
    found = [item for item in written if isinstance(item, FileRecord)]
    assert [(record.dataset, record.rows, record.kind) for record in found] == [
        ("a", 2, "rejections"),
        ("b", 1, "rejections"),
    ]
    assert all(record.path.startswith(f"{record.dataset}/") for record in found)
    assert pq.read_table(tmp_path / found[0].path).column("query").to_pylist() == ["first", "third"]
    assert [item for item in written if isinstance(item, tuple)] == [
        ("a\trejected\tTIE", 2),
        ("b\trejected\tCAPPED", 1),
    ]


def test_the_same_rows_give_the_same_file(tmp_path: Path) -> None:
    first = list(write_rejections(str(tmp_path), _rejected()))
    assert list(write_rejections(str(tmp_path), _rejected())) == first
    assert len(list(tmp_path.rglob("*"))) == 4, "two folders and two files, no temporary one"


def test_what_is_no_row_is_written_below_its_dataset_and_not_counted(tmp_path: Path) -> None:
    written = list(write_rejections(str(tmp_path), _rejected(), "corpus/"))
    paths = [item.path for item in written if isinstance(item, FileRecord)]
    assert [path.rsplit("/", 1)[0] for path in paths] == ["a/corpus", "b/corpus"]
    assert len(written) == 2
    assert all((tmp_path / path).is_file() for path in paths)


def test_nothing_rejected_is_nothing_written(tmp_path: Path) -> None:
    assert list(write_rejections(str(tmp_path), REJECTIONS.empty_table())) == []
    assert list(tmp_path.iterdir()) == []
