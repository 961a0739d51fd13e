"""How much of a Flink cluster a job takes, as far as the command that sends it can know."""

from dataclasses import dataclass

from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, PortableOptions

from pipelines.engines import flink
from pipelines.engines.flink_cluster import overview_at
from pipelines.options import Command
from pipelines.this_machine import cores

#: Cores that a slot keeps busy at most, with its threads of Java and of Python.
_MOST_CORES = 1.5


@dataclass(frozen=True, kw_only=True)
class JobSize:
    """``taskmanagers`` that run a job, ``slots`` of each that it takes; ``known``: where that is from.

    ``cores``: of the machine that all of them share, None where they are not on this one; ``java_bytes``: what their
    Java processes may take there.
    """

    taskmanagers: int
    slots: int
    known: str
    cores: int | None = None
    java_bytes: int = 0

    @property
    def parallelism(self) -> int:
        """Slots of all TaskManagers that the job takes."""
        return self.taskmanagers * self.slots

    @property
    def share(self) -> float:
        """Of a core, what a slot has, more than one where there are more: its Java and its Python work side by side."""
        return 1.0 if self.cores is None else min(_MOST_CORES, self.cores / self.parallelism)

    def __str__(self) -> str:
        managers = f"{self.taskmanagers} TaskManager{'s' if self.taskmanagers > 1 else ''}"
        return f"{managers} of {self.slots} slot{'s' if self.slots > 1 else ''}, {self.known}"


def asked_parallelism(command: Command) -> int | None:
    """The parallelism that a command asks for; None where it leaves that to the cluster: one worker is what nobody
    asked for.
    """
    own = PipelineOptions(list(command.beam_flags)).view_as(FlinkRunnerOptions).parallelism
    return own if own > 0 else command.workers if command.workers > 1 else None


def flink_master(command: Command) -> str | None:
    """The cluster that the user's own flags name, if they do."""
    if not any(flag.partition("=")[0] == "--flink_master" for flag in command.beam_flags):
        return None
    return str(PipelineOptions(list(command.beam_flags)).view_as(FlinkRunnerOptions).flink_master)


def job_size(command: Command) -> JobSize | None:
    """What a job of this command takes; None where the local cluster is meant and does not run."""
    asked = asked_parallelism(command)
    if PipelineOptions(list(command.beam_flags)).view_as(PortableOptions).job_endpoint:
        return _assumed(asked, "a job server does not say how many slots a TaskManager has")
    if master := flink_master(command):
        return _named(master, asked)
    return _local(asked)


def _local(asked: int | None) -> JobSize | None:
    params = flink.running()
    if params is None:
        return None
    parallelism = asked or params.parallelism
    managers = min(params.num_taskmanagers, parallelism)  # it spreads a job over them
    there = cores()
    slots = -(-parallelism // managers)
    known = f"which share {there} core{'s' if there > 1 else ''}"
    java = params.total_memory << 20
    return JobSize(taskmanagers=managers, slots=slots, known=known, cores=there, java_bytes=java)


def _named(master: str, asked: int | None) -> JobSize:
    """A cluster that tells of itself; it fills one TaskManager after the other."""
    managers, slots = overview_at(master) or (0, 0)
    if not managers or slots < managers:
        return _assumed(asked, f"{master} does not say how many slots a TaskManager has")
    each, parallelism = slots // managers, asked or 1
    known = (
        "each taken to be a core" if asked else "each taken to be a core: Beam asks for 1 unless --parallelism is given"
    )
    return JobSize(taskmanagers=-(-parallelism // each), slots=min(each, parallelism), known=known)


def _assumed(asked: int | None, why: str) -> JobSize:
    return JobSize(taskmanagers=asked or 1, slots=1, known=f"assumed, each a core: {why}")
