"""From the cost of a stage to time, memory of a worker and money, on given machines."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.costs.model import STAGES, Cost, Measured, Stage, Work, cost, quantities, total
from pipelines.ranges import num_partitions

_ROWS_PER_RANGE = 50_000
#: What a worker holds once, whatever its share of the rows.
_HELD_ONCE = ("run", "teacher", "shard")
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Machines: ``workers`` of ``cores`` each. ``flink``: whether they run it; else one runs all, directly.

    ``gpus``: all of them, for the teacher alone. ``tokens_per_second``: what the teacher reads on one core, or on one
    GPU where there are any. ``speed``: of a core, as a multiple of the measured one's. ``efficiency``: the
    share of the cores that stages keep busy, where it is not as measured. Prices are for an hour.
    """

    workers: int = 1
    cores: int = 2
    flink: bool = False
    gpus: int = 0
    tokens_per_second: float
    speed: float = 1.0
    efficiency: float | None = None
    price_per_cpu_hour: float = 0.0
    price_per_gpu_hour: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """A stage on a cluster: ``seconds`` of wall time, ``gpu_seconds`` of all GPUs, ``memory_bytes`` of one worker,
    ``busy_cores`` that its ranges can keep busy at most.
    """

    cost: Cost
    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    memory_bytes: float
    busy_cores: int
    money: float


def plan_stage(stage: Stage, work: Work, cluster: Cluster, measured: Measured) -> StagePlan:
    """A stage on a cluster.

    seconds = (CPU seconds / speed + tokens / tokens per second) / (busy cores x efficiency). On Flink they have a
    factor, and a worker's start on its own cores is added. Busy cores are no more than the ranges that rows are cut
    into. With GPUs, tokens are theirs: tokens / (GPUs x tokens per second) is added.
    money = seconds x all cores x price + GPU seconds x price.
    """
    found, engine = cost(stage, work, measured), measured.flink.get(stage, {}) if cluster.flink else {}
    cores = min(cluster.workers * cluster.cores, ranges(work))
    efficiency = cluster.efficiency or measured.efficiency[stage]
    teacher = found.tokens / cluster.tokens_per_second
    start = engine.get("run", 0.0) / cluster.speed
    cpu = found.cpu_seconds * engine.get("cpu", 1.0) / cluster.speed + (0.0 if cluster.gpus else teacher)
    gpu = teacher if cluster.gpus else 0.0
    seconds = cpu / (cores * efficiency) + start / (cluster.cores * efficiency) + gpu / max(cluster.gpus, 1)
    hired = cluster.workers * cluster.cores * cluster.price_per_cpu_hour
    return StagePlan(
        cost=found,
        seconds=seconds,
        cpu_seconds=cpu + cluster.workers * start,
        gpu_seconds=gpu,
        memory_bytes=worker_memory(stage, work, cluster, measured),
        busy_cores=cores,
        money=(seconds * hired + gpu * cluster.price_per_gpu_hour) / _HOUR,
    )


def plan_run(work: Work, cluster: Cluster, measured: Measured, stages: Sequence[Stage] = STAGES) -> list[StagePlan]:
    """Stages, one after the other."""
    return [plan_stage(stage, work, cluster, measured) for stage in stages]


def ranges(work: Work) -> int:
    """Pieces that rows are cut into, which is how many cores a shuffle's step can use."""
    return num_partitions(int(work.rows), _ROWS_PER_RANGE)


def worker_memory(stage: Stage, work: Work, cluster: Cluster, measured: Measured) -> float:
    """Peak bytes of a worker: what it holds once, and its rows: all of them, on Flink a range for each core."""
    terms, units = measured.memory_bytes[stage], quantities(stage, work)
    once = total({name: value for name, value in terms.items() if name in _HELD_ONCE}, units)
    share = min(1.0, cluster.cores / ranges(work)) if cluster.flink else 1.0
    return once + (total(terms, units) - once) * share


def totals(stages: Sequence[StagePlan]) -> tuple[float, float, float, float]:
    """Wall seconds, CPU seconds, GPU seconds and money of stages that follow each other."""
    return (
        sum(each.seconds for each in stages),
        sum(each.cpu_seconds for each in stages),
        sum(each.gpu_seconds for each in stages),
        sum(each.money for each in stages),
    )
