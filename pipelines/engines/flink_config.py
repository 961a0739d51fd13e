"""What the parts of a local Flink cluster are told: the configuration file and one Java command each (pure functions).

The classes are started directly: the source archive of the Flink that PyPI offers carries no start scripts.
"""

import os
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from pipelines.engines.flink_params import RESTART_DELAY_MS, FlinkParams, TaskManagerMemory
from pipelines.engines.home import EnginesHome
from pipelines.engines.ports import HOST

_JOBMANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASKMANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"

# What Flink reaches into by reflection and Java 17 closes by default (the list of Flink's own default configuration).
_OPENED = (
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
    "sun.nio.ch",
)

# The serial collector starts fewer threads; on a machine shared with Python workers that matters more than pauses.
_JVM = ("-XX:+UseSerialGC", *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED))
# The JobManager and the job server only direct: an optimising compiler would cost them more at start than it returns.
_QUICK = "-XX:TieredStopAtLevel=1"

_THREADS, _LOOPS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "NUMBA_NUM_THREADS"


def cluster_settings(params: FlinkParams, home: EnginesHome) -> dict[str, str]:
    """Flink's options for every part of the cluster.

    A TaskManager that is killed is given up after two heartbeats that reach nobody; its job starts again after four
    seconds, when that is known. A job starts again three times at most, also after an error of its own, before that
    is reported. ``heartbeat.timeout`` is for one that hangs, and long enough for a machine with much else to do.
    """
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": str(params.ports.rpc),
        "jobmanager.bind-host": HOST,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": str(params.ports.rest),
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": str(params.slots),
        "taskmanager.load-balance.mode": "SLOTS",  # work goes to both TaskManagers, not to the first until it is full
        "parallelism.default": str(params.parallelism),
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "3",
        "restart-strategy.fixed-delay.delay": f"{RESTART_DELAY_MS} ms",
        "heartbeat.interval": "1000",
        "heartbeat.timeout": "20000",
        # Beam's classes stand on every part's class path: loaded once, not anew for each job. Only so does Beam keep
        # Python workers from stage to stage; it stops them at once where a job brings its classes along.
        "classloader.resolve-order": "parent-first",
        "classloader.check-leaked-classloader": "false",  # Beam's gRPC threads outlive a job's class loader by a moment
        "io.tmp.dirs": str(home.tmp),
        "blob.storage.directory": str(home.tmp),
        "web.tmpdir": str(home.tmp),
    }


def memory_settings(memory: TaskManagerMemory) -> dict[str, str]:
    """Flink's memory options of one TaskManager, complete, as it demands when no script has derived them."""
    sizes = {
        "task.heap.size": memory.task_heap,
        "task.off-heap.size": memory.task_off_heap,
        "framework.heap.size": memory.framework_heap,
        "framework.off-heap.size": memory.framework_off_heap,
        "managed.size": memory.managed,
        "network.min": memory.network,
        "network.max": memory.network,
        "jvm-metaspace.size": memory.metaspace,
        "jvm-overhead.min": memory.overhead,
        "jvm-overhead.max": memory.overhead,
    }
    return {f"taskmanager.memory.{name}": f"{size}m" for name, size in sizes.items()}


def write_config(params: FlinkParams, home: EnginesHome) -> None:
    """Writes Flink's configuration and that of its logging, and makes the folders that they name."""
    for folder in (home.conf, home.logs, home.pids, home.tmp):
        folder.mkdir(parents=True, exist_ok=True)
    (home.conf / "config.yaml").write_text(yaml.safe_dump(cluster_settings(params, home)), encoding="utf-8")
    (home.conf / "log4j.properties").write_text(resource("log4j.properties"), encoding="utf-8")


def resource(name: str) -> str:
    """The text of a file in ``resources/``."""
    return files("pipelines.engines").joinpath("resources", name).read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Software:
    """Where the programs are: ``java``, the folder of Flink's jars, and the jar of Beam's job server."""

    java: str
    libraries: Path
    job_server: Path


def jobmanager_command(software: Software, params: FlinkParams, home: EnginesHome) -> list[str]:
    """The JobManager."""
    jvm = [f"-Xmx{params.jobmanager_heap}m", "-XX:MaxMetaspaceSize=256m", _QUICK]
    return [*_flink_java(software, jvm, home), _JOBMANAGER, "--configDir", str(home.conf)]


def taskmanager_command(software: Software, params: FlinkParams, home: EnginesHome, number: int) -> list[str]:
    """TaskManager ``number`` (from 0), whose slots stay on the cores it is given."""
    memory = params.memory
    jvm = [
        f"-Xmx{memory.jvm_heap}m",
        f"-XX:MaxDirectMemorySize={memory.jvm_direct}m",
        f"-XX:MaxMetaspaceSize={memory.metaspace}m",
    ]
    settings = {
        "taskmanager.resource-id": f"taskmanager-{number}",
        "taskmanager.cpu.cores": f"{float(params.slots)}",
        **memory_settings(memory),
    }
    overrides = [word for name, value in settings.items() for word in ("-D", f"{name}={value}")]
    return [*_flink_java(software, jvm, home), _TASKMANAGER, "--configDir", str(home.conf), *overrides]


def job_server_command(software: Software, params: FlinkParams, home: EnginesHome) -> list[str]:
    """Beam's job server, which translates a pipeline for the cluster and submits it."""
    ports = params.ports
    options = {
        "--flink-master": f"{HOST}:{ports.rest}",
        "--job-host": HOST,
        "--job-port": str(ports.job),
        "--artifact-port": str(ports.artifact),
        "--expansion-port": str(ports.expansion),
        "--artifacts-dir": str(home.tmp / "artifacts"),
    }
    # At INFO this logger prints every metric of every finished job.
    quiet = "-Dorg.slf4j.simpleLogger.log.org.apache.beam.runners.flink.FlinkPipelineRunner=warn"
    jvm = [f"-Xmx{params.job_server_heap}m", f"-Djava.io.tmpdir={home.tmp}", quiet, _QUICK, *_JVM]
    return [
        software.java,
        *jvm,
        "-cp",
        str(software.job_server),
        _JOB_SERVER,
        *(word for option in options.items() for word in option),
    ]


def pool_command(params: FlinkParams, home: EnginesHome) -> list[str]:
    """The Python worker pool, run by this Python."""
    module = ["-m", "pipelines.engines.worker_pool"]
    return [sys.executable, *module, "--port", str(params.ports.pool), "--logs", str(home.logs)]


def pool_environment(params: FlinkParams, cores: int, python_path: str = "") -> dict[str, str]:
    """What workers find in their environment beside what the pool was started with.

    Numeric libraries may start as many threads in each worker as fill the cores once, all workers together; compiled
    loops as many as fill them where each TaskManager's worker runs one, as a search does. The folder of the project's
    packages leads ``PYTHONPATH`` (``python_path`` is what stood there), because workers import the functions that they
    run.
    """
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, python_path]))
    threads = dict.fromkeys(_THREADS, str(max(1, cores // params.parallelism)))
    return {**threads, _LOOPS: str(max(1, cores // params.num_taskmanagers)), "PYTHONPATH": path}


def _flink_java(software: Software, jvm: list[str], home: EnginesHome) -> list[str]:
    class_path = os.pathsep.join(
        [f"{software.libraries}/*", str(software.job_server)]
    )  # Flink's own classes come first
    logging = f"-Dlog4j.configurationFile={home.conf / 'log4j.properties'}"
    return [software.java, *jvm, *_JVM, logging, f"-Djava.io.tmpdir={home.tmp}", "-cp", class_path]
