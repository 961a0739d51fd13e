"""What was published before, and what of it a run is compared with: other folders that are named, and its own OUT.

OUT keeps the datasets that a run does not make, so a category that is added later is compared with them. A dataset is
never compared with its own earlier rows in OUT, nor with datasets that came to OUT after it: those were compared with
it, and a run that is made again keeps the same rows. In which order datasets came stands in the manifest
(``generations``) and is the order in which their rows survive.

Beside what was published stands what those runs rejected once it had been compared (``pipelines.rejected_rows``).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError

from pipelines.publish import faults_of, generations_of, read_manifest
from pipelines.rejected_rows import RejectedRows, counted, find_rejected, known_files
from pipelines.workplace import absolute, digest, shown_some
from schemas.catalog import CatalogEntry
from schemas.config import explain
from schemas.errors import ConfigError, DamageError, SourceError
from schemas.manifest import OWN_OUT, VERSION, AgainstFolder, AgainstRecord, DatasetRecord, Manifest
from schemas.readmission import NOBODY, Readmission
from transforms.duplicates.params import AgainstParams
from transforms.duplicates.published import LINK, PublishedPart, rejected_parts, shard_parts
from transforms.duplicates.scopes import DedupScope
from transforms.flow.content import find_faults
from transforms.flow.files import read_json
from transforms.flow.manifests import MANIFEST

NONE = "none"
_BEFORE_ALL = -1
#: A place in the order of survival: the generation, rows of earlier runs before others, and then the dataset's own
#: priority, or of rows of earlier runs: published ones, those that went later, near-duplicates.
_Place = tuple[int, int, int]
_WENT_LATER, _LINKS = 1, 2


@dataclass(frozen=True, kw_only=True)
class Against:
    """Published rows that the rows of a run are compared with.

    ``parts``: pieces of shards. ``ranks``: whose rows survive, by dataset of the run, lowest first; they stand for the
    entries' priorities where there is anything to compare with. ``record``: what the manifest says of it. ``lacking``:
    a line for each dataset whose rejected rows cannot be compared with.
    """

    parts: Mapping[int, PublishedPart] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    record: AgainstRecord | None = None
    lacking: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows they are."""
        return sum(part.rows for part in self.parts.values())

    @property
    def facts(self) -> dict[str, Any]:
        """What the output of prepare follows from besides; nothing where there is nothing to compare with."""
        if self.record is None:
            return {}
        return {"against": {"record": _facts_of(self.record), "ranks": dict(self.ranks)}}

    @property
    def line(self) -> str | None:
        """What a run says of it."""
        return None if self.record is None else f"comparing with {told(self.record)}"

    def scopes(self, scopes: Mapping[str, DedupScope]) -> dict[str, DedupScope]:
        """The scopes of a run's datasets with their ranks."""
        return {name: replace(scope, priority=self.ranks.get(name, scope.priority)) for name, scope in scopes.items()}


def scopes_of(entries: Mapping[str, CatalogEntry]) -> dict[str, DedupScope]:
    """What makes rows duplicates, by dataset."""
    return {
        name: DedupScope.of(entry.task_type, priority=entry.priority, pool=entry.stage, compare=entry.compare)
        for name, entry in entries.items()
    }


def told(record: AgainstRecord) -> str:
    """``1,204 published rows of a, b in OUT and 20,000 published rows of c in more``, and what was rejected there."""
    places = [
        f"{folder.rows:,} published rows of {shown_some(sorted(folder.datasets))} in {folder.out}"
        + (f" (and {folder.rejected_rows:,} that it rejected after comparing them)" if folder.rejected_rows else "")
        for folder in record.folders
    ]
    return " and ".join(places)


def _facts_of(record: AgainstRecord) -> dict[str, Any]:
    """A record without what it has nothing of, so that a comparison with published rows alone is what it always was."""
    facts: dict[str, Any] = record.model_dump(mode="json", exclude_defaults=True)
    return facts


