"""The same runs on the local Flink cluster: CPU seconds of all its processes, beside those of the direct runner."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil
from scipy.optimize import lsq_linear

from benchmarks._measure import run_module
from benchmarks._report import table
from benchmarks._scale_fit import Point, number_of
from benchmarks._scale_points import STAGES, Case
from benchmarks._scale_report import name_of
from benchmarks._scale_source import write_source
from pipelines.costs.model import STAGES as ALL
from pipelines.costs.model import Stage
from pipelines.engines import flink, flink_cluster
from pipelines.engines.home import engines_home

_HEADER = ("rows", "stage", "TaskManagers", "parallelism", "CPU s", "on the direct runner", "wall s", "load")


def measure_flink(case: Case, points: Path, folder: Path, static: Path, stages: Sequence[str] = STAGES) -> None:
    """Run the stages of a case on the cluster that runs, at all of its slots, and add a line for each to ``points``.

    ``stages``: which are measured; those before them run directly. Raises RuntimeError where no cluster runs.
    """
    params = flink.running()
    if params is None:
        raise RuntimeError("no local Flink cluster runs: start one with `make flink-up TASK_MANAGERS=1`")
    size = {"taskmanagers": params.num_taskmanagers, "parallelism": params.num_taskmanagers * params.slots}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        facts = {"case": case.facts(), "text_bytes": write_source(Path(place), case.shape)} | size
        directly = case.flags(Path(place), static)
        flags = [*directly, "--runner=flink", f"--parallelism={size['parallelism']}"]
        for stage in STAGES:
            if stage not in stages:
                run_module("benchmarks._scale_stage", stage, *directly)
                continue
            load, before = os.getloadavg()[0], cluster_seconds()
            told = run_module("benchmarks._stage", stage, *flags)
            point = facts | {"stage": stage, "load": load} | told | {"cluster_seconds": cluster_seconds() - before}
            with points.open("a") as file:
                file.write(json.dumps(point) + "\n")
            print(json.dumps(point), file=sys.stderr, flush=True)


def cluster_seconds() -> float:
    """CPU seconds of the cluster's processes so far, Java and Python, ended workers with them."""
    parts = [psutil.Process(pid) for pid in flink_cluster.running_pids(engines_home()).values()]
    family = {member for part in parts for member in (part, *part.children(recursive=True))}
    times = [member.cpu_times() for member in family if member.is_running()]
    return float(sum(t.user + t.system + t.children_user + t.children_system for t in times))


def flink_seconds(point: Point) -> float:
    """CPU seconds of a stage on Flink: the cluster's, and those of the command that waits."""
    return number_of(point, "cpu_seconds") + float(point["cluster_seconds"])


def beside(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Points of Flink, each with that of the same stage and run on the direct runner."""
    direct = {(json.dumps(p["case"]), p["stage"]): p for p in points if "taskmanagers" not in p}
    keys = [(point, (json.dumps(point["case"]), point["stage"])) for point in points if "taskmanagers" in point]
    return [(point, direct[key]) for point, key in keys if key in direct]


def flink_terms(points: Sequence[Point]) -> dict[Stage, Mapping[str, float]]:
    """By stage, CPU seconds of each worker by itself (``run``: its start, Java that warms up), and CPU seconds on Flink
    for one on the direct runner (``cpu``); nothing of a stage that was not measured there.
    """
    found = {stage: [pair for pair in beside(points) if pair[0]["stage"] == stage] for stage in ALL}
    return {stage: _terms(pairs) for stage, pairs in found.items() if pairs}


def _terms(pairs: Sequence[tuple[Point, Point]]) -> Mapping[str, float]:
    """What leaves the least squares of relative errors in ``TaskManagers x run + direct CPU seconds x cpu``; ``cpu`` is
    at least 1, since the same steps run there.
    """
    costs = np.array([flink_seconds(on_flink) for on_flink, _ in pairs])
    terms = [[float(on_flink["taskmanagers"]), number_of(direct, "cpu_seconds")] for on_flink, direct in pairs]
    solved = lsq_linear(np.array(terms) / costs[:, None], np.ones(len(costs)), bounds=([0, 1], [np.inf, np.inf])).x
    return {"run": float(solved[0]), "cpu": float(solved[1])}


def flink_table(points: Sequence[Point]) -> str:
    """A table of the runs on Flink."""
    return table(_HEADER, [_line(point, direct) for point, direct in beside(points)])


def _line(point: Point, direct: Point) -> tuple[str, ...]:
    return (
        name_of(point),
        point["stage"],
        f"{point['taskmanagers']}",
        f"{point['parallelism']}",
        f"{flink_seconds(point):,.1f}",
        f"{number_of(direct, 'cpu_seconds'):,.1f}",
        f"{point['seconds']:,.1f}",
        f"{point['load']:.1f}",
    )
