"""What each stage costs by rows, length of texts, dimensions and datasets; the coefficients that follow; their error.

    python -m benchmarks.scale [--rows=4000000] [--flink] [--write=docs/scale.md]
        [--coefficients=pipelines/costs/measured.yaml]

Generated rows go through the stages, each in a process of its own. What each run cost is a line of ``--points``; runs
that have their lines are not run again, so that a measurement can be cut into pieces.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks._report import fill
from benchmarks._scale_fit import Point, fitted
from benchmarks._scale_flink import flink_table, flink_terms, measure_flink
from benchmarks._scale_points import Case, has_case, measure, read_points, static_teacher
from benchmarks._scale_report import coefficients, errors, off, plans, runs
from benchmarks._scale_source import Shape
from pipelines.costs.measured import text_of
from pipelines.costs.model import Measured

POINTS = Path(__file__).with_name("scale.jsonl")
#: Rows of a generated dataset, where a run has several.
_DATASET_ROWS = 50_000


def pretraining(rows: int, words: int = 51, components: str = "auto") -> Case:
    """Rows that are neither embedded nor mined."""
    datasets = max(1, rows // _DATASET_ROWS)
    return Case(shape=Shape(rows=rows, words=words, datasets=datasets, stage="pretrain"), components=components)


def finetuning(rows: int, datasets: int = 1, words: int = 51, dims: int = 384, teacher: str = "static") -> Case:
    """Rows that go through all stages."""
    return Case(shape=Shape(rows=rows, words=words, datasets=datasets), dims=dims, teacher=teacher)


def cases(most: int) -> Iterator[Case]:
    """All runs of at most ``most`` rows, the quick ones first."""
    found = [
        finetuning(20_000),
        finetuning(1_000, teacher="minilm"),
        finetuning(50_000),
        finetuning(20_000, words=150),
        finetuning(20_000, dims=128),
        finetuning(40_000, datasets=2),
        finetuning(70_000),
        finetuning(160_000, datasets=4),
        MINED,
        pretraining(50_000),
        pretraining(250_000),
        pretraining(250_000, components="rounds"),
        pretraining(1_000_000),
        pretraining(4_000_000),
    ]
    yield from (case for case in found if case.shape.rows <= most)


#: The run of which mine and pack are measured on Flink, so long that they are more than the start of their workers.
MINED = finetuning(250_000, datasets=5)
#: Runs that coefficients are not fitted to.
HELD_OUT = (pretraining(1_000_000), finetuning(70_000), MINED)
#: Runs that are measured on Flink too.
FLINK = (pretraining(50_000), finetuning(20_000))
#: A plan of such a run may be off by this share.
MOST_OFF = 0.2


def is_held_out(point: Point) -> bool:
    """Whether a point is of a run on the direct runner that coefficients are not fitted to."""
    return "taskmanagers" not in point and any(point["case"] == case.facts() for case in HELD_OUT)


def fit_points(points: Sequence[Point]) -> Measured:
    """The coefficients that follow from all points but those held out, and from jobs on Flink."""
    direct = [point for point in points if "taskmanagers" not in point]
    used = [point for point in direct if not is_held_out(point)]
    rows = sorted({point["case"]["shape"]["rows"] for point in used})
    where = {"machine": direct[0]["machine"], "rows": f"{rows[-1]:,}", "versions": direct[0]["versions"]}
    return fitted(used, flink_terms(points), where)


def report(points: Sequence[Point], found: Measured) -> dict[str, str]:
    """The blocks of the document by name."""
    direct = [point for point in points if "taskmanagers" not in point]
    held = [point for point in direct if is_held_out(point)]
    notes = [
        "`python -m benchmarks.scale`",
        direct[0]["machine"],
        direct[0]["versions"],
        f"Before its first stage a process takes {found.process:.1f} CPU s. prepare keeps {found.kept:.1%} of rows; "
        f"each of these has {found.texts:.2f} distinct texts; a token has {1 / found.tokens_per_byte:.1f} bytes.",
        "Tokens a second of one core: "
        + ", ".join(f"{name} {pace:,.0f}" for name, pace in found.tokens_per_second.items())
        + ". Share of the cores that a stage keeps busy, from runs on a quiet machine (measured.md): "
        + ", ".join(f"{stage} {share:.0%}" for stage, share in found.efficiency.items())
        + ".",
    ]
    return {
        "scale-runs": runs(direct),
        "scale-coefficients": coefficients(found) + "\n\n" + "\n".join(f"- {note}" for note in notes),
        "scale-error": errors(held, found),
        "scale-flink": flink_table(points),
        "scale-plans": plans(found),
    }


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=int, default=4_000_000, help="rows of the largest run (default: 4000000)")
    parser.add_argument("--points", type=Path, default=POINTS, help=f"file of what was measured (default: {POINTS})")
    parser.add_argument(
        "--flink", action="store_true", help="measure on the local cluster that runs (kalm flink up) too"
    )
    parser.add_argument("--fit_only", action="store_true", help="measure nothing; fit what is in --points")
    parser.add_argument("--folder", type=Path, help="where to work; deleted afterwards (default: the system's)")
    parser.add_argument("--coefficients", type=Path, help="file of coefficients to write")
    parser.add_argument("--write", type=Path, help="document whose blocks bench:scale-* are filled")
    return parser


def measure_all(arguments: argparse.Namespace) -> None:
    """Run what has no points yet."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder, static = Path(place), None
        for case in cases(arguments.rows):
            if has_case(arguments.points, case):
                continue
            static = static or static_teacher(folder / "static")
            measure(case, arguments.points, folder, static)
        for case in FLINK if arguments.flink else ():
            static = static or static_teacher(folder / "static")
            measure_flink(case, arguments.points, folder, static)
        if arguments.flink and MINED.shape.rows <= arguments.rows:
            static = static or static_teacher(folder / "static")
            measure_flink(MINED, arguments.points, folder, static, ("mine", "pack"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 1 where a plan of a run held out is off by more than 20 %."""
    arguments = build_parser().parse_args(argv)
    if not arguments.fit_only:
        measure_all(arguments)
    points = read_points(arguments.points)
    found = fit_points(points)
    blocks = report(points, found)
    for text in blocks.values():
        print(text, end="\n\n")
    if arguments.coefficients:
        arguments.coefficients.write_text(text_of(found), "utf-8")
    for name, text in blocks.items() if arguments.write else ():
        fill(arguments.write, name, text)
    wrong = off([point for point in points if "taskmanagers" not in point and is_held_out(point)], found)
    return 0 if all(abs(share) <= MOST_OFF for share in wrong.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
