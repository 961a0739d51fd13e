"""Objects of a store (``s3://``, ``gs://``) that we write and read again: asked for once more where that may help, and
refused in words where it may not.
"""

from collections.abc import Callable
from typing import TypeVar

from schemas.errors import OutputError
from transforms.flow.params import RetryParams
from transforms.flow.retry import describe, is_refused, lacks_credentials, retrying, transport_errors

_Result = TypeVar("_Result")

#: The libraries that a store is asked by.
_LIBRARIES = frozenset({"botocore", "aiobotocore", "s3fs", "gcsfs", "aiohttp", "google"})
_CREDENTIALS = (
    "no credentials were found: for s3:// set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the "
    "machine a role; for gs:// set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login"
)
#: What the libraries have tried for half a minute or more (``schemas.filesystems``) counts here as one attempt.
RETRY = RetryParams(attempts=3, first_wait=1.0)


def ask(what: str, action: Callable[[], _Result]) -> _Result:
    """What a store answers. ``what``: in words, as in "writing s3://bucket/a".

    Raises FileNotFoundError for what is not there, FileExistsError where a condition does not hold, and OutputError,
    with cause and remedy, for a store that refuses or does not answer.
    """
    try:
        return retrying(what, action, RETRY, _no_answer)
    except (FileNotFoundError, FileExistsError):
        raise
    except transport_errors() as error:
        raise store_error(what, error) from error


def _no_answer(said: str) -> OutputError:
    return OutputError(
        f"{said}. Check the network and the store's status, and start again with the same command: what is already "
        "made is kept"
    )


def store_error(what: str, error: BaseException) -> OutputError:
    """A store's refusal in words: what was asked, the cause, and the remedy."""
    if lacks_credentials(error):
        return OutputError(f"{what} failed: {_CREDENTIALS}")
    if is_refused(error):
        remedy = "these credentials may not do that: grant them reading, writing, listing and deleting below that place"
    else:
        remedy = "check the name of the bucket, its region and AWS_ENDPOINT_URL, where one is set"
    return OutputError(f"{what} failed ({describe(error)}: {_first_line(error)}): {remedy}")


def failure_of_store(error: BaseException) -> OutputError | None:
    """The words for an error that a store's library raised where nobody asked again; None for any other error."""
    modules = {type(each).__module__.partition(".")[0] for each in (error, error.__cause__) if each is not None}
    of_gcsfs = str(error).startswith("Forbidden: ")  # in an OSError that has no cause
    return store_error("asking a store", error) if of_gcsfs or modules & _LIBRARIES else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason was given"])[0]
