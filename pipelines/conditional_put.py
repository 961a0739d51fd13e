"""Objects that are written only if nobody else wrote them since: what a store offers in place of a lock.

On S3 the version of an object is its ETag and the condition is ``If-Match`` or ``If-None-Match: *``
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html); on Google Cloud Storage it is the
generation and ``ifGenerationMatch`` (https://cloud.google.com/storage/docs/request-preconditions).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import fsspec

from schemas.filesystems import filesystem_of, protocols_of
from transforms.flow.files import no_bucket
from transforms.flow.retry import status_of
from transforms.flow.stores import ask


class Conflict(Exception):
    """The object is not, or not any more, in the version that a write was to replace."""


class Found(NamedTuple):
    """An object as it was found: its version, when the store took it (by the store's clock), what it holds."""

    version: str
    modified: datetime
    data: bytes


class _Put(Protocol):
    def __call__(self, filesystem: fsspec.AbstractFileSystem, inner: str, data: bytes, version: str | None) -> str: ...


class ConditionalObject:
    """One object of a store with conditional writes. ``supports`` says whether a place is in such a store."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._filesystem, self._inner = filesystem_of(place)
        self._put = _PUTS[_kind(self._filesystem) or ""]

    @staticmethod
    def supports(place: str) -> bool:
        """Whether a place is in a store whose conditional writes are known here."""
        return _kind(filesystem_of(place)[0]) is not None

    def find(self) -> Found | None:
        """What is there now; None where there is nothing. The version is never newer than the data."""
        try:
            info = ask(f"looking for {self.place}", lambda: self._filesystem.info(self._inner))
            data = ask(f"reading {self.place}", lambda: self._filesystem.cat_file(self._inner))
        except FileNotFoundError:
            return None
        return Found(_version(info), info["mtime"] if "mtime" in info else info["LastModified"], data)

    def put(self, data: bytes, version: str | None) -> str:
        """Write the object where it is in ``version``, or where there is none; gives the version that it then has.

        Raises Conflict otherwise. A write whose answer was lost and that was made again is a conflict with itself: look
        at what is there. Raises OutputError where the store fails.
        """
        try:
            what = f"writing {self.place}"
            return ask(what, lambda: self._put(self._filesystem, self._inner, data, version))
        except FileExistsError as error:
            raise Conflict(self.place) from error
        except FileNotFoundError as error:
            if version is not None:  # it was removed meanwhile
                raise Conflict(self.place) from error
            raise no_bucket(self.place) from error


def _version(info: Mapping[str, Any]) -> str:
    return str(info["generation"] if "generation" in info else info["ETag"])


def _put_s3(filesystem: fsspec.AbstractFileSystem, inner: str, data: bytes, version: str | None) -> str:
    bucket, _, key = inner.partition("/")
    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    try:
        return str(filesystem.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)["ETag"])
    except OSError as error:
        if status_of(error) in (409, 412):  # 409: another conditional write was under way
            raise FileExistsError(inner) from error
        raise


def _put_gcs(filesystem: fsspec.AbstractFileSystem, inner: str, data: bytes, version: str | None) -> str:
    bucket, _, key = inner.partition("/")
    answer = filesystem.call(
        "POST",
        f"{filesystem._location}/upload/storage/v1/b/{bucket}/o",
        uploadType="media",
        name=key,
        ifGenerationMatch=version or "0",
        headers={"Content-Type": "application/json"},
        data=data,
        json_out=True,
    )
    return str(answer["generation"])


_PUTS: Mapping[str, _Put] = {"s3": _put_s3, "gs": _put_gcs}


def _kind(filesystem: fsspec.AbstractFileSystem) -> str | None:
    return next((name for name in _PUTS if name in protocols_of(filesystem)), None)
