"""A Flink cluster on this machine, and the options that send a pipeline to it or to any other Flink cluster.

    kalm flink up | status | down

``up`` installs what is missing, starts a JobManager, TaskManagers, Beam's job server and a pool of Python workers, and
ends by running a small job on them.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from uuid import uuid4

from apache_beam.options.pipeline_options import FlinkRunnerOptions

from pipelines.engines import flink_cluster as cluster
from pipelines.engines import flink_install
from pipelines.engines.errors import CheckFailedError, EngineError, log_tail
from pipelines.engines.flink_params import WORKER_REST_MS, FlinkParams, FlinkPorts, check_machine, memory_of
from pipelines.engines.home import EnginesHome, engines_home
from pipelines.engines.ports import HOST
from pipelines.engines.processes import find_process, stop_processes
from schemas.errors import find_message

#: Where a TaskManager finds the worker pool beside it, unless told otherwise.
POOL = "localhost:50000"
_CHECK_LIMIT_S = 90


def up(params: FlinkParams | None = None) -> FlinkParams:
    """Makes sure that a whole cluster runs and that it can run a job; stops it again if it cannot.

    Returns the cluster's parameters. Errors are those of ``check_machine``, ``start_cluster`` and ``CheckFailedError``.
    """
    home = engines_home()
    params = params or FlinkParams()
    check_machine(params)
    was_running = bool(cluster.running_pids(home))
    try:
        started = cluster.start_cluster(params, home)
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
    """Runs a small job; raises ``CheckFailedError`` where it fails, or twice takes longer than a minute and a half.

    A pool whose Python lacks Beam or this project would otherwise show as a job that waits without a word. A job that
    is given up is cancelled, since it would hold its slots, and tried once more: a TaskManager may still wait for a
    worker of a pool that has ended.
    """
    failure = _try_job(params, home) and _try_job(params, home)
    if failure:
        raise CheckFailedError(f"The cluster is up, but a small job did not end within {_CHECK_LIMIT_S} s{failure}")


def _try_job(params: FlinkParams, home: EnginesHome) -> str:
    """Runs a small job; gives what is known of one that did not end in time, else nothing. Raises
    ``CheckFailedError`` where it fails.
    """
    log, name = home.log("check"), f"kalm-check-{uuid4().hex[:8]}"
    command = [sys.executable, "-m", "pipelines.engines.flink_check", f"--job_name={name}", *local_options(params)]
    code: int | None = None
    with log.open("wb") as output, suppress(subprocess.TimeoutExpired):
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=_CHECK_LIMIT_S
        ).returncode
    if code == 0:
        return ""
    said = find_message(log.read_text(encoding="utf-8", errors="replace"))
    known = f"{_why_not_ended(params, name)}. Logs: {home.logs}. {said[0] if said else log_tail(log)}"
    if code is None:
        return known
    raise CheckFailedError(f"The cluster is up, but a small job failed with code {code}{known}")


def _why_not_ended(params: FlinkParams, name: str) -> str:
    """What Flink knows of the job of this name that was given up, and who else holds slots; cancels it."""
    jobs = cluster.running_jobs(params)
    reasons = []
    for job_id in [job_id for job_id, job in jobs.items() if job == name]:
        reasons.append(cluster.last_failure(params, job_id))
        cluster.cancel_job(params, job_id)
    if others := sorted(job for job in jobs.values() if job != name):
        reasons.append(f"other jobs run on its slots: {', '.join(others)}")
    told = "; ".join(reason for reason in reasons if reason)
    return f" ({told})" if told else ""


def local_options(params: FlinkParams, parallelism: int | None = None) -> list[str]:
    """Beam's flags for the local cluster with these parameters; its own parallelism where none is given.

    Raises ``EngineError`` for a parallelism that its slots cannot hold: such a job would wait for ever.
    """
    parallelism = parallelism or params.parallelism
    num_slots = params.num_taskmanagers * params.slots
    if parallelism > num_slots:
        raise EngineError(
            f"Parallelism {parallelism} needs as many slots, but the local cluster has {num_slots}. Ask for fewer "
            "workers, or start it with more: `make flink-down`, then `make flink-up TASK_MANAGERS=N SLOTS=N`."
        )
    return [
        *endpoint_options(pool=f"{HOST}:{params.ports.pool}"),
        f"--job_endpoint={HOST}:{params.ports.job}",
        f"--parallelism={parallelism}",
    ]


def endpoint_options(pool: str = POOL) -> list[str]:
    """Beam's flags for a job server that runs already, whose TaskManagers each reach a worker pool at ``pool``."""
    return ["--runner=PortableRunner", *pool_options(pool)]


def pool_options(pool: str = POOL) -> list[str]:
    """Beam's flags for Python workers from a pool that every TaskManager reaches at ``pool``."""
    return [
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
        f"--environment_cache_millis={WORKER_REST_MS}",
    ]


