"""The life of a local Flink cluster: its parts, how each is started and found, and how all are stopped."""

import contextlib
import fcntl
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.engines import flink_config, flink_install
from pipelines.engines.errors import EngineError, log_tail
from pipelines.engines.flink_params import FlinkParams
from pipelines.engines.home import EnginesHome
from pipelines.engines.ports import HOST, check_ports_free, is_listening, wait_until
from pipelines.engines.processes import find_process, start_process, stop_processes
from pipelines.this_machine import cores

_START_LIMIT_S = 120
_STOP_LIMIT_S = 10
_HTTP_LIMIT_S = 5
#: States of a job that holds no slots any more (``org.apache.flink.api.common.JobStatus``).
_ENDED = {"FINISHED", "CANCELED", "FAILED", "SUSPENDED"}

# Talks to this machine alone, so it goes past any proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A process of the cluster; ``ports`` maps the roles of ``FlinkPorts`` that it listens at to their numbers."""

    name: str
    command: list[str]
    ports: Mapping[str, int]
    env: Mapping[str, str]


def cluster_parts(params: FlinkParams, home: EnginesHome, java: str) -> list[Part]:
    """Every part of the cluster in the order in which they are started."""
    software, ports = _software(home, java), params.ports
    job_ports = {"job": ports.job, "artifact": ports.artifact, "expansion": ports.expansion}
    pool_env = flink_config.pool_environment(params, cores(), os.environ.get("PYTHONPATH", ""))
    jobmanager = flink_config.jobmanager_command(software, params, home)
    job_server = flink_config.job_server_command(software, params, home)
    return [
        Part(name="jobmanager", command=jobmanager, ports={"rest": ports.rest, "rpc": ports.rpc}, env={}),
        *(taskmanager_part(params, home, java, number) for number in range(params.num_taskmanagers)),
        Part(name="job-server", command=job_server, ports=job_ports, env={}),
        Part(
            name="worker-pool",
            command=flink_config.pool_command(params, home),
            ports={"pool": ports.pool},
            env=pool_env,
        ),
    ]


def taskmanager_part(params: FlinkParams, home: EnginesHome, java: str, number: int) -> Part:
    command = flink_config.taskmanager_command(_software(home, java), params, home, number)
    return Part(name=f"taskmanager-{number}", command=command, ports={}, env={})


def _software(home: EnginesHome, java: str) -> flink_config.Software:
    return flink_config.Software(
        java=java, libraries=flink_install.flink_libraries(home), job_server=flink_install.job_server_jar(home)
    )


def pid_file(home: EnginesHome, name: str) -> Path:
    return home.pids / f"{name}.json"


def part_names(params: FlinkParams) -> list[str]:
    taskmanagers = [f"taskmanager-{number}" for number in range(params.num_taskmanagers)]
    return ["jobmanager", *taskmanagers, "job-server", "worker-pool"]


def running_pids(home: EnginesHome) -> dict[str, int]:
    """The parts that are alive, by name, with their pids."""
    found = {file.stem: find_process(file) for file in sorted(home.pids.glob("*.json"))}
    return {name: process.pid for name, process in found.items() if process}


def recorded_params(home: EnginesHome) -> FlinkParams | None:
    """What the cluster in this folder was started with last, or None where none was."""
    if not home.record.is_file():
        return None
    return FlinkParams.from_dict(json.loads(home.record.read_text(encoding="utf-8")))


def missing_parts(params: FlinkParams, home: EnginesHome) -> list[str]:
    """Parts that ought to run and do not."""
    alive = running_pids(home)
    return [name for name in part_names(params) if name not in alive]


def start_cluster(params: FlinkParams, home: EnginesHome) -> FlinkParams:
    """Installs what is missing, starts the parts that do not run, and waits until all are ready.

    Returns the parameters with every port resolved. Raises ``MissingToolError``, ``PortInUseError``, or ``EngineError``
    with the end of the log of the part that failed. Where some parts already run their parameters hold, and it is
    an error to ask for others.
    """
    with _locked(home):
        params = _agreed(params, home)
        java = flink_install.find_java()
        absent = missing_parts(params, home)
        parts = [part for part in cluster_parts(params, home, java) if part.name in absent]
        check_ports_free({role: port for part in parts for role, port in part.ports.items()})
        if not running_pids(home):
            shutil.rmtree(home.logs, ignore_errors=True)
        flink_install.install(home)
        flink_config.write_config(params, home)
        home.record.write_text(json.dumps(asdict(params), indent=2), encoding="utf-8")
        for part in parts:
            start_part(part, home)
        _wait_ready(params, home)
        return params


