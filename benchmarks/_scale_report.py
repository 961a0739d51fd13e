"""The blocks of docs/scale.md: what was measured, what was fitted, what a plan says of runs that were held out."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks._report import table
from benchmarks._scale_fit import Point, number_of, predicted
from pipelines.costs.model import STAGES, Cost, Measured
from pipelines.plan import size

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
