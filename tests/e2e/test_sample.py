"""The whole sample, every kind of task at once, against what was planted in it."""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mining.teacher import files_digest
from schemas.prompt import TEMPLATE
from schemas.rows import REJECTIONS, SHARD
from tests.e2e.negatives import Vectors, check_negatives, stored_vectors
from tests.e2e.running import (
    SAMPLE,
    STAGES,
    curate,
    manifest_of,
    planted,
    published,
    rejected_by_reason,
    rejections,
    shard_digests,
    shard_rows,
)
from transforms.keeping.alarms import FATAL
from transforms.text.matching import matching_form

pytestmark = pytest.mark.slow

DATASETS = sorted(planted())


@pytest.mark.parametrize("name", DATASETS)
def test_prepare_finds_exactly_what_was_planted(sample_out: Path, name: str) -> None:
    counts, wanted = manifest_of(sample_out).dataset(name).stages["prepare"], planted()[name]
    found = {"rows": counts.read, "kept": counts.kept, "merged": counts.merged, "rejected": counts.rejected}
    assert found == {key: wanted[key] for key in found}
    assert counts.merged + counts.kept + sum(counts.rejected.values()) == counts.read


def test_every_planted_dataset_is_in_the_manifest_once(sample_out: Path) -> None:
    assert [record.name for record in manifest_of(sample_out).datasets] == DATASETS


def test_every_stage_balances_and_takes_over_what_the_one_before_kept(sample_out: Path) -> None:
    manifest = manifest_of(sample_out)
    assert manifest.unbalanced() == []
    for record in manifest.datasets:
        assert record.stages.keys() == set(STAGES)
        kept = [record.stages[stage].kept for stage in STAGES]
        assert [record.stages[stage].read for stage in STAGES[1:]] == kept[:-1]
        assert [record.stages[stage].merged for stage in STAGES[1:]] == [0, 0, 0]
        assert sum(shard.rows for shard in record.shards) == kept[-1]


def test_the_manifest_says_how_the_run_was_made(sample_out: Path, teacher: Path) -> None:
    manifest = manifest_of(sample_out)
    assert manifest.config["category"] == "all"
    assert manifest.config["near"]["jaccard"] > 0.5
    assert manifest.code.startswith("kalm-curation ")
    assert {"apache-beam", "pyarrow", "torch"} <= manifest.libraries.keys()
    assert manifest.teacher is not None
    assert (manifest.teacher.digest, manifest.teacher.dims) == (files_digest(teacher), 32)
    assert manifest.prompt_template == TEMPLATE
    assert any(a["notes"].get("configs_without_rows") for a in planted().values())
    assert manifest.absent == [], "what the sample leaves out on purpose is not absent"
    alarms = [alarm.alarm for record in manifest.datasets for alarm in record.alarms]
    assert not set(alarms) & set(FATAL)
    record = manifest.dataset("scifact")
    facts = (record.stage, record.task_type, record.source, record.revision, record.symmetric, record.limited)
    assert facts == ("finetune", "retrieval", "sample/datasets/mteb/scifact", None, False, None)
    assert record.instruction == shard_rows(sample_out, "scifact")[0]["instruction"]
    embedded = {d.name: d.stages["embed"].distinct_texts for d in manifest.datasets}
    assert all(texts for name, texts in embedded.items() if manifest.dataset(name).stage == "finetune")


def test_every_shard_is_there_as_the_manifest_says_and_no_other(sample_out: Path) -> None:
    recorded = {}
    for record in manifest_of(sample_out).datasets:
        for shard in record.shards:
            path = sample_out / shard.path
            assert path.parent == sample_out / record.stage / record.task_type / record.name
            assert pq.ParquetFile(path).schema_arrow.equals(SHARD)
            assert pq.ParquetFile(path).metadata.num_rows == shard.rows
            assert hashlib.sha256(path.read_bytes()).hexdigest() == shard.sha256
            recorded[shard.path] = shard.sha256
    assert shard_digests(sample_out) == recorded


