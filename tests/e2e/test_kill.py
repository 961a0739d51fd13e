"""SIGKILL at any moment: nothing half-written is seen, and the next run ends with the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.running import (
    ROOT,
    SMALL,
    STAGES,
    WORK,
    curate,
    flags,
    manifest_of,
    published,
    shard_digests,
    start,
)
from transforms.flow.files import TEMPORARY_PREFIX

pytestmark = pytest.mark.slow

#: Publishes until so many files have their final names, and is then killed by itself as by anyone else.
KILLED_WHILE_PUBLISHING = """
import os, signal, sys
from pipelines import publish
from pipelines.curate_command import main
place, left = publish.place, [int(sys.argv[1])]
def place_and_die(source, target):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    place(source, target)
publish.place = place_and_die
main(sys.argv[2:])
"""


def without_stages(made: Path, out: Path, stages: tuple[str, ...]) -> None:
    """A copy of OUT as it was before these stages ran, nothing published yet."""
    shutil.copytree(made / WORK, out / WORK)
    for stage in stages:
        for folder in (out / WORK).glob(f"{stage}-*"):
            shutil.rmtree(folder)
    if "embed" in stages:
        shutil.rmtree(out / WORK / "store")


def kill_within(stage: str, out: Path, arguments: list[str]) -> None:
    """Start a run and kill its process group as soon as this stage's folder holds a file."""
    run = start(arguments)
    try:
        while not any(path.is_file() for path in (out / WORK).glob(f"{stage}-*/**/*")):
            assert run.poll() is None, f"the run ended before {stage}"
            time.sleep(0.002)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL, errors


def publish_and_die(files: int, arguments: list[str]) -> None:
    """A run that is killed when it has given so many files their final names."""
    command = [sys.executable, "-c", KILLED_WHILE_PUBLISHING, str(files), *arguments, "-q"]
    run = subprocess.run(command, cwd=ROOT, check=False, timeout=600)
    assert run.returncode == -signal.SIGKILL


def assert_whole(out: Path) -> None:
    """Every file below OUT's final names is complete, and the manifest, if there is one, names only what is there."""
    for path in published(out):
        assert not path.name.startswith(TEMPORARY_PREFIX)
        if path.suffix == ".parquet":
            pq.ParquetFile(path).read()
        else:
            assert path.name in ("manifest.json", "README.md", "report.html")
            digests = shard_digests(out)
            for record in manifest_of(out).datasets:
                assert all(digests[shard.path] == shard.sha256 for shard in record.shards)


def assert_work_is_whole(out: Path) -> None:
    """Files below final names in the work folder are complete too: whatever is half-written has a temporary name."""
    for path in (out / WORK).rglob("*"):
        if path.suffix == ".parquet" and not path.name.startswith(TEMPORARY_PREFIX):
            pq.ParquetFile(path).read()
        elif path.name == "manifest.json":
            json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("number", range(4), ids=STAGES)
def test_a_run_that_is_killed_within_a_stage_is_completed_by_the_next(
    small_out: Path, teacher: Path, tmp_path: Path, number: int
) -> None:
    out, stage = tmp_path / "out", STAGES[number]
    without_stages(small_out, out, STAGES[number:])
    kill_within(stage, out, flags(out, teacher, SMALL))
    assert not list((out / WORK).glob(f"{stage}-*/manifest.json")), "the stage ended before the kill"
    assert published(out) == []
    assert_work_is_whole(out)
    curate(out, teacher, SMALL)
    assert shard_digests(out) == shard_digests(small_out)
    assert manifest_of(out).datasets == manifest_of(small_out).datasets
    assert not list(out.rglob(f"{TEMPORARY_PREFIX}*"))


@pytest.mark.parametrize("files", [1, 8])
def test_a_run_that_is_killed_while_it_publishes_is_completed_by_the_next(
    small_out: Path, teacher: Path, tmp_path: Path, files: int
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_out, out)
    for path in out.rglob("part-*.parquet"):
        if WORK not in path.parts and "multinli" in path.parts:
            path.unlink()  # OUT is no longer as its manifest says, so all of it is published anew
    publish_and_die(files, flags(out, teacher, SMALL))
    assert 0 < len(published(out)) < len(published(small_out))
    assert manifest_of(out).datasets == []  # taken out of the manifest before the first file is replaced
    assert_whole(out)
    curate(out, teacher, SMALL)
    assert shard_digests(out) == shard_digests(small_out)
    assert manifest_of(out) == manifest_of(small_out).model_copy(update={"config": manifest_of(out).config})


def test_a_dataset_that_stays_is_whole_while_another_is_replaced(
    small_out: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_out, out)
    publish_and_die(0, flags(out, teacher, "webgpt-comparisons", limit=30))
    names = {record.name for record in manifest_of(small_out).datasets}
    assert {record.name for record in manifest_of(out).datasets} == names - {"webgpt-comparisons"}
    assert_whole(out)
