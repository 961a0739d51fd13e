"""The blocks of docs/scale.md: what was measured, what was fitted, what a plan says of runs that were held out."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks._report import table
from benchmarks._scale_fit import Point, number_of, predicted
from pipelines.costs.cluster import Cluster, plan_run, totals
from pipelines.costs.model import STAGES, Cost, Datasets, Measured, Work
from pipelines.plan import size
from pipelines.steps import spoken

_RUNS = (
    "rows",
    "training stage",
    "datasets",
    "bytes a row",
    "teacher",
    "stage",
    "CPU s",
    "wall s",
    "peak",
    "shuffled",
    "left",
    "load",
)
_ERRORS = ("rows", "stage", "CPU s, measured", "planned", "peak, measured", "planned", "shuffled, measured", "planned")
_PLANS = ("run", "workers of 2 cores", *STAGES, "all", "CPU hours", "memory a worker", "shuffled", "index", "money")


def name_of(point: Point) -> str:
    """A run in a few words."""
    case, shape = point["case"], point["case"]["shape"]
    rounds = ", in rounds" if case["components"] == "rounds" else ""
    dims = f", {case['dims']} dims" if case["dims"] != 384 else ""
    return f"{shape['rows']:,} {shape['stage']}{rounds}{dims}"


def runs(points: Sequence[Point]) -> str:
    """A table of all points of the direct runner."""
    return table(_RUNS, map(_run, points))


def _run(point: Point) -> tuple[str, ...]:
    case, shape = point["case"], point["case"]["shape"]
    left = number_of(point, "disk_bytes") + (point["store_bytes"] if point["stage"] == "embed" else 0)
    return (
        name_of(point).partition(" ")[0],
        name_of(point).partition(" ")[2],
        f"{shape['datasets']}",
        f"{point['text_bytes']:.0f}",
        case["teacher"] if shape["stage"] == "finetune" else "",
        point["stage"],
        f"{number_of(point, 'cpu_seconds'):,.1f}",
        f"{point['seconds']:,.1f}",
        size(number_of(point, "memory_bytes")),
        size(point["shuffled"]),
        size(left),
        f"{point['load']:.1f}",
    )


def errors(points: Sequence[Point], measured: Measured) -> str:
    """A table of runs that the coefficients were not fitted to: stage by stage, and all."""
    return table(_ERRORS, _errors(points, measured))


def _errors(points: Sequence[Point], measured: Measured) -> Iterator[tuple[str, ...]]:
    for name, own in by_run(points).items():
        for point in own:
            yield (name, point["stage"], *_pairs([point], [predicted(point, measured)]))
        yield (name, "**all**", *_pairs(own, [predicted(point, measured) for point in own]))


def by_run(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points by the name of their run, stages in order."""
    found: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: STAGES.index(point["stage"])):
        found.setdefault(name_of(point), []).append(point)
    return found


def _pairs(points: Sequence[Point], costs: Sequence[Cost]) -> Iterator[str]:
    seconds, said = sum(number_of(p, "cpu_seconds") for p in points), sum(c.cpu_seconds for c in costs)
    yield from (f"{seconds:,.1f}", _off(said, seconds, f"{said:,.1f}"))
    peak, said = max(number_of(p, "memory_bytes") for p in points), max(c.memory_bytes for c in costs)
    yield from (size(peak), _off(said, peak, size(said)))
    shuffled, said = sum(number_of(p, "shuffle_bytes") for p in points), sum(c.shuffle_bytes for c in costs)
    yield from (size(shuffled), _off(said, shuffled, size(said)))


def _off(said: float, true: float, words: str) -> str:
    return f"{words} ({said / true - 1:+.0%})" if true else words


def off(points: Sequence[Point], measured: Measured) -> dict[str, float]:
    """By run, how far the planned CPU seconds of all its stages are from the measured ones, as a share."""
    found = {}
    for name, own in by_run(points).items():
        said = sum(predicted(point, measured).cpu_seconds for point in own)
        found[name] = said / sum(number_of(point, "cpu_seconds") for point in own) - 1
    return found


def coefficients(measured: Measured) -> str:
    """A table of all coefficients."""
    rows = []
    resources: Mapping[str, Mapping[str, Mapping[str, float]]] = {
        name: getattr(measured, name)
        for name in ("cpu_seconds", "memory_bytes", "shuffle_bytes", "disk_bytes", "index_bytes")
    }
    for stage in STAGES:
        cells = [
            ", ".join(f"{name} {value:.3g}" for name, value in found[stage].items()) for found in resources.values()
        ]
        rows.append((f"**{stage}**", *cells))
    return table(("stage", *(name.replace("_", " ") for name in resources)), rows)


def plans(measured: Measured) -> str:
    """Tables of the plans of 470 million pre-training pairs and of 6 million rows for fine-tuning."""
    pretraining = Work(
        datasets=[Datasets(rows=470e6 / 25, number=25, text_bytes=1000, mined=False)],
        kept=measured.kept,
        in_rounds=True,
    )
    finetuning = Work(
        datasets=[Datasets(rows=60_000, number=100, text_bytes=1000)], kept=measured.kept, texts=measured.texts
    )
    lines = [
        *(_plan("470 M pairs", pretraining, workers, measured) for workers in (16, 64, 256)),
        *(_plan("6 M rows, minilm on cores", finetuning, workers, measured) for workers in (1, 16, 64)),
    ]
    return table(_PLANS, lines)


def _plan(name: str, work: Work, workers: int, measured: Measured) -> tuple[str, ...]:
    cluster = Cluster(
        workers=workers,
        cores=2,
        flink=workers > 1,
        tokens_per_second=measured.tokens_per_second["minilm"],
        price_per_cpu_hour=0.05,
    )
    stages = plan_run(work, cluster, measured)
    seconds, cpu, _, money = totals(stages)
    by_stage = [spoken(stage.seconds) for stage in stages]
    memory = size(max(stage.memory_bytes for stage in stages))
    costs = [stage.cost for stage in stages]
    shuffled, index = size(sum(c.shuffle_bytes for c in costs)), size(sum(c.index_bytes for c in costs))
    return (
        name,
        f"{workers}",
        *by_stage,
        f"**{spoken(seconds)}**",
        f"{cpu / 3600:,.0f}",
        memory,
        shuffled,
        index,
        f"{money:,.0f}",
    )
