"""What can go wrong with an engine on this machine; each kind leaves the command line with a code of its own."""

from pathlib import Path

from schemas.errors import CurationError

_TAIL_LINES = 15


class EngineError(CurationError):
    """An engine that does not start, does not stop or is not there."""

    exit_code = 10


class MissingToolError(EngineError):
    """A program that must be installed first (Java, Maven, Go)."""

    exit_code = 11


class PortInUseError(EngineError):
    """A port that another process listens on."""

    exit_code = 12


class CheckFailedError(EngineError):
    """A cluster that started and cannot run a small job."""

    exit_code = 13


def log_tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log under its name, for the end of an error message."""
    if not log.is_file():
        return f"No log was written to {log}."
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return "\n  ".join([f"The end of {log}:", *tail])
