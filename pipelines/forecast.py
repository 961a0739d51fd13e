"""How long a run is expected to take, said before its first stage that must run, and at its end how far off that was.

For the direct runner and for Flink, and for what takes a minute or more: of less the start of Python is most.
docs/scale.md has the model.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from mining.teacher import BUNDLED, Teacher
from mining.weights import table_width
from pipelines.costs.cluster import Cluster, StagePlan, plan_run, ranges
from pipelines.costs.measured import measured
from pipelines.costs.model import STAGES, Datasets, Stage, Work
from pipelines.jobs import Run
from pipelines.options import Command
from pipelines.plan import size
from pipelines.steps import spoken
from pipelines.this_machine import cores, peak_bytes
from schemas.catalog import LocatedEntry
from schemas.filesystems import filesystem_of, is_local
from transforms.flow.files import exists
from transforms.sources.footers import column_bytes, read_footer
from transforms.sources.units import Unit

if TYPE_CHECKING:
    from pipelines.engines.flink_size import JobSize

#: A shorter run is not worth a line.
LEAST_SECONDS = 60.0
_READ = ("rows", "qrels")
#: As the graphs guess what a compressed file holds.
_TIMES_COMPRESSED = 4


class Forecast:
    """What a run is expected to take, stage by stage, and what it took."""

    def __init__(self, run: Run, command: Command) -> None:
        self._run, self._command = run, command
        self._counts: Mapping[str, Mapping[str, Any]] | None = None
        self._stages: dict[str, StagePlan] = {}
        self._took: dict[str, float] = {}

    def prepared(self, manifest: Mapping[str, Any]) -> None:
        """What prepare read and kept is known from here on."""
        self._counts = manifest["counts"]

    def before(self, stage: str) -> str | None:
        """What to say before a stage that must run: once, and only where the rows are known and it is worth saying."""
        if self._stages or not (self._command.runner == "direct" or self._size):
            return None
        work = self._work()
        if work is None:
            return None
        cluster, ahead = self._cluster(), self._ahead(stage)
        found, work_alone = (
            plan_run(work, each, measured(), ahead) for each in (cluster, replace(cluster, flink=False))
        )
        if sum(each.seconds for each in work_alone) < LEAST_SECONDS:
            return None
        self._stages = {each.cost.stage: each for each in found}
        return f"plan: {self._most()}about {self._said(found)}{self._without()}{''.join(self._advice(work, found))}"

    def after(self, stage: str, seconds: float) -> None:
        """A stage has run for so many seconds."""
        self._took[stage] = seconds

    def line(self) -> str | None:
        """What was said of the stages that ran, and how far off it was; None where nothing was said."""
        ran = [name for name in self._stages if name in self._took]
        if not ran:
            return None
        said, took = sum(self._stages[name].seconds for name in ran), sum(self._took[name] for name in ran)
        memory = max(self._stages[name].memory_bytes for name in ran)
        held = f", {size(peak_bytes())} of memory for {size(memory)}"
        if self._size:
            held = f" ({', '.join(f'{name} {_off(self._took[name], self._stages[name].seconds)}' for name in ran)})"
        more = _off(took, said) + (held if self._size or self._command.workers == 1 else "")
        return f"plan: said {spoken(said)} for {', '.join(ran)}, which took {spoken(took)}: {more}"

    @cached_property
    def _size(self) -> "JobSize | None":
        """What of a cluster the run's jobs take, where it is one of Flink and known."""
        if self._command.runner != "flink":
            return None
        from pipelines.engines.flink_size import job_size  # with it Beam, which a stage needs anyway

        return job_size(self._command)

    def _ahead(self, stage: str) -> list[Stage]:
        names = list(STAGES)
        until = self._command.until
        ahead = names[next(at for at, name in enumerate(names) if name == stage) :]
        ahead = ahead[: next((at + 1 for at, name in enumerate(ahead) if name == until), len(ahead))]
        return [name for name in ahead if name != "embed" or self._pace() is not None]

    def _said(self, stages: list[StagePlan]) -> str:
        seconds, memory = sum(each.seconds for each in stages), max(each.memory_bytes for each in stages)
        held = f"{size(memory)} of memory"
        if self._size:
            return f"{spoken(seconds)} on {self._size}; {held} for the Python workers of each TaskManager"
        return f"{spoken(seconds)}, {held}"

    def _advice(self, work: Work, found: Sequence[StagePlan]) -> Iterator[str]:
        """What of a cluster's size would gain nothing, or may not be there."""
        if self._size is None:
            return
        if ranges(work) < self._size.parallelism:
            yield f"; the rows are cut into {ranges(work)} ranges, so a higher parallelism gains nothing"
        there, workers = psutil.virtual_memory().total, self._size.taskmanagers
        needed = workers * max(each.memory_bytes for each in found) + self._size.java_bytes
        if self._size.cores is not None and needed > there:
            java = size(self._size.java_bytes)
            yield (
                f"; with {java} for Java that is more than this machine's {size(there)}: fewer TaskManagers, of fewer "
                "slots (make flink-up TASK_MANAGERS=N SLOTS=N), need less"
            )

    def _most(self) -> str:
        """Vectors that are there already are not made again, but which these are is not known yet."""
        return "at most " if self._run.mined and "embed" in self._stages and any(map(exists, self._run.stores)) else ""

    def _without(self) -> str:
        return " besides the teacher, whose pace is not known" if self._run.mined and self._pace() is None else ""

    def _pace(self) -> float | None:
        """Tokens that the teacher reads on one core in a second, the slowest of several; None where it was not
        measured.
        """
        paces = [_pace_of(group.teacher) for group in self._run.teachers]
        known = [pace for pace in paces if pace is not None]
        return min(known) if len(known) == len(paces) else None

    def _cluster(self) -> Cluster:
        pace = self._pace() or 1.0
        if found := self._size:
            return Cluster(
                workers=found.taskmanagers,
                cores=found.slots,
                flink=True,
                speed=found.share,
                tokens_per_second=pace * found.share,
            )
        return Cluster(cores=cores(), tokens_per_second=pace)

    def _work(self) -> Work | None:
        """The work that is ahead; None where it is not known how many rows there are."""
        found = [self._datasets(located) for located in self._run.located]
        known = [each for each in found if each is not None]
        if len(known) < len(found) or not sum(each.rows for each in known):
            return None
        params = self._run.params
        return Work(
            datasets=known,
            kept=measured().kept if self._counts is None else 1.0,
            texts=measured().texts,
            dims=max(group.teacher.dims for group in self._run.teachers),
            shard=params.partitions.passages_per_pool_shard,
            in_rounds=params.near.in_rounds(int(sum(each.rows for each in known))),
        )

    def _datasets(self, located: LocatedEntry) -> Datasets | None:
        name = located.entry.name
        plan, limit = self._run.plans[name], self._command.config.limit
        known = [unit.rows for unit in plan.units if unit.role in _READ]
        rows = None if None in known else sum(number for number in known if number is not None)
        if self._counts is None:
            count = None if limit is not None else rows
        else:
            count = self._counts[name]["kept"]
            rows = self._counts[name]["read"] if limit is None else rows if _all_local(plan.units) else None
        if count is None or rows is None:
            return None
        whole = sum(_text_bytes(located, unit, plan.sizes[unit.file]) for unit in _one_of_each_file(plan.units))
        return Datasets(rows=count, text_bytes=whole / max(rows, 1), mined=name in self._run.mined)


