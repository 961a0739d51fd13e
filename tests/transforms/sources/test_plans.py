"""What a directory holds beside whole files: pieces that are missing, pipes, links, formats that nobody reads."""

import os
from pathlib import Path

from schemas.catalog import LocatedEntry
from tests.transforms.examples.adapters.helpers import locate
from transforms.sources.opening import open_source
from transforms.sources.planning import Plan

TOY: LocatedEntry = locate("pair", {"query": "q", "positive": "p"})


def plan(root: Path, *names: str) -> Plan:
    folder = root / "datasets" / "toy" / "default"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text('{"q": "a", "p": "b"}\n', encoding="utf-8")
    return open_source(str(root)).plan(TOY)


def test_files_that_are_missing_by_the_names_of_the_others_are_told(tmp_path: Path) -> None:
    found = plan(tmp_path, "train-00000-of-00003.jsonl", "train-00002-of-00003.jsonl")
    assert len(found.units) == 2
    (line,) = found.absent
    assert "1 of 3 files are not there: default/train-00001-of-00003.jsonl; only the others are read" in line
    assert not plan(tmp_path, "train-00001-of-00003.jsonl").absent


def test_only_regular_files_and_links_to_them_count(tmp_path: Path) -> None:
    plan(tmp_path, "train-a.jsonl")
    folder = tmp_path / "datasets" / "toy" / "default"
    os.mkfifo(folder / "train-b.jsonl")
    (folder / "train-c.jsonl").symlink_to("nowhere.jsonl")
    (folder / "train-d.jsonl").symlink_to("train-a.jsonl")
    found = plan(tmp_path)
    assert [unit.file[-13:] for unit in found.units] == ["train-a.jsonl", "train-d.jsonl"]
    told = " ".join(found.absent)
    assert "train-b.jsonl is no regular file; it is left out" in told
    assert "train-c.jsonl is a broken link; it is left out" in told


def test_formats_that_are_not_read_are_named_with_those_that_are(tmp_path: Path) -> None:
    found = plan(tmp_path, "train-00000.tar.gz", "train.zip", "other.zip")
    (line,) = found.absent
    assert "no data files, only .tar.gz (1), .zip (2); files are read that end in .parquet, .arrow" in line


def test_what_the_datasets_library_writes_beside_its_data_is_no_data(tmp_path: Path) -> None:
    plan(tmp_path)
    folder = tmp_path / "datasets" / "toy" / "default" / "train"
    folder.mkdir()
    for name in ("data-00000-of-00001.jsonl", "dataset_info.json", "state.json"):
        (folder / name).write_text("{}\n", encoding="utf-8")
    assert [unit.file[-25:] for unit in plan(tmp_path).units] == ["data-00000-of-00001.jsonl"]
