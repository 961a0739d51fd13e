"""Steps that work on several elements at a time in one process: while one part is read or written, another computes.

Beam's in-process runner gives a step its elements one after the other, and most of what the steps over parts do
(Parquet, compiled kernels) leaves Python's lock. Its own threads (``--direct_running_mode=multi_threading``) lose data.
"""

import threading
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import numba
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from transforms.flow import progress

#: More elements at a time would cost memory and gain little.
_MAX_AT_A_TIME = 2
#: Outputs that an element may be ahead of the step behind; most are a range's share of a part, none exceeds 4 MiB.
_MAX_AHEAD = 256


def at_a_time() -> int:
    """Elements that a process works on at a time; one where Beam runs several processes of one numba thread each."""
    return int(min(_MAX_AT_A_TIME, numba.get_num_threads()))


class OverlappingDoFn(beam.DoFn):
    """A step in the global window that says in ``work`` what it does with an element (and its side inputs).

    ``work`` may run in several threads at once. Outputs leave in the order of the elements; an element that is 256 of
    them ahead waits. What ``work`` raises fails the bundle, as it would in ``process``.
    """

    _running: deque["_Outputs"]
    _threads: ThreadPoolExecutor | None = None

    @abstractmethod
    def work(self, element: Any, *side_inputs: Any) -> Iterator[Any]:
        """Everything that an element gives."""

    def start_bundle(self) -> None:
        """Forget what a failed bundle left behind."""
        self._abandon()
        self._running = deque()

    def process(self, element: Any, *side_inputs: Any) -> Iterator[Any]:
        """Begin with an element; gives what earlier ones gave."""
        if self._threads is None:  # of its own: steps that follow one another in a bundle would wait for each other
            self._threads = ThreadPoolExecutor(at_a_time(), thread_name_prefix="overlap")
        outputs, held = _Outputs(), _held(element)
        self._threads.submit(outputs.fill, lambda: self.work(held, *side_inputs))
        self._running.append(outputs)
        while len(self._running) > at_a_time():
            yield from self._running.popleft()

    def finish_bundle(self) -> Iterator[Any]:
        """Gives what is left."""
        while self._running:
            for output in self._running.popleft():
                yield _in_global_window(output)

    def teardown(self) -> None:
        """End the threads."""
        self._abandon()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _abandon(self) -> None:
        for outputs in getattr(self, "_running", ()):
            outputs.abandon()


class _Outputs:
    """What one element gives, from the thread that works on it to the bundle's own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Any] = deque()
        self._is_over = self._is_abandoned = False
        self._error: BaseException | None = None
        self._counted: Counter[str] = Counter()

    def fill(self, work: Callable[[], Iterator[Any]]) -> None:
        """Take everything that ``work`` gives, but not too far ahead."""
        try:
            with progress.collecting() as self._counted:
                for output in work():
                    if not self._put(output):
                        return
        except BaseException as error:  # it is raised where the outputs are taken
            self._error = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _put(self, output: Any) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _MAX_AHEAD or self._is_abandoned)
            self._waiting.append(output)
            self._changed.notify_all()
            return not self._is_abandoned

    def abandon(self) -> None:
        """Nobody takes the outputs any more: the work ends where it would wait."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_over)
                if not self._waiting:
                    break
                output = self._waiting.popleft()
                self._changed.notify_all()
            yield output
        for name, number in self._counted.items():  # Beam knows which step this is only in the bundle's own thread
            progress.count_in_step(name, number)
        if self._error is not None:
            raise self._error


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
