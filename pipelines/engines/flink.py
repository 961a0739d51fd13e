"""A Flink cluster on this machine, and the options that send a pipeline to it or to any other Flink cluster.

    kalm flink up | status | down

``up`` installs what is missing, starts a JobManager, two TaskManagers, Beam's job server and a pool of Python workers,
and ends by running a small job on them.
"""

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import fields

from pipelines.engines import flink_cluster as cluster
from pipelines.engines import flink_install
from pipelines.engines.errors import CheckFailedError, EngineError, log_tail
from pipelines.engines.flink_params import WORKER_REST_MS, FlinkParams, FlinkPorts, TaskManagerMemory
from pipelines.engines.home import EnginesHome, engines_home
from pipelines.engines.ports import HOST
from pipelines.engines.processes import find_process, stop_processes
from schemas.errors import find_message

_CHECK_LIMIT_S = 180


def up(params: FlinkParams | None = None) -> FlinkParams:
    """Makes sure that a whole cluster runs and that it can run a job; stops it again if it cannot.

    Returns the cluster's parameters. Errors are those of ``start_cluster`` and ``CheckFailedError``.
    """
    home = engines_home()
    was_running = bool(cluster.running_pids(home))
    try:
        started = cluster.start_cluster(params or FlinkParams(), home)
        check(started, home)
    except BaseException:  # an interrupt too must not leave half a cluster behind
        if not was_running:
            cluster.stop_cluster(home)
        raise
    return started


def down() -> int:
    """Stops the cluster of this folder, whole or broken; returns how many of its parts were alive."""
    return cluster.stop_cluster(engines_home())


def running() -> FlinkParams | None:
    """The parameters of the cluster of this folder if every part of it is alive, else None."""
    home = engines_home()
    params = cluster.recorded_params(home)
    return params if params and not cluster.missing_parts(params, home) else None


def check(params: FlinkParams, home: EnginesHome) -> None:
    """Runs a small job; raises ``CheckFailedError`` where it fails or takes longer than three minutes.

    A pool whose Python lacks Beam or this project would otherwise show as a job that waits without a word.
    """
    log = home.log("check")
    command = [sys.executable, "-m", "pipelines.engines.flink_check", *local_options(params)]
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=_CHECK_LIMIT_S
            )
            failure = f"failed with code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"did not end within {_CHECK_LIMIT_S} s"
    if failure:
        said = find_message(log.read_text(encoding="utf-8", errors="replace"))
        reason = said[0] if said else log_tail(log)
        raise CheckFailedError(f"The cluster is up, but a small job {failure}. Logs: {home.logs}. {reason}")


def local_options(params: FlinkParams, parallelism: int | None = None) -> list[str]:
    """Beam's flags for the local cluster with these parameters; its own parallelism where none is given.

    Raises ``EngineError`` for a parallelism that its slots cannot hold: such a job would wait for ever.
    """
    parallelism = parallelism or params.parallelism
    num_slots = params.num_taskmanagers * params.slots
    if parallelism > num_slots:
        raise EngineError(
            f"Parallelism {parallelism} needs as many slots, but the local cluster has {num_slots}. Ask for fewer "
            "workers, or start it with more: `make flink-down`, then `make flink-up ARGS='--slots=N'`."
        )
    return [
        *endpoint_options(pool=f"{HOST}:{params.ports.pool}"),
        f"--job_endpoint={HOST}:{params.ports.job}",
        f"--parallelism={parallelism}",
    ]


def endpoint_options(pool: str = "localhost:50000") -> list[str]:
    """Beam's flags for a job server that runs already, whose TaskManagers each reach a worker pool at ``pool``."""
    return [
        "--runner=PortableRunner",
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
        f"--environment_cache_millis={WORKER_REST_MS}",
    ]


def flink_options(
    *,
    parallelism: int | None = None,
    flink_master: str | None = None,
    flink_version: str = flink_install.FLINK_LINE,
    job_server_jar: str | None = None,
) -> list[str]:
    """Beam's flags for the local cluster, or for the user's own one, whose REST interface is at ``flink_master``.

    For an own cluster Beam fetches the job server that matches ``flink_version`` unless ``job_server_jar`` names one,
    and where its Python workers run (``--environment_type``, ``--environment_config``) is the user's to say. Raises
    ``EngineError`` where no local cluster is up.
    """
    if flink_master is None:
        params = running()
        if params is None:
            raise EngineError(
                f"No Flink cluster is up in {engines_home().root}: start one with `make flink-up`, "
                "or name your own with --flink_master=HOST:PORT."
            )
        return local_options(params, parallelism)
    jar = [f"--flink_job_server_jar={job_server_jar}"] if job_server_jar else []
    workers = [f"--parallelism={parallelism}"] if parallelism else []
    return [
        "--runner=FlinkRunner",
        f"--flink_master={flink_master}",
        f"--flink_version={flink_version}",
        *jar,
        *workers,
    ]


