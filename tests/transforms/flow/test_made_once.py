"""What is made once is made by one thread, and by the next one where that failed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from transforms.flow.made_once import once


def test_threads_that_ask_together_get_one_value() -> None:
    barrier, made = threading.Barrier(4), []

    @once
    def value(key: int) -> object:
        made.append(key)
        threading.Event().wait(0.05)
        return object()

    def ask(key: int) -> object:
        barrier.wait(timeout=30)
        return value(key)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(ask, [1, 1, 1, 1]))
    assert made == [1]
    assert len(set(map(id, found))) == 1
    assert value(2) is value(2) is not found[0]


def test_an_error_is_not_kept() -> None:
    asked: list[int] = []

    @once
    def value() -> int:
        asked.append(1)
        if len(asked) == 1:
            raise OSError("the file is not there yet")
        return 7

    with pytest.raises(OSError, match="not there yet"):
        value()
    assert value() == 7
