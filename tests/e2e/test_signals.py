"""Signals to the command alone, as systemd, ``timeout`` and Slurm send them: one sentence, the code, nothing left."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.running import WORK, curate, flags, shard_digests, start

pytestmark = pytest.mark.slow

CATEGORY = "trecqa,banking77"
#: An end that takes longer is none: the case was minutes. Far above what it takes on a busy machine.
LIMIT_S = 60


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A shell starts what it puts in the background deaf to SIGINT, and so its children: here it is heard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_until_at_work(run: subprocess.Popen[str], out: Path, workers: int) -> list[psutil.Process]:
    """Until a stage has written and the workers are there; gives the processes that the command started."""
    while True:
        children = psutil.Process(run.pid).children(recursive=True)
        if len(children) >= workers and any(path.is_file() for path in (out / WORK).glob("prepare-*/parts/*")):
            return children
        assert run.poll() is None, "the run ended before it was at work"
        time.sleep(0.005)


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def assert_all_end(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not all(map(is_gone, processes)):
        assert time.monotonic() < deadline, "workers outlive their command"
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated (SIGTERM)")]
)
def test_a_signal_to_the_command_alone_is_one_sentence_and_its_code(
    teacher: Path, tmp_path: Path, workers: int, number: signal.Signals, words: str
) -> None:
    out = tmp_path / "out"
    run = start([*flags(out, teacher, CATEGORY, workers=workers), "-q"])
    try:
        children = wait_until_at_work(run, out, workers if workers > 1 else 0)
        os.kill(run.pid, number)
        said, errors = run.communicate(timeout=LIMIT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 128 + number
    assert errors == f"error: {words}; start again with the same command to go on where this run stopped\n"
    assert said == ""
    assert_all_end(children)


def test_workers_end_with_a_command_that_is_killed_and_the_next_run_completes_it(teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = start([*flags(out, teacher, CATEGORY, workers=2), "-q"])
    try:
        children = wait_until_at_work(run, out, 2)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate(timeout=LIMIT_S)
        assert_all_end(children)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    curate(out, teacher, CATEGORY)
    curate(tmp_path / "undisturbed", teacher, CATEGORY)
    assert shard_digests(out) == shard_digests(tmp_path / "undisturbed")
