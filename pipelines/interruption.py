"""Ctrl-C, SIGTERM and SIGHUP: one sentence, the signal's exit code, and an end within seconds, whatever is at work.

A run may be killed at any moment and goes on where it stopped, so nothing has to be finished first. The signal ends the
worker processes, is raised where the program is, and is told apart from every error that it causes there: Beam makes
another error of what is raised within a step.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Exit codes of an interrupted command: 128 and the signal's number.
_BASE = 128
#: How long the program may take to leave what it is at before it is ended.
GRACE_S = 5.0
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated (SIGTERM)", signal.SIGHUP: "terminated (SIGHUP)"}


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command; ``str`` of it says so in words."""


class Interruption:
    """The signal that has come, if any."""

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def sentence(self) -> str:
        """What a person is told."""
        words = _WORDS[signal.Signals(self.number or signal.SIGINT)]
        return f"{words}; start again with the same command to go on where this run stopped"

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal."""
        return _BASE + (self.number or signal.SIGINT)

    def receive(self, number: int, _: FrameType | None) -> None:
        """Begin to end: the workers at once, the program here, and in a while whatever still hangs."""
        if self.number is not None:  # the second time somebody means it
            self.end_now()
        self.number = number
        _be_quiet()
        end_workers()
        watch = threading.Timer(GRACE_S, self.end_now)
        watch.daemon = True
        watch.start()
        raise Interrupted(self.sentence)

    def end_now(self) -> NoReturn:
        """The end of the process, without leaving what it is at."""
        print(f"error: {self.sentence}", file=sys.stderr)
        end_process(self.exit_code)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """While this lasts, signals end the command in good order. One that is ignored (``nohup``) stays ignored."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in _WORDS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interruption.receive)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_workers() -> None:
    """End all processes that this one started, and those that they did."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _be_quiet() -> None:
    """What falls over now would only hide the one sentence."""
    logging.disable(logging.CRITICAL)
    threading.excepthook = lambda _: None


def leave(code: int) -> NoReturn:
    """End the command with its exit code: after a signal at once, since threads may still wait for workers."""
    if code > _BASE:
        end_process(code)
    sys.exit(code)


def end_process(code: int) -> NoReturn:
    """The end of the process, with what was written to its streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a pipe whose reader has gone
            continue
    os._exit(code)
