"""Errors that a person caused or can mend. The command line prints their message alone and exits with their code.

A worker's error reaches the command line as text inside somebody else's traceback, so the message is framed by two
marks that ``find_message`` looks for; nothing else in a traceback contains them.
"""

import re
import sys

_OPEN, _CLOSE = "\u27e6", "\u27e7"
_FRAMED = re.compile(f"{_OPEN}(\\d+) (.*?){_CLOSE}", re.DOTALL)


class CurationError(Exception):
    """Something about the input, the configuration or the place of output is wrong, and the message says what to do."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        self.message = _without_marks(message)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{_OPEN}{self.exit_code} {self.message}{_CLOSE}"

    def __reduce__(self) -> tuple[type["CurationError"], tuple[str]]:
        return type(self), (self.message,)


def tell(error: CurationError) -> int:
    """Say the error on standard error, as every command does; gives the exit code."""
    print(f"error: {error.message}", file=sys.stderr)
    return error.exit_code


class ConfigError(CurationError):
    """A flag, a configuration key or a category that cannot be used."""

    exit_code = 2


class CatalogError(CurationError):
    """A catalog entry that is wrong in itself or does not fit its source."""

    exit_code = 3


class SourceError(CurationError):
    """A source that is absent, broken or not what its entry says."""

    exit_code = 4


class OutputError(CurationError):
    """A place of output that cannot be written, or a disk that is full."""

    exit_code = 5


class DamageError(CurationError):
    """A file that we wrote and that is no longer as we wrote it; what is damaged can be made again."""

    exit_code = 9


class BalanceError(CurationError):
    """Rows that were read and are neither kept, merged nor rejected: a fault of this program, never of the data."""

    exit_code = 6


def _without_marks(message: str) -> str:
    """A message that quotes another of ours holds its words alone; marks in a quoted text become plain brackets."""
    return _FRAMED.sub(r"\2", message).translate({ord(_OPEN): "[", ord(_CLOSE): "]"})


def find_message(text: str) -> tuple[str, int] | None:
    """The innermost framed message in a traceback's text and its exit code, or None where there is none."""
    found = _FRAMED.findall(text)
    return (found[-1][1], int(found[-1][0])) if found else None