class _Folder(NamedTuple):
    """A folder of published rows: as a person knows it, where it lies, its datasets with their places in the order of
    survival, and what of each was rejected once it had been compared.
    """

    place: str
    path: str
    datasets: Mapping[str, _Place]
    records: Mapping[str, DatasetRecord]
    rejected: Mapping[str, RejectedRows] = MappingProxyType({})


def find_against(
    params: AgainstParams,
    scopes: Mapping[str, DedupScope],
    out: str,
    damaged: Mapping[str, str] | None = None,
    *,
    readmission: Readmission = NOBODY,
    check: bool = True,
) -> Against:
    """What of OUT and of the folders that are named a run over datasets with these scopes is compared with.

    ``damaged``: shards of OUT that are known not to be as its manifest says. ``readmission``: rows that are wanted now,
    for whatever they were rejected. Without ``check`` no shard is read, and rejected rows are taken to be as counted.
    Raises ConfigError for a folder that is none of ours and for an order of survival that cannot be kept, SourceError
    for a manifest that cannot be read, DamageError for a shard that is not as its manifest says.
    """
    named = _named(params, out)
    if named is None:
        return Against()
    own, generations = _own_folder(params, scopes, out)
    folders = [*(_other_folder(params, scopes, place) for place in named), own]
    folders = [folder for folder in folders if folder.records]
    if not folders:
        return Against()
    if check:
        for folder in folders:
            _require_sound(folder, _shards(folder), (damaged or {}) if folder is own else _faults(folder))
    folders = [folder._replace(rejected=_rejected(folder, check=check)) for folder in folders]
    places = {name: _new_place(params, generations[name], scope) for name, scope in scopes.items()}
    order = sorted({*places.values(), *(place for folder in folders for place in _places(folder))})
    parts: dict[int, PublishedPart] = {}
    for folder in folders:
        parts |= _parts(folder, order) | _parts_of_rejected(folder, order, readmission)
    return Against(
        parts=parts,
        ranks={name: order.index(place) for name, place in places.items()},
        record=_record(params, folders),
        lacking=tuple(_lacking_lines(folders)),
    )


def _lacking_lines(folders: Iterable[_Folder]) -> Iterator[str]:
    for folder in folders:
        for name, rejected in folder.rejected.items():
            if rejected.lacking:
                yield (
                    f"{rejected.lacking}: rows of {name} that were rejected after they had been compared cannot be "
                    "compared with, so a copy of one of them counts as new"
                )


def _named(params: AgainstParams, out: str) -> list[str] | None:
    """The folders that are named but for OUT, which is compared with in any case; None for nothing at all."""
    if params.out is None:
        return []
    words = [word.strip().rstrip("/") for word in params.out.split(",") if word.strip()]
    if not words or (NONE in words and len(words) > 1):
        raise ConfigError(f"against={params.out!r}: give {NONE} alone, or folders that runs published to, with commas")
    if words == [NONE]:
        return None
    by_path = {absolute(word): word for word in reversed(words)}
    return [word for word in words if by_path.get(absolute(word)) is word and absolute(word) != out]


def _own_folder(params: AgainstParams, scopes: Mapping[str, DedupScope], out: str) -> tuple[_Folder, dict[str, int]]:
    """The datasets of OUT that a run is compared with, and the generation of each dataset of the run."""
    manifest = read_manifest(out)
    generations, older = generations_of(manifest, scopes), {}
    for record in manifest.datasets if manifest is not None else ():
        newest = max((generations[name] for name in _comparable(record, scopes)), default=_BEFORE_ALL)
        if record.name not in scopes and _has_rows(record) and generations[record.name] <= newest:
            older[record.name] = record
    if params.priority == "entries":
        _refuse_replacing((record for record in older.values() if record.num_rows), scopes)
    places = {name: _old_place(params, generations[name], record) for name, record in older.items()}
    return _Folder(OWN_OUT, out, places, older), generations


def _refuse_replacing(older: Any, scopes: Mapping[str, DedupScope]) -> None:
    for record in older:
        first = [name for name in _comparable(record, scopes) if scopes[name].priority < record.priority]
        if first:
            raise ConfigError(
                f"against.priority=entries: rows of {shown_some(first)} come before those of {record.name}, which OUT "
                "holds and this run does not make, so that OUT would hold both. Make them together "
                f"(--category={','.join([record.name, *first])}), or take against.priority=published"
            )


