"""The hub as a source: a dataset's own files at a pinned commit, else the hub's Parquet conversion of it.

Of huggingface_hub (written and tested against 2.4) this uses ``HfApi.dataset_info`` to turn a branch into a commit,
``HfApi.auth_check`` for gated datasets, and ``HfFileSystem`` to list files and to read byte ranges of them. The token
(``HF_TOKEN``) is read by that library alone and never stands among our values.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

from schemas.catalog import Adapter, LocatedEntry
from schemas.errors import SourceError
from schemas.filesystems import HUB_PROTOCOL, filesystem_of
from transforms.flow.retry import describe, retrying, transport_errors
from transforms.sources.layout import Wanted, absent_line, files_of, hint, missing_pieces, wanted_of
from transforms.sources.params import AS_USUAL, RangeParams, ReadingParams
from transforms.sources.planning import (
    Plan,
    RowGroup,
    SourceFile,
    choice_hash,
    empty_lines,
    row_groups,
    unit_of,
    units_of,
    units_of_groups,
)
from transforms.sources.units import Unit

#: The branch on which the hub keeps its own Parquet conversion of a dataset (``<config>/<split>/0000.parquet``).
CONVERTED = "refs/convert/parquet"
_TIMEOUT = 30.0
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A dataset at a commit: its files with what the hub says of each (``size``, ``blob_id``, ``lfs``)."""

    repo: str
    commit: str
    root: str
    files: Mapping[str, Mapping[str, Any]]


