"""Rows seen so far: summed over processes, and never in the way of the work."""

import multiprocessing
from pathlib import Path

import pytest

from transforms.flow import progress

NOTHING = dict.fromkeys(progress.FIELDS, 0)


def _report_elsewhere(folder: str) -> None:
    progress.report(folder, read=5, rejected=1)
    progress.flush(folder)


def test_numbers_of_a_process_add_up(tmp_path: Path) -> None:
    folder = str(tmp_path / "progress")
    for rows in (1, 2, 3):
        progress.report(folder, read=rows, kept=1)
    progress.report(folder, texts=7)
    progress.flush(folder)
    assert progress.totals(folder) == NOTHING | {"read": 6, "kept": 3, "texts": 7}


def test_numbers_of_all_processes_are_summed(tmp_path: Path) -> None:
    folder = str(tmp_path)
    progress.report(folder, read=2)
    progress.flush(folder)
    for _ in range(2):
        process = multiprocessing.get_context("spawn").Process(target=_report_elsewhere, args=(folder,))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert progress.totals(folder) == NOTHING | {"read": 12, "rejected": 2}


def test_numbers_of_folders_are_apart_and_can_be_forgotten(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    progress.report(one, read=1)
    progress.report(other, read=4)
    progress.reset(one)
    progress.report(one, read=2)
    progress.flush(one)
    progress.flush(other)
    assert (progress.totals(one)["read"], progress.totals(other)["read"]) == (2, 4)


def test_the_first_report_is_written_at_once_and_the_rest_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, clock, writes = str(tmp_path), [100.0], []
    monkeypatch.setattr("transforms.flow.progress.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("transforms.flow.progress._write", lambda _, totals: writes.append(totals["read"]))
    for step in (0.0, 0.01, 0.01, 1.0):
        clock[0] += step
        progress.report(folder, read=1)
    assert writes == [1, 4]


def test_who_asks_sees_also_what_this_process_has_not_written_yet(tmp_path: Path) -> None:
    for _ in range(5):
        progress.report(str(tmp_path), read=1)
    assert progress.totals(str(tmp_path))["read"] == 5


def test_a_number_of_another_name_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such numbers of a stage: rows; there are read, kept"):
        progress.report(str(tmp_path), rows=1)


@pytest.mark.parametrize("content", [b"", b"12345", b"x" * 1000])
def test_a_file_that_is_being_written_is_passed_over(tmp_path: Path, content: bytes) -> None:
    progress.report(str(tmp_path), read=3)
    (tmp_path / "999.rows").write_bytes(content)
    assert progress.totals(str(tmp_path))["read"] == 3


def test_a_folder_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = str(tmp_path / "file" / "progress")
    progress.report(folder, read=1)
    progress.flush(folder)
    assert progress.totals(folder) == NOTHING


def test_without_a_folder_nothing_is_reported(tmp_path: Path) -> None:
    progress.report(None, read=1)
    progress.flush(None)
    progress.reset(None)
    assert progress.totals(str(tmp_path / "none")) == NOTHING
