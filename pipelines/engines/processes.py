"""Processes that outlive the command that started them: started with a log and a pid file, found again, stopped.

A pid alone says little after a crash or a reboot, since the number may belong to somebody else by then. A pid file
therefore holds the pid and the time of its start, and only a process that has both is ever touched.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pipelines.engines.ports import wait_until

_SAME_START_S = 0.05  # the system's clock ticks are 10 ms; a pid cannot come round again within a few of them


@dataclass(frozen=True)
class ProcessRecord:
    """A process as its pid file describes it; ``started`` is in seconds since the epoch."""

    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """The living process, or None where it has ended (a zombie has) or its pid now is another's."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_S
        except psutil.NoSuchProcess:
            return None
        return process if same and is_alive(process) else None


def start_process(
    command: Sequence[str], *, pid_file: Path, log: Path, env: Mapping[str, str] | None = None
) -> ProcessRecord:
    """Starts ``command`` in a session of its own, its output appended to ``log``, and writes ``pid_file``.

    ``env`` is added to this process's environment. Raises ``FileNotFoundError`` where the program is missing.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
    popen.returncode = 0  # it is meant to outlive this process, which Popen would warn of
    record = ProcessRecord(popen.pid, psutil.Process(popen.pid).create_time())
    write_record(pid_file, record)
    return record


def write_record(pid_file: Path, record: ProcessRecord) -> None:
    """Writes a pid file whole or not at all."""
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    partial = pid_file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(record)), encoding="utf-8")
    partial.replace(pid_file)


def read_record(pid_file: Path) -> ProcessRecord | None:
    """The record of a pid file; None where there is no file or what it holds is no record."""
    try:
        fields = json.loads(pid_file.read_text(encoding="utf-8"))
        return ProcessRecord(int(fields["pid"]), float(fields["started"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that ended and was not yet waited for (a zombie) does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def find_process(pid_file: Path) -> psutil.Process | None:
    """The living process of a pid file, or None."""
    record = read_record(pid_file)
    return record.process() if record else None


def stop_processes(pid_files: Iterable[Path], *, timeout_s: float) -> int:
    """Ends the processes of these pid files with all their descendants, and removes the files.

    They are asked first (SIGTERM) and killed after ``timeout_s`` seconds. Returns how many were alive.
    """
    files = list(pid_files)
    found = [process for process in map(find_process, files) if process]
    family = {member for process in found for member in (process, *_descendants(process))}
    for kill in (False, True):
        for process in filter(is_alive, family):
            _signal(process, kill=kill)
        # psutil's own wait never ends for an orphan that stays a zombie, as under a container's idle first process.
        wait_until(lambda: not any(map(is_alive, family)), timeout_s=timeout_s)
    psutil.wait_procs(family, timeout=0)
    for pid_file in files:
        pid_file.unlink(missing_ok=True)
    return len(found)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return
