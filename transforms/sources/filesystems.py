"""Where a file lies: a local path or an fsspec URL, opened the same way by planner and readers."""

import os

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

HUB_PROTOCOL = "hf://"


def filesystem_of(place: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of a local path or URL, and the path inside it.

    The hub's endpoint is read from ``HF_ENDPOINT`` when it is asked for, not when a library happens to be imported. Its
    token is left to huggingface_hub, which reads ``HF_TOKEN`` for each request: it never stands among our values.
    """
    if place.startswith(HUB_PROTOCOL):
        return fsspec.filesystem("hf", endpoint=os.environ.get("HF_ENDPOINT") or None), place.removeprefix(HUB_PROTOCOL)
    filesystem, inner = url_to_fs(place)
    return filesystem, str(inner)


def is_local(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Whether paths of this filesystem can be opened by anything that opens files."""
    return isinstance(filesystem, LocalFileSystem)


def is_hub(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Whether this is huggingface_hub's filesystem."""
    protocol = filesystem.protocol
    return "hf" in ((protocol,) if isinstance(protocol, str) else protocol)


def place_of(filesystem: fsspec.AbstractFileSystem, inner: str) -> str:
    """The local path or URL from which ``filesystem_of`` gives this filesystem and path again."""
    return inner if is_local(filesystem) else str(filesystem.unstrip_protocol(inner))
