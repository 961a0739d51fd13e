import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SourceError
from schemas.manifest import Manifest
from tests.trainer.curated import INSTRUCTION, PROMPT, curate, manifest_of, mixed, record, row, write_shard
from trainer.shards import by_negatives, prompts, read_manifest, sample_texts, training_datasets, with_rows


def datasets_of(path: Path, max_negatives: int = 7) -> dict[str, dict[str, list[str]]]:
    found = training_datasets(read_manifest(path), path.parent, max_negatives)
    return {name: dataset[:] for name, dataset in found.items()}


def test_queries_carry_the_prompt_and_passages_do_not(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 2), row("y", 2, instruction=None), row("z", 2, instruction="Other")]})
    assert datasets_of(path) == {
        "a/2": {
            "anchor": [PROMPT + "x q", "y q", "Instruct: Other \n Query: z q"],
            "positive": ["x p0", "y p0", "z p0"],
            "negative_1": ["x n0", "y n0", "z n0"],
            "negative_2": ["x n1", "y n1", "z n1"],
        }
    }


def test_every_text_of_a_symmetric_dataset_carries_the_prompt(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1), row("y", 1, instruction=None)]}, symmetric=["a"])
    assert datasets_of(path) == {
        "a/1": {
            "anchor": [PROMPT + "x q", "y q"],
            "positive": [PROMPT + "x p0", "y p0"],
            "negative_1": [PROMPT + "x n0", "y n0"],
        }
    }


def test_rows_are_told_apart_by_their_negatives_and_none_is_dropped(tmp_path):
    found = datasets_of(mixed(tmp_path))
    sizes = {name: (len(columns["anchor"]), len(columns)) for name, columns in found.items()}
    assert sizes == {
        "moons/7": (5, 9), "moons/3": (2, 5), "moons/0": (1, 2),
        "rivers/7": (5, 9), "stones/3": (3, 5), "stones/0": (4, 2),
    }  # fmt: skip
    assert found["moons/3"]["anchor"] == [PROMPT + "moon 1 q", PROMPT + "moon 5 q"]
    assert found["moons/3"]["negative_3"] == ["moon 1 n2", "moon 5 n2"]


@pytest.mark.parametrize(("most", "names"), [(3, ["a/3", "a/0"]), (1, ["a/1", "a/0"]), (0, ["a/0"])])
def test_negatives_beyond_the_most_are_left_out_the_first_ones_kept(tmp_path, most, names):
    found = datasets_of(curate(tmp_path, {"a": [row("x", 7), row("y", 0), row("z", 3)]}), most)
    assert list(found) == names
    last = (
        {f"negative_{most}": [f"x n{most - 1}", f"z n{most - 1}"]} if most else {"positive": ["x p0", "y p0", "z p0"]}
    )
    assert found[names[0]] | last == found[names[0]]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 9))
def test_each_row_is_in_one_group_as_a_plain_count_says(counts, most):
    lists = pa.array([["n"] * count for count in counts], pa.list_(pa.string()))
    rows = pa.table({"row": pa.array(range(len(counts)), pa.int64()), "negatives": lists})
    found = {number: group.column("row").to_pylist() for number, group in by_negatives(rows, most)}
    assert {number: len(group) for number, group in found.items()} == Counter(min(count, most) for count in counts)
    assert sorted(row for group in found.values() for row in group) == list(range(len(counts)))
    assert all(min(counts[row], most) == number for number, group in found.items() for row in group)


def test_the_first_positive_is_trained_on(tmp_path):
    found = datasets_of(curate(tmp_path, {"a": [row("x", 0, num_positives=3)]}))
    assert found == {"a/0": {"anchor": [PROMPT + "x q"], "positive": ["x p0"]}}


def test_rows_of_several_shards_are_joined_and_empty_shards_are_nothing(tmp_path):
    shards = [write_shard(tmp_path, f"{i}.parquet", rows) for i, rows in enumerate([[row("x", 1)], [], [row("y", 1)]])]
    empty = record("empty", [write_shard(tmp_path, "none.parquet", [])])
    manifest = manifest_of(empty, record("a", shards), record("bare", []))
    found = training_datasets(manifest, tmp_path, 7)
    assert {name: dataset["positive"][:] for name, dataset in found.items()} == {"a/1": ["x p0", "y p0"]}
    assert [dataset.name for dataset in with_rows(manifest)] == ["a"]


def test_fingerprints_follow_the_shards(tmp_path):
    marks = []
    for name in ("x", "y", "x"):
        path = curate(tmp_path, {"a": [row(name, 1)]})
        marks.append(training_datasets(read_manifest(path), tmp_path, 7)["a/1"]._fingerprint)
    assert marks[0] == marks[2] != marks[1]


def test_a_model_carries_each_datasets_prompt_and_that_of_the_largest_retrieval_set(tmp_path):
    def sized(name: str, rows: int, **changes: Any):
        shards = [write_shard(tmp_path, f"{name}.parquet", [row(f"{name} {i}", 0) for i in range(rows)])]
        return record(name, shards, **changes)

    large = sized("large", 9, task_type="sts", instruction="Similar")
    records = [large, sized("small", 2), sized("medium", 3, instruction="Middle"), sized("bare", 1, instruction=None)]
    assert prompts(records) == {
        "large": "Instruct: Similar \n Query: ",
        "small": PROMPT,
        "medium": "Instruct: Middle \n Query: ",
        "bare": "",
        "query": "Instruct: Middle \n Query: ",
        "document": "",
    }
    assert prompts([large])["query"] == "Instruct: Similar \n Query: "


def test_sample_texts_takes_the_first_rows_of_each_dataset(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1, None), row("y", 1, None)], "b": [row("z", 0, None)]})
    datasets = training_datasets(read_manifest(path), tmp_path, 7)
    assert list(sample_texts(datasets.values(), 1)) == ["x q", "x p0", "x n0", "z q", "z p0"]


def refuse(path: Path, *words: str) -> None:
    with pytest.raises(SourceError) as caught:
        training_datasets(read_manifest(path), path.parent, 7)
    assert [word for word in words if word not in caught.value.message] == []


def test_no_manifest(tmp_path):
    refuse(tmp_path / "manifest.json", str(tmp_path / "manifest.json"), "make curate", "--manifest")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"shards": []}', b"\xff\xfe"])
def test_no_manifest_of_ours(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    refuse(path, str(path), "not a manifest that this version can read")


@pytest.mark.parametrize(("key", "value"), [("version", 99), ("prompt_template", "Q: {query}")])
def test_a_manifest_of_another_version_or_template(tmp_path, key, value):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    refuse(path, key, repr(value), "curate again")


def test_a_shard_that_is_gone(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    (shard,) = tmp_path.rglob("*.parquet")
    shard.unlink()
    refuse(path, str(shard), "is gone")


def test_a_shard_that_was_cut_off(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    (shard,) = tmp_path.rglob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-9])
    refuse(path, str(shard), "sha256", "not copied whole")


def test_no_rows(tmp_path):
    refuse(curate(tmp_path, {"a": [], "b": []}), "nothing to train on", "a, b")
    refuse(curate(tmp_path, {}), "nothing to train on", "no dataset")


def test_a_row_without_a_positive(tmp_path):
    refuse(curate(tmp_path, {"a": [row("x", 1, num_positives=0), row("y", 1)]}), "dataset a", "has no positive")


def test_the_manifest_that_is_read_is_the_one_that_was_written(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1)]})
    assert read_manifest(path) == Manifest.model_validate_json(path.read_text())
    assert read_manifest(path).dataset("a").instruction == INSTRUCTION