def test_nothing_else_lies_in_out(sample_out: Path) -> None:
    tops = Counter(path.relative_to(sample_out).parts[0] for path in published(sample_out))
    assert tops.keys() == {"manifest.json", "README.md", "report.html", "finetune", "pretrain", "rejections"}


@pytest.mark.parametrize("name", DATASETS)
def test_each_reason_counts_the_rows_in_the_rejections(sample_out: Path, name: str) -> None:
    stages = manifest_of(sample_out).dataset(name).stages
    assert rejected_by_reason(sample_out, name) == {s: c.rejected for s, c in stages.items() if c.rejected}


def test_rejections_say_where_a_row_came_from_and_what_it_said(sample_out: Path) -> None:
    for path in (sample_out / "rejections").rglob("*.parquet"):
        assert pq.ParquetFile(path).schema_arrow.equals(REJECTIONS)
    for name in DATASETS:
        for row in rejections(sample_out, name):
            file, _, number = row["provenance"].rpartition("#")
            assert (SAMPLE / file).is_file(), row
            assert int(number) >= 0, row
            assert row["dataset"] == name
            assert row["detail"], row
            assert row["query"] or row["positives"] or row["raw"] or row["reason"] == "EMPTY_QUERY", row


def test_a_removed_duplicate_leads_to_the_row_that_stays_or_to_why_none_did(sample_out: Path) -> None:
    kept = {row["id"] for name in DATASETS for row in shard_rows(sample_out, name)}
    rejected = [row for name in DATASETS for row in rejections(sample_out, name)]
    gone = {row["id"]: row for row in rejected if row["id"] not in (None, row["kept_id"])}
    duplicates = [row for row in rejected if row["reason"] in ("EXACT_DUPLICATE", "NEAR_DUPLICATE")]
    assert [row for row in rejected if row["kept_id"]] == duplicates
    ends = Counter()
    for row in duplicates:
        assert row["id"], row
        while row["kept_id"] and row["kept_id"] not in kept:
            row = gone[row["kept_id"]]
        ends[row["reason"] if row["kept_id"] is None else "kept"] += 1
    assert ends["kept"] > 20
    assert ends.keys() <= {"kept", "LEAKED_EVALUATION", "INCONSISTENT", "LONELY_LABEL"}


def test_no_evaluation_query_reaches_a_shard(sample_out: Path) -> None:
    queries = {
        matching_form(text)
        for path in (SAMPLE / "eval").glob("*/queries.parquet")
        for text in pq.read_table(path).column("text").to_pylist()
    }
    assert len(queries) > 10
    for name in DATASETS:
        for row in shard_rows(sample_out, name):
            assert queries.isdisjoint(map(matching_form, [row["query"], *row["positives"]])), row
    leaked = [row for name in DATASETS for row in rejections(sample_out, name) if row["reason"] == "LEAKED_EVALUATION"]
    assert leaked
    assert all(any(query in matching_form(text) for query in queries for text in texts_of(row)) for row in leaked)


def test_what_was_found_of_evaluation_sets_is_reported(sample_out: Path) -> None:
    manifest = manifest_of(sample_out)
    found = {
        (record.name, overlap.evaluation_set): overlap.model_dump(exclude_defaults=True, exclude={"evaluation_set"})
        for record in manifest.datasets
        for overlap in record.overlaps
    }
    assert found == {
        ("natural-questions", "sample-en"): {"exact": 4, "contained": 2, "queries": 6},
        ("refgpt", "sample-zh"): {"exact": 2, "contained": 1, "queries": 3},
    }
    for record in manifest.datasets:
        assert record.checked == ["sample-en", "sample-zh"]
        rejected = record.stages["prepare"].rejected.get("LEAKED_EVALUATION", 0)
        assert sum(overlap.rejected for overlap in record.overlaps) == rejected
    assert {"Banking77Classification", "NQ", "SciFact", "TNews"} <= set(manifest.training_datasets)


def texts_of(row: dict[str, Any]) -> list[str]:
    return [row["query"], *row["positives"], *row["negatives"]]


