"""Parts and files: named by content, whole or not there, readable by columns."""

import os
import stat
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import OutputError
from transforms.flow.files import TEMPORARY_PREFIX, output_error, parquet_bytes, publish, read_json, write_json
from transforms.flow.parts import (
    DECISIONS,
    UNITED,
    PartWriter,
    address,
    part_path,
    read_part,
    split_addresses,
    write_part,
)


def _rows(values: list[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": values, "t": [f"text {v}" for v in values]})


def test_a_part_is_named_by_its_content_and_read_by_columns(tmp_path: Path) -> None:
    table = pa.Table.from_batches([_rows([1, 2, 3])])
    part = write_part(str(tmp_path), table)
    assert write_part(str(tmp_path), table) == part
    assert 0 <= part < 2**63
    assert os.listdir(tmp_path) == [Path(part_path("x", part)).name]
    assert read_part(str(tmp_path), part, ["n"]).column_names == ["n"]
    assert read_part(str(tmp_path), part) == table


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 7))
def test_a_writer_keeps_every_row_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int
) -> None:
    folder = str(tmp_path_factory.mktemp("parts"))
    writer, parts, start = PartWriter(folder, max_rows=limit), [], 0
    for size in sizes:
        parts += writer.add(_rows(list(range(start, start + size))))
        start += size
    parts += writer.close()
    read = [row["n"] for part, _ in parts for row in read_part(folder, part).to_pylist()]
    assert read == list(range(start))
    assert all(0 < rows <= limit for _, rows in parts)


def test_addresses_decisions_and_labels_of_a_part_are_told_apart() -> None:
    decision = pa.RecordBatch.from_pylist([{"row": 1, "reason": "CAPPED", "detail": "", "kept_id": None}], DECISIONS)
    united = pa.RecordBatch.from_pylist([{"row": 0, "labels": ["a", "b"]}], UNITED)
    found = split_addresses([decision, address(5, 9)[1], united])
    assert found.rows == 9
    assert found.decisions.to_pylist() == decision.to_pylist()
    assert found.united.to_pylist() == united.to_pylist()


def test_equal_tables_give_equal_bytes_however_they_are_chunked() -> None:
    whole = pa.Table.from_batches([_rows([1, 2, 3, 4])])
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 3)])
    assert parquet_bytes(whole) == parquet_bytes(pieces)


def test_nothing_half_written_stays_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="the disk is full: free space, or choose another place"):
        publish(f"{tmp_path}/x.json", b"{}")
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("I am a file")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        publish(f"{tmp_path}/out/x.json", b"{}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OutputError, match="no permission"):
        publish(f"{tmp_path}/x/y.json", b"{}")


def test_an_unknown_failure_keeps_its_own_words() -> None:
    assert "I/O error" in output_error("p", OSError(5, "I/O error")).message


def test_objects_are_written_whole_to_other_filesystems() -> None:
    write_json("memory://bucket/a/b.json", {"x": 1})
    assert read_json("memory://bucket/a/b.json") == {"x": 1}
    assert read_json("memory://bucket/a/none.json") is None


def test_temporary_files_are_recognised() -> None:
    assert TEMPORARY_PREFIX.startswith(".")
