import io
from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from transforms.flow.params import RetryParams
from transforms.sources.params import RangeParams
from transforms.sources.ranges import RangeFile, coalesce

DATA = bytes(range(256)) * 8
PLACE = "memory://ranges/data.bin"
QUICK = RetryParams(attempts=3, first_wait=0)

spans = st.tuples(st.integers(0, 2047), st.integers(1, 300)).map(lambda pair: (pair[0], min(2048, sum(pair))))


@pytest.fixture(autouse=True, scope="module")
def _data() -> None:
    fsspec.filesystem("memory").pipe_file("/ranges/data.bin", DATA)


@given(ranges=st.lists(spans, max_size=8), gap=st.integers(0, 60), piece=st.integers(1, 200))
def test_requests_cover_the_ranges_once_and_no_gap_that_is_too_wide(
    ranges: list[tuple[int, int]], gap: int, piece: int
) -> None:
    requests = coalesce(ranges, gap, piece)
    asked = [position for start, stop in requests for position in range(start, stop)]
    wanted = {position for start, stop in ranges for position in range(start, stop)}
    assert len(asked) == len(set(asked))
    assert wanted <= set(asked)
    assert all(0 < stop - start <= piece for start, stop in requests)
    idle = sorted(set(asked) - wanted)
    runs = sum(1 for index, position in enumerate(idle) if index == 0 or idle[index - 1] != position - 1)
    assert len(idle) <= runs * gap


@settings(deadline=None, max_examples=60)
@given(
    prefetched=st.lists(spans, max_size=5),
    reads=st.lists(st.tuples(st.integers(0, 2100), st.integers(0, 500)), max_size=8),
    read_ahead=st.integers(1, 400),
)
def test_reading_anywhere_gives_the_files_bytes(
    prefetched: list[tuple[int, int]], reads: list[tuple[int, int]], read_ahead: int
) -> None:
    with RangeFile(PLACE, RangeParams(gap=10, piece=64, read_ahead=read_ahead, connections=2)) as file:
        file.prefetch(prefetched)
        for position, count in reads:
            assert file.seek(position) == position
            assert file.read(count) == DATA[position : position + count]
            assert file.tell() == max(position, min(len(DATA), position + count))
        assert file.seek(-5, io.SEEK_END) == len(DATA) - 5
        assert file.read() == DATA[-5:]


def test_what_was_prefetched_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with RangeFile(PLACE, RangeParams(gap=0)) as file:
        file.prefetch([(100, 200), (150, 300), (1000, 1100)])
        monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *_, **__: pytest.fail("asked again"))
        for start, stop in ((100, 300), (1000, 1100), (1050, 1060)):
            file.seek(start)
            assert file.read(stop - start) == DATA[start:stop]


def faulty(faults: list[Callable[[bytes], bytes]]) -> Callable[..., bytes]:
    """``cat_file`` whose first answers go through the faults, one each."""
    sound = MemoryFileSystem.cat_file

    def cat_file(self: Any, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        data: bytes = sound(self, path, start, end, **options)
        return faults.pop(0)(data) if faults else data

    return cat_file


def refuse(error: Exception) -> Callable[[bytes], bytes]:
    def fault(_: bytes) -> bytes:
        raise error

    return fault


def test_a_dropped_connection_and_a_short_body_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [refuse(ConnectionResetError("reset")), lambda data: data[:7]]
    monkeypatch.setattr(MemoryFileSystem, "cat_file", faulty(faults))
    with RangeFile(PLACE, RangeParams(retry=QUICK)) as file:
        assert file.read() == DATA
    assert not faults


def test_in_the_end_the_error_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryFileSystem, "cat_file", faulty([lambda data: data[:7]] * 3))
    with RangeFile(PLACE, RangeParams(retry=QUICK)) as file, pytest.raises(SourceError) as caught:
        file.read(100)
    for part in ("bytes 0-2047", PLACE.split("//")[1], "3 times", "7 of 2048 bytes came", "SOURCE=sample"):
        assert part in caught.value.message


def test_a_file_that_is_not_there_is_not_tried_again() -> None:
    with pytest.raises(FileNotFoundError):
        RangeFile("memory://ranges/none.bin", RangeParams(retry=RetryParams(first_wait=100, longest_wait=100)))


@pytest.mark.parametrize("wrong", [{"gap": -1}, {"piece": 0}, {"read_ahead": 0}, {"connections": 0}])
def test_params_refuse_what_cannot_work(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be >= 0"):
        RangeParams(**wrong)  # type: ignore[arg-type]
