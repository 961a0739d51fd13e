"""What this process may use of its machine, and what it has used."""

import os
import resource
import sys
from pathlib import Path


def cores() -> int:
    """Cores that this process may use; a limit of CPU time, as containers have, is not seen."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_bytes() -> int:
    """The most memory that this process has held at once (resident set).

    Linux: ``VmHWM``, because ``ru_maxrss`` of a process starts with that of the one that started it. Elsewhere
    ``ru_maxrss``. (``benchmarks._measure`` has the same for processes that may import nothing of this project.)
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
