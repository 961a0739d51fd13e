"""How large the local Flink cluster is and where it listens."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import psutil

from pipelines.engines.errors import EngineError
from pipelines.engines.ports import free_ports

#: A worker that no stage uses is kept this long (milliseconds), so that a job's next stage takes it up with all that it
#: has imported and loaded: 19 workers became 2, and 141 s became 29 s, for 71 operators over 2,300 rows.
WORKER_REST_MS = 2_000
#: A job that failed starts again after this (milliseconds): later than its workers end, or it would meet a dead one.
RESTART_DELAY_MS = 4_000

#: MiB of a TaskManager for each of its slots: buffers of the network, and what its sorters share.
_NETWORK_PER_SLOT, _MANAGED_PER_SLOT = 256, 256
#: What is left to a TaskManager's heap must hold a key's values a few times.
_LEAST_HEAP = 256
_LEAST_DIRECT = 128
_UNITS = {"": 1, "m": 1, "g": 1024}


@dataclass(frozen=True, kw_only=True)
class FlinkPorts:
    """One TCP port for each part, all on this machine's loopback; 0 stands for any free port."""

    rest: int = 8081  # Flink's REST interface and web page
    rpc: int = 6123  # JobManager, for TaskManagers
    job: int = 8099  # Beam's job server, where pipelines are submitted
    artifact: int = 8098
    expansion: int = 8097
    pool: int = 50000  # the Python worker pool

    def __post_init__(self) -> None:
        chosen = [port for port in asdict(self).values() if port]
        wrong = [port for port in chosen if not 0 < port < 65536]
        if wrong:
            raise EngineError(f"Port {wrong[0]} is not between 0 and 65535.")
        if len(set(chosen)) < len(chosen):
            raise EngineError(f"Each part of the cluster needs a port of its own, but got {asdict(self)}.")

    def resolved(self) -> "FlinkPorts":
        """The same ports with each 0 replaced by one that is free now."""
        open_roles = [role for role, port in asdict(self).items() if port == 0]
        return replace(self, **dict(zip(open_roles, free_ports(len(open_roles)), strict=True)))


@dataclass(frozen=True, kw_only=True)
class TaskManagerMemory:
    """Sizes of one TaskManager in MiB, each given, because Flink's start script that would derive them is not used.

    Network memory: every operator of a pipeline takes buffers at each parallelism. Managed memory is what sorting uses,
    shared among the slots; a record must fit the part of one sorter, and batches are up to 4 MiB (measured: with 128
    MiB a slot a sorter of prepare takes records of 3.9 MB, and of a million rows one is larger). Heap: all values of
    one key go through it together, encoded anew several times (measured: 160 MiB pass a heap of 1 GiB and 60 MiB one of
    512 MiB; 200 and 160 MiB do not). Direct memory: what waits on its way to the workers. Beam looks whether they keep
    up only after every hundred messages (``DirectStreamObserver``), and a message holds a key's values whole: with 128
    MiB mine and pack of 250,000 rows ended for want of it where workers were slower than Java.
    """

    task_heap: int = 896
    task_off_heap: int = 512
    framework_heap: int = 128
    framework_off_heap: int = 128
    managed: int = 512
    network: int = 512
    metaspace: int = 256
    overhead: int = 192

    def __post_init__(self) -> None:
        _require_positive(asdict(self))

    @classmethod
    def of_total(cls, total: int, slots: int) -> "TaskManagerMemory":
        """The parts of ``total`` MiB: network and managed memory by slots; of what the others leave, above the least of
        both, the heap gets five eighths and direct memory three.

        Raises EngineError where less than 256 MiB is left to the heap.
        """
        network, managed = _NETWORK_PER_SLOT * slots, _MANAGED_PER_SLOT * slots
        rest = cls(task_heap=1, task_off_heap=_LEAST_DIRECT, network=network, managed=managed).total - 1
        if total < rest + _LEAST_HEAP:
            raise EngineError(
                f"A TaskManager of {slots} slots needs {rest + _LEAST_HEAP} MiB or more ({network} for its network, "
                f"{managed} for sorting, {rest - network - managed} for Java itself, {_LEAST_HEAP} for data), but "
                f"got {total}: raise --memory (MEMORY) or lower --slots (SLOTS)."
            )
        more = (total - rest - _LEAST_HEAP) * 3 // 8
        return cls(task_heap=total - rest - more, task_off_heap=_LEAST_DIRECT + more, network=network, managed=managed)

    @property
    def total(self) -> int:
        """All of a TaskManager's memory, in MiB."""
        return sum(asdict(self).values())

    @property
    def jvm_heap(self) -> int:
        return self.task_heap + self.framework_heap

    @property
    def jvm_direct(self) -> int:
        return self.task_off_heap + self.framework_off_heap + self.network