def flink_options(parallelism: int | None = None) -> list[str]:
    """Beam's flags for the local cluster. Raises ``EngineError`` where none is up, or for too high a parallelism."""
    params = running()
    if params is None:
        raise EngineError(
            f"No Flink cluster is up in {engines_home().root}: {lost_parts()}start one with `make flink-up`, "
            "or name your own with FLINK_MASTER=HOST:PORT (--flink_master)."
        )
    return local_options(params, parallelism)


def lost_parts() -> str:
    """Which parts of a cluster that was started have ended, for an error message; nothing where none was."""
    home = engines_home()
    params = cluster.recorded_params(home)
    missing = cluster.missing_parts(params, home) if params else []
    return f"of the one that was started {', '.join(missing)} ended (logs: {home.logs}); " if missing else ""


def lost_cluster(flink_master: str | None) -> EngineError | None:
    """What to say where a job failed because its cluster is gone: the local one, or the one at ``flink_master``; None
    where the cluster is there.
    """
    if flink_master is None:
        what, remedy = lost_parts().removesuffix("; "), "`make flink-up` starts them again"
    else:
        try:
            cluster.flink_version_at(flink_master)
            return None
        except EngineError as error:
            what, remedy = error.message, "start its JobManager again"
    if not what:
        return None
    return EngineError(
        f"The Flink cluster was lost while a job ran: {what}. What finished stages made is kept: {remedy}, then the "
        "same command goes on from there."
    )


def master_options(flink_master: str, given: Sequence[str], parallelism: int | None = None) -> list[str]:
    """Beam's flags for the user's own cluster, whose REST interface is at ``flink_master``, beside those ``given``.

    Its Python workers come from a pool beside each TaskManager, unless ``--environment_type`` is given. Where neither
    a job server's jar nor a version is, the job server is the one of this machine, which is built where there is Maven;
    without Maven Beam fetches its own. Raises ``EngineError`` where the cluster does not answer, and
    ``MissingToolError`` where there is no Java for the job server.
    """
    flags = ["--runner=FlinkRunner", f"--flink_master={flink_master}"]
    version = cluster.flink_version_at(flink_master)
    names = {flag.partition("=")[0] for flag in given}
    if "--environment_type" not in names:
        flags += pool_options()
    if not names & {"--flink_job_server_jar", "--flink_version", "--flink_submit_uber_jar"}:
        flags += _job_server_options(version)
    return [*flags, *([f"--parallelism={parallelism}"] if parallelism else [])]


def _job_server_options(version: str) -> list[str]:
    """Which job server talks to a cluster of this version."""
    line = ".".join(version.split(".")[:2])
    home = engines_home()
    if line == flink_install.FLINK_LINE and flink_install.provide_job_server(home):
        return [f"--flink_version={line}", f"--flink_job_server_jar={flink_install.job_server_jar(home)}"]
    known = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    if line not in known:
        raise EngineError(
            f"The cluster runs Flink {version}; this Beam has job servers for {', '.join(known)}: use one of these, or "
            "name a job server that fits with FLINK_JOB_SERVER_JAR=FILE (--flink_job_server_jar)."
        )
    flink_install.find_java()  # by which Beam runs what it fetches
    return [f"--flink_version={line}"]


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
    slots = params.num_taskmanagers * params.slots
    size = f"{slots} slots, parallelism {params.parallelism}, {params.memory.total} MiB in each TaskManager"
    page = f"http://{HOST}:{params.ports.rest}"
    return "\n".join([*lines, f"size: {size}", f"ports: {ports}", f"web page: {page}", f"logs: {home.logs}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kalm flink", description="A local Flink cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="install what is missing, start the cluster, run a small job on it")
    defaults = FlinkParams()
    for port in fields(FlinkPorts):
        start.add_argument(f"--{port.name}-port", type=int, default=port.default, help="default: %(default)s; 0: any")
    start.add_argument(
        "--taskmanagers", type=int, default=defaults.num_taskmanagers, metavar="N", help="default: %(default)s"
    )
    start.add_argument(
        "--slots", type=int, default=defaults.slots, metavar="N", help="of each TaskManager (default: %(default)s)"
    )
    start.add_argument(
        "--memory",
        metavar="SIZE",
        help="all memory of each TaskManager, as 2500m or 4g; what its slots do not need is the heap, which all values "
        f"of one key must fit about six times (default: {defaults.memory.total}m with {defaults.slots} slots)",
    )
    start.add_argument(
        "--parallelism",
        type=int,
        metavar="N",
        help="of jobs that ask for none (default: the slots that stay when a TaskManager is lost)",
    )
    commands.add_parser("down", help="stop the cluster")
    commands.add_parser("status", help="what runs; exit code 1 unless every part does")
    return parser


def _params_from(args: argparse.Namespace) -> FlinkParams:
    ports = FlinkPorts(**{port.name: getattr(args, f"{port.name}_port") for port in fields(FlinkPorts)})
    params = FlinkParams.of_size(
        ports=ports,
        memory=None if args.memory is None else memory_of(args.memory),
        num_taskmanagers=args.taskmanagers,
        slots=args.slots,
    )
    return params if args.parallelism is None else replace(params, parallelism=args.parallelism)


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