def taskmanager_pids() -> dict[int, int]:
    """The pids of the TaskManagers that are alive, by number."""
    alive = cluster.running_pids(engines_home())
    prefix = "taskmanager-"
    return {int(name.removeprefix(prefix)): pid for name, pid in alive.items() if name.startswith(prefix)}


def kill_taskmanager(number: int) -> int:
    """Kills a TaskManager at once (SIGKILL) and returns its pid. Raises ``EngineError`` where it is not alive."""
    process = find_process(cluster.pid_file(engines_home(), f"taskmanager-{number}"))
    if process is None:
        raise EngineError(f"TaskManager {number} is not alive; alive are {sorted(taskmanager_pids())}.")
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    return int(process.pid)


def start_taskmanager(number: int) -> int:
    """Starts a TaskManager of the running cluster (again) and returns its pid; it finds the JobManager by itself."""
    home = engines_home()
    params = cluster.recorded_params(home)
    if params is None:
        raise EngineError(f"No Flink cluster was started in {home.root}: start one with `make flink-up`.")
    name = f"taskmanager-{number}"
    stop_processes([cluster.pid_file(home, name)], timeout_s=10)
    cluster.start_part(cluster.taskmanager_part(params, home, flink_install.find_java(), number), home)
    return taskmanager_pids()[number]


def describe(home: EnginesHome) -> str:
    """Each part of the cluster on a line: its pid and ports, or that it is down."""
    params, alive = cluster.recorded_params(home), cluster.running_pids(home)
    if params is None:
        return f"No Flink cluster is up in {home.root}."
    lines = [f"{name:<14} {f'pid {alive[name]}' if name in alive else 'DOWN'}" for name in cluster.part_names(params)]
    ports = ", ".join(f"{field.name} {getattr(params.ports, field.name)}" for field in fields(FlinkPorts))
    page = f"http://{HOST}:{params.ports.rest}"
    return "\n".join([*lines, f"ports: {ports}", f"web page: {page}", f"logs: {home.logs}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kalm flink", description="A local Flink cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="install what is missing, start the cluster, run a small job on it")
    defaults = FlinkParams()
    for port in fields(FlinkPorts):
        start.add_argument(f"--{port.name}-port", type=int, default=port.default, help="default: %(default)s; 0: any")
    start.add_argument("--parallelism", type=int, default=defaults.parallelism)
    start.add_argument("--taskmanagers", type=int, default=defaults.num_taskmanagers)
    start.add_argument("--slots", type=int, default=defaults.slots, help="slots in each TaskManager")
    start.add_argument(
        "--taskmanager-heap",
        type=int,
        default=defaults.memory.task_heap,
        metavar="MIB",
        help="for data; all values of one key must fit about six times (default: %(default)s)",
    )
    commands.add_parser("down", help="stop the cluster")
    commands.add_parser("status", help="what runs; exit code 1 unless every part does")
    return parser


def _params_from(args: argparse.Namespace) -> FlinkParams:
    ports = FlinkPorts(**{port.name: getattr(args, f"{port.name}_port") for port in fields(FlinkPorts)})
    return FlinkParams(
        ports=ports,
        memory=TaskManagerMemory(task_heap=args.taskmanager_heap),
        parallelism=args.parallelism,
        num_taskmanagers=args.taskmanagers,
        slots=args.slots,
    )


def _run(args: argparse.Namespace) -> int:
    home = engines_home()
    if args.command == "up":
        up(_params_from(args))
    elif args.command == "down":
        print(f"Stopped {down()} processes of the Flink cluster in {home.root}.")
        return 0
    print(describe(home))
    return 0 if running() else 1


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit code (errors: see ``pipelines.engines.errors``)."""
    args = _parser().parse_args(argv)
    try:
        return _run(args)
    except EngineError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