@dataclass(frozen=True, kw_only=True)
class FlinkParams:
    """The whole cluster; ``parallelism`` is that of a job which asks for none.

    With as many slots in all TaskManagers but one as the parallelism, a job that loses one finishes on the others.
    """

    ports: FlinkPorts = field(default_factory=FlinkPorts)
    memory: TaskManagerMemory = field(default_factory=TaskManagerMemory)
    parallelism: int = 2
    num_taskmanagers: int = 2
    slots: int = 2
    jobmanager_heap: int = 256  # MiB
    job_server_heap: int = 256  # MiB

    def __post_init__(self) -> None:
        names = ("parallelism", "num_taskmanagers", "slots", "jobmanager_heap", "job_server_heap")
        _require_positive({name: getattr(self, name) for name in names})
        if self.num_taskmanagers * self.slots < self.parallelism:
            raise EngineError(
                f"{self.num_taskmanagers} TaskManagers of {self.slots} slots cannot hold parallelism "
                f"{self.parallelism}; lower --parallelism or raise --slots (SLOTS) or --taskmanagers (TASK_MANAGERS)."
            )

    @classmethod
    def of_size(
        cls, *, num_taskmanagers: int = 2, slots: int = 2, memory: int | None = None, ports: FlinkPorts | None = None
    ) -> "FlinkParams":
        """A cluster of this many TaskManagers, of ``memory`` MiB each; its parallelism is what stays when one is lost.

        Raises EngineError for sizes that are not positive, or where ``memory`` is too little for the slots.
        """
        _require_positive({"taskmanagers": num_taskmanagers, "slots": slots, "memory": 1 if memory is None else memory})
        default = TaskManagerMemory().total + (slots - 2) * (_NETWORK_PER_SLOT + _MANAGED_PER_SLOT)
        return cls(
            ports=ports or FlinkPorts(),
            memory=TaskManagerMemory.of_total(default if memory is None else memory, slots),
            num_taskmanagers=num_taskmanagers,
            slots=slots,
            parallelism=slots * max(1, num_taskmanagers - 1),
        )

    @property
    def total_memory(self) -> int:
        """MiB that the Java parts may take together: heaps and TaskManagers; Python workers come on top."""
        return self.num_taskmanagers * self.memory.total + self.jobmanager_heap + self.job_server_heap

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FlinkParams":
        """The inverse of ``dataclasses.asdict``; keys that a newer or older version wrote are ignored."""
        known = {name: value for name, value in values.items() if name in {f.name for f in fields(cls)}}
        return cls(**{**known, "ports": FlinkPorts(**values["ports"]), "memory": TaskManagerMemory(**values["memory"])})


def _require_positive(values: Mapping[str, int]) -> None:
    wrong = [f"{name}={value}" for name, value in values.items() if value < 1]
    if wrong:
        raise EngineError(f"Sizes of the local cluster must be 1 or more, but got {', '.join(wrong)}.")


def memory_of(text: str) -> int:
    """MiB of a size as people write it: ``4g``, ``2500m``, ``2500``. Raises EngineError for any other text."""
    found = re.fullmatch(r"(\d+)([mg]?)b?", text.strip().lower())
    if found is None:
        raise EngineError(f"Memory {text!r} is no size: give MiB or GiB of one TaskManager, as 2500m or 4g.")
    return int(found[1]) * _UNITS[found[2]]


def check_machine(params: FlinkParams) -> None:
    """Raises EngineError where the cluster's Java parts alone would take more than this machine's memory."""
    there = psutil.virtual_memory().total >> 20
    if params.total_memory > there:
        each, number = params.memory.total, params.num_taskmanagers
        raise EngineError(
            f"{number} TaskManagers of {each} MiB and their directing parts need {params.total_memory} MiB, but this "
            f"machine has {there}, and Python workers need some too: lower --memory (MEMORY) or --taskmanagers "
            "(TASK_MANAGERS)."
        )
