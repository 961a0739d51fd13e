"""Sizes and ports of the local cluster."""

import json
from dataclasses import asdict
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.engines.errors import EngineError
from pipelines.engines.flink_params import FlinkParams, FlinkPorts, TaskManagerMemory, check_machine, memory_of

ROLES = list(asdict(FlinkPorts()))


@given(
    st.lists(st.integers(1, 65535), min_size=6, max_size=6, unique=True),
    st.integers(1, 8),
    st.integers(1, 4096),
)
def test_params_survive_being_written_down(ports: list[int], parallelism: int, heap: int) -> None:
    params = FlinkParams(
        ports=FlinkPorts(**dict(zip(ROLES, ports, strict=True))),
        memory=TaskManagerMemory(task_heap=heap),
        parallelism=parallelism,
        slots=parallelism,
    )
    assert FlinkParams.from_dict(json.loads(json.dumps(asdict(params)))) == params


def test_params_written_by_another_version_are_read() -> None:
    written = asdict(FlinkParams(slots=4))
    del written["parallelism"]
    assert FlinkParams.from_dict({**written, "colour": "blue"}) == FlinkParams(slots=4)


def test_open_ports_are_filled_and_fixed_ones_stay() -> None:
    ports = FlinkPorts(rest=0, rpc=0, pool=23456).resolved()
    assert ports.pool == 23456
    assert ports.job == FlinkPorts().job
    assert 0 not in asdict(ports).values()
    assert len(set(asdict(ports).values())) == len(ROLES)


@pytest.mark.parametrize(
    ("ports", "message"),
    [({"rest": 65536}, "65536"), ({"job": -1}, "-1"), ({"job": 5, "pool": 5}, "port of its own")],
)
def test_impossible_ports_are_refused(ports: dict[str, int], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        FlinkPorts(**ports)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"parallelism": 3, "num_taskmanagers": 1, "slots": 2}, "1 TaskManagers of 2 slots cannot hold parallelism 3"),
        ({"slots": 0}, "slots=0"),
        ({"parallelism": 0}, "parallelism=0"),
        ({"num_taskmanagers": -1}, "num_taskmanagers=-1"),
    ],
)
def test_impossible_clusters_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        FlinkParams(**wrong)


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(EngineError, match="managed=0"):
        TaskManagerMemory(managed=0)


def test_jvm_sizes_are_the_sums_that_flink_checks() -> None:
    memory = TaskManagerMemory(task_heap=1, framework_heap=2, task_off_heap=4, framework_off_heap=8, network=16)
    assert memory.jvm_heap == 3
    assert memory.jvm_direct == 28


def test_a_cluster_of_the_usual_size_is_the_default_one() -> None:
    assert FlinkParams.of_size() == FlinkParams()


@given(st.integers(1, 16), st.integers(1, 16), st.integers(1, 40_000))
def test_the_parts_of_a_taskmanagers_memory_fill_it_or_it_is_refused(
    num_taskmanagers: int, slots: int, memory: int
) -> None:
    if memory < 1088 + 512 * slots:
        with pytest.raises(EngineError, match=f"needs {1088 + 512 * slots} MiB .* got {memory}:"):
            FlinkParams.of_size(num_taskmanagers=num_taskmanagers, slots=slots, memory=memory)
        return
    params = FlinkParams.of_size(num_taskmanagers=num_taskmanagers, slots=slots, memory=memory)
    assert params.memory.total == memory
    assert params.memory.task_heap >= 256
    more = params.memory.task_heap + params.memory.task_off_heap - 256 - 128
    assert params.memory.task_off_heap == 128 + more * 3 // 8
    # A job that asks for nothing finishes where one TaskManager is lost, unless there is one alone.
    assert params.parallelism <= slots * max(1, num_taskmanagers - 1)


@pytest.mark.parametrize(
    ("text", "size"), [("4g", 4096), ("2500m", 2500), ("2500", 2500), ("1G", 1024), ("3gb", 3072), (" 7m ", 7)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert memory_of(text) == size


@pytest.mark.parametrize("text", ["", "g", "-4g", "4.5g", "4t", "4 k"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(EngineError, match="2500m or 4g"):
        memory_of(text)


def test_a_cluster_larger_than_the_machine_is_refused_in_its_numbers() -> None:
    check_machine(FlinkParams.of_size(num_taskmanagers=1, slots=1))
    there = psutil.virtual_memory().total >> 20
    with pytest.raises(EngineError, match=rf"2 TaskManagers of {there} MiB .* {2 * there + 512} MiB.* has {there},"):
        check_machine(FlinkParams.of_size(memory=there))
