"""Coefficients of ``pipelines.costs`` from points that ``_scale_points`` measured, and how far off they are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean, median
from typing import Any

import numpy as np
from scipy.optimize import nnls

from pipelines.costs.model import STAGES, Cost, Datasets, Measured, Stage, Work, cost, quantities

Point = Mapping[str, Any]
RESOURCES = ("cpu_seconds", "memory_bytes", "shuffle_bytes", "disk_bytes", "index_bytes")
#: Which quantities each resource of a stage is fitted to; ``token`` is the teacher's.
TERMS: Mapping[str, Mapping[Stage, tuple[str, ...]]] = {
    "cpu_seconds": {
        "prepare": ("run", "row", "byte", "rounds"),
        "embed": ("run", "row", "text", "static", "minilm"),
        "mine": ("run", "row", "mined", "product"),
        "pack": ("run", "row", "byte", "mined"),
    },
    "memory_bytes": {
        "prepare": ("run", "row", "byte"),
        "embed": ("run", "row", "teacher"),
        "mine": ("run", "row", "mined", "shard"),
        "pack": ("run", "row", "byte", "mined"),
    },
    "shuffle_bytes": {
        "prepare": ("row", "byte", "rounds"),
        "embed": ("row", "text"),
        "mine": ("row", "mined", "component"),
        "pack": ("row", "byte", "mined"),
    },
    "disk_bytes": {"prepare": ("row", "byte"), "embed": (), "mine": ("row", "mined"), "pack": ("row", "byte", "mined")},
    "index_bytes": {"prepare": (), "embed": ("text", "component"), "mine": (), "pack": ()},
}
#: Runs of fewer rows, which are there for the pace of a transformer, say nothing of other stages than embed.
_LEAST_ROWS = 10_000
TEACHERS = ("minilm", "static")
#: The share of two cores that a stage keeps busy, from docs/measured.md, since here others are at work beside it:
#: deduplication of 1 and 4 million texts at load 0.3 (25 CPU s in 16.3 s, 92 in 57.0), and the encoder (63.4 in 32.1).
EFFICIENCY: Mapping[Stage, float] = {"prepare": 0.8, "embed": 0.99, "mine": 0.8, "pack": 0.8}


def is_mined(point: Point) -> bool:
    """Whether a point is of rows that are embedded and mined."""
    return bool(point["case"]["shape"]["stage"] == "finetune")


def work_of(point: Point, kept: float, texts: float) -> Work:
    """The work of a point, as a plan is told of it."""
    case, shape = point["case"], point["case"]["shape"]
    number = shape["datasets"]
    each = Datasets(rows=shape["rows"] / number, number=number, text_bytes=point["text_bytes"], mined=is_mined(point))
    return Work(
        datasets=[each],
        kept=kept,
        texts=texts,
        dims=case["dims"],
        in_rounds=case["components"] == "rounds",
    )


def terms_of(point: Point, stage: Stage, kept: float, texts: float) -> dict[str, float]:
    """A point's quantities, and the tokens that its teacher reads under the teacher's name."""
    units = quantities(stage, work_of(point, kept, texts))
    tokens = units["text_byte"] * point["tokens_per_byte"]
    return units | {name: tokens if point["case"]["teacher"] == name else 0.0 for name in TEACHERS}


def number_of(point: Point, resource: str) -> float:
    """What a point says of a resource."""
    if resource == "cpu_seconds":
        return float(point["cpu_seconds"] - point["cpu_before"])
    field, times = {
        "memory_bytes": ("peak_mib", 1 << 20),
        "shuffle_bytes": ("shuffled", 1),
        "disk_bytes": ("bytes", 1),
        "index_bytes": ("store_bytes", 1),
    }[resource]
    return float(point[field] * times)


def fit(points: Sequence[Point], stage: Stage, resource: str, kept: float, texts: float) -> dict[str, float]:
    """The coefficients of a stage, none below 0, that leave the least squares of relative errors."""
    names = TERMS[resource][stage]
    least = 0 if stage == "embed" else _LEAST_ROWS
    own = [p for p in points if p["stage"] == stage and p["case"]["shape"]["rows"] >= least]
    there = [point for point in own if number_of(point, resource) > 0]
    if not names or not there:
        return {}
    terms = [terms_of(point, stage, kept, texts) for point in there]
    matrix = [
        [each[name] / number_of(point, resource) for name in names] for each, point in zip(terms, there, strict=True)
    ]
    solved, _ = nnls(np.array(matrix), np.ones(len(there)))
    return {name: float(value) for name, value in zip(names, solved, strict=True) if value > 0}


def fitted(points: Sequence[Point], flink: Mapping[Stage, Mapping[str, float]], where: Mapping[str, str]) -> Measured:
    """All coefficients from points of the direct runner."""
    kept, texts = shares(points)
    by_resource = {name: {stage: fit(points, stage, name, kept, texts) for stage in STAGES} for name in RESOURCES}
    embed = by_resource["cpu_seconds"]["embed"]
    paces = {name: 1 / embed.pop(name) for name in TEACHERS if name in embed}
    by_resource["index_bytes"]["mine"] = {"shard": 1.0}
    return Measured(
        **by_resource,
        process=median(point["cpu_before"] for point in points if point["stage"] == "prepare"),
        tokens_per_second=paces,
        efficiency=EFFICIENCY,
        flink=flink,
        kept=kept,
        texts=texts,
        tokens_per_byte=mean(point["tokens_per_byte"] for point in points),
        where=where,
    )


def shares(points: Sequence[Point]) -> tuple[float, float]:
    """The share of rows that prepare keeps, and the distinct texts of a kept row: means over points."""
    kept = [point["rows"] / point["case"]["shape"]["rows"] for point in points if point["stage"] == "mine"]
    embedded = [point for point in points if point["stage"] == "embed" and is_mined(point)]
    return mean(kept), mean(point["texts"] / point["rows"] for point in embedded)


def predicted(point: Point, measured: Measured) -> Cost:
    """What a plan says of a point, with the teacher's CPU seconds among the others."""
    found = cost(point["stage"], work_of(point, measured.kept, measured.texts), measured)
    teacher = found.tokens / measured.tokens_per_second[point["case"]["teacher"]]
    return replace(found, cpu_seconds=found.cpu_seconds + teacher)
