"""Work in a process of its own: what it did, how long that took, and the peak of that process's memory.

The child prints one line of JSON at its end (``tell``), the parent waits for it (``run_module``).
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

_MIB = 1 << 20


def run_module(module: str, *arguments: str, python: str = sys.executable) -> dict[str, Any]:
    """Run ``python -m module arguments`` and give what it told. Raises RuntimeError with its exit code if it failed."""
    command = [python, "-W", "ignore", "-m", module, *arguments]
    quiet = os.environ | {"TQDM_DISABLE": "1"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=quiet, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}; its own lines above say why")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def cpu_seconds() -> float:
    """CPU time of this process and of those children of it that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def tell(**facts: Any) -> None:
    """Print facts for the parent, with the peak memory in MiB of this process, or of a child that had more."""
    peak = max(peak_bytes(), _maxrss(resource.RUSAGE_CHILDREN))
    print(json.dumps(facts | {"peak_mib": round(peak / _MIB)}), flush=True)


def peak_bytes() -> int:
    """The most memory that this process has held at once (resident set).

    Linux: ``VmHWM``, because ``ru_maxrss`` of a process starts with that of the one that started it. Elsewhere
    ``ru_maxrss`` (bytes on macOS).
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10
    return _maxrss(resource.RUSAGE_SELF)


def _maxrss(who: int) -> int:
    peak = resource.getrusage(who).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
