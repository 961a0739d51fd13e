"""Real processes: started, found, mistaken for none, stopped with their children."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.engines.processes import (
    ProcessRecord,
    find_process,
    is_alive,
    read_record,
    start_process,
    stop_processes,
    write_record,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN_PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "pids" / "part.json"
    stop_processes([tmp_path / "pids" / "part.json"], timeout_s=5)


def start(command: list[str], pid_file: Path) -> ProcessRecord:
    return start_process(command, pid_file=pid_file, log=pid_file.with_suffix(".log"))


def lines_of(log: Path, num: int = 1) -> list[str]:
    deadline = time.monotonic() + 30
    while len(log.read_text().splitlines()) < num:
        assert time.monotonic() < deadline, f"{log} stays short"
        time.sleep(0.01)
    return log.read_text().splitlines()


def test_a_started_process_is_found_and_stopped(pid_file: Path) -> None:
    record = start(SLEEP, pid_file)
    assert read_record(pid_file) == record
    found = find_process(pid_file)
    assert found is not None
    assert found.pid == record.pid
    assert os.getsid(record.pid) == record.pid != os.getsid(0)
    assert stop_processes([pid_file], timeout_s=5) == 1
    assert find_process(pid_file) is None
    assert not pid_file.exists()


def test_output_and_environment(pid_file: Path) -> None:
    script = "import os, sys; print(os.environ['COLOUR'], bool(os.environ['PATH'])); print('err', file=sys.stderr)"
    log = pid_file.with_suffix(".log")
    start_process([sys.executable, "-c", script], pid_file=pid_file, log=log, env={"COLOUR": "blue"})
    assert sorted(lines_of(log, 2)) == ["blue True", "err"]


def test_a_process_that_ended_is_not_found(pid_file: Path) -> None:
    record = start([sys.executable, "-c", ""], pid_file)
    os.waitpid(record.pid, 0)
    assert find_process(pid_file) is None
    assert stop_processes([pid_file], timeout_s=5) == 0
    assert not pid_file.exists()


def test_a_zombie_is_not_found(pid_file: Path) -> None:
    record = start([sys.executable, "-c", ""], pid_file)
    os.waitid(os.P_PID, record.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(record.pid).status() == psutil.STATUS_ZOMBIE
    assert find_process(pid_file) is None
    os.waitpid(record.pid, 0)


def test_a_pid_that_now_is_anothers_is_left_alone(pid_file: Path) -> None:
    with subprocess.Popen(SLEEP) as other:
        write_record(pid_file, ProcessRecord(other.pid, psutil.Process(other.pid).create_time() - 100))
        assert find_process(pid_file) is None
        assert stop_processes([pid_file], timeout_s=5) == 0
        assert other.poll() is None
        other.kill()


def test_children_end_too_and_the_stubborn_are_killed(pid_file: Path) -> None:
    record = start([sys.executable, "-c", STUBBORN_PARENT], pid_file)
    child = psutil.Process(int(lines_of(pid_file.with_suffix(".log"))[0]))
    assert stop_processes([pid_file], timeout_s=0.5) == 1
    assert not is_alive(child)
    assert record.process() is None


@pytest.mark.parametrize("text", ["", "12", "{}", '{"pid": "x", "started": 1}', "[1, 2]", '{"pid": 1}', "null"])
def test_a_broken_pid_file_is_no_record(pid_file: Path, text: str) -> None:
    pid_file.parent.mkdir(exist_ok=True)
    pid_file.write_text(text)
    assert read_record(pid_file) is None
    assert find_process(pid_file) is None


def test_a_record_is_written_whole(pid_file: Path) -> None:
    write_record(pid_file, ProcessRecord(5, 1.5))
    assert json.loads(pid_file.read_text()) == {"pid": 5, "started": 1.5}
    assert [path.name for path in pid_file.parent.iterdir()] == ["part.json"]
