"""Texts that may end the process which reads them: they are asked again in a process of their own.

Whoever asks a teacher leaves a file while it does (``asking``). One that is still there belongs to a process that died,
so its texts are suspect: a process of their own reads them, in halves where that ends too, until a text that ends it
stands alone. What is left costs one more load of the teacher.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xxhash

from mining.encoder import Encoded
from mining.encoder_process import EncoderProcess, ProcessLostError
from schemas.errors import ConfigError

#: Starts a process with the teacher.
Start = Callable[[], EncoderProcess]

ENDS = "the process that reads it ends"
#: A text alone must end so many processes: one may end for other reasons, as where memory is short.
_TRIES = 2


@contextmanager
def asking(folder: str | None, texts: Sequence[str]) -> Iterator[bool]:
    """Leaves a file in a folder of this machine while texts are asked; gives whether one of the same texts was there.

    Without a folder nothing is left, and no texts are suspect.
    """
    if folder is None:
        yield False
        return
    file = Path(folder) / xxhash.xxh3_128_hexdigest("\0".join(texts).encode())
    is_suspect = file.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    try:
        yield is_suspect
    except BaseException:  # an error is no death; what is suspect stays so until it was read
        if not is_suspect:
            file.unlink(missing_ok=True)
        raise
    file.unlink(missing_ok=True)


def encode_apart(texts: Sequence[str], start: Start) -> Encoded:
    """``Encoder.encode_each`` by processes that texts may end; one that does so by itself, twice, is unreadable.

    Raises ConfigError where a process ends before it was asked anything, and what the encoder raises.
    """
    asked = _Mortal(start)
    try:
        return _in_halves(texts, asked)
    finally:
        asked.end()


class _Mortal:
    """A process with the teacher, started anew where texts have ended it."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._process: EncoderProcess | None = None

    def ask(self, texts: Sequence[str]) -> Encoded | None:
        """What the encoder says of texts; None where they ended the process."""
        process = self._process or self._alive()
        try:
            return process.encode_each(texts)
        except ProcessLostError:
            self.end()
            return None

    def _alive(self) -> EncoderProcess:
        """A process that has loaded the teacher: one that cannot says nothing of texts."""
        self._process = self._start()
        try:
            _ = self._process.knows_truncated
        except ProcessLostError as error:
            raise ConfigError(
                "a process that was to read suspect texts ended while it loaded the teacher; is there memory for a "
                "second one? Run fewer workers, or give them more memory"
            ) from error
        return self._process

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.close()
            self._process = None


def _in_halves(texts: Sequence[str], asked: _Mortal) -> Encoded:
    for _ in range(_TRIES if len(texts) == 1 else 1):
        if found := asked.ask(texts):
            return found
    if len(texts) == 1:
        return _unreadable(asked)
    half = len(texts) // 2
    return _joined(_in_halves(texts[:half], asked), _in_halves(texts[half:], asked))


def _unreadable(asked: _Mortal) -> Encoded:
    nothing = asked.ask([])
    if nothing is None:
        raise ConfigError("a process with the teacher ended without having been asked anything; run the command again")
    return Encoded(
        vectors=np.zeros((1, nothing.vectors.shape[1]), np.float32),
        directed=np.zeros(1, np.bool_),
        truncated=np.zeros(1, np.bool_),
        unreadable={0: ENDS},
    )


def _joined(first: Encoded, second: Encoded) -> Encoded:
    shifted = {place + len(first.directed): reason for place, reason in second.unreadable.items()}
    return Encoded(
        vectors=np.concatenate([first.vectors, second.vectors]),
        directed=np.concatenate([first.directed, second.directed]),
        truncated=np.concatenate([first.truncated, second.truncated]),
        unreadable={**first.unreadable, **shifted},
    )
