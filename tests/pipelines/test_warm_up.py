"""Compiling ahead: a run after it compiles nothing more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: What each compiled loop was compiled for, or its code loaded for, before and after a stage that uses them all.
WARM_THEN_RUN = """
import gc, json, sys
from numba.core.dispatcher import Dispatcher
from benchmarks import _stage
from pipelines.warm_up import warm_prepare

every = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]  # a stage takes them out of sight
loops = [loop for loop in every if loop.__module__.startswith("transforms.")]

def versions():
    return {f"{loop.__module__}.{loop.__name__}": sorted(map(str, loop.signatures)) for loop in loops}

warm_prepare()
before = versions()
_stage.main(["prepare", *sys.argv[1:]])
print(json.dumps([before, versions()]))
"""


@pytest.mark.slow
def test_a_run_needs_no_loop_that_was_not_compiled_ahead(tmp_path: Path) -> None:
    flags = ["--source=sample", "--category=retrieval,classification", "--limit=40", f"--out={tmp_path}"]
    command = [sys.executable, "-W", "ignore", "-c", WARM_THEN_RUN, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert before == after
    assert sum(map(bool, before.values())) > 10


#: The same of mining's loops, which shards call as they search and choose.
WARM_THEN_MINE = """
import gc, json
from numba.core.dispatcher import Dispatcher
from pipelines.warm_up import warm_mining
from tests.mining.test_beam import mined_by_dofns, spec

loops = [one for one in gc.get_objects() if isinstance(one, Dispatcher) and one.__module__.startswith("mining.")]

def versions():
    called = [loop for loop in loops if loop.signatures]
    return {f"{loop.__module__}.{loop.__name__}": sorted(map(str, loop.signatures)) for loop in called}

warm_mining()
before = versions()
assert mined_by_dofns(spec(2), 3)
assert mined_by_dofns(spec(1, symmetric=frozenset(["one"])), 1)
print(json.dumps([before, versions()]))
"""


def test_mining_needs_no_loop_that_was_not_compiled_ahead() -> None:
    command = [sys.executable, "-W", "ignore", "-c", WARM_THEN_MINE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert before == after
    loops = ("scan._scan", "lists._trim", "choosing._choose", "relations.connect", "index._find_ids")
    assert set(before) == {f"mining.{name}" for name in loops}
