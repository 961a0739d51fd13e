"""Where a file lies: a local path or an fsspec URL, opened the same way by all that read and write files."""

import os
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import ConfigError

HUB_PROTOCOL = "hf://"
#: The extra that brings the package of a protocol.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
#: Seconds without a byte after which gcsfs asks anew; left alone it waits five minutes and gives up. s3fs waits for 15.
_SILENCE = 30
#: Tries of each request to S3, with pauses of a minute in all; botocore's own five give up on a throttled bucket in
#: seven seconds. gcsfs tries six times in half a minute.
_ATTEMPTS = 8


def filesystem_of(place: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of a local path or URL, and the path inside it.

    A store is asked each time: listings that fsspec remembers would not know what other processes wrote since. The
    hub's endpoint is read from ``HF_ENDPOINT`` when it is asked for, not when a library happens to be imported. Its
    token is left to huggingface_hub, which reads ``HF_TOKEN`` for each request: it never stands among our values.

    Raises ConfigError for a protocol that is unknown, or whose package is not installed.
    """
    if place.startswith(HUB_PROTOCOL):
        return fsspec.filesystem("hf", endpoint=os.environ.get("HF_ENDPOINT") or None), place.removeprefix(HUB_PROTOCOL)
    if "://" not in place:
        filesystem, inner = url_to_fs(place)
        return filesystem, str(inner)
    protocol = place.partition("://")[0]
    try:
        filesystem, inner = url_to_fs(place, **_options(protocol))
    except (ImportError, ValueError) as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"pip install 'kalm-curation[{extra}]'" if extra else "install the fsspec package for it, or copy"
        raise ConfigError(f"{place}: {protocol}:// cannot be used here ({error}): {remedy}") from error
    return filesystem, str(inner)


def _options(protocol: str) -> dict[str, Any]:
    """What a store's library is told, unless its own settings say otherwise."""
    if "::" in protocol:
        return {}
    options: dict[str, Any] = {"use_listings_cache": False}
    store, set_by_user = _EXTRAS.get(protocol), fsspec.config.conf.get(protocol, {})
    if store == "s3" and "config_kwargs" not in set_by_user and "AWS_MAX_ATTEMPTS" not in os.environ:
        options["config_kwargs"] = {"retries": {"total_max_attempts": _ATTEMPTS}}
    if store == "gcs" and "requests_timeout" not in set_by_user:
        from aiohttp import ClientTimeout  # which gcsfs brings

        options["requests_timeout"] = ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE)
    return options


def is_local(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Whether paths of this filesystem can be opened by anything that opens files."""
    return isinstance(filesystem, LocalFileSystem)


def protocols_of(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    """The names by which URLs lead to this filesystem."""
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def is_hub(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Whether this is huggingface_hub's filesystem."""
    return "hf" in protocols_of(filesystem)


def place_of(filesystem: fsspec.AbstractFileSystem, inner: str) -> str:
    """The local path or URL from which ``filesystem_of`` gives this filesystem and path again."""
    return inner if is_local(filesystem) else str(filesystem.unstrip_protocol(inner))
