"""Every parameter of reading is reached from a configuration and changes how files are asked for, never a row."""

import io
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.configuration.keys import keys_of
from pipelines.configuration.layers import load
from schemas.errors import SourceError
from tests.transforms.sources.test_layout import located
from transforms.sources import hub as hub_module
from transforms.sources.footers import read_footer
from transforms.sources.hub import HubSource
from transforms.sources.layout import Wanted
from transforms.sources.opening import open_source
from transforms.sources.params import ReadingParams
from transforms.sources.planning import SourceFile
from transforms.sources.readers import read_unit

ROOT = "memory://reading"
FILE = "/reading/datasets/org/toy/default/train-00000-of-00001.parquet"


@pytest.fixture(autouse=True)
def source() -> None:
    """A dataset of three columns in four row groups on a filesystem that is not this machine's."""
    columns = {name: [f"{name} {n:0500d}" for n in range(400)] for name in ("q", "between", "z")}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=100, compression="none", use_dictionary=False)
    MemoryFileSystem().pipe_file(FILE, sink.getvalue())


Observe = Callable[[ReadingParams, pytest.MonkeyPatch], Any]


def _requests(reading: ReadingParams, patch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """The sizes of all requests that planning and reading take, in order of size."""
    sizes: list[int] = []
    sound = MemoryFileSystem.cat_file

    def cat_file(self: Any, path: str, start: int = 0, end: int = 0, **options: Any) -> bytes:
        sizes.append(end - start)
        return bytes(sound(self, path, start=start, end=end, **options))

    patch.setattr(MemoryFileSystem, "cat_file", cat_file)
    (unit,) = open_source(ROOT, reading=reading).plan(located()).units
    rows = sum(raw.rows.num_rows for raw in read_unit(unit, {"q": "?", "z": "?"}))
    assert rows == 400
    return tuple(sorted(sizes))


def _at_once(reading: ReadingParams, patch: pytest.MonkeyPatch) -> int:
    """How many requests for one file are in work at a time, at most."""
    busy, most, lock = 0, 0, threading.Lock()
    sound = MemoryFileSystem.cat_file

    def cat_file(*given: Any, **options: Any) -> bytes:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        patient.wait(0.02)
        with lock:
            busy -= 1
        return bytes(sound(*given, **options))

    patient = threading.Event()
    patch.setattr(MemoryFileSystem, "cat_file", cat_file)
    (unit,) = open_source(ROOT, reading=reading).plan(located()).units
    list(read_unit(unit, {"q": "?", "z": "?"}))
    return min(most, 2)  # whether there are several: how many of them meet is a matter of time


def _pauses(reading: ReadingParams, patch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before a file's bytes are given up."""
    pauses: list[float] = []

    def fail(*_: Any, **__: Any) -> bytes:
        raise OSError("gone for now")

    patch.setattr(time, "sleep", pauses.append)
    patch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(SourceError):
        read_footer(f"memory:/{FILE}", reading.ranges)
    return pauses


def _hub_pauses(reading: ReadingParams, patch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before the hub is given up."""
    pauses: list[float] = []

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("gone for now")

    patch.setattr(time, "sleep", pauses.append)
    patch.setattr(hub_module.HfApi, "dataset_info", fail)
    with pytest.raises(SourceError):
        open_source("hub", reading=reading).plan(located())
    return pauses


def _hub_workers(reading: ReadingParams, patch: pytest.MonkeyPatch) -> int:
    """How many files of the hub are looked at side by side."""
    asked: list[int] = []
    pool = hub_module.ThreadPoolExecutor
    patch.setattr(hub_module, "ThreadPoolExecutor", lambda workers: asked.append(workers) or pool(workers))
    HubSource(reading=reading)._each(str, [1])
    return asked[0]


def _hub_files(ending: str) -> Observe:
    def chosen(reading: ReadingParams, patch: pytest.MonkeyPatch) -> int:
        """Of how many files LIMIT takes rows, or reads the footers."""
        asked: list[str] = []
        patch.setattr(
            hub_module, "row_groups", lambda unit: asked.append(unit.file) or [hub_module.RowGroup(rows=50, size=1)]
        )
        wanted = Wanted(role="rows", config="default", split="train", files=None, where="?")
        files = [
            SourceFile(wanted=wanted, place=f"hf://{n}", file=f"train-{n:05d}-of-00009.{ending}", size=1000)
            for n in range(9)
        ]
        units = HubSource(limit=3, reading=reading)._units("toy", files, 3)
        return len(asked) if ending == "parquet" else sum(map(len, units))

    return chosen


EFFECTS: dict[str, tuple[Any, Observe]] = {
    "hub.connections": (3, _hub_workers),
    "hub.sampled_files": (1, _hub_files("parquet")),
    "hub.row_bytes": (500, _hub_files("jsonl")),
    "hub.retry.attempts": (2, _hub_pauses),
    "hub.retry.first_wait": (0.25, _hub_pauses),
    "hub.retry.longest_wait": (1.0, _hub_pauses),
    "ranges.gap": (0, _requests),
    "ranges.piece": (20_000, _requests),
    "ranges.read_ahead": (100, _requests),
    "ranges.connections": (1, _at_once),
    "ranges.retry.attempts": (2, _pauses),
    "ranges.retry.first_wait": (0.25, _pauses),
    "ranges.retry.longest_wait": (1.0, _pauses),
}


def test_every_parameter_is_looked_at_here() -> None:
    assert set(EFFECTS) == {".".join(leaf.path) for leaf in keys_of(ReadingParams).leaves()}


@pytest.mark.parametrize("name", EFFECTS)
def test_each_parameter_changes_what_is_asked_for(name: str) -> None:
    value, observe = EFFECTS[name]
    # Without gaps and with short pieces there are several requests, so that what is side by side can be seen.
    base = ["reading.ranges.gap=0", "reading.ranges.piece=5000"] if name == "ranges.connections" else []
    found = []
    for settings in (base, [*base, f"reading.{name}={value}"]):
        reading = load(None, settings, {}).config.reading
        with pytest.MonkeyPatch.context() as patch:
            found.append(observe(reading, patch))
    assert found[0] != found[1]
