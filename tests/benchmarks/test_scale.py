"""The fit of costs finds what points were made of; the coefficients that ship follow from the points that do."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks import _scale_points, _scale_stage
from benchmarks._scale_fit import Point, fit, fitted, predicted, shares
from benchmarks._scale_flink import flink_terms
from benchmarks._scale_points import STAGES, Case, has_case, measure, read_points
from benchmarks._scale_report import off
from benchmarks._scale_source import Shape, write_source
from benchmarks.scale import HELD_OUT, MOST_OFF, POINTS, finetuning, fit_points, is_held_out, pretraining, report
from pipelines.costs.measured import FILE, text_of
from tests.e2e.teacher import save_tiny_teacher


def made(case: Case, stage: str, **numbers: Any) -> dict[str, Any]:
    """A point of a case; what is not given is 0."""
    zeros = dict.fromkeys(("peak_mib", "shuffled", "bytes", "store_bytes", "cpu_seconds", "cpu_before", "load"), 0)
    rows = case.shape.rows if stage == "prepare" else round(0.9 * case.shape.rows)
    facts = {"case": case.facts(), "stage": stage, "text_bytes": 400.0, "tokens_per_byte": 0.25, "seconds": 100.0}
    return zeros | facts | {"rows": rows, "texts": 2 * rows, "machine": "a", "versions": "b"} | numbers


def all_points(cases: list[Case]) -> Iterator[dict[str, Any]]:
    """Points of which every cost is known: prepare 3 s and 20 us a row, and so on."""
    for case in cases:
        rows, mined = case.shape.rows, case.shape.stage == "finetune"
        kept, product = 0.9 * rows, (0.9 * rows) ** 2 / case.shape.datasets * case.dims
        texts = 1.8 * rows * mined
        pace = {"static": 1e6, "minilm": 1e3}[case.teacher]
        seconds = {
            "prepare": 3 + 20e-6 * rows,
            "embed": 1 + 5e-6 * texts + kept * 400 * 0.25 / pace * mined,
            "mine": 2 + 30e-6 * kept * mined + 1e-12 * product * mined,
            "pack": 1 + 10e-6 * kept,
        }
        for stage in STAGES:
            peak = 300 + (1e-3 * rows if stage == "prepare" else 0)
            yield made(case, stage, cpu_seconds=seconds[stage] + 2, cpu_before=2, peak_mib=peak, shuffled=370 * rows)


def test_the_fit_finds_what_points_were_made_of() -> None:
    cases = [pretraining(50_000), pretraining(1_000_000), pretraining(4_000_000), finetuning(50_000)]
    cases += [finetuning(250_000), finetuning(250_000, datasets=5), finetuning(1_000, teacher="minilm")]
    points = list(all_points(cases))
    found = fitted(points, flink_terms(points), {})
    assert found.kept == pytest.approx(0.9)
    assert found.texts == pytest.approx(2)
    assert found.process == 2
    assert found.tokens_per_second["minilm"] == pytest.approx(1e3, rel=0.02)
    assert found.cpu_seconds["mine"]["product"] == pytest.approx(1e-12, rel=0.02)
    for point in all_points([finetuning(100_000, dims=128), pretraining(2_000_000)]):
        said = predicted(point, found)
        assert said.cpu_seconds == pytest.approx(point["cpu_seconds"] - 2, rel=0.02)
        assert said.memory_bytes == pytest.approx(point["peak_mib"] * 2**20, rel=0.02)


def test_no_coefficient_is_below_zero() -> None:
    points = [made(pretraining(n), "pack", cpu_seconds=s) for n, s in ((50_000, 9.0), (250_000, 5.0), (1_000_000, 8.0))]
    assert all(value > 0 for value in fit(points, "pack", "cpu_seconds", 0.9, 2.0).values())


def test_shares_are_those_of_rows_that_came_through() -> None:
    points = list(all_points([finetuning(1_000), pretraining(1_000)]))
    assert shares(points) == (pytest.approx(0.9), pytest.approx(2.0))


def flink_points(runs: Sequence[tuple[int, float, float]]) -> list[Point]:
    """Runs of pack: TaskManagers, and CPU seconds on the direct runner and on Flink."""
    points = []
    for number, (taskmanagers, direct, own) in enumerate(runs, 1):
        on_flink = {"taskmanagers": taskmanagers, "cluster_seconds": own - 1, "cpu_seconds": 3.0, "cpu_before": 2.0}
        points.append(made(pretraining(50_000 * number), "pack", cpu_seconds=direct))
        points.append(made(pretraining(50_000 * number), "pack", **on_flink))
    return points


def test_runs_on_flink_tell_the_start_of_a_worker_and_a_factor() -> None:
    runs = [
        (taskmanagers, direct, 6 * taskmanagers + 1.5 * direct) for taskmanagers, direct in ((1, 2), (2, 20), (4, 40))
    ]
    assert flink_terms(flink_points(runs)) == {"pack": {"run": pytest.approx(6), "cpu": pytest.approx(1.5)}}


def test_flink_is_never_said_to_be_cheaper_than_the_direct_runner() -> None:
    (found,) = flink_terms(flink_points([(1, 20.0, 15.0), (2, 40.0, 25.0)])).values()
    assert found == {"run": pytest.approx(0, abs=1e-6), "cpu": pytest.approx(1)}


def test_the_coefficients_that_ship_follow_from_the_points_that_do() -> None:
    assert FILE.read_text("utf-8") == text_of(fit_points(read_points(POINTS)))


def test_a_plan_of_what_was_held_out_is_within_a_fifth() -> None:
    points = read_points(POINTS)
    held = [point for point in points if is_held_out(point)]
    assert {point["case"]["shape"]["rows"] for point in held} == {case.shape.rows for case in HELD_OUT}
    wrong = off(held, fit_points(points))
    assert wrong
    assert {name: share for name, share in wrong.items() if abs(share) > MOST_OFF} == {}


def test_the_document_holds_what_the_points_say() -> None:
    document = (Path(__file__).parents[2] / "docs" / "scale.md").read_text("utf-8")
    points = read_points(POINTS)
    for name, text in report(points, fit_points(points)).items():
        assert f"<!-- bench:{name} -->\n{text}\n<!-- /bench -->" in document, f"{name}: make bench-scale wrote another"


def test_equal_shapes_give_equal_files_of_the_rows_asked_for(tmp_path: Path) -> None:
    shape = Shape(rows=1_001, words=20, datasets=2)
    sizes = [write_source(tmp_path / name, shape) for name in ("a", "b")]
    files = [sorted((tmp_path / name).rglob("*.parquet")) for name in ("a", "b")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    rows = [pq.read_table(path).to_pylist() for path in files[0]]
    assert [len(each) for each in rows] == [501, 500]
    texts = [text for each in rows for row in each for text in row.values()]
    assert sizes[0] == sizes[1] == sum(len(text.encode()) for text in texts) / 1_001
    assert len({row["query"] for row in rows[0]}) < 501  # some are copies


@pytest.mark.slow
def test_a_case_is_measured_stage_by_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_here(_: str, *arguments: str) -> dict[str, Any]:
        with warnings.catch_warnings(action="ignore"):
            return _scale_stage.main(arguments) | {"peak_mib": 1}

    monkeypatch.setattr(_scale_points, "run_module", run_here)
    teacher, points = save_tiny_teacher(tmp_path), tmp_path / "points.jsonl"
    case = Case(shape=Shape(rows=120), dims=8)
    measure(case, points, tmp_path, teacher)
    told = {point["stage"]: point for point in read_points(points)}
    assert list(told) == list(STAGES)
    assert told["prepare"]["rows"] == 120
    assert 90 < told["embed"]["rows"] < 120
    assert told["embed"]["texts"] > told["embed"]["rows"]
    assert told["embed"]["store_bytes"] > 16 * told["embed"]["texts"]
    assert all(point["shuffled"] > 0 and point["cpu_seconds"] > point["cpu_before"] for point in told.values())
    assert has_case(points, case)
    assert not has_case(points, Case(shape=Shape(rows=121), dims=8))
