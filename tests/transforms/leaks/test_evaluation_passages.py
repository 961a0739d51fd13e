"""Passages of evaluation corpora in training data: against a plain reading of the rule, and through the graph."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.examples.adapters.helpers import make_unit
from tests.transforms.rows import canonical_rows
from transforms.examples.read_rows import CORPUS
from transforms.flow.accounting import SumCounts
from transforms.flow.counts import overlap_count, overlap_counts
from transforms.flow.manifests import FileRecord
from transforms.flow.parts import write_part
from transforms.leaks.evaluation_passages import (
    CountOverlap,
    MatchPassages,
    PassageSpec,
    match_passages,
    passage_keys,
    training_keys,
)
from transforms.leaks.evaluation_sets import plan_folder
from transforms.leaks.evaluation_sightings import SIGHTINGS, count_sightings, sightings_by_range
from transforms.text.matching import matching_form

TEXTS = ["A ferry floats.", "a FERRY floats", "A harbour.", "Ropes & sails", "", "?!"]
TRAINING = st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(["a", "b"])), max_size=12)
PASSAGES = st.lists(st.tuples(st.sampled_from(["", "Ships", "Ropes"]), st.sampled_from(TEXTS)), max_size=12)


def _keys(training: list[tuple[str, str]]) -> pa.Table:
    texts, names = (pa.array([row[i] for row in training], pa.string()) for i in range(2))
    return training_keys(texts, names, "positives")


def _passages(passages: list[tuple[str, str]]) -> pa.Table:
    numbers = pa.array(range(len(passages)), pa.int64())
    known = [[text for _, text in passages], [f"{title}\n{text}" for title, text in passages]]
    return passage_keys(make_unit(role="corpus"), numbers, [pa.array(texts, pa.string()) for texts in known])


@given(TRAINING, PASSAGES)
def test_a_passage_is_seen_by_its_text_or_by_title_and_text(
    training: list[tuple[str, str]], passages: list[tuple[str, str]]
) -> None:
    held = {(matching_form(text), name) for text, name in training if matching_form(text)}
    expected: dict[str, int] = {}
    for title, text in passages:
        forms = {matching_form(text), matching_form(f"{title}\n{text}")}
        for name in {name for form, name in held if form in forms}:
            expected[name] = expected.get(name, 0) + 1
    seen = match_passages(_keys(training), _passages(passages))
    assert seen.schema == SIGHTINGS
    found = overlap_counts(list(count_sightings(seen)))
    assert {name: sets["toy"]["positives"] for name, sets in found.items()} == expected


def test_passages_of_two_files_are_different_passages() -> None:
    units = [make_unit(role="corpus", file=f"{name}.parquet") for name in "ab"]
    tables = [passage_keys(unit, pa.array([0, 1]), [pa.array(["A harbour.", "A harbour."])]) for unit in units]
    seen = match_passages(_keys([("a harbour", "a"), ("A harbour", "a")]), pa.concat_tables(tables))
    assert seen.num_rows == len(np.unique(seen.column("high").to_numpy())) == 4


def test_a_range_without_one_of_the_sides_has_nothing_to_match() -> None:
    training, passages = _keys([("A harbour.", "a")]), _passages([("", "A harbour.")])
    step = MatchPassages(4)
    assert list(step.process((0, training.to_batches()))) == []
    assert list(step.process((0, passages.to_batches()))) == []
    both = [*training.to_batches(), *passages.to_batches()]
    assert sum(batch.num_rows for _, batch in step.process((0, both))) == 1


def _write(folder: Path) -> tuple[list[str], list[str]]:
    """A stage's files and an evaluation set: records of the former, units of the latter."""
    rows = [
        {"dataset": "a", "query": "q", "positives": ["A ferry floats!", "Ropes and knots"]},
        {"dataset": "a", "query": "A harbour.", "positives": ["nothing"]},
        {"dataset": "labelled", "query": "A harbour", "positives": [], "label": "x"},
    ]
    kept = write_part(str(folder / "kept"), canonical_rows(rows))
    texts = [("a harbour", True), ("Ships\nRopes", False), ("Sails", True)]
    passages = [
        {"dataset": "c", "passage_id": str(i), "text": text, "sampled": drawn} for i, (text, drawn) in enumerate(texts)
    ]
    corpus = write_part(str(folder / "corpus"), pa.Table.from_pylist(passages, CORPUS))
    records = [
        FileRecord(kind="kept", path=f"kept/{kept:016x}.parquet", rows=3).to_json(),
        FileRecord(kind="corpus", path=f"corpus/{corpus:016x}.parquet", rows=3, dataset="c").to_json(),
        FileRecord(kind="rejections", path="a/none.parquet", rows=1, dataset="a").to_json(),
    ]
    (folder / "eval" / "Toy").mkdir(parents=True)
    columns = {"title": ["", "Ships", "Ships"], "text": ["A ferry floats", "Ropes", "A harbour"]}
    pq.write_table(pa.table({"_id": ["q"], "text": ["who"]}), folder / "eval" / "Toy" / "queries.parquet")
    pq.write_table(pa.table({"_id": ["1", "2", "3"]} | columns), folder / "eval" / "Toy" / "corpus.parquet")
    (plan,) = plan_folder(str(folder / "eval"), "eval")
    return records, [unit.to_json() for unit in plan.of("corpus")]


@pytest.mark.parametrize("num_partitions", [1, 5])
def test_what_both_hold_is_counted_in_the_graph(tmp_path: Path, num_partitions: int) -> None:
    records, units = _write(tmp_path)
    leak = {"high": 7, "low": 7, "dataset": "a", "evaluation_set": "Toy", "kind": "exact"}
    leaks = list(sightings_by_range(pa.Table.from_pylist([leak, leak], SIGHTINGS), num_partitions))
    expected = [
        overlap_count("", "Toy", "passages", 3),
        overlap_count("a", "Toy", "exact", 2),
        overlap_count("a", "Toy", "queries", 1),
        overlap_count("a", "Toy", "positives", 1),
        overlap_count("labelled", "Toy", "positives", 1),
        overlap_count("c", "Toy", "corpus", 1),
    ]
    assert _overlap(
        PassageSpec(units=units, folder=str(tmp_path), num_partitions=num_partitions), records, leaks, expected
    )


def test_without_evaluation_sets_no_file_is_read(tmp_path: Path) -> None:
    record = FileRecord(kind="kept", path="kept/not-there.parquet", rows=1).to_json()
    assert _overlap(PassageSpec(units=[], folder=str(tmp_path), num_partitions=2), [record], [], [])


def _overlap(spec: PassageSpec, records: list[str], leaks: list[Any], expected: list[tuple[str, int]]) -> bool:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        files = pipeline | "Files" >> beam.Create(records).with_output_types(str)
        seen = pipeline | "Seen" >> beam.Create(leaks).with_output_types(tuple[int, pa.RecordBatch])
        counts = (files, seen) | CountOverlap(spec=spec) | SumCounts()
        assert_that(counts, equal_to(expected))
    return True
