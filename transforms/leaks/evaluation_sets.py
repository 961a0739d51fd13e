"""Evaluation sets in a source: which units hold their queries, judgments and passages.

A set of the catalog goes through the same planning as a dataset with a corpus, at the hub or in a directory in hub
layout. A folder of collections holds ``<set>/queries.parquet`` and, for the report, ``<set>/corpus.parquet``.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import fsspec

from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.evaluation import EvaluationSet, LocatedSet
from schemas.filesystems import filesystem_of, place_of
from transforms.sources.file_digests import file_digest
from transforms.sources.layout import Wanted
from transforms.sources.params import AS_USUAL, RangeParams
from transforms.sources.planning import Plan, Source, SourceFile, units_of
from transforms.sources.units import Role, Unit

QUERY_FILE, CORPUS_FILE = "queries.parquet", "corpus.parquet"
#: Columns of mteb's files.
ID_COLUMN, TEXT_COLUMN, JUDGED_COLUMN = "_id", "text", "query-id"


@dataclass(frozen=True, kw_only=True)
class SetPlan(Plan):
    """What reading an evaluation set comes to; without units it is absent, and ``absent`` says why.

    ``splits``: of which splits the units of a role are; a role that is read whatever its split is called has none.
    ``columns``: of rows that hold what is scored; without them there are queries and judgments. ``whole``: whether its
    texts are looked for as wholes only.
    """

    name: str
    columns: tuple[str, ...] = ()
    whole: bool = False
    splits: Mapping[Role, str] = field(default_factory=dict)

    def of(self, role: Role) -> list[Unit]:
        """The units of a role."""
        return [unit for unit in self.units if unit.role == role]


def plan_set(source: Source, located: LocatedSet) -> SetPlan:
    """The units of a set of the catalog. Raises SourceError where the source is broken or cannot be reached."""
    plans = _plans_of(source, located)
    judged = [split for split, plan in zip(located.entry.splits, plans, strict=True) if plan.units]
    there = [plan for plan in plans if plan.units]
    first = (there or plans)[0]
    return SetPlan(
        name=located.entry.name,
        place=first.place,
        revision=first.revision,
        units=tuple(dict.fromkeys(_named(unit, located.entry.name) for plan in there for unit in plan.units)),
        absent=_absent(plans),
        digests={file: text for plan in there for file, text in plan.digests.items()},
        sizes={file: size for plan in there for file, size in plan.sizes.items()},
        splits={"rows" if located.entry.columns else "qrels": ",".join(judged)},
        columns=located.entry.columns,
        whole=located.entry.whole,
    )


def _plans_of(source: Source, located: LocatedSet) -> list[Plan]:
    """A plan for each scored split. Some repositories keep all languages in one file, and name them in a column."""
    plans = [source.plan(entry) for entry in entries_of(located)]
    if located.entry.configs and not any(plan.units for plan in plans):
        whole = located.model_copy(update={"entry": located.entry.model_copy(update={"configs": ()})})
        merged = [source.plan(entry) for entry in entries_of(whole)]
        return merged if any(plan.units for plan in merged) else plans
    return plans


def _absent(plans: list[Plan]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for plan in plans for line in plan.absent))


def _named(unit: Unit, name: str) -> Unit:
    return replace(unit, dataset=name)


def entries_of(located: LocatedSet) -> Iterator[LocatedEntry]:
    """A set as entries, one for each split that is scored: where its files lie, in mteb's layout.

    Texts in rows lie in the set's configurations. Else corpus and queries lie in configurations of their own whatever
    their splits are called, judgments in ``default`` or ``qrels`` (of a language: ``de-corpus``, ``de-queries``, ``de-
    qrels``).
    """
    found = located.entry
    for split in found.splits:
        shape = _shape_of_rows(found, split) if found.columns else _shape_of_queries(found, split)
        entry = {
            "name": re.sub("[^a-z0-9]+", "-", found.name.lower()).strip("-"),
            "title": found.name,
            "stage": "finetune",
            "task_type": "retrieval",
            "languages": found.languages,
        }
        yield LocatedEntry(entry=CatalogEntry.model_validate(entry | shape), file=located.where)


def _shape_of_rows(found: EvaluationSet, split: str) -> dict[str, Any]:
    configs = {"configs": found.configs} if found.configs else {}
    source = {"hub": found.hub, "revision": found.revision, "split": split, **configs}
    return {"source": source, "adapter": "labeled", "columns": {"text": found.columns[0], "label": found.columns[0]}}


def _shape_of_queries(found: EvaluationSet, split: str) -> dict[str, Any]:
    roles = {"corpus": ("corpus", "corpus/**"), "queries": ("queries", "quer*/**"), "qrels": ("default", None)}
    if found.subsets:
        roles = {role: (f"*-{role}", "{config}/**" if role != "qrels" else None) for role in roles}
    columns = {
        "corpus": _place(*roles["corpus"], "corpus") | {"id": ID_COLUMN, "text": TEXT_COLUMN},
        "queries": _place(*roles["queries"], "queries") | {"id": ID_COLUMN, "text": TEXT_COLUMN},
        "qrels": _place(*roles["qrels"], split)
        | {"query_id": JUDGED_COLUMN, "corpus_id": "corpus-id", "score": "score"},
    }
    return {"source": {"hub": found.hub, "revision": found.revision}, "adapter": "beir", "columns": columns}


def _place(config: str, files: str | None, split: str) -> dict[str, str]:
    return {"config": config, "split": split} | ({"files": files} if files else {})


def plan_folder(
    folder: str, shown: str, *, digests: bool = True, ranges: RangeParams = AS_USUAL.ranges
) -> list[SetPlan]:
    """The sets of a folder of collections, by name: all queries of each, and its corpus where there is one.

    ``shown`` is how the folder is called, whatever machine it lies on. Without ``digests`` no content is read.
    """
    filesystem, inner = filesystem_of(folder)
    below = sorted(path.rstrip("/") for path in filesystem.ls(inner, detail=False)) if filesystem.isdir(inner) else []
    found = [path for path in below if filesystem.exists(posixpath.join(path, QUERY_FILE))]
    return [_plan_collection(filesystem, path, shown, digests, ranges) for path in found]


def _plan_collection(
    filesystem: fsspec.AbstractFileSystem, folder: str, shown: str, digests: bool, ranges: RangeParams
) -> SetPlan:
    name = posixpath.basename(folder)
    files = [_file_of("queries", filesystem, posixpath.join(folder, QUERY_FILE), ranges)]
    corpus = posixpath.join(folder, CORPUS_FILE)
    if filesystem.exists(corpus):
        files.append(_file_of("corpus", filesystem, corpus, ranges))
    return SetPlan(
        name=name,
        place=posixpath.join(shown, name),
        units=tuple(unit for file in files for unit in units_of(name, file)),
        digests={file.file: file_digest(*filesystem_of(file.place)) for file in files if digests},
        sizes={file.file: file.size for file in files},
    )


def _file_of(role: Role, filesystem: fsspec.AbstractFileSystem, path: str, ranges: RangeParams) -> SourceFile:
    place = place_of(filesystem, path)
    wanted = Wanted(role=role, config=role, split=role, files=None, where=place)
    file, size = "/".join(path.split("/")[-2:]), int(filesystem.size(path))
    return SourceFile(wanted=wanted, place=place, file=file, size=size, ranges=ranges)
