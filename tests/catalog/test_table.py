"""The catalog on a terminal, through a pipe and as a document, which says what the entries say."""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from catalog import table
from catalog.document import document
from catalog.loading import load_catalog
from catalog.table import COLUMNS, main
from schemas.errors import CatalogError, ConfigError, OutputError

ROOT = Path(__file__).parents[2]


def test_the_document_is_what_the_entries_say() -> None:
    written = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
    assert written == document([located for _, located in sorted(load_catalog().items())]), (
        "the entries changed: make catalog ARGS=--write=docs/catalog.md"
    )


def test_the_document_has_a_line_for_each_entry_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\S+)\]\(\.\./(\S+)\)", text, flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(load_catalog())
    assert [path for _, path in rows if not (ROOT / path).is_file()] == []
    assert "\n- [chef](../catalog/finetune/chef.yaml) (manual). How: download CHEF (Google Drive " in text
    assert "Instead: none in Chinese; fever carries the task in English." in text
    assert not re.search(r"(?<![\\`])<[a-zA-Z]", text.partition("## More")[2])


def test_through_a_pipe_it_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--category=sts", "--languages=zh"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out), delimiter="\t", strict=True))
    assert tuple(rows[0]) == COLUMNS
    found = {row["name"]: row for row in rows}
    assert found["afqmc"] == {
        "name": "afqmc",
        "stage": "finetune",
        "task type": "sts",
        "languages": "zh",
        "licence": "unknown",
        "rows": "34334",
        "adapter": "scored_pair",
        "evidence": "verified",
    }
    assert found["paws-x"]["languages"] == "zh"
    assert "wikianswers" not in found


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        run = subprocess.run(
            [sys.executable, "-m", "pipelines", "catalog"], cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (run.returncode, run.stderr) == (0, b"")


def test_on_a_terminal_it_is_aligned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["--category=afqmc,atec"]) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert len(lines) == 3
    assert lines[0].index("rows") + len("rows") == lines[1].index("34,334") + len("34,334")


def test_a_mistake_is_an_error_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = (ROOT / "catalog" / "finetune" / "afqmc.yaml").read_text(encoding="utf-8")
    (tmp_path / "toy.yaml").write_text(entry.replace("task_type: sts", "task_type: st"), encoding="utf-8")
    assert main([f"--catalog={tmp_path}"]) == CatalogError.exit_code
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/toy.yaml:4: task_type: ")
    assert main(["--category=nothing-like-it"]) == ConfigError.exit_code
    assert main([f"--write={tmp_path}/no/such/folder.md"]) == OutputError.exit_code


def test_a_document_of_a_choice_is_written(tmp_path: Path) -> None:
    assert main(["--category=newsroom", f"--write={tmp_path}/some.md"]) == 0
    text = (tmp_path / "some.md").read_text(encoding="utf-8")
    assert "1 datasets." not in text
    assert "## Pre-training" in text
    assert "## Fine-tuning" not in text
