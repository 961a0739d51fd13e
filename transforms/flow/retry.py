"""Trying again what a network failed to do, with growing pauses."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar

from schemas.errors import CurationError, SourceError
from transforms.flow.params import RetryParams

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_PASSING_4XX = (408, 425, 429)
#: What libraries of stores raise, by the module that it stands in; most of it is no OSError.
_OF_STORES = {
    "aiohttp": "ClientError",
    "botocore.exceptions": "BotoCoreError",
    "gcsfs.retry": "HttpError",
    "google.auth.exceptions": "GoogleAuthError",
}
#: Of these the ones that say that nobody told who is asking.
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}


class ShortBody(OSError):
    """A response that ended before the bytes that were asked for."""


def transport_errors() -> tuple[type[Exception], ...]:
    """What a failed request raises: OSError, and the errors of the libraries that ask hub and stores.

    Of a library that was not imported nothing can have been raised, so that none is imported for this.
    """
    modules = ((sys.modules.get(name), error) for name, error in _OF_STORES.items())
    return (OSError, *_hub_errors(), *(getattr(module, error) for module, error in modules if module is not None))


@cache
def _hub_errors() -> tuple[type[Exception], ...]:
    """The error of the HTTP library that huggingface_hub is built on.

    That library differs between its versions; the hub's own error always inherits from its error. It is imported when
    something has failed: most runs read no hub, and it takes a fifth of a second.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(base for base in HfHubHTTPError.__mro__[1:] if issubclass(base, Exception) and base is not Exception)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error carries, if any, or that stands in the error of a library below it."""
    for each in filter(None, (error, error.__cause__)):
        response = getattr(each, "response", None)
        if isinstance(response, Mapping):  # botocore's
            response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        found = (getattr(response, "status_code", response), getattr(each, "status", None), getattr(each, "code", None))
        for status in found:  # of requests and httpx or botocore; of aiohttp; of gcsfs
            if isinstance(status, int):
                return status
    return None


def lacks_credentials(error: BaseException) -> bool:
    """Whether a store was not asked at all, since nothing says who is asking."""
    return any(base.__name__ in _NO_CREDENTIALS for base in type(error).__mro__)


def is_refused(error: BaseException) -> bool:
    """Whether a server knows who is asking, or wants to, and says no."""
    return isinstance(error, PermissionError) or status_of(error) in (401, 403) or str(error).startswith("Forbidden: ")


def is_permanent(error: BaseException) -> bool:
    """Whether trying again is pointless: the thing is absent, forbidden, or the request itself is wrong."""
    if isinstance(error, TimeoutError):  # S3 calls a body that came too slowly a bad request
        return False
    absent = FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError
    if isinstance(error, absent) or is_refused(error) or lacks_credentials(error):
        return True
    status = status_of(error)
    return status is not None and 400 <= status < 500 and status not in _PASSING_4XX


def _no_source(said: str) -> CurationError:
    return SourceError(
        f"{said}. Check the network and try again (what is already curated is kept); SOURCE=sample or a directory in "
        "hub layout works offline"
    )


def retrying(
    what: str,
    action: Callable[[], _Result],
    params: RetryParams,
    refusal: Callable[[str], CurationError] = _no_source,
) -> _Result:
    """The result of ``action``, tried again while its failure may pass.

    Raises the error itself where trying again is pointless, and SourceError (or what ``refusal`` makes of the words),
    which says what was tried and how often, when the attempts are used up.
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
    times = f"{params.attempts} times, the last time with: {describe(failure)}"
    raise refusal(f"{what} failed {times}") from failure


def describe(error: BaseException) -> str:
    """An error in one line: its kind, and its HTTP status or first line."""
    status = status_of(error)
    cause = f"HTTP {status}" if status is not None else str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {cause}".rstrip(": ")
