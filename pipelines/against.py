"""What was published before, and what of it a run is compared with: other folders that are named, and its own OUT.

OUT keeps the datasets that a run does not make, so a category that is added later is compared with them. A dataset is
never compared with its own earlier rows in OUT, nor with datasets that came to OUT after it: those were compared with
it, and a run that is made again keeps the same rows. In which order datasets came stands in the manifest
(``generations``) and is the order in which their rows survive.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from pipelines.publish import faults_of, generations_of, read_manifest
from pipelines.workplace import absolute, digest, shown_some
from schemas.catalog import CatalogEntry
from schemas.config import explain
from schemas.errors import ConfigError, DamageError, SourceError
from schemas.manifest import OWN_OUT, VERSION, AgainstFolder, AgainstRecord, DatasetRecord, Manifest
from transforms.duplicates.params import AgainstParams
from transforms.duplicates.published import PublishedPart, shard_parts
from transforms.duplicates.scopes import DedupScope
from transforms.flow.files import read_json
from transforms.flow.manifests import MANIFEST

NONE = "none"
_BEFORE_ALL = -1
#: A place in the order of survival: the generation, published rows before others, the dataset's own priority.
_Place = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Against:
    """Published rows that the rows of a run are compared with.

    ``parts``: pieces of shards. ``ranks``: whose rows survive, by dataset of the run, lowest first; they stand for the
    entries' priorities where there is anything to compare with. ``record``: what the manifest says of it.
    """

    parts: Mapping[int, PublishedPart] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    record: AgainstRecord | None = None

    @property
    def rows(self) -> int:
        """How many rows they are."""
        return sum(part.rows for part in self.parts.values())

    @property
    def facts(self) -> dict[str, Any]:
        """What the output of prepare follows from besides; nothing where there is nothing to compare with."""
        if self.record is None:
            return {}
        return {"against": {"record": self.record.model_dump(mode="json"), "ranks": dict(self.ranks)}}

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
    """``1,204 published rows of 3 datasets in OUT and 20,000 of 2 datasets in more/``."""
    places = [
        f"{folder.rows:,} published rows of {shown_some(sorted(folder.datasets))} in {folder.out}"
        for folder in record.folders
    ]
    return " and ".join(places)


class _Folder(NamedTuple):
    """A folder of published rows: as a person knows it, where it lies, and its datasets with their places in the order
    of survival.
    """

    place: str
    path: str
    datasets: Mapping[str, _Place]
    records: Mapping[str, DatasetRecord]


def find_against(
    params: AgainstParams,
    scopes: Mapping[str, DedupScope],
    out: str,
    damaged: Mapping[str, str] | None = None,
    *,
    check: bool = True,
) -> Against:
    """What of OUT and of the folders that are named a run over datasets with these scopes is compared with.

    ``damaged``: shards of OUT that are known not to be as its manifest says. Without ``check`` no shard is read.
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
            _require_sound(folder, (damaged or {}) if folder is own else _faults(folder))
    places = {name: _new_place(params, generations[name], scope) for name, scope in scopes.items()}
    order = sorted({*places.values(), *(place for folder in folders for place in folder.datasets.values())})
    parts = {number: part for folder in folders for number, part in _parts(folder, order).items()}
    return Against(
        parts=parts,
        ranks={name: order.index(place) for name, place in places.items()},
        record=_record(params, folders),
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
        if record.name not in scopes and record.num_rows and generations[record.name] <= newest:
            older[record.name] = record
    if params.priority == "entries":
        _refuse_replacing(older.values(), scopes)
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
        record.name: record for record in manifest.datasets if record.num_rows and _comparable(record, scopes, place)
    }
    places = {name: _old_place(params, _BEFORE_ALL, record) for name, record in records.items()}
    return _Folder(place, path, places, records)


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


def _require_sound(folder: _Folder, faults: Mapping[str, str]) -> None:
    named = {shard.path: name for name, record in folder.records.items() for shard in record.shards}
    wrong = {path: what for path, what in faults.items() if path in named}
    if wrong:
        names = ",".join(sorted({named[path] for path in wrong}))
        raise DamageError(
            f"new rows are compared with what was published in {folder.place}, and {folder.path} is damaged: "
            f"{shown_some([f'{path} {what}' for path, what in wrong.items()])}. The run that made it, with "
            f"CATEGORY={names}, puts it back; AGAINST={NONE} compares with nothing"
        )


def _parts(folder: _Folder, order: Sequence[_Place]) -> dict[int, PublishedPart]:
    found: dict[int, PublishedPart] = {}
    for name, record in folder.records.items():
        scope = _scope(record, order.index(folder.datasets[name]))
        for shard in record.shards:
            found |= shard_parts(
                f"{folder.path}/{shard.path}",
                shard.sha256,
                shard.rows,
                dataset=name,
                scope=scope,
                place=folder.place,
                by_names=_by_names(record),
            )
    return found


def _by_names(record: DatasetRecord) -> bool:
    return record.config.get("labelled_by") == "names"


def published_digest(record: DatasetRecord) -> str:
    """A digest of what a dataset published, as far as others are compared with it."""
    shards = [[shard.sha256, shard.rows] for shard in record.shards]
    return digest([record.stage, record.task_type, record.compare, _by_names(record), shards])


def _record(params: AgainstParams, folders: Sequence[_Folder]) -> AgainstRecord:
    told_of = []
    for folder in folders:
        digests = {name: published_digest(record) for name, record in sorted(folder.records.items())}
        rows = sum(record.num_rows for record in folder.records.values())
        told_of.append(AgainstFolder(out=folder.place, digest=digest(digests), rows=rows, datasets=digests))
    facts = [params.priority, [each.model_dump(mode="json") for each in told_of]]
    return AgainstRecord(digest=digest(facts), priority=params.priority, folders=told_of)


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
