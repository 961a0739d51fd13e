"""``kalm plan``: what a run of given rows would cost, by the coefficients that were measured.

    kalm plan --rows=6000000 --datasets=100 --workers=16 --cores=2
    kalm plan --rows=470000000 --stage=pretrain --workers=64 --cores=2 --price_per_cpu_hour=0.05

Nothing is read and nothing is run. docs/scale.md says what was measured, where, and how far off a plan was.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from catalog.table import print_table
from pipelines.costs.cluster import Cluster, StagePlan, plan_run, totals
from pipelines.costs.like import work_like
from pipelines.costs.measured import measured
from pipelines.costs.model import STAGES, Datasets, Measured, Work
from pipelines.publish import open_manifest
from pipelines.reporting import report_errors
from pipelines.steps import spoken
from pipelines.this_machine import cores
from pipelines.verb_parser import verb_parser
from pipelines.workplace import absolute
from schemas.errors import ConfigError
from transforms.duplicates.params import NearDuplicateParams

COLUMNS = ("stage", "CPU hours", "GPU hours", "time", "memory a worker", "shuffled", "written", "index", "money")
#: Rows of a dataset where none are given: of KaLM-Embedding's fine-tuning data 6 million rows lie in about a hundred.
_DATASET_ROWS = 60_000
_ROWS, _TEXT_BYTES, _DIMS = 1_000_000, 400.0, 384
#: What a run that is there tells, so that it cannot be given besides.
_OF_A_RUN = ("text_bytes", "datasets", "kept", "texts", "dims", "stage")
_HOUR = 3600.0
#: Cores of the machine whose share of busy ones was measured.
_MEASURED_CORES = 2
_STEPS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))

_NUMBERS: tuple[tuple[str, type, Any, str], ...] = (
    ("rows", int, None, "source rows of all datasets (default: 1000000, or those of --like)"),
    ("text_bytes", float, None, "bytes of a row's texts together, in UTF-8 (default: 400)"),
    (
        "datasets",
        int,
        None,
        f"datasets, of one size (default: one for each {_DATASET_ROWS:,} rows); a row is mined in its own",
    ),
    ("kept", float, None, "share of the rows that prepare keeps (default: as measured)"),
    ("texts", float, None, "distinct texts of a kept row, which are embedded (default: as measured)"),
    ("dims", int, None, "dimensions of the teacher's vectors (default: 384)"),
    ("workers", int, 1, "machines; more than one run Flink"),
    ("cores", int, None, "cores of a machine (default: this one's)"),
    ("gpus", int, 0, "GPUs for the teacher, of all machines together"),
    (
        "tokens_per_second",
        float,
        None,
        "the teacher's pace on one core, or on one GPU (default: --teacher's on a core)",
    ),
    ("speed", float, 1.0, "of a core, as a multiple of the one that was measured"),
    ("efficiency", float, None, "share of the cores that stages keep busy (default: as measured)"),
    ("price_per_cpu_hour", float, 0.05, "money for a core and its memory"),
    ("price_per_gpu_hour", float, 1.0, "money for a GPU"),
)

#: The least value of a flag, and whether it may be that itself.
_BOUNDS = (
    *((name, 1, True) for name in ("rows", "datasets", "dims", "workers", "cores")),
    *((name, 0, True) for name in ("gpus", "price_per_cpu_hour", "price_per_gpu_hour")),
    *((name, 0, False) for name in ("text_bytes", "texts", "tokens_per_second", "speed")),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``kalm plan --help``."""
    parser = verb_parser("plan", __doc__)
    for name, kind, default, words in _NUMBERS:
        shown = "" if default is None else f" (default: {default})"
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{words}{shown}")
    parser.add_argument(
        "--stage", choices=("finetune", "pretrain"), help="pretrain rows are not embedded or mined (default: finetune)"
    )
    parser.add_argument("--like", metavar="OUT", help="plan for datasets like those of this run, all in their shares")
    paces = sorted(measured().tokens_per_second)
    parser.add_argument("--teacher", choices=paces, default="minilm", help="whose pace was measured (default: minilm)")
    parser.add_argument("--runner", choices=("direct", "flink"), help="default: direct for one worker, flink for more")
    parser.add_argument("--json", action="store_true", help="all numbers as JSON: seconds, bytes, money")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = build_parser().parse_args(argv)
    return report_errors(lambda: print_plan(given))


def print_plan(given: argparse.Namespace) -> None:
    """Print the plan of a command line. Raises ConfigError for values that make none."""
    check(given)
    work, cluster = work_of(given, measured()), cluster_of(given, measured())
    stages = plan_run(work, cluster, measured())
    if given.json:
        print(
            json.dumps({"work": asdict(work), "cluster": asdict(cluster), "stages": [asdict(each) for each in stages]})
        )
        return
    print_table(COLUMNS, [*map(cells, stages), total_cells(stages)])
    for line in remarks(work, cluster, stages, measured()):
        print(line)


