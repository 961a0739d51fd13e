"""Work in a process of its own, and what it tells."""

import pytest

from benchmarks._measure import peak_bytes, run_module
from tests.benchmarks.child import MIB


def test_a_child_tells_its_facts_and_the_peak_of_its_own_memory() -> None:
    ballast = bytearray(2 * MIB * 200)  # this process's memory must not be counted as the child's
    small, large = (run_module("tests.benchmarks.child", str(size)) for size in (0, 200))
    assert (small["held"], large["held"]) == (0, 200)
    assert 150 <= large["peak_mib"] - small["peak_mib"] <= 250
    assert large["peak_mib"] * MIB < peak_bytes()
    assert len(ballast)


def test_a_child_that_fails_is_reported_with_its_command() -> None:
    with pytest.raises(RuntimeError, match=r"-m tests\.benchmarks\.child -1 ended with exit code 3"):
        run_module("tests.benchmarks.child", "-1")
