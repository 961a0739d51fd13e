"""Rows seen so far, for the display of a running stage. Attempted work: a retried bundle counts twice here, never
elsewhere.

The numbers are Beam's counters too (namespace ``kalm``), which Dataflow's page shows beside each step, and which other
runners add up when a job is over (Flink's page has them in a step's accumulators, in Beam's own encoding). Each
worker process keeps one small file of numbers in a folder that the display reads, which works alike for threads,
processes and a cluster on this machine. Without a folder (an object store) there are the counters alone.
"""

import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

#: Rows, texts through the teacher and how many are to come, units of the sources that are done, rows that a pool shard
#: was searched for and how many are to come.
FIELDS = ("read", "kept", "rejected", "texts", "texts_expected", "units", "searches", "searches_expected")
#: Of all counters, in Beam's metrics.
NAMESPACE = "kalm"
_LAYOUT = struct.Struct(f"<{len(FIELDS)}q")
_INTERVAL = 0.2  # seconds between two writes of one process

_collected: ContextVar[Counter[str] | None] = ContextVar("collected", default=None)
_lock = threading.Lock()
_totals: dict[str, Counter[str]] = {}
_written: dict[str, float] = {}


def report(folder: str | None, **numbers: int) -> None:
    """Add to this process's numbers (of FIELDS) and write them, at most a few times a second. Within a step of a
    pipeline the numbers are counted there as well.
    """
    if unknown := numbers.keys() - set(FIELDS):
        raise ValueError(f"no such numbers of a stage: {', '.join(sorted(unknown))}; there are {', '.join(FIELDS)}")
    for name, number in numbers.items():
        count_in_step(name, number)
    if folder is None:
        return
    with _lock:
        totals = _totals.setdefault(folder, Counter())
        totals.update(numbers)
        if time.monotonic() - _written.get(folder, 0.0) >= _INTERVAL:
            _written[folder] = time.monotonic()
            _write(Path(folder), totals)


def count_in_step(name: str, number: int = 1) -> None:
    """Add to a counter of the step that runs in this thread, if one does, or to what is being collected in it."""
    if (collected := _collected.get()) is not None:
        collected[name] += number
        return
    # Who only displays numbers does not wait for Beam.
    from apache_beam.metrics.metric import Metrics

    Metrics.counter(NAMESPACE, name).inc(number)


@contextmanager
def collecting() -> Iterator[Counter[str]]:
    """Meanwhile, in this thread, ``count_in_step`` adds to what this gives, for the thread of the step to count."""
    numbers: Counter[str] = Counter()
    token = _collected.set(numbers)
    try:
        yield numbers
    finally:
        _collected.reset(token)


def flush(folder: str | None) -> None:
    """Write this process's numbers now."""
    with _lock:
        if folder is not None and folder in _totals:
            _write(Path(folder), _totals[folder])


def reset(folder: str | None) -> None:
    """Forget this process's numbers of a folder, before a stage runs in it again."""
    with _lock:
        _totals.pop(folder or "", None)
        _written.pop(folder or "", None)


def _write(folder: Path, totals: Counter[str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{os.getpid()}.rows").write_bytes(_LAYOUT.pack(*(totals[field] for field in FIELDS)))
    except OSError:
        pass  # a display must never stop the work


def totals(folder: str) -> dict[str, int]:
    """The sum over all processes that report into a folder; what this one still holds back is written first."""
    flush(folder)
    sums = dict.fromkeys(FIELDS, 0)
    for path in Path(folder).glob("*.rows"):
        try:
            numbers = _LAYOUT.unpack(path.read_bytes())
        except (OSError, struct.error):
            continue  # caught in the middle of a write; the next look sees it
        for field, number in zip(FIELDS, numbers, strict=True):
            sums[field] += number
    return sums
