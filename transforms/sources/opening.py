"""Sources: the bundled sample, a directory in hub layout (local or behind an fsspec URL), or the hub itself.

A source resolves an entry to units, and says what it does not hold. ``docs/sources.md`` describes the layout.
"""

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.catalog import Adapter, LocatedEntry
from schemas.config import HUB, SAMPLE
from schemas.errors import SourceError
from schemas.filesystems import filesystem_of, is_local, place_of
from transforms.sources.file_digests import file_digest
from transforms.sources.file_errors import file_error
from transforms.sources.layout import Wanted, absent_line, files_of, hint, is_data, missing_pieces, wanted_of
from transforms.sources.links import refuse_links_out
from transforms.sources.params import AS_USUAL, RangeParams, ReadingParams
from transforms.sources.planning import Plan, Source, SourceFile, empty_lines, unit_of, units_of
from transforms.sources.units import endings

__all__ = ["DATASETS", "DirectorySource", "Plan", "Source", "open_source"]

DATASETS = "datasets"
#: The sample that ships with the project, beside the entries that it is for.
SAMPLE_ROOT = Path(__file__).parents[2] / "catalog" / "sample"
_THREADS = 8
#: Bytes of local files that are looked at in this thread.
_SMALL = 4 << 20


def open_source(
    name: str,
    *,
    limit: int | None = None,
    sample_root: str | None = None,
    digests: bool = True,
    follow_links: bool = False,
    reading: ReadingParams = AS_USUAL,
) -> Source:
    """The source of that name: ``sample``, ``hub``, or a directory in hub layout (a path or an fsspec URL).

    ``limit`` only matters on the hub, where reading all rows to choose among them is out of the question; elsewhere it
    is applied to the rows that were read. Without ``digests`` no content is read to plan, and nothing can be keyed by
    it. ``follow_links``: files behind links that lead out of the directory are read too. ``reading``: how the hub is
    asked, and how bytes of remote files. Raises SourceError for a directory that is absent or not in hub layout.
    """
    if name == HUB:
        from transforms.sources.hub import HubSource  # what it asks the hub with takes long to import

        return HubSource(limit=limit, reading=reading)
    root = (sample_root or str(SAMPLE_ROOT)) if name == SAMPLE else name
    return DirectorySource(
        root,
        name,
        digests=digests,
        partial=name == SAMPLE,
        follow_links=follow_links or name == SAMPLE,
        ranges=reading.ranges,
    )


