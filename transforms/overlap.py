"""Steps that work on several elements at a time in one process: while one part is read or written, another computes.

Beam's in-process runner gives a step its elements one after the other, and most of what the steps over parts do
(Parquet, compiled kernels) leaves Python's lock. Its own threads (``--direct_running_mode=multi_threading``) lose data.
"""

import functools
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import numba
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

#: More parts at a time would cost memory and gain little.
_MAX_AT_A_TIME = 2


def at_a_time() -> int:
    """Elements that a process works on at a time; one where Beam runs several processes of one numba thread each."""
    return int(min(_MAX_AT_A_TIME, numba.get_num_threads()))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(at_a_time(), thread_name_prefix="overlap")


class OverlappingDoFn(beam.DoFn):
    """A step in the global window, without side inputs, that says in ``work`` what it does with an element.

    ``work`` may run in several threads at once, and what it gives is held until it is at its end: it is for elements of
    bounded size, such as parts, and not for whole files. What it raises fails the bundle, as it would in ``process``.
    """

    _running: deque[Future[list[Any]]]

    @abstractmethod
    def work(self, element: Any) -> Iterator[Any]:
        """Everything that an element gives."""

    def start_bundle(self) -> None:
        """Forget what a failed bundle left behind."""
        self._running = deque()

    def process(self, element: Any) -> Iterator[Any]:
        """Begin with an element; gives what earlier ones gave."""
        self._running.append(_pool().submit(self._all, _held(element)))
        while len(self._running) > at_a_time():
            yield from self._running.popleft().result()

    def finish_bundle(self) -> Iterator[Any]:
        """Gives what is left."""
        while self._running:
            for output in self._running.popleft().result():
                yield _in_global_window(output)

    def _all(self, element: Any) -> list[Any]:
        return list(self.work(element))


def _held(element: Any) -> Any:
    """A grouped element with its values in hand: a runner may fetch them while the bundle's own thread asks, and only
    then.
    """
    if isinstance(element, tuple) and not isinstance(element[1], pa.RecordBatch):
        return element[0], list(element[1])
    return element


def _in_global_window(output: Any) -> Any:
    window = GlobalWindow()
    if isinstance(output, beam.pvalue.TaggedOutput):
        return beam.pvalue.TaggedOutput(output.tag, WindowedValue(output.value, window.max_timestamp(), (window,)))
    return WindowedValue(output, window.max_timestamp(), (window,))