def check(given: argparse.Namespace) -> None:
    """Raises ConfigError that names the flag whose value makes no plan, and what would."""
    for name, low, inclusive in _BOUNDS:
        value = getattr(given, name)
        if value is not None and not (value >= low if inclusive else value > low):
            raise ConfigError(f"--{name}={value}: must be {f'{low} or more' if inclusive else f'above {low}'}")
    for name in ("kept", "efficiency"):
        value = getattr(given, name)
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"--{name}={value}: a share is above 0 and at most 1")
    if given.like and (told := [name for name in _OF_A_RUN if getattr(given, name) is not None]):
        raise ConfigError(f"--{told[0]} beside --like={given.like}: the run tells it; leave one of them out")
    if given.workers > 1 and given.runner == "direct":
        raise ConfigError(
            f"--workers={given.workers}: the direct runner is one machine; leave --runner out, or say flink"
        )
    if given.gpus and given.tokens_per_second is None:
        raise ConfigError(
            f"--gpus={given.gpus}: no teacher's pace on a GPU was measured; give what one of yours reads as "
            "--tokens_per_second"
        )


def work_of(given: argparse.Namespace, found: Measured) -> Work:
    """The work that a command line describes. Raises what reading the run raises that ``--like`` names."""
    if given.like:
        return work_like(open_manifest(given.like), absolute(given.like), given.rows, found)
    rows = given.rows or _ROWS
    number = given.datasets or max(1, round(rows / _DATASET_ROWS))
    each = Datasets(
        rows=rows / number,
        number=number,
        text_bytes=given.text_bytes or _TEXT_BYTES,
        mined=given.stage != "pretrain",
    )
    return Work(
        datasets=[each],
        kept=given.kept or found.kept,
        texts=given.texts or found.texts,
        dims=given.dims or _DIMS,
        in_rounds=NearDuplicateParams().in_rounds(rows),
    )


def cluster_of(given: argparse.Namespace, found: Measured) -> Cluster:
    """The machines that a command line describes."""
    pace = found.tokens_per_second[given.teacher] * given.speed
    return Cluster(
        workers=given.workers,
        cores=given.cores or cores(),
        flink=given.runner == "flink" or given.workers > 1,
        gpus=given.gpus,
        tokens_per_second=given.tokens_per_second or pace,
        speed=given.speed,
        efficiency=given.efficiency,
        price_per_cpu_hour=given.price_per_cpu_hour,
        price_per_gpu_hour=given.price_per_gpu_hour,
    )


def cells(stage: StagePlan) -> list[str]:
    """A stage's row of the table."""
    sizes = (stage.memory_bytes, stage.cost.shuffle_bytes, stage.cost.disk_bytes, stage.cost.index_bytes)
    return [
        stage.cost.stage,
        *_times(stage.cpu_seconds, stage.gpu_seconds, stage.seconds),
        *map(size, sizes),
        f"{stage.money:,.2f}",
    ]


def total_cells(stages: Sequence[StagePlan]) -> list[str]:
    """The last row: sums, and the largest memory."""
    seconds, cpu, gpu, money = totals(stages)
    costs = [each.cost for each in stages]
    summed = (sum(c.shuffle_bytes for c in costs), sum(c.disk_bytes for c in costs), sum(c.index_bytes for c in costs))
    sizes = (max(each.memory_bytes for each in stages), *summed)
    return ["all", *_times(cpu, gpu, seconds), *map(size, sizes), f"{money:,.2f}"]


def _times(cpu: float, gpu: float, seconds: float) -> list[str]:
    return [f"{cpu / _HOUR:,.2f}", f"{gpu / _HOUR:,.2f}", spoken(seconds)]


def size(number: float) -> str:
    """Bytes as a person says them: ``1.2 GiB``, ``340 MiB``."""
    for step, unit in _STEPS:
        if number >= step:
            return f"{number / step:,.1f} {unit}" if number < 100 * step else f"{number / step:,.0f} {unit}"
    return f"{number:.0f} B"


def remarks(work: Work, cluster: Cluster, stages: Sequence[StagePlan], found: Measured) -> Iterator[str]:
    """What the numbers rest on, and where more machines gain nothing."""
    most, whole = stages[0].busy_cores, cluster.workers * cluster.cores
    if most < whole:
        workers = -(-most // cluster.cores)
        yield f"rows are cut into {most:,} ranges: more than {workers:,} workers of {cluster.cores} cores gain nothing"
    if cluster.cores > _MEASURED_CORES and cluster.efficiency is None:
        yield f"{_MEASURED_CORES} cores were measured; one Python process keeps more of them less busy: --efficiency"
    missing = [stage for stage in STAGES if stage not in found.flink]
    if cluster.flink and missing:
        yield f"what Flink itself costs was not measured for {', '.join(missing)}; it is not in these numbers"
    yield f"measured on {found.where['machine']}, up to {found.where['rows']} rows; else reckoned (docs/scale.md)"
