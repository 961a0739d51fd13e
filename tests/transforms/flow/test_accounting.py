"""Accounting in the graph: sums, and a manifest that is written last, once everything has come, or not at all."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from schemas.errors import BalanceError, find_message
from tests.transforms.flow.test_manifests import FACTS, RECORDS, TOTALS
from transforms.flow.accounting import SumCounts, WriteStageManifest
from transforms.flow.counts import READ, REJECTED, count
from transforms.flow.files import read_json
from transforms.flow.manifests import MANIFEST, sealed, stage_manifest


def test_numbers_of_a_key_are_summed_in_the_graph() -> None:
    counts = [count("a", READ, 2), count("a", REJECTED, 1, "TIE"), count("b", READ, 5), count("a", READ, 3)]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        sums = pipeline | beam.Create(counts).with_output_types(tuple[str, int]) | SumCounts()
        assert_that(sums, equal_to([("a\tread\t", 5), ("a\trejected\tTIE", 1), ("b\tread\t", 5)]))


def _write(folder: Path, totals: list[Any], records: list[str]) -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        counted = pipeline | "Totals" >> beam.Create(totals, reshuffle=False).with_output_types(tuple[str, int])
        filed = pipeline | "Records" >> beam.Create(records, reshuffle=False).with_output_types(str)
        (counted, filed) | WriteStageManifest(str(folder), ["a", "b"], FACTS)


def test_the_graph_writes_the_manifest_once_everything_has_come(tmp_path: Path) -> None:
    _write(tmp_path, TOTALS, RECORDS)
    assert read_json(f"{tmp_path}/{MANIFEST}") == sealed(stage_manifest(TOTALS, RECORDS, ["a", "b"], FACTS))


def test_a_stage_without_rows_has_a_manifest_too(tmp_path: Path) -> None:
    _write(tmp_path, [], [])
    assert read_json(f"{tmp_path}/{MANIFEST}")["counts"]["b"]["read"] == 0


def test_an_unbalanced_run_fails_and_leaves_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unaccounted") as caught:
        _write(tmp_path, TOTALS[1:], [])
    found = find_message(str(caught.value))
    assert found is not None
    assert found[1] == BalanceError.exit_code
    assert not (tmp_path / MANIFEST).exists()
