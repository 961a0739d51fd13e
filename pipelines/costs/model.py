"""The model of cost: every resource of a stage is a sum of coefficients times quantities of the work.

A quantity follows from the rows alone (``quantities``); a coefficient was measured (``measured.yaml``, made by
``benchmarks.scale``). So a plan is a product of two small tables, and a fit is a linear one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Stage = Literal["prepare", "embed", "mine", "pack"]
STAGES: tuple[Stage, ...] = ("prepare", "embed", "mine", "pack")
#: A stage's quantities, or its coefficients of one resource, by name.
Terms = Mapping[str, float]

#: Bytes of a vector's component in the store and in an index.
_COMPONENT_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class Datasets:
    """Datasets of one size: ``rows`` of each as the source has them, ``text_bytes`` of a row's texts in UTF-8, and
    whether they are ``mined`` (all but pre-training data).
    """

    rows: float
    number: int = 1
    text_bytes: float
    mined: bool = True


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run does.

    ``kept``: share of the rows that prepare keeps. ``texts``: distinct texts of a kept row, each of which is embedded
    once. ``dims``: of a vector. ``shard``: passages of a pool shard at most. ``in_rounds``: near-duplicates are found
    in rounds, as above 12.5 million rows.
    """

    datasets: Sequence[Datasets]
    kept: float = 1.0
    texts: float = 2.0
    dims: int = 384
    shard: int = 250_000
    in_rounds: bool = False

    @property
    def rows(self) -> float:
        """Source rows of all datasets."""
        return sum(each.number * each.rows for each in self.datasets)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Coefficients by resource, stage and quantity, and what else was measured.

    ``cpu_seconds``, ``memory_bytes`` (peak of the one process of the direct runner), ``shuffle_bytes``, ``disk_bytes``
    (what the stage leaves) and ``index_bytes`` (vector store and, of mine, the vectors of a shard). ``process``: CPU
    seconds before the first stage (imports, a look at the sources). ``tokens_per_second``: of one core, by teacher.
    ``efficiency``: the share of its cores that a stage keeps busy. ``flink``: by stage, CPU seconds on Flink for one on
    the direct runner (``cpu``), and of a job's start in each worker (``run``), where they were measured. ``kept``,
    ``texts``, ``tokens_per_byte``: of the rows that were measured. ``where``: the machine, the versions and the largest
    number of rows.
    """

    cpu_seconds: Mapping[Stage, Terms]
    memory_bytes: Mapping[Stage, Terms]
    shuffle_bytes: Mapping[Stage, Terms]
    disk_bytes: Mapping[Stage, Terms]
    index_bytes: Mapping[Stage, Terms]
    process: float
    tokens_per_second: Mapping[str, float]
    efficiency: Mapping[Stage, float]
    flink: Mapping[Stage, Terms]
    kept: float
    texts: float
    tokens_per_byte: float
    where: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a stage costs. ``tokens`` go through the teacher, whose time is not in ``cpu_seconds``."""

    stage: Stage
    cpu_seconds: float
    tokens: float
    memory_bytes: float
    shuffle_bytes: float
    disk_bytes: float
    index_bytes: float


def quantities(stage: Stage, work: Work) -> dict[str, float]:
    """What a stage's costs are proportional to; of datasets d with rows n_d, kept rows k_d = kept x n_d, bytes b_d.

    ``run`` = 1. ``row`` = sum n_d in prepare, sum k_d later. ``byte`` = sum of the same times b_d. ``rounds`` =
    ``row`` where components are found in rounds, else 0. ``mined`` = sum of k_d of mined datasets, ``text`` =
    ``mined`` x texts, ``component`` = ``text`` x dims, ``text_byte`` = sum of k_d b_d of mined datasets. ``product`` =
    sum of k_d^2 x dims: every row of a dataset meets every passage of it once, and a row brings one passage.
    ``shard`` = bytes of the vectors of the largest pool shard. ``teacher`` = 1 where one is loaded, else 0.
    """
    share = 1.0 if stage == "prepare" else work.kept
    rows = [(each, each.number * each.rows * share) for each in work.datasets]
    mined = [(each, number) for each, number in rows if each.mined]
    row, texts = sum(number for _, number in rows), work.texts * sum(number for _, number in mined)
    passages = [each.rows * share for each, _ in mined]
    return {
        "run": 1.0,
        "row": row,
        "byte": sum(number * each.text_bytes for each, number in rows),
        "rounds": row if work.in_rounds else 0.0,
        "mined": sum(number for _, number in mined),
        "text": texts,
        "component": texts * work.dims,
        "text_byte": sum(number * each.text_bytes for each, number in mined),
        "product": sum(number * each.rows * share for each, number in mined) * work.dims,
        "shard": _COMPONENT_BYTES * work.dims * min(work.shard, max(passages, default=0.0)),
        "teacher": float(bool(mined)),
    }


def total(coefficients: Terms, units: Terms) -> float:
    """The sum of coefficients times quantities. Raises KeyError for a coefficient of an unknown quantity."""
    return sum(value * units[name] for name, value in coefficients.items())


def cost(stage: Stage, work: Work, measured: Measured) -> Cost:
    """What a stage costs on the direct runner, where one process of one machine does all."""
    units = quantities(stage, work)
    return Cost(
        stage=stage,
        cpu_seconds=total(measured.cpu_seconds[stage], units),
        tokens=units["text_byte"] * measured.tokens_per_byte if stage == "embed" else 0.0,
        memory_bytes=total(measured.memory_bytes[stage], units),
        shuffle_bytes=total(measured.shuffle_bytes[stage], units),
        disk_bytes=total(measured.disk_bytes[stage], units),
        index_bytes=total(measured.index_bytes[stage], units),
    )
