"""Runs that add to what is there: one after the other they keep what one run over all keeps."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curate_command import main
from pipelines.reports.difference import difference, lines
from pipelines.verify import main as verify_main
from schemas.manifest import Manifest
from tests.e2e.generated import WORDS
from tests.e2e.running import (
    WORK,
    flags,
    manifest_of,
    published,
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
    return [WORDS[i] for i in rng.integers(0, len(WORDS), number)]


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


def run(out: Path, teacher: Path, category: str, extra: Iterable[str], **options: object) -> Manifest:
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


def test_without_it_the_copies_would_stay(
    tmp_path: Path, teacher: Path, flags_of_source: list[str], old_out: Path
) -> None:
    shutil.copytree(old_out, tmp_path / "out")
    manifest = run(tmp_path / "out", teacher, "new", flags_of_source, against="none")
    assert REASON not in manifest.dataset("new").stages["prepare"].rejected
    assert manifest.dataset("new").num_rows > 40 + 15
    assert manifest.against == []


def test_a_dataset_that_is_added_to_out_is_compared_with_what_out_holds(
    tmp_path: Path,
    teacher: Path,
    flags_of_source: list[str],
    old_out: Path,
    both_out: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(old_out, out)
    assert main([*flags(out, teacher, "new"), *flags_of_source, "--dry_run"]) == 0
    assert "dry run: comparing with 60 published rows of old in OUT" in capsys.readouterr().err
    manifest = run(out, teacher, "new", flags_of_source)
    assert ids(out, "old", "new") == ids(both_out, "old", "new")
    assert manifest.dataset("new").stages["prepare"].rejected[REASON] == LOST
    assert manifest.generations == {"old": 0, "new": 1}
    assert manifest.dataset("old").against is None
    (record,) = manifest.against
    assert [(folder.out, sorted(folder.datasets)) for folder in record.folders] == [("OUT", ["old"])]


def test_a_dataset_that_is_made_again_keeps_its_rows_and_its_stages(
    tmp_path: Path, teacher: Path, flags_of_source: list[str], old_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(old_out, out)
    first = run(out, teacher, "new", flags_of_source)
    stages = sorted(path.name for path in (out / WORK).glob("*-*"))
    for category in ("old", "new", "old"):  # those that came later do not count for those that came before
        assert run(out, teacher, category, flags_of_source).datasets == first.datasets
    assert sorted(path.name for path in (out / WORK).glob("*-*")) == stages
    assert main([*flags(out, teacher, "new"), *flags_of_source]) == 0
    said = capsys.readouterr().err
    assert "comparing with 60 published rows of old in OUT" in said
    assert said.count("(already there)") == 4


def test_datasets_of_several_generations_that_are_made_together_keep_their_order(tmp_path: Path, teacher: Path) -> None:
    """``b`` came after ``a``, and ``c`` is new: ``a`` is made again with it, and loses nothing to ``b``."""
    rows = {"a": pairs(1, 30), "b": [*pairs(1, 20), *pairs(2, 20)], "c": [*pairs(1, 30), *pairs(2, 20), *pairs(3, 9)]}
    options, out = write(tmp_path, rows, {"a": 7, "b": 6, "c": 5}), tmp_path / "out"
    for category in ("a", "b", "a,c", "b", "c", "a"):
        run(out, teacher, category, options)
    kept = {record.name: record.num_rows for record in manifest_of(out).datasets}
    assert kept == {"a": 30, "b": 20, "c": 9}
    assert manifest_of(out).generations == {"a": 0, "b": 1, "c": 2}


def test_two_processes_give_the_same_bytes_as_one(
    tmp_path: Path, teacher: Path, flags_of_source: list[str], old_out: Path, new_out: Path
) -> None:
    out = tmp_path / "out"
    process = start([*flags(out, teacher, "new", against=old_out, workers=2), *flags_of_source, "-q"])
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert shard_digests(out) == shard_digests(new_out)
    of = [sorted(path.name for path in published(where) if "rejections" in path.parts) for where in (out, new_out)]
    assert of[0] == of[1]


@pytest.mark.parametrize("names", [("old", "new"), ("new", "old")], ids=["old first", "new first"])
def test_of_equal_priority_the_same_texts_are_kept(tmp_path: Path, teacher: Path, names: tuple[str, str]) -> None:
    """Which of two copies stays differs: in one run it is that of the smaller id, afterwards the published one."""
    options = write(tmp_path, {"old": [*FIRST, *FIRST[:9]], "new": [*pairs(2, 20), *FIRST[:30], *FIRST[:3]]})
    run(tmp_path / "first", teacher, names[0], options)
    run(tmp_path / "then", teacher, names[1], options, against=tmp_path / "first")
    run(tmp_path / "both", teacher, "old,new", options)
    texts = [
        sorted((row["query"], *row["positives"]) for out, name in outs for row in shard_rows(tmp_path / out, name))
        for outs in ((("first", names[0]), ("then", names[1])), (("both", "old"), ("both", "new")))
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 80


def test_a_changed_folder_is_compared_with_anew_and_an_unchanged_one_is_not(
    tmp_path: Path, teacher: Path, flags_of_source: list[str], old_out: Path
) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    shutil.copytree(old_out, first)
    before = run(out, teacher, "new", flags_of_source, against=first)
    assert run(out, teacher, "new", flags_of_source, against=first) == before
    assert len(list((out / WORK).glob("prepare-*"))) == 1
    run(first, teacher, "old", flags_of_source, limit=20)
    after = run(out, teacher, "new", flags_of_source, against=first)
    assert len(list((out / WORK).glob("prepare-*"))) == 2
    assert after.dataset("new").num_rows > before.dataset("new").num_rows
    told = list(lines(difference(before, after)))
    assert any(line.startswith("  because of compared with: 60 published rows of old in") for line in told), told
    assert not any("the data at the source" in line for line in told)


def test_datasets_that_were_compared_with_what_is_no_longer_there_are_told_of(
    tmp_path: Path, teacher: Path, flags_of_source: list[str], old_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(old_out, out)
    run(out, teacher, "new", flags_of_source)
    assert verify_main([str(out)]) == 0
    assert "noticed" not in capsys.readouterr().out
    assert main([*flags(out, teacher, "old", limit=20), *flags_of_source]) == 0
    told = "new: compared with rows of old that OUT no longer holds as they were: CATEGORY=new compares again"
    assert f"noticed: {told}" in " ".join(capsys.readouterr().err.split())
    assert verify_main([str(out)]) == 0
    assert f"noticed: {told}" in capsys.readouterr().out
    run(out, teacher, "new", flags_of_source)
    assert verify_main([str(out)]) == 0
    assert "noticed" not in capsys.readouterr().out


LABELLED = [{"text": f"The {row['answer'][:60]} of it", "label": "abc"[n % 3]} for n, row in enumerate(pairs(5, 60))]
OTHER = {"a": "b", "b": "c", "c": "a"}


def test_labels_of_another_part_of_the_same_dataset_hold(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "1", {"labels": LABELLED[:40]})
    later = [*LABELLED[30:], *({"text": row["text"], "label": OTHER[row["label"]]} for row in LABELLED[:6])]
    second = write(tmp_path / "2", {"labels": later})
    run(tmp_path / "a", teacher, "labels", first)
    assert main([*flags(tmp_path / "b", teacher, "labels", against=tmp_path / "a"), *second]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "labels: published rows say something else than new rows about the same texts" in said
    counts = manifest_of(tmp_path / "b").dataset("labels").stages["prepare"]
    assert (counts.kept, counts.rejected) == (20, {"CONFLICTING_LABEL": 6, REASON: 10})
    rows = rejections(tmp_path / "b", "labels")
    ends = {row["detail"].partition(", published in ")[2] for row in rows} | {
        row["detail"].partition(" published in ")[2] for row in rows
    }
    assert str(tmp_path / "a") in ends
    assert all("published in" in row["detail"] for row in rows)


def test_by_entries_a_dataset_of_lower_priority_number_stays_and_what_it_replaces_is_counted(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"late": FIRST[:20], "early": FIRST[10:30]}
    options = [*write(tmp_path, rows, {"late": 9, "early": 1}), "--set=against.priority=entries"]
    run(tmp_path / "a", teacher, "late", options)
    assert main([*flags(tmp_path / "b", teacher, "early", against=tmp_path / "a"), *options]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "late: published rows would be duplicates of new ones, whose datasets come first; both stay (10)" in said
    assert manifest_of(tmp_path / "b").dataset("early").num_rows == 20
    run(tmp_path / "c", teacher, "early", options)
    assert run(tmp_path / "d", teacher, "late", options, against=tmp_path / "c").dataset("late").num_rows == 10
    assert main([*flags(tmp_path / "a", teacher, "early"), *options, "-q"]) == 2
    assert "--category=late,early" in capsys.readouterr().err


def test_a_folder_that_is_no_longer_as_its_manifest_says_is_refused(
    tmp_path: Path, teacher: Path, flags_of_source: list[str], old_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first"
    shutil.copytree(old_out, first)
    words = [*flags(tmp_path / "out", teacher, "new", against=first), *flags_of_source, "-q"]

    def refused(code: int) -> str:
        assert main(words) == code
        return capsys.readouterr().err

    path = first / "manifest.json"
    text = path.read_text()
    (shard,) = first.glob("pretrain/retrieval/old/*.parquet")
    data = shard.read_bytes()
    shard.write_bytes(data[:-9] + b"tampered!")
    assert "holds other bytes than it was written with" in refused(9)
    shard.unlink()
    assert "is gone" in refused(9)
    shard.write_bytes(data)
    path.write_text(text[: len(text) // 2])
    assert "it is torn or damaged" in refused(4)
    path.write_text(json.dumps(json.loads(text) | {"version": 2}))
    assert "is of version 2, this program reads up to 1" in refused(4)
    path.write_text(json.dumps(json.loads(text) | {"strange": 1}))
    assert "written by a newer version" in refused(4)
    path.write_text(text.replace('"kept": 60', '"kept": 61'))
    assert "its counts do not balance" in refused(4)
    path.unlink()
    assert "holds no manifest.json" in refused(2)
    path.write_text(text)
    assert main(words) == 0