def test_shards_open_with_datasets_and_pandas(sample_out: Path, tmp_path: Path) -> None:
    record = manifest_of(sample_out).dataset("jaquad")
    files = [str(sample_out / shard.path) for shard in record.shards]
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded.column_names == SHARD.names
    assert loaded.num_rows == record.stages["pack"].kept
    frame = pd.concat([pd.read_parquet(file) for file in files])
    assert list(frame["query"]) == loaded["query"][:]
    assert [list(texts) for texts in frame["negatives"]] == loaded["negatives"][:]


@pytest.mark.parametrize("name", DATASETS)
def test_lists_of_a_row_belong_together(sample_out: Path, name: str) -> None:
    rows = shard_rows(sample_out, name)
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
    for row in rows:
        assert row["positives"]
        assert all(texts_of(row))
        assert len(row["positives"]) == len(row["positive_scores"]) == len(row["positive_ids"])
        sizes = {len(row[f"negative{ending}"]) for ending in ("s", "_scores", "_ranks", "_ids")}
        assert len(sizes) == 1
        assert len(set(row["negative_ids"])) == len(row["negative_ids"])


def test_mining_finds_negatives_and_never_touches_pre_training_rows(sample_out: Path) -> None:
    for record in manifest_of(sample_out).datasets:
        rows = shard_rows(sample_out, record.name)
        numbers = [len(row["negatives"]) for row in rows]
        full = numbers.count(7) / len(numbers)
        # In a language of which the sample has only a few rows there are only a few passages.
        several = len({row["language"] for row in rows}) > 1
        assert full == 0 if record.stage == "pretrain" else full > (0.1 if several else 0.8), record.name


@pytest.mark.parametrize("name", DATASETS)
def test_no_negative_is_a_positive(sample_out: Path, name: str) -> None:
    rows = shard_rows(sample_out, name)
    positives: dict[str, set[str]] = defaultdict(set)
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        positives[row["query"]] |= set(row["positives"])
        labels[row["query"]].add(row["label"])
    for row in rows:
        negatives = set(row["negatives"])
        assert negatives.isdisjoint(positives[row["query"]]), row
        assert row["query"] not in negatives
        if row["label"] is not None:
            assert all(row["label"] in labels[text] for text in row["positives"]), row
            assert all(row["label"] not in labels[text] for text in negatives), row


@pytest.fixture(scope="module")
def vectors(sample_out: Path) -> Vectors:
    """What the teacher gave for each text of the sample."""
    return stored_vectors(sample_out)


@pytest.mark.parametrize("name", DATASETS)
def test_no_mined_negative_is_a_spelling_or_a_copy_of_something_relevant_or_of_another(
    sample_out: Path, vectors: Vectors, name: str
) -> None:
    check_negatives(shard_rows(sample_out, name), vectors)


@pytest.mark.parametrize("name", DATASETS)
def test_no_duplicate_remains(sample_out: Path, name: str) -> None:
    rows = shard_rows(sample_out, name)
    labelled = rows and rows[0]["label"] is not None
    texts = [(row["query"],) if labelled else (row["query"], row["positives"][0]) for row in rows]
    assert len({tuple(map(matching_form, pair)) for pair in texts}) == len(rows)


def test_the_bundled_teacher_finds_answers_that_a_random_one_does_not(tmp_path: Path, sample_out: Path) -> None:
    curate(tmp_path, Path("minilm"), "webgpt-comparisons")
    record = manifest_of(tmp_path).dataset("webgpt-comparisons")
    random = manifest_of(sample_out).dataset("webgpt-comparisons")
    assert record.stages["prepare"] == random.stages["prepare"]
    assert record.stages["mine"].kept > 3 * random.stages["mine"].kept
    rows = shard_rows(tmp_path, "webgpt-comparisons")
    mined = [
        score
        for row in rows
        for score, rank in zip(row["negative_scores"], row["negative_ranks"], strict=True)
        if rank >= 0
    ]
    assert len(mined) > len(rows)
    assert np.median([row["positive_scores"][0] for row in rows]) > np.median(mined) + 0.3
