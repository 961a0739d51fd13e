"""The work folder: one folder for each stage and configuration, kept clean, locked while a run works in it, and looked
at before anything in it is used again.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.conditional_put import ConditionalObject
from pipelines.store_lock import StoreLock
from schemas.errors import OutputError
from schemas.filesystems import filesystem_of, is_local
from transforms.flow.content import find_faults
from transforms.flow.files import TEMPORARY_PREFIX, output_error, publish
from transforms.flow.manifests import MANIFEST, DamagedManifest, read_stage_manifest, stage_files

_PACKAGES = ("catalog", "schemas", "transforms", "mining", "pipelines")
#: Folders of a stage that only matter while it runs.
_SCRATCH = ("parts", "survivors", "pieces", "progress")
#: The work folder of an OUT where no other is given; its lock is held by every run that publishes there.
_INSIDE = ".work"
_LOCK = ".lock"
#: Folders of stages; anything else in a work folder is left alone.
_STAGE = re.compile(r"(?:prepare|embed|mine|pack)-[0-9a-f]{16}")
_SHOWN = 5


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
        return read_stage_manifest(self.path)


class Workplace:
    """The work folder of an OUT. Local folders are locked by the system and made absolute, those of ``s3://`` and
    ``gs://`` by an object (``store_lock``); other stores have no lock.
    """

    def __init__(self, out: str, work: str | None) -> None:
        self.out = absolute(out)
        self.work = absolute(work) if work else f"{self.out}/{_INSIDE}"
        self._filesystem, self._root = filesystem_of(self.work)
        self.is_local = is_local(self._filesystem)
        self._store_locks: list[StoreLock] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the work folder and OUT, which may have others; a killed run lets go of them by itself.

        Raises OutputError while another run holds either.
        """
        publish(f"{self.work}/.writable", b"")
        with ExitStack() as held:
            for folder, what in {f"{self.out}/{_INSIDE}": self.out, self.work: self.work}.items():
                held.enter_context(self._locked(folder, what))
            yield

    def check_held(self) -> None:
        """Raise OutputError where a store's lock was lost, as happens to a run that was stopped for minutes."""
        for lock in self._store_locks:
            lock.check()

    @contextmanager
    def _locked(self, folder: str, what: str) -> Iterator[None]:
        filesystem, inner = filesystem_of(folder)
        if is_local(filesystem):
            with _locked_here(folder, inner, what):
                yield
        elif ConditionalObject.supports(folder):
            lock = StoreLock(folder, what)
            with lock.held():
                self._store_locks.append(lock)
                try:
                    yield
                finally:
                    self._store_locks.remove(lock)
        else:
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
            manifest = read_stage_manifest(path) if path.rsplit("/", 1)[-1].startswith(f"{name}-") else None
            if manifest is not None:
                yield path, manifest

    def clear_unfinished(self) -> list[str]:
        """Remove what killed runs left: stages without a manifest, and files that a stage's manifest does not name.

        A stage whose manifest is damaged is removed too; gives a line for each of these.
        """
        lines: list[str] = []
        if not self._filesystem.exists(self._root):
            return lines
        for folder in self._filesystem.ls(self._root, detail=False):
            name = folder.rstrip("/").rsplit("/", 1)[-1]
            if not _STAGE.fullmatch(name) or not self._filesystem.isdir(folder):
                continue
            try:
                manifest = read_stage_manifest(self._place(folder))
            except DamagedManifest as error:
                lines.append(f"damaged: {name}: {error}; the stage was removed and is made again where it is needed")
                manifest = None
            if manifest is None:
                self._filesystem.rm(folder, recursive=True)
            else:
                self._clear_unnamed(folder, manifest)
        return lines

    def sound_manifest(self, stage: StageFolder, store: str) -> tuple[dict[str, Any] | None, list[str]]:
        """``(manifest, lines)``: the manifest of a stage that is there with every file as it was written, else None.

        A damaged stage is removed, so that it is made again, and the line says so. ``store``: where its vectors lie.
        """
        manifest = stage.manifest()
        faults = find_faults(stage_files(stage.path, manifest, store)) if manifest is not None else []
        if not faults:
            return manifest, []
        self._filesystem.rm(filesystem_of(stage.path)[1], recursive=True)
        return None, [f"damaged: {stage.name}: {shown_some(faults)}; the stage is made again"]

    def mend_store(self, store: str) -> list[str]:
        """Remove damaged files of a vector store; a line says which, and that their texts are encoded anew."""
        from transforms.vectors.vector_store import remove_damaged  # which a dry run does not need

        faults = remove_damaged(store)
        if not faults:
            return []
        return [f"damaged: vector store: {shown_some(faults)}; removed, their texts are encoded anew where needed"]

    def tidy(self, stage: StageFolder) -> None:
        """Remove what a completed stage only needed while it ran."""
        inner = filesystem_of(stage.path)[1]
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


@contextmanager
def _locked_here(folder: str, inner: str, what: str) -> Iterator[None]:
    """Hold the lock of a local folder."""
    try:
        Path(inner).mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{inner}/{_LOCK}", os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        _take(lock, folder, what)
        yield
    finally:
        os.close(lock)


def _take(lock: int, folder: str, what: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"another run is at work in {what}; wait for it, or choose another place with OUT=<folder>"
        ) from error
    except OSError as error:
        raise output_error(f"{folder}/{_LOCK}", error) from error


def shown_some(things: Sequence[object]) -> str:
    """The first few things, and how many more there are."""
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return ", ".join(map(str, things[:_SHOWN])) + more


def clear_temporary(out: str) -> None:
    """Remove temporary files that a killed run left below OUT (local places only: elsewhere objects appear whole)."""
    filesystem, root = filesystem_of(out)
    if is_local(filesystem) and filesystem.exists(root):
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