def _agreed(params: FlinkParams, home: EnginesHome) -> FlinkParams:
    recorded = recorded_params(home) if running_pids(home) else None
    if recorded is None:
        return replace(params, ports=params.ports.resolved())
    if params not in (recorded, FlinkParams()):
        raise EngineError(
            f"A cluster with other settings runs in {home.root}: asked for {params}, it has {recorded}. "
            "Stop it first (`make flink-down`), or name another folder by KALM_ENGINES."
        )
    return recorded


def start_part(part: Part, home: EnginesHome) -> None:
    start_process(part.command, pid_file=pid_file(home, part.name), log=home.log(part.name), env=part.env)


def _wait_ready(params: FlinkParams, home: EnginesHome) -> None:
    steps: list[tuple[str, Callable[[], bool]]] = [
        ("jobmanager", lambda: rest_get(params, "/overview") is not None),
        ("job-server", lambda: is_listening(params.ports.job)),
        ("worker-pool", lambda: is_listening(params.ports.pool)),
        ("taskmanager-0", lambda: num_registered(params) >= params.num_taskmanagers),
    ]
    for name, ready in steps:
        if not wait_until(ready, timeout_s=_START_LIMIT_S, alive=lambda: not missing_parts(params, home)):
            culprit = (missing_parts(params, home) or [name])[0]
            raise EngineError(f"The cluster's {culprit} did not come up. {log_tail(home.log(culprit))}")


def num_registered(params: FlinkParams) -> int:
    """How many TaskManagers have reported to the JobManager."""
    overview = rest_get(params, "/overview")
    return int(overview["taskmanagers"]) if overview else 0


def rest_get(params: FlinkParams, path: str) -> Any:
    """What Flink's REST interface answers at ``path``; None where it does not answer."""
    try:
        with _OPENER.open(f"http://{HOST}:{params.ports.rest}{path}", timeout=_HTTP_LIMIT_S) as response:
            return json.load(response)
    except (urllib.error.URLError, OSError, ValueError):
        return None


def running_jobs(params: FlinkParams) -> dict[str, str]:
    """The names of the jobs that have not ended, by their ids; none where the JobManager does not answer."""
    overview = rest_get(params, "/jobs/overview") or {"jobs": []}
    return {job["jid"]: job["name"] for job in overview["jobs"] if job["state"] not in _ENDED}


def cancel_job(params: FlinkParams, job_id: str) -> None:
    """Asks the JobManager to end a job, which gives its slots back; a job that has ended meanwhile is no error."""
    request = urllib.request.Request(f"http://{HOST}:{params.ports.rest}/jobs/{job_id}?mode=cancel", method="PATCH")
    with contextlib.suppress(urllib.error.URLError, OSError), _OPENER.open(request, timeout=_HTTP_LIMIT_S):
        pass


def last_failure(params: FlinkParams, job_id: str) -> str | None:
    """The first line of what made a job start again or end last, in Flink's words; None where nothing did."""
    history = (rest_get(params, f"/jobs/{job_id}/exceptions") or {}).get("exceptionHistory", {})
    entries = history.get("entries", [])
    return entries[0]["stacktrace"].partition("\n")[0] if entries else None


def flink_version_at(master: str) -> str:
    """The version of the Flink whose REST interface is at ``master``, a host and port or a URL.

    Raises EngineError where it does not answer as Flink does.
    """
    url = f"{master if '://' in master else f'http://{master}'}".rstrip("/") + "/config"
    try:
        with urllib.request.urlopen(url, timeout=_HTTP_LIMIT_S) as response:
            return str(json.load(response)["flink-version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"No Flink answers at {url}: {error}. FLINK_MASTER (--flink_master) is the address of its web page, whose "
            "port is 8081 unless set otherwise; is its JobManager up, and reachable from this machine?"
        ) from error


def overview_at(master: str) -> tuple[int, int] | None:
    """The TaskManagers of the cluster whose REST interface is at ``master`` and their slots; None where it does not
    say.
    """
    url = f"{master if '://' in master else f'http://{master}'}".rstrip("/") + "/overview"
    try:
        with urllib.request.urlopen(url, timeout=_HTTP_LIMIT_S) as response:
            told = json.load(response)
            return int(told["taskmanagers"]), int(told["slots-total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stop_cluster(home: EnginesHome) -> int:
    """Stops every part, however it was left, and removes its passing files. Returns how many were alive."""
    with _locked(home):
        num_stopped = stop_processes(sorted(home.pids.glob("*.json")), timeout_s=_STOP_LIMIT_S)
        home.record.unlink(missing_ok=True)
        shutil.rmtree(home.tmp, ignore_errors=True)
        return num_stopped


@contextmanager
def _locked(home: EnginesHome) -> Iterator[None]:
    """One start or stop at a time in one folder."""
    home.flink.mkdir(parents=True, exist_ok=True)
    with (home.flink / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
