"""The work folder: one folder for each stage and configuration, kept clean, locked while a run works in it."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import OutputError
from transforms.flow.files import TEMPORARY_PREFIX, output_error, publish, read_json
from transforms.flow.manifests import MANIFEST

_PACKAGES = ("catalog", "schemas", "transforms", "mining", "pipelines")
#: Folders of a stage that only matter while it runs.
_SCRATCH = ("parts", "survivors", "progress")


def digest(value: Any) -> str:
    """32 hexadecimal digits that stand for a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_digest() -> str:
    """Digest of the project's own sources, so that a stage made by other code is not taken for this one's."""
    root = Path(__file__).parent.parent
    total = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            total.update(str(path.relative_to(root)).encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class StageFolder:
    """Where one stage of one configuration works and rests."""

    name: str
    key: str
    path: str
    progress: str | None

    def manifest(self) -> dict[str, Any] | None:
        """The stage's manifest, or None while it has not been completed."""
        found: dict[str, Any] | None = read_json(f"{self.path}/{MANIFEST}")
        return found


class Workplace:
    """The work folder of an OUT. Local folders are locked and made absolute; object stores are taken as they are."""

    def __init__(self, out: str, work: str | None) -> None:
        self.out = absolute(out)
        self.work = absolute(work) if work else f"{self.out}/.work"
        self._filesystem, self._root = url_to_fs(self.work)
        self.is_local = isinstance(self._filesystem, LocalFileSystem)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the work folder; a killed run lets go of it by itself. Raises OutputError while another run holds it."""
        publish(f"{self.work}/.writable", b"")
        if not self.is_local:
            yield
            return
        with open(f"{self._root}/.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise OutputError(
                    f"another run is at work in {self.work}; wait for it, or choose another place with OUT=<folder>"
                ) from error
            yield

    def stage(self, name: str, facts: Mapping[str, Any]) -> StageFolder:
        """The folder of a stage whose output follows from ``facts`` (configuration and digests of all inputs)."""
        key = digest([name, code_digest(), dict(facts)])
        path = f"{self.work}/{name}-{key[:16]}"
        return StageFolder(name=name, key=key, path=path, progress=f"{path}/progress" if self.is_local else None)

    def finished(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """``(folder, manifest)`` of every stage of a name that was completed here, by folder."""
        if not self._filesystem.exists(self._root):
            return
        for inner in sorted(self._filesystem.ls(self._root, detail=False)):
            path = self._place(inner.rstrip("/"))
            manifest = read_json(f"{path}/{MANIFEST}") if path.rsplit("/", 1)[-1].startswith(f"{name}-") else None
            if manifest is not None:
                yield path, manifest

    def clear_unfinished(self) -> None:
        """Remove what killed runs left: stages without a manifest, and files that a stage's manifest does not name."""
        if not self._filesystem.exists(self._root):
            return
        for folder in self._filesystem.ls(self._root, detail=False):
            name = folder.rstrip("/").rsplit("/", 1)[-1]
            if name.partition("-")[0] not in ("prepare", "embed", "mine", "pack") or not self._filesystem.isdir(folder):
                continue
            manifest = read_json(f"{self._place(folder)}/{MANIFEST}")
            if manifest is None:
                self._filesystem.rm(folder, recursive=True)
            else:
                self._clear_unnamed(folder, manifest)

    def tidy(self, stage: StageFolder) -> None:
        """Remove what a completed stage only needed while it ran."""
        inner = url_to_fs(stage.path)[1]
        for name in _SCRATCH:
            if self._filesystem.exists(f"{inner}/{name}"):
                self._filesystem.rm(f"{inner}/{name}", recursive=True)

    def _clear_unnamed(self, folder: str, manifest: Mapping[str, Any]) -> None:
        named = {f"{folder}/{MANIFEST}"}
        for kind, records in manifest["files"].items():
            prefix = f"{folder}/rejections" if kind == "rejections" else folder
            named |= {f"{prefix}/{record['path']}" for record in records if kind != "vectors"}
        for path in self._filesystem.find(folder):
            if path not in named:
                self._filesystem.rm_file(path)

    def _place(self, inner: str) -> str:
        return inner if self.is_local else self._filesystem.unstrip_protocol(inner)


def clear_temporary(out: str) -> None:
    """Remove temporary files that a killed run left below OUT (local places only: elsewhere objects appear whole)."""
    filesystem, root = url_to_fs(out)
    if isinstance(filesystem, LocalFileSystem) and filesystem.exists(root):
        for path in Path(root).rglob(f"{TEMPORARY_PREFIX}*"):
            path.unlink(missing_ok=True)


def absolute(place: str) -> str:
    """Workers may run elsewhere on this machine: a local path is made absolute, a URL stays."""
    if "://" in place:
        return place.rstrip("/")
    try:
        return str(Path(place).expanduser().resolve())
    except OSError as error:
        raise output_error(place, error) from error