def _pace_of(teacher: Teacher) -> float | None:
    if teacher.name == BUNDLED:
        return measured().tokens_per_second["minilm"]
    is_table = table_width(teacher.name, Path(teacher.path)) is not None
    return measured().tokens_per_second["static"] if is_table else None


def _off(took: float, said: float) -> str:
    """How far off a number is that was said: ``12% more``."""
    off = took / said - 1
    return f"{abs(off):.0%} {'more' if off >= 0 else 'less'}"


def _all_local(units: Sequence[Unit]) -> bool:
    """Whether all files are on this machine: of others LIMIT plans to read some row groups alone."""
    return all(is_local(filesystem_of(unit.path)[0]) for unit in units)


def _one_of_each_file(units: Sequence[Unit]) -> Iterable[Unit]:
    return {unit.file: unit for unit in units}.values()


def _text_bytes(located: LocatedEntry, unit: Unit, file_bytes: int) -> float:
    """About the bytes of a file's texts: those of the columns that are read, by a footer at hand, else by its size."""
    from transforms.examples.adapters.source import source_columns  # with it numba, which a stage needs anyway

    if unit.format == "parquet" and is_local(filesystem_of(unit.path)[0]):
        return float(column_bytes(read_footer(unit.path), source_columns(located, unit.role, unit.config)))
    return file_bytes * (_TIMES_COMPRESSED if unit.compression else 1)
