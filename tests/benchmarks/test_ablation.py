"""The arms of the ablation hold the rows that their steps leave, and the tables say what was measured."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks._ablation_arms import ARMS, DISTILLED, LEAKY, MIXED, RAW, Arm, arm_rows
from benchmarks.ablation import SEEN, UNSEEN, UNTRAINED, arm_table, set_table
from schemas.manifest import Manifest
from schemas.rows import REJECTIONS
from tests.trainer.curated import curate, row
from trainer.config import TrainConfig
from trainer.rows import Row, Rows
from trainer.shards import read_manifest


@pytest.fixture
def curated(tmp_path) -> tuple[Manifest, Path]:
    """A retrieval set, whose first row has two positives, and a labelled one; each with rejected rows."""
    labelled = [row(f"cat {i}", 2) | {"label": name} for i, name in enumerate(["is_cat", "no_cat", "is_cat"])]
    path = curate(tmp_path, {"a": [row("x", 2, num_positives=2), row("y", 2)], "b": labelled})
    reject(tmp_path, "a", [("EMPTY_POSITIVE", "blank", [""]), ("NEAR_DUPLICATE", "near", ["p"]), ("NEUTRAL", "n", [])])
    reject(tmp_path, "a", [("LEAKED_EVALUATION", "leaked", ["p"]), ("INCONSISTENT", "ranked low", ["p"])], "more")
    reject(tmp_path, "b", [("EXACT_DUPLICATE", "cat 0 q", [])])
    return read_manifest(path), tmp_path


def reject(folder: Path, dataset: str, rows: list[tuple[str, str, list[str]]], name: str = "part") -> None:
    facts = {"dataset": dataset, "stage": "prepare", "detail": "", "provenance": "f#0", "negatives": []}
    label = "is_cat" if dataset == "b" else None
    found = [
        facts | {"reason": reason, "query": query, "positives": texts, "label": label} for reason, query, texts in rows
    ]
    (folder / "rejections" / dataset).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(found, REJECTIONS), folder / "rejections" / dataset / f"{name}.parquet")


def rows_of(arm: str, curated: tuple[Manifest, Path]) -> list[Row]:
    rows: Rows = arm_rows(by_name(arm), *curated)
    return rows.take(range(len(rows)))


def by_name(name: str) -> Arm:
    return next(arm for arm in ARMS if arm.name == name)


def test_raw_rows_are_kept_and_rejected_ones_a_pair_each_with_label_names(curated):
    rows = rows_of(RAW, curated)
    queries = [each.query for each in rows]
    assert queries == ["x q", "x q", "y q", "ranked low", "blank", "near", "cat 0 q", "cat 1 q", "cat 2 q", "cat 0 q"]
    assert all(len(each.positives) == 1 and not each.negatives for each in rows)
    assert [each.positives for each in rows[-4:]] == [["is cat"], ["no cat"], ["is cat"], ["is cat"]]


def test_each_step_takes_its_rows_away(curated):
    queries = [[each.query for each in rows_of(arm.name, curated)] for arm in ARMS[:5]]
    cleaned, deduplicated, mined, ranked = (set(one) - set(other) for one, other in pairwise(queries))
    assert (cleaned, deduplicated, mined, ranked) == ({"blank"}, {"near"}, set(), {"ranked low"})
    assert rows_of("+ cleaning", curated)[0].positives == ["x p0", "x p1"]


def test_examples_take_the_place_of_label_names_with_their_negatives(curated):
    named, by_example = rows_of("+ masks", curated), rows_of("+ examples for label names", curated)
    assert [each.positives for each in named[-3:]] == [["is cat"], ["no cat"], ["is cat"]]
    assert [each.negatives for each in named[-3:]] == [["no cat"], ["is cat"], ["no cat"]]
    assert by_example[-1].positives == ["cat 2 p0"]
    assert by_example[-1].negatives == ["cat 2 n0", "cat 2 n1"]


def test_without_decontamination_what_evaluation_asks_for_is_back(curated):
    assert {each.query for each in rows_of(LEAKY, curated)} - {each.query for each in rows_of(MIXED, curated)} == {
        "leaked"
    }


def test_arms_differ_from_the_one_before_in_one_thing():
    assert ARMS[0].name == RAW
    assert ARMS[-2].name == DISTILLED
    for one, other in pairwise(ARMS[1:-1]):
        assert one != other
        TrainConfig(**dict(other.loss))
    assert dict(by_name(LEAKY).loss) == dict(by_name(MIXED).loss)


def test_the_tables_say_what_was_measured():
    random = np.random.default_rng(0)
    sets = {name: random.random((3, 50)) / 2 for name in (*SEEN, *UNSEEN)}
    measured = {UNTRAINED: {name: values[:1] for name, values in sets.items()}}
    measured |= {arm.name: {name: values + 0.01 * i for name, values in sets.items()} for i, arm in enumerate(ARMS)}
    lines = arm_table(measured, dict.fromkeys(measured, 7)).splitlines()
    assert len(lines) == 2 + len(measured)
    assert lines[4].startswith("| + cleaning | 7 |")
    assert "**+1.0 [" in lines[4]
    assert "±" in lines[4]
    assert "±" not in lines[2]
    assert set_table(measured).count("**+8.0 [") == len(sets)
