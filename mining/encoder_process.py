"""A teacher in a process of its own, which loads it while this one is at other work.

Importing what a teacher is made of takes seconds of Python, and two threads of one process would take turns at them.
"""

import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Self

from mining.encoder import Encoded, load_encoder
from mining.forward import Flags
from mining.teacher import TeacherParams


class ProcessLostError(Exception):
    """The process has ended: whoever asked loads the teacher instead."""


class EncoderProcess:
    """A teacher as ``load_encoder`` gives it, asked over a pipe; it begins to load at once.

    Questions raise what they raise in ``mining.encoder``, with what loading raised; ``ProcessLostError`` where the
    process has ended. Raises OSError where none can be started.
    """

    def __init__(self, name: str, params: TeacherParams, digest: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, params, digest), daemon=True)
        with _uninterrupted():
            self._process.start()
        theirs.close()
        self._lock = threading.Lock()  # one question at a time: an answer does not say what it answers
        self._is_new = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def encode_each(self, texts: Sequence[str]) -> Encoded:
        """``Encoder.encode_each``."""
        found: Encoded = self._ask("encode_each", texts)
        return found

    def truncated(self, texts: Sequence[str]) -> Flags:
        """``Encoder.truncated``."""
        found: Flags = self._ask("truncated", texts)
        return found

    @property
    def knows_truncated(self) -> bool:
        """``Encoder.knows_truncated``."""
        return bool(self._ask("knows_truncated"))

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _ask(self, name: str, *arguments: object) -> Any:
        with self._lock:
            try:
                self._pipe.send((name, arguments))
                answer = self._pipe.recv()
            except (EOFError, OSError) as error:
                raise ProcessLostError from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def is_first_use(self) -> bool:
        """True once, for whoever counts processes that were of use."""
        with self._lock:
            was_new, self._is_new = self._is_new, False
        return was_new


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that begins here never hears of Ctrl-C, which is the affair of whoever began it."""
    resource_tracker.ensure_running()  # it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, name: str, params: TeacherParams, digest: str) -> None:
    """Load the teacher and answer, until whoever asks is gone."""
    failure: Exception | None = None
    try:
        encoder = load_encoder(name, params, digest)
    except Exception as error:  # told to whoever asks first
        failure = error
    while True:
        try:
            asked, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if failure:
                raise failure
            found = getattr(encoder, asked)
            answer = found(*arguments) if callable(found) else found
        except Exception as error:  # whatever it is, it is raised where the question came from
            answer = error
        pipe.send(answer)
