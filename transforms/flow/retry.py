"""Trying again what a network failed to do, with growing pauses."""

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from schemas.errors import SourceError
from transforms.flow.params import RetryParams

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_PASSING_4XX = (408, 425, 429)


class ShortBody(OSError):
    """A response that ended before the bytes that were asked for."""


@cache
def transport_errors() -> tuple[type[Exception], ...]:
    """What a failed request raises: OSError, and the error of the HTTP library that huggingface_hub is built on.

    That library differs between its versions; the hub's own error always inherits from its error. It is imported when
    something has failed: most runs read no hub, and it takes a fifth of a second.
    """
    from huggingface_hub.errors import HfHubHTTPError

    above = [base for base in HfHubHTTPError.__mro__[1:] if issubclass(base, Exception) and base is not Exception]
    return (OSError, *above)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries, if any."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def is_permanent(error: BaseException) -> bool:
    """Whether trying again is pointless: the thing is absent, forbidden, or the request itself is wrong."""
    status = status_of(error)
    if status is not None:
        return 400 <= status < 500 and status not in _PASSING_4XX
    return isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError)


def retrying(what: str, action: Callable[[], _Result], params: RetryParams) -> _Result:
    """The result of ``action``, tried again while its failure may pass.

    Raises the error itself where trying again is pointless, and SourceError, which says what was tried and how often,
    when the attempts are used up.
    """
    for attempt in range(params.attempts):
        try:
            return action()
        except transport_errors() as error:
            if is_permanent(error):
                raise
            failure: Exception = error
        _LOG.info("%s failed (%s), attempt %d of %d", what, describe(failure), attempt + 1, params.attempts)
        if attempt + 1 < params.attempts:
            time.sleep(params.wait(attempt))
    raise SourceError(
        f"{what} failed {params.attempts} times, the last time with: {describe(failure)}. Check the network and try "
        f"again (what is already curated is kept); SOURCE=sample or a directory in hub layout works offline"
    ) from failure


def describe(error: BaseException) -> str:
    """An error in one line: its kind, and its HTTP status or first line."""
    status = status_of(error)
    cause = f"HTTP {status}" if status is not None else str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {cause}".rstrip(": ")
