#!/usr/bin/env bash
# One would guess: numba reads NUMBA_NUM_THREADS once, when it is imported; setting os.environ later, for a
# child process say, does nothing here.
#
# What happens: numba looks at the environment again at every compilation. Once a parallel loop has run, the
# next function that is compiled, be it without any parallelism, raises RuntimeError ('Cannot set
# NUMBA_NUM_THREADS to a different value'), and names the two numbers the wrong way round; functions that are
# compiled already go on.
#
# Why it matters: a parent that sets the variable for its workers fails much later, at a place that has
# nothing to do with threads, and only if something is compiled then, not if it comes from the cache. The
# product sets it in the workers' own command line: `_quiet_processes` in pipelines/runners.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

os.environ["NUMBA_NUM_THREADS"] = "2"
import numba
import numpy as np

print("numba", numba.__version__)


@numba.njit(parallel=True)
def total(values):
    found = 0.0
    for index in numba.prange(values.size):
        found += values[index]
    return found


@numba.njit
def double(value):
    return 2 * value


print("a parallel loop:", total(np.arange(4.0)))
os.environ["NUMBA_NUM_THREADS"] = "1"  # meant for child processes
print("the same loop:  ", total(np.arange(4.0)))
try:
    print("another function:", double(21))
except RuntimeError as error:
    print("another function: RuntimeError:", error)
    if "NUMBA_NUM_THREADS" not in str(error):
        sys.exit("changed: another error")
else:
    sys.exit("changed: the environment is not read again")
PYTHON