class HubSource:
    """Datasets of the hub. Nothing is asked of it before an entry is planned."""

    def __init__(self, *, limit: int | None = None, reading: ReadingParams = AS_USUAL) -> None:
        self._limit = limit
        self._params, self._ranges = reading.hub, reading.ranges
        self._endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT

    def plan(self, located: LocatedEntry) -> Plan:
        """The units of an entry at a commit. What is not there, gated or renamed is absent, with what to do.

        Raises SourceError when the hub cannot be reached.
        """
        repo = located.entry.source.hub
        if repo is None:
            detail = f"the entry names no dataset of the hub{hint(located)}; give a directory that holds it as SOURCE"
            return Plan(place="hub", absent=(f"{located.where('source')}: {detail}",))
        place = f"{HUB_PROTOCOL}datasets/{repo}"
        try:
            return self._planned(located, repo, place)
        except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
            return Plan(place=place, absent=(f"{located.where('source', 'hub')}: {self._refused(located, error)}",))
        except transport_errors() as error:
            raise SourceError(
                f"{self._endpoint} cannot be asked about {repo}: {describe(error)}. SOURCE=sample or a directory in "
                f"hub layout works offline"
            ) from error

    def _planned(self, located: LocatedEntry, repo: str, place: str) -> Plan:
        own = self._revision(repo, located.entry.source.revision or constants.DEFAULT_REVISION)
        declared = wanted_of(located)
        found = {wanted: (own, files_of(wanted, own.files)) for wanted in declared}
        missing = [wanted for wanted in declared if not found[wanted][1]]
        converted = self._converted(repo) if missing else None
        if converted:
            found |= {wanted: (converted, files_of(wanted, converted.files)) for wanted in missing}
        paths = [*own.files, *(converted.files if converted else ())]
        absent = tuple(absent_line(located, w, paths, place) for w in missing if not found[w][1])
        if absent and located.entry.adapter is Adapter.BEIR:
            return Plan(place=place, absent=absent)
        files = [_HubFile.at(revision, *pair, self._ranges) for revision, pairs in found.values() for pair in pairs]
        incomplete = missing_pieces([pair for _, pairs in found.values() for pair in pairs])
        return self._plan_of(located, place, files, [*absent, *incomplete])

    def _plan_of(self, located: LocatedEntry, place: str, files: Sequence["_HubFile"], absent: Sequence[str]) -> Plan:
        limit = None if located.entry.adapter is Adapter.BEIR else self._limit
        units = self._units(located.entry.name, [file.source for file in files], limit)
        read = {unit.file for found in units for unit in found}
        used = [file for file in files if limit is None or file.source.file in read]
        empty = empty_lines([file.source for file in files], units) if limit is None else []
        return Plan(
            place=place,
            units=tuple(unit for found in units for unit in found),
            revision="+".join(dict.fromkeys(file.commit for file in used)) or None,
            absent=(*absent, *empty),
            digests={file.source.file: file.digest for file in used},
            sizes={file.source.file: file.source.size for file in used},
        )

    def _units(self, dataset: str, files: Sequence[SourceFile], limit: int | None) -> list[list[Unit]]:
        """Units of each file, of all its rows or of those that LIMIT chooses."""
        if limit is None:
            return self._each(lambda file: units_of(dataset, file), files)
        chosen = self._some_row_groups(dataset, files, limit) | self._some_lines(dataset, files, limit)
        return [chosen.get(file.file, []) for file in files]

    def _some_row_groups(self, dataset: str, files: Sequence[SourceFile], limit: int) -> dict[str, list[Unit]]:
        """Whole row groups in the order of a hash of (file, number) until ``limit`` rows are reached."""
        groups: dict[Unit, list[RowGroup]] = {}
        units = [unit for file in files if (unit := unit_of(dataset, file)).format == "parquet"]
        units.sort(key=lambda unit: choice_hash(unit.file, -1))
        for start in range(0, len(units), self._params.sampled_files):
            batch = units[start : start + self._params.sampled_files]
            groups |= zip(batch, self._each(row_groups, batch), strict=True)
            if sum(group.rows for found in groups.values() for group in found) >= limit:
                break
        chosen = choose_groups({unit: [group.rows for group in found] for unit, found in groups.items()}, limit)
        return {unit.file: list(units_of_groups(unit, groups[unit], numbers)) for unit, numbers in chosen.items()}

    def _some_lines(self, dataset: str, files: Sequence[SourceFile], limit: int) -> dict[str, list[Unit]]:
        """The first ``limit`` rows of as many files, in the order of a hash, as should hold that many together."""
        lines = [file for file in files if unit_of(dataset, file).format != "parquet" and file.size]
        chosen, size = {}, 0
        for file in sorted(lines, key=lambda file: choice_hash(file.file, -1)):
            if size < limit * self._params.row_bytes:
                chosen[file.file] = [replace(unit_of(dataset, file), rows=limit)]
                size += file.size
        return chosen

    def _each(self, action: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        with ThreadPoolExecutor(self._params.connections) as pool:
            return list(pool.map(action, items))

    def _converted(self, repo: str) -> "Revision | None":
        """The hub's own conversion, where there is one."""
        try:
            return self._revision(repo, CONVERTED)
        except RevisionNotFoundError:
            return None

    def _revision(self, repo: str, revision: str) -> "Revision":
        """A revision pinned to its commit, with all its files."""
        api = HfApi(endpoint=self._endpoint)
        info = self._asking(
            f"{repo} at {revision}", lambda: api.dataset_info(repo, revision=revision, timeout=_TIMEOUT)
        )
        if info.gated:
            self._asking(f"access to {repo}", lambda: api.auth_check(repo, repo_type="dataset"))
        root = f"{HUB_PROTOCOL}datasets/{repo}@{info.sha}"
        filesystem, inner = filesystem_of(root)
        listing = self._asking(f"the files of {repo}", lambda: filesystem.find(inner, detail=True))
        files = {path.removeprefix(f"{inner}/"): facts for path, facts in listing.items()}
        return Revision(repo=repo, commit=str(info.sha), root=root, files=files)

    def _asking(self, what: str, action: Callable[[], _Result]) -> _Result:
        return retrying(f"asking {self._endpoint} for {what}", action, self._params.retry)

    def _refused(self, located: LocatedEntry, error: Exception) -> str:
        source = located.entry.source
        page = f"{self._endpoint}/datasets/{source.hub}"
        if isinstance(error, GatedRepoError):
            return f"{source.hub} is gated: accept its terms on {page} and set HF_TOKEN{hint(located)}"
        if isinstance(error, RevisionNotFoundError):
            return f"{source.hub} has no revision {source.revision}; mend `source.revision`, or leave it out"
        return (
            f"{page} does not exist, or is private and needs HF_TOKEN (or the one that is set is wrong){hint(located)}"
        )


def choose_groups(sizes: Mapping[Unit, Sequence[int]], limit: int) -> dict[Unit, list[int]]:
    """Numbers of row groups by file, taken in the order of ``choice_hash`` until they hold ``limit`` rows."""
    groups = [
        (choice_hash(unit.file, number), unit, number) for unit, found in sizes.items() for number in range(len(found))
    ]
    chosen: dict[Unit, list[int]] = {}
    rows = 0
    for _, unit, number in sorted(groups, key=lambda group: group[0]):
        if rows < limit:
            chosen.setdefault(unit, []).append(number)
            rows += sizes[unit][number]
    return chosen


@dataclass(frozen=True, kw_only=True)
class _HubFile:
    """A file of a revision that an entry reads."""

    source: SourceFile
    commit: str
    digest: str

    @classmethod
    def at(cls, revision: Revision, wanted: Wanted, path: str, ranges: RangeParams) -> Self:
        facts = revision.files[path]
        source = SourceFile(
            wanted=wanted,
            place=f"{revision.root}/{path}",
            file=f"datasets/{revision.repo}/{path}",
            size=int(facts["size"]),
            ranges=ranges,
        )
        # Large files have the sha256 of their content, small ones the id of their git blob.
        large = facts.get("lfs")
        return cls(source=source, commit=revision.commit, digest=str(large["sha256"] if large else facts["blob_id"]))
