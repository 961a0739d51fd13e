"""Runs that add to what is there: one after the other they keep what one run over all keeps."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curate_command import main
from pipelines.reports.difference import difference, lines
from pipelines.verify import main as verify_main
from tests.e2e.generated import _WORDS
from tests.e2e.running import (
    WORK,
    curate,
    flags,
    manifest_of,
    published,
    rejected_by_reason,
    rejections,
    shard_digests,
    shard_rows,
    start,
)

pytestmark = pytest.mark.slow

ENTRY = """
name: {name}
title: Generated
stage: pretrain
task_type: {task}
languages: [en]
source: {{hub: tests/{name}}}
adapter: {adapter}
columns: {columns}
priority: {priority}
licence_class: permissive
"""
PAIR = "{query: question, positive: answer}"
REASON = "PUBLISHED_DUPLICATE"


def words(rng: np.random.Generator, number: int) -> list[str]:
    return [_WORDS[i] for i in rng.integers(0, len(_WORDS), number)]


def pairs(seed: int, number: int) -> list[dict[str, str]]:
    """Questions of six words and answers of forty, no two alike; the small words make them English."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(number):
        answer = words(rng, 40)
        rows.append(
            {
                "question": f"What is the {' '.join(words(rng, 6))} of it?",
                "answer": f"The {' '.join(answer[:20])} and the {' '.join(answer[20:])} of it.",
            }
        )
    return rows


def shouted(row: dict[str, str]) -> dict[str, str]:
    return {"question": row["question"].upper(), "answer": row["answer"]}


def edited(row: dict[str, str], longer: bool = False) -> dict[str, str]:
    """Another word near the end of the answer, or some more."""
    head, _, tail = row["answer"].rpartition(" of it.")
    return row | {"answer": f"{head} of it, {'they really say.' if longer else 'now.'}{tail}"}


def write(root: Path, datasets: dict[str, list[dict[str, str]]], priorities: dict[str, int] | None = None) -> list[str]:
    """Datasets in hub layout and their entries; gives the flags that a run over them needs."""
    (root / "catalog").mkdir(parents=True, exist_ok=True)
    for name, rows in datasets.items():
        folder = root / "hub" / "datasets" / "tests" / name / "default"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000-of-00001.parquet")
        labelled = "label" in rows[0]
        text = ENTRY.format(
            name=name,
            task="classification" if labelled else "retrieval",
            adapter="labeled" if labelled else "pair",
            columns="{text: text, label: label}" if labelled else PAIR,
            priority=(priorities or {}).get(name, 5),
        )
        (root / "catalog" / f"{name}.yaml").write_text(text)
    return [f"--source={root / 'hub'}", f"--catalog={root / 'catalog'}", "--evaluation=none", "--allow_alarms"]


def run(out: Path, teacher: Path, category: str, extra: Iterable[str], **options: object) -> Any:
    assert main([*flags(out, teacher, category, **options), *extra, "--quiet"]) == 0
    return manifest_of(out)


def ids(out: Path, *names: str) -> dict[str, list[str]]:
    return {name: [row["id"] for row in shard_rows(out, name)] for name in names}


FIRST = pairs(1, 60)
#: Copies, shouted and edited ones of rows of the first, and near-duplicates and copies among themselves.
SECOND = [
    *pairs(2, 40),
    *FIRST[:5],
    *map(shouted, FIRST[5:10]),
    *map(edited, FIRST[10:20]),
    *(edited(row, longer=True) for row in FIRST[15:25]),
    *map(edited, pairs(2, 6)),
    *pairs(2, 3),
]
WITHIN = [*FIRST, *map(edited, FIRST[40:45]), *FIRST[50:53]]
LOST = 5 + 5 + 10 + 10


@pytest.fixture(scope="module")
def flags_of_source(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write(tmp_path_factory.mktemp("source"), {"old": WITHIN, "new": SECOND}, {"old": 3, "new": 5})


@pytest.fixture(scope="module")
def old_out(tmp_path_factory: pytest.TempPathFactory, teacher: Path, flags_of_source: list[str]) -> Path:
    out = tmp_path_factory.mktemp("old") / "out"
    run(out, teacher, "old", flags_of_source)
    return out


@pytest.fixture(scope="module")
def new_out(tmp_path_factory: pytest.TempPathFactory, teacher: Path, flags_of_source: list[str], old_out: Path) -> Path:
    out = tmp_path_factory.mktemp("new") / "out"
    run(out, teacher, "new", flags_of_source, against=old_out)
    return out


@pytest.fixture(scope="module")
def both_out(tmp_path_factory: pytest.TempPathFactory, teacher: Path, flags_of_source: list[str]) -> Path:
    out = tmp_path_factory.mktemp("both") / "out"
    run(out, teacher, "old,new", flags_of_source)
    return out


def test_two_runs_keep_what_one_run_keeps(old_out: Path, new_out: Path, both_out: Path) -> None:
    assert ids(old_out, "old") | ids(new_out, "new") == ids(both_out, "old", "new")
    assert len(ids(new_out, "new")["new"]) == 40
    assert len(ids(old_out, "old")["old"]) == 60


def test_what_was_lost_names_the_published_row(old_out: Path, new_out: Path) -> None:
    lost = [row for row in rejections(new_out, "new") if row["reason"] == REASON]
    there = {row["id"]: row for row in shard_rows(old_out, "old")}
    assert len(lost) == LOST == manifest_of(new_out).dataset("new").stages["prepare"].rejected[REASON]
    for row in lost:
        assert row["kept_id"] in there
        assert there[row["kept_id"]]["query"].lower() == row["query"].lower()
        assert "of a row of old" in row["detail"] or "as a row of old" in row["detail"]
        assert row["detail"].endswith(f", published in {old_out}")
    manifest = manifest_of(new_out)
    (record,) = manifest.against
    assert manifest.dataset("new").against == record.digest
    assert (record.priority, [folder.out for folder in record.folders]) == ("published", [str(old_out)])
    assert record.folders[0].rows == 60