class DirectorySource:
    """A directory in hub layout: ``<root>/datasets/<dataset>/<config>/<split>-*.<ending>``.

    ``partial``: it leaves configurations out on purpose, as the bundled sample does, so that they are not absent.
    ``follow_links``: files behind links that lead out of it are read too.
    """

    def __init__(
        self,
        root: str,
        shown: str,
        *,
        digests: bool = True,
        partial: bool = False,
        follow_links: bool = False,
        ranges: RangeParams = AS_USUAL.ranges,
    ) -> None:
        self._shown, self._ranges = shown, ranges
        self._digests, self._partial, self._follow_links = digests, partial, follow_links
        self._filesystem, self._root = filesystem_of(root)
        if is_local(self._filesystem):
            self._root = str(Path(self._root).resolve())
        self._datasets = posixpath.join(self._root, DATASETS)
        self._check()

    def _check(self) -> None:
        if self._filesystem.isdir(self._datasets):
            return
        if not self._filesystem.exists(self._root):
            there = "there is nothing of that name"
        elif not self._filesystem.isdir(self._root):
            there = "that is a file"
        else:
            names = sorted(
                posixpath.basename(path.rstrip("/")) for path in self._filesystem.ls(self._root, detail=False)
            )
            there = f"it holds {', '.join(names[:20]) or 'nothing'}"
        raise SourceError(
            f"SOURCE={self._shown} is not a directory in hub layout: looked for {self._datasets}, but {there}. A "
            f"source is sample, hub, or a directory with datasets/<dataset>/<config>/<split>-*, in files that end in "
            f"{endings()}"
        )

    def plan(self, located: LocatedEntry) -> Plan:
        """The units of an entry's files. Raises SourceError for a file that cannot be read or is damaged."""
        folder = located.entry.folder
        place = f"{self._shown.rstrip('/')}/{DATASETS}/{folder}"
        sizes, odd = self._listing(folder)
        left_out = [
            f"{located.where('source')}: {place}/{path} is {what}; it is left out" for path, what in odd.items()
        ]
        if not sizes:
            return Plan(place=place, absent=(self._nothing(located), *left_out))
        found = {declared: files_of(declared, sizes) for declared in wanted_of(located)}
        absent = [absent_line(located, declared, sizes, place) for declared, files in found.items() if not files]
        if absent and located.entry.adapter is Adapter.BEIR:
            return Plan(place=place, absent=(*absent, *left_out))
        pairs = [pair for files in found.values() for pair in files]
        absent = [*([] if self._partial and pairs else absent), *missing_pieces(pairs), *left_out]
        chosen = [self._source_file(folder, wanted, path, sizes[path]) for wanted, path in pairs]
        if is_local(self._filesystem) and not self._follow_links:
            refuse_links_out(self._root, (file.place for file in chosen), self._shown)
        return self._planned(located, place, chosen, absent)

    def _planned(self, located: LocatedEntry, place: str, files: list[SourceFile], absent: list[str]) -> Plan:
        digested = files if self._digests else []
        with self._threads(files) as each:
            units = list(each(lambda file: units_of(located.entry.name, file), files))
            digests = list(each(lambda file: _digest(located.entry.name, file), digested))
        return Plan(
            place=place,
            units=tuple(unit for found in units for unit in found),
            absent=(*absent, *empty_lines(files, units)),
            digests={file.file: digest for file, digest in zip(digested, digests, strict=True)},
            sizes={file.file: file.size for file in files},
        )

    @contextmanager
    def _threads(self, files: Sequence[SourceFile]) -> Iterator[Callable[..., Iterable[Any]]]:
        """A ``map``: in threads, unless files are local and so small that threads cost more than they save."""
        if is_local(self._filesystem) and sum(file.size for file in files) < _SMALL:
            yield map
            return
        with ThreadPoolExecutor(_THREADS) as pool:
            yield pool.map

    def _source_file(self, folder: str, wanted: Wanted, path: str, size: int) -> SourceFile:
        inner = posixpath.join(self._datasets, folder, path)
        file = f"{DATASETS}/{folder}/{path}"
        place = place_of(self._filesystem, inner)
        return SourceFile(wanted=wanted, place=place, file=file, size=size, ranges=self._ranges)

    def _listing(self, folder: str) -> tuple[dict[str, int], dict[str, str]]:
        """Of what lies below a dataset's folder, by its path in it: the sizes of files, and what else would be data.

        Both are empty where there is no such folder.
        """
        inner = posixpath.join(self._datasets, folder)
        found = self._found(inner) if self._filesystem.isdir(inner) else {}
        kinds = {posixpath.relpath(path, inner): self._kind(path, info) for path, info in found.items()}
        sizes = {posixpath.relpath(path, inner): int(info["size"] or 0) for path, info in found.items()}
        odd = {path: kind for path, kind in kinds.items() if kind != "file" and is_data(path)}
        return {path: size for path, size in sizes.items() if kinds[path] == "file"}, odd

    def _found(self, inner: str, above: frozenset[str] = frozenset()) -> dict[str, Any]:
        """What lies below a folder, and below the folders that links in it lead to, but for those that it lies in."""
        found: dict[str, Any] = self._filesystem.find(inner, detail=True)
        above |= {os.path.realpath(inner)}
        for path in [path for path, info in found.items() if info["type"] != "file" and self._filesystem.isdir(path)]:
            del found[path]
            if os.path.realpath(path) not in above:
                found |= self._found(path, above)
        return found

    def _kind(self, path: str, info: Mapping[str, Any]) -> str:
        """``file``, or what a path is that cannot be read as one."""
        if info["type"] == "file" or self._filesystem.isfile(path):  # a link is neither of its own kind nor its size
            return "file"
        return "no regular file" if self._filesystem.exists(path) else "a broken link"

    def _nothing(self, located: LocatedEntry) -> str:
        entry = located.entry
        known = self._folders
        near = get_close_matches(entry.folder, known, n=3, cutoff=0.5) or known[:3]
        key = ("source", "hub") if entry.source.hub else ("name",)
        return (
            f"{located.where(*key)}: {self._shown} holds no {DATASETS}/{entry.folder}; of the {len(known)} datasets "
            f"there the nearest are {', '.join(near) or 'none'}{hint(located)}"
        )

    @cached_property
    def _folders(self) -> list[str]:
        """The datasets there: folders above those that hold data files."""
        paths = (posixpath.relpath(path, self._datasets) for path in self._filesystem.find(self._datasets))
        return sorted({"/".join(path.split("/")[:-2]) or path.split("/")[0] for path in paths if is_data(path)})


def _digest(dataset: str, file: SourceFile) -> str:
    try:
        return file_digest(*filesystem_of(file.place))
    except OSError as error:
        raise file_error(unit_of(dataset, file), error) from error
