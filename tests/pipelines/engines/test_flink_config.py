"""Configuration and commands of the cluster's parts."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from pipelines.engines import flink_config
from pipelines.engines.flink_params import WORKER_REST_MS, FlinkParams, FlinkPorts, TaskManagerMemory
from pipelines.engines.home import EnginesHome

HOME = EnginesHome(Path("/engines home"))
SOFTWARE = flink_config.Software(java="java", libraries=Path("/flink"), job_server=Path("/server.jar"))


def test_written_config_holds_the_cluster(tmp_path: Path) -> None:
    home = EnginesHome(tmp_path / "a folder: with a colon")
    flink_config.write_config(FlinkParams(ports=FlinkPorts(rest=1, rpc=2), parallelism=3, slots=3), home)
    config = yaml.safe_load((home.conf / "config.yaml").read_text())
    assert config["rest.port"] == "1"
    assert config["jobmanager.rpc.port"] == "2"
    assert config["parallelism.default"] == config["taskmanager.numberOfTaskSlots"] == "3"
    assert {config[name] for name in config if name.endswith("-host") or name.endswith("bind-address")} == {"localhost"}
    assert all(Path(config[name]).is_dir() for name in ("io.tmp.dirs", "blob.storage.directory", "web.tmpdir"))
    assert "rootLogger.appenderRef" in (home.conf / "log4j.properties").read_text()


def test_a_job_starts_again_when_the_workers_of_its_last_try_are_gone() -> None:
    delay, unit = flink_config.cluster_settings(FlinkParams(), HOME)["restart-strategy.fixed-delay.delay"].split()
    assert unit == "ms"
    assert int(delay) > WORKER_REST_MS


def test_taskmanager_command_gives_every_size_once() -> None:
    params = FlinkParams(memory=TaskManagerMemory(task_heap=100, framework_heap=28, network=70, overhead=33))
    command = flink_config.taskmanager_command(SOFTWARE, params, HOME, 1)
    settings = dict(command[i + 1].split("=") for i, word in enumerate(command) if word == "-D")
    assert settings["taskmanager.resource-id"] == "taskmanager-1"
    assert settings["taskmanager.memory.network.min"] == settings["taskmanager.memory.network.max"] == "70m"
    assert settings["taskmanager.memory.jvm-overhead.min"] == settings["taskmanager.memory.jvm-overhead.max"] == "33m"
    assert "-Xmx128m" in command
    assert command[command.index("-cp") + 1] == "/flink/*:/server.jar"
    assert command[command.index("--configDir") + 1] == str(HOME.conf)


def test_taskmanagers_differ_in_their_name_alone() -> None:
    first, second = (flink_config.taskmanager_command(SOFTWARE, FlinkParams(), HOME, number) for number in (0, 1))
    assert [pair for pair in zip(first, second, strict=True) if len(set(pair)) > 1] == [
        ("taskmanager.resource-id=taskmanager-0", "taskmanager.resource-id=taskmanager-1")
    ]


def test_job_server_is_told_every_port_and_the_cluster() -> None:
    params = FlinkParams(ports=FlinkPorts(rest=11, job=12, artifact=13, expansion=14))
    command = flink_config.job_server_command(SOFTWARE, params, HOME)
    options = dict(pairwise(command))
    assert options["--flink-master"] == "localhost:11"
    assert [options[f"--{role}-port"] for role in ("job", "artifact", "expansion")] == ["12", "13", "14"]
    assert options["-cp"] == "/server.jar"


def test_the_pool_runs_this_python() -> None:
    command = flink_config.pool_command(FlinkParams(ports=FlinkPorts(pool=77)), HOME)
    assert command[0] == sys.executable
    assert command[-4:] == ["--port", "77", "--logs", str(HOME.logs)]


@pytest.mark.parametrize(
    ("taskmanagers", "slots", "cores", "threads", "loops"),
    [(2, 2, 2, 1, 1), (2, 2, 8, 4, 4), (2, 4, 2, 1, 1), (1, 1, 3, 3, 3), (1, 4, 8, 2, 8), (4, 1, 8, 2, 2)],
)
def test_workers_share_the_cores(taskmanagers: int, slots: int, cores: int, threads: int, loops: int) -> None:
    params = FlinkParams.of_size(num_taskmanagers=taskmanagers, slots=slots)
    env = flink_config.pool_environment(params, cores, "/more")
    numbers = {name: value for name, value in env.items() if name.endswith("_NUM_THREADS")}
    assert numbers.pop("NUMBA_NUM_THREADS") == str(loops)
    assert set(numbers.values()) == {str(threads)}
    root, more = env["PYTHONPATH"].split(":")
    assert (Path(root) / "pipelines" / "engines").is_dir()
    assert more == "/more"
    assert flink_config.pool_environment(params, cores)["PYTHONPATH"] == root


@pytest.mark.parametrize("name", ["log4j.properties", "job-server.pom.xml"])
def test_resources_are_packaged(name: str) -> None:
    assert flink_config.resource(name).strip()