def _other_folder(params: AgainstParams, scopes: Mapping[str, DedupScope], place: str) -> _Folder:
    path = absolute(place)
    manifest = _manifest_of(place, path)
    records = {
        record.name: record for record in manifest.datasets if _has_rows(record) and _comparable(record, scopes, place)
    }
    places = {name: _old_place(params, _BEFORE_ALL, record) for name, record in records.items()}
    return _Folder(place, path, places, records)


def _has_rows(record: DatasetRecord) -> bool:
    return bool(record.num_rows or counted(record))


def _manifest_of(place: str, path: str) -> Manifest:
    """The manifest of a folder that is compared with."""
    where = f"against={place}: {path}/{MANIFEST}"
    try:
        value = read_json(f"{path}/{MANIFEST}")
        if value is None:
            raise ConfigError(f"against={place}: {path} holds no {MANIFEST}: give a folder that a run published to")
        version = value.get("version", VERSION) if isinstance(value, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise SourceError(f"{where} is of version {version}, this program reads up to {VERSION}: use a newer one")
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        raise SourceError(
            f"{where} is not a manifest that this version can read ({explain(error, MANIFEST)}): it was changed, or "
            "written by a newer version"
        ) from error
    except (ValueError, RecursionError, OSError) as error:  # no JSON, not UTF-8, nested beyond measure, unreadable
        raise SourceError(f"{where} cannot be read ({error}): it is torn or damaged; make that run again") from error
    if lines := manifest.unbalanced():
        raise SourceError(f"{where} was changed, its counts do not balance: {shown_some(lines)}")
    return manifest


def _comparable(record: DatasetRecord, scopes: Mapping[str, DedupScope], place: str = OWN_OUT) -> list[str]:
    """The datasets whose rows are compared with those of a published one."""
    try:
        scope = _scope(record)
    except ValueError as error:
        raise SourceError(f"against={place}: {MANIFEST} says of {record.name}: {error}") from error
    tag = _tag(record.name, scope)
    return [name for name, own in scopes.items() if _tag(name, own) == tag]


def _scope(record: DatasetRecord, rank: int = 0) -> DedupScope:
    return DedupScope.of(record.task_type, priority=rank, pool=record.stage, compare=record.compare)


def _tag(name: str, scope: DedupScope) -> tuple[str, str, str | None]:
    return scope.compare, str(scope.pool), None if scope.across else name


def _old_place(params: AgainstParams, generation: int, record: DatasetRecord) -> _Place:
    return (generation, 0, 0) if params.priority == "published" else (record.priority, 0, 0)


def _new_place(params: AgainstParams, generation: int, scope: DedupScope) -> _Place:
    return (generation, 1, scope.priority) if params.priority == "published" else (scope.priority, 1, 0)


def _faults(folder: _Folder) -> dict[str, str]:
    return faults_of(folder.path, (shard for record in folder.records.values() for shard in record.shards))


def _shards(folder: _Folder) -> dict[str, str]:
    """The datasets of shards, by path."""
    return {shard.path: name for name, record in folder.records.items() for shard in record.shards}


def _require_sound(folder: _Folder, named: Mapping[str, str], faults: Mapping[str, str]) -> None:
    """Raise DamageError where one of the files that are named, with their datasets, has a fault."""
    wrong = {path: what for path, what in faults.items() if path in named}
    if wrong:
        names = ",".join(sorted({named[path] for path in wrong}))
        raise DamageError(
            f"new rows are compared with what was published in {folder.place}, and {folder.path} is damaged: "
            f"{shown_some([f'{path} {what}' for path, what in wrong.items()])}. The run that made it, with "
            f"CATEGORY={names}, puts it back; AGAINST={NONE} compares with nothing"
        )


def _rejected(folder: _Folder, *, check: bool) -> dict[str, RejectedRows]:
    """What the datasets of a folder rejected once it had been compared, of those that did."""
    records = {name: record for name, record in folder.records.items() if counted(record)}
    if not check:
        return {name: RejectedRows(files={folder.path: counted(record)}) for name, record in records.items()}
    files = {name: known_files(folder.path, record) for name, record in records.items()}
    faults = find_faults([file for own in files.values() for file in own])
    named = {file.shown: name for name, own in files.items() for file in own}
    _require_sound(folder, named, {fault.file.shown: fault.what for fault in faults})
    return {name: find_rejected(folder.place, record, files[name]) for name, record in records.items()}


def _places(folder: _Folder) -> Iterator[_Place]:
    """The places in the order of survival that rows of a folder have."""
    for name, record in folder.records.items():
        if record.num_rows:
            yield folder.datasets[name]
        for rows in folder.rejected[name].files.values() if name in folder.rejected else ():
            yield from (_rejected_place(folder.datasets[name], reason) for reason in rows)


def _rejected_place(place: _Place, reason: str) -> _Place:
    return (*place[:2], _LINKS if reason in LINK else _WENT_LATER)


def _parts(folder: _Folder, order: Sequence[_Place]) -> dict[int, PublishedPart]:
    found: dict[int, PublishedPart] = {}
    for name, record in folder.records.items():
        for shard in record.shards:
            found |= shard_parts(
                f"{folder.path}/{shard.path}",
                shard.sha256,
                shard.rows,
                dataset=name,
                scope=_scope(record, order.index(folder.datasets[name])),
                place=folder.place,
                by_names=_by_names(record),
            )
    return found


def _parts_of_rejected(folder: _Folder, order: Sequence[_Place], readmission: Readmission) -> dict[int, PublishedPart]:
    found: dict[int, PublishedPart] = {}
    for name, rejected in folder.rejected.items():
        place, record = folder.datasets[name], folder.records[name]
        for path, rows in rejected.files.items():
            ranks = {reason: order.index(_rejected_place(place, reason)) for reason in rows}
            found |= rejected_parts(
                path,
                rows,
                dataset=name,
                scopes={reason: _scope(record, rank) for reason, rank in ranks.items()},
                place=folder.place,
                without=readmission,
            )
    return found


def _by_names(record: DatasetRecord) -> bool:
    return record.config.get("labelled_by") == "names"


def published_digest(record: DatasetRecord) -> str:
    """A digest of what a dataset published, as far as others are compared with it."""
    shards = [[shard.sha256, shard.rows] for shard in record.shards]
    return digest([record.stage, record.task_type, record.compare, _by_names(record), shards])


def _record(params: AgainstParams, folders: Sequence[_Folder]) -> AgainstRecord:
    record = AgainstRecord(digest="", priority=params.priority, folders=[_told_of(folder) for folder in folders])
    facts = [params.priority, _facts_of(record)["folders"]]
    return record.model_copy(update={"digest": digest(facts)})


def _told_of(folder: _Folder) -> AgainstFolder:
    digests = {name: published_digest(record) for name, record in sorted(folder.records.items())}
    rejected = {name: rows for name, rows in sorted(folder.rejected.items()) if rows.rows}
    return AgainstFolder(
        out=folder.place,
        digest=digest(digests),
        rows=sum(record.num_rows for record in folder.records.values()),
        datasets=digests,
        rejected_rows=sum(rows.rows for rows in rejected.values()),
        rejected={name: rows.digest for name, rows in rejected.items()},
    )


def stale_lines(manifest: Manifest) -> Iterator[str]:
    """A line for datasets of OUT that were compared with rows of others which OUT now holds in another form."""
    now = {record.name: published_digest(record) for record in manifest.datasets}
    for record in manifest.against:
        names = [each.name for each in manifest.datasets if each.against == record.digest]
        own = {name: was for each in record.folders if each.out == OWN_OUT for name, was in each.datasets.items()}
        changed = sorted(name for name, was in own.items() if now.get(name) != was)
        if names and changed:
            yield (
                f"{shown_some(names)}: compared with rows of {shown_some(changed)} that OUT no longer holds as they "
                f"were: CATEGORY={','.join(names)} compares again"
            )
