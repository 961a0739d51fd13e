#!/usr/bin/env bash
# One would guess: after `pip install tbb` numba has its TBB threading layer, as its documentation says.
#
# What happens: the wheel puts libtbb.so.12 into the lib folder of the virtual environment, where no loader
# looks. numba falls back to another layer without a word; asked for tbb it raises ValueError, with the hint
# to `pip install tbb`. Loaded by its path beforehand the same library is found. (On Linux x86_64, without a
# TBB of the system or LD_LIBRARY_PATH.)
#
# Why it matters: the layer that is left may be workqueue, which ends the process when two threads run
# parallel loops at a time. The product loads the library by its path before numba looks for it, and takes
# turns where it has no safe layer: `_load_tbb` in transforms/flow/kernels.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6 tbb==2023.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

print("numba", version("numba"), "tbb", version("tbb"))
LIBRARY = Path(sys.prefix) / "lib" / "libtbb.so.12"
LOAD = f"import ctypes; ctypes.CDLL({str(LIBRARY)!r}, ctypes.RTLD_GLOBAL)\n"
LOOP = """
import numba, numpy as np
numba.config.THREADING_LAYER = 'tbb'
@numba.njit(parallel=True)
def total(values):
    found = 0.0
    for index in numba.prange(values.size):
        found += values[index]
    return found
try:
    total(np.arange(4.0))
    print(numba.threading_layer())
except ValueError as error:
    print('ValueError:', ' '.join(str(error).split()))
"""


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


print("the wheel's library is there:", LIBRARY.exists())
plain, loaded = run(LOOP), run(LOAD + LOOP)
print("asked for tbb:", plain)
print("asked for tbb, the library loaded by its path:", loaded)
if not LIBRARY.exists() or not (plain.startswith("ValueError") and "pip install tbb" in plain):
    sys.exit("changed: numba finds TBB by itself")
if loaded != "tbb":
    sys.exit("changed: numba does not find TBB that is loaded")
PYTHON
