"""A teacher by language: every score is that of the row's own teacher, and nothing of another one reaches a row.

The teachers' vectors have different widths, so that a query of one could not even be multiplied with a passage of
another.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mining.encoder import load_encoder
from mining.fixed_point import exact_scores, quantise, to_cosine
from pipelines.curate_command import main
from pipelines.reports.card import card
from pipelines.reports.report_facts import facts
from pipelines.verify import verify
from schemas.languages import canonical
from schemas.manifest import Manifest
from tests.e2e.languages import (
    ALL,
    CHINESE,
    ENGLISH,
    GERMAN,
    LABELLED,
    MIXED,
    PAIRS,
    WORDS,
    write_languages,
)
from tests.e2e.running import manifest_of, shard_digests, shard_rows
from tests.e2e.teacher import save_table_teacher
from trainer.shards import open_rows
from trainer.teacher_vectors import SeveralTeachers, open_teacher

#: The width of each teacher's vectors.
DIMS = {"en": 16, "zh": 24, "others": 8}
TEACHER_OF = {"en": "en", "zh": "zh", "de": "others"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    return {name: save_table_teacher(folder / name, dims, seed=dims) for name, dims in DIMS.items()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_languages(tmp_path_factory.mktemp("source"))


def several(tables: Mapping[str, Path], **others: Path) -> list[str]:
    teachers = dict(tables) | others
    named = [f"--set=teacher.by_language.{language}={teachers[language]}" for language in ("en", "zh")]
    return [*named, f"--teacher={teachers['others']}"]


def run(out: Path, *flags: str) -> Manifest:
    assert main([*flags, f"--out={out}", "--quiet"]) == 0
    return manifest_of(out)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, source: list[str], tables: dict[str, Path]) -> Path:
    """OUT of an undisturbed run with three teachers. Tests read it and leave it as it is."""
    out = tmp_path_factory.mktemp("several") / "out"
    run(out, *source, *several(tables))
    return out


def scores(table: Path, query: str, prompt: str, texts: list[str]) -> np.ndarray:
    encoder = load_encoder(str(table))
    sides = [quantise(encoder.encode([prompt + query])), quantise(encoder.encode(texts))]
    return np.asarray(to_cosine(exact_scores(*sides)))[0]


@pytest.mark.parametrize("name", [name for name in ALL if name != PAIRS])
def test_every_score_is_that_of_the_rows_own_teacher(name: str, out: Path, tables: dict[str, Path]) -> None:
    rows = shard_rows(out, name)
    assert len(rows) > 40
    for row in rows:
        teacher = TEACHER_OF[canonical(row["language"])]
        texts = [*row["positives"], *row["negatives"]]
        found = np.array([*row["positive_scores"], *row["negative_scores"]], np.float32)
        assert len(row["negatives"]) == 7
        assert np.array_equal(scores(tables[teacher], row["query"], "", texts), found), row["query"]
        mined = [score for score, rank in zip(row["negative_scores"], row["negative_ranks"], strict=True) if rank >= 0]
        assert mined == sorted(mined, reverse=True), "ranks are those of one teacher's scores"


def test_a_row_of_a_mixed_dataset_is_mined_as_if_its_teacher_were_alone(
    out: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    mixed = shard_rows(out, MIXED)
    assert {canonical(row["language"]) for row in mixed} == {"en", "zh", "de"}
    for language, teacher in TEACHER_OF.items():
        flags = write_languages(tmp_path / language, [language])
        run(tmp_path / f"out-{language}", *flags, f"--category={MIXED}", f"--teacher={tables[teacher]}")
        alone = shard_rows(tmp_path / f"out-{language}", MIXED)
        assert len(alone) > 20
        assert [row for row in mixed if canonical(row["language"]) == language] == alone


def test_passages_without_a_language_are_found_by_every_teacher(out: Path) -> None:
    found: dict[str, set[str]] = {}
    for row in shard_rows(out, MIXED):
        own = found.setdefault(canonical(row["language"]), set())
        own |= {word for text in row["negatives"] for word in WORDS.values() if text.startswith(word)}
    assert found == {language: set(WORDS.values()) for language in TEACHER_OF}


def test_examples_of_a_class_are_of_the_rows_own_teacher(out: Path) -> None:
    for row in shard_rows(out, LABELLED):
        word = WORDS[canonical(row["language"])]
        assert all(text.startswith(word) for text in [row["query"], *row["positives"], *row["negatives"]])


def test_every_row_is_counted_once(out: Path) -> None:
    manifest = manifest_of(out)
    assert [record.name for record in manifest.datasets] == sorted(ALL)
    assert manifest.unbalanced() == []
    assert verify(str(out)) == []
    rows = dict.fromkeys(ALL, 60) | {MIXED: 90, LABELLED: 120}
    for record in manifest.datasets:
        assert [record.stages[stage].kept for stage in ("prepare", "embed")] == [rows[record.name]] * 2
        assert record.stages["mine"].read == rows[record.name]
    assert manifest.dataset(PAIRS).num_rows == 60
    assert manifest.dataset(PAIRS).stages["embed"].distinct_texts is None


def test_the_manifest_says_whose_vectors_are_where(out: Path) -> None:
    manifest = manifest_of(out)
    told = {record.words: (Path(record.name).name, record.dims) for record in manifest.teachers}
    assert told == {words: (words, dims) for words, dims in DIMS.items()}
    assert manifest.teacher is None
    one = {record.name: record.vectors.dims for record in manifest.datasets if record.vectors}
    assert one == {ENGLISH: 16, CHINESE: 24, GERMAN: 8}
    for name, words in ((MIXED, ["en", "zh", "others"]), (LABELLED, ["en", "zh"])):
        records = manifest.dataset(name).vectors_by_language
        assert [record.words for record in records] == words
        assert all((out / ".work" / "store" / record.store).is_dir() for record in records)
    assert manifest.dataset(PAIRS).every_vectors == []
    assert "Teacher of zh: zh, 24 dimensions" in card(manifest)
    assert facts(str(out), manifest, 1)["teacher"] == "en (en), zh (zh), others (others)"


def test_two_processes_give_the_same_bytes_as_one(
    out: Path, source: list[str], tables: dict[str, Path], tmp_path: Path
) -> None:
    run(tmp_path, *source, *several(tables), "--workers=2")
    assert shard_digests(tmp_path) == shard_digests(out)


def copied(out: Path, target: Path) -> Path:
    return Path(shutil.copytree(out, target / "out"))


def test_another_teacher_of_a_language_mines_its_datasets_alone_anew(
    out: Path, source: list[str], tables: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, before = copied(out, tmp_path), shard_digests(out)
    other = save_table_teacher(tmp_path / "zh", 40, seed=40)
    assert main([*source, *several(tables, zh=other), f"--out={place}"]) == 0
    said = capsys.readouterr().err
    assert "mine     3 of 6 datasets are as an earlier run left them" in said
    assert f"{tables['en']} of en; {other} of zh; {tables['others']} of others" in said
    changed = {path.split("/")[-2] for path, digest in shard_digests(place).items() if before[path] != digest}
    assert changed == {CHINESE, MIXED, LABELLED}
    again = run(place, *source, *several(tables))
    assert shard_digests(place) == before
    assert again.teachers == manifest_of(out).teachers


def test_a_damaged_store_of_one_of_them_is_mended(
    out: Path, source: list[str], tables: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = copied(out, tmp_path)
    (record,) = (record for record in manifest_of(out).dataset(MIXED).vectors_by_language if record.languages == ["zh"])
    file = next((place / ".work" / "store" / record.store).rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-7])
    shutil.rmtree(next(place.glob(".work/mine-*")))
    assert main([*source, *several(tables), f"--out={place}"]) == 0
    said = capsys.readouterr().err
    assert "damaged: vector store: " in said
    assert "damaged: embed: " in said
    assert shard_digests(place) == shard_digests(out)


def test_the_trainer_scores_each_row_as_its_own_teacher_did(out: Path, tmp_path: Path) -> None:
    manifest = manifest_of(out)
    rows = open_rows(manifest, out, tmp_path, "finetune")
    teacher = open_teacher(manifest, out, tmp_path, rows, num_negatives=7)
    assert isinstance(teacher, SeveralTeachers)
    batch = rows.take(range(0, len(rows), 5))
    for row in batch:
        texts = [*row.positives, *row.negatives]
        keys = [teacher.passage_key(row, text) for text in texts]
        found = teacher.stored(row).cosines([teacher.query_key(row)], keys)
        assert np.array_equal(found[0], np.array([*row.positive_scores, *row.negative_scores], np.float32)), row.query


def test_a_run_with_one_teacher_says_nothing_of_languages(
    source: list[str], tables: dict[str, Path], tmp_path: Path
) -> None:
    run(tmp_path, *source, f"--category={ENGLISH}", f"--teacher={tables['en']}")
    text = (tmp_path / "manifest.json").read_text()
    assert not any(word in text for word in ("by_language", '"teachers"'))


def test_the_whole_sample_with_another_teacher_of_chinese(
    sample_out: Path, teacher: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    place = copied(sample_out, tmp_path)
    manifest = run(place, "--category=all", f"--teacher={teacher}", f"--set=teacher.zh={tables['zh']}")
    assert manifest.unbalanced() == []
    before, after = shard_digests(sample_out), shard_digests(place)
    names: Any = {record.name: record for record in manifest.datasets}
    same = {path for path in before if before[path] == after.get(path)}
    for record in names.values():
        if record.vectors and record.vectors.dims == 32:
            assert {shard.path for shard in record.shards} <= same, record.name
    wide = [record.name for record in names.values() if record.vectors and record.vectors.dims == DIMS["zh"]]
    assert {"afqmc", "ocnli", "csl-finetune"} <= set(wide)
    assert len(wide) > 10
