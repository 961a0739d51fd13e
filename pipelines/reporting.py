"""How a command ends: an exit code, and for what went wrong words that a person can act on."""

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable

from pipelines.interruption import interruptible
from schemas.errors import CurationError, find_message, tell
from transforms.flow.stores import failure_of_store

#: What Beam adds to the message of an error that it meets in a step.
_STEP = re.compile(r"( \[while running '[^']*'\])+$")


def report_errors(action: Callable[[], object]) -> int:
    """Do something and give an exit code. What a person can mend is said in words, a fault of ours with its
    traceback; a signal that ends the command is one sentence, whatever it made fall over.
    """
    with interruptible() as interruption:
        try:
            action()
        except (Exception, KeyboardInterrupt) as error:
            if interruption.number is None and not isinstance(error, KeyboardInterrupt):
                return _report(error)
            fail(interruption.sentence)
            return interruption.exit_code
    return 0


def _report(error: Exception) -> int:
    known = error if isinstance(error, CurationError) else worker_error(error) or failure_of_store(error)
    if known is not None:
        return tell(known)
    traceback.print_exception(error)
    fail(f"this is a fault of the program, not of your data: {error}; please report it with the lines above")
    return 70


def worker_error(error: BaseException) -> CurationError | None:
    """The error that a worker raised, found in whatever the runner made of it; None where it was not one of ours."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and not any(current is met for met in chain):  # a chain may bite its own tail
        chain.append(current)
        current = current.__cause__ or current.__context__
    found = find_message("\n".join(str(met) for met in chain))
    if found is None:
        return None
    message, code = found
    kinds = {cls.exit_code: cls for cls in CurationError.__subclasses__()}
    return kinds.get(code, CurationError)(_STEP.sub("", message))


def quieten() -> None:
    """Keep from a person's screen what libraries say to their developers; errors are said, once and in our words."""
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, force=True)
    logging.getLogger().handlers[0].addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a log record says more than an error of ours will: Beam logs a step's error with its traceback first."""
    error = record.exc_info[1] if record.exc_info else None
    return find_message(f"{record.getMessage()} {error}") is None


def fail(message: str) -> None:
    """An error, on standard error, whatever is quiet."""
    print(f"error: {message}", file=sys.stderr)
