"""Evaluation sets in a source: which units hold their queries, judgments and passages, and reading them.

A set of the catalog goes through the same planning as a dataset with a corpus, at the hub or in a directory in hub
layout. A folder of collections holds ``<set>/queries.parquet`` and, for the report, ``<set>/corpus.parquet``.
"""

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.core import url_to_fs

from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import SourceError
from schemas.evaluation import EvaluationSet, LocatedSet
from schemas.rows import QUERIES
from transforms.cleaning.normalise import normalise_texts
from transforms.sources.file_digests import file_digest
from transforms.sources.filesystems import filesystem_of, place_of
from transforms.sources.layout import Wanted
from transforms.sources.planning import Plan, Source, SourceFile, units_of
from transforms.sources.readers import read_unit
from transforms.sources.readers.parquet import read_footer
from transforms.sources.units import Role, Unit

QUERY_FILE, CORPUS_FILE = "queries.parquet", "corpus.parquet"
_ID, _OTHER_ID, _TEXT, _TITLE, _JUDGED = "_id", "id", "text", "title", "query-id"


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
        "corpus": _place(*roles["corpus"], "corpus") | {"id": _ID, "text": _TEXT},
        "queries": _place(*roles["queries"], "queries") | {"id": _ID, "text": _TEXT},
        "qrels": _place(*roles["qrels"], split) | {"query_id": _JUDGED, "corpus_id": "corpus-id", "score": "score"},
    }
    return {"source": {"hub": found.hub, "revision": found.revision}, "adapter": "beir", "columns": columns}


def _place(config: str, files: str | None, split: str) -> dict[str, str]:
    return {"config": config, "split": split} | ({"files": files} if files else {})


def plan_folder(folder: str, shown: str, *, digests: bool = True) -> list[SetPlan]:
    """The sets of a folder of collections, by name: all queries of each, and its corpus where there is one.

    ``shown`` is how the folder is called, whatever machine it lies on. Without ``digests`` no content is read.
    """
    filesystem, inner = url_to_fs(folder)
    below = sorted(path.rstrip("/") for path in filesystem.ls(inner, detail=False)) if filesystem.isdir(inner) else []
    found = [path for path in below if filesystem.exists(posixpath.join(path, QUERY_FILE))]
    return [_plan_collection(filesystem, path, shown, digests) for path in found]


def _plan_collection(filesystem: fsspec.AbstractFileSystem, folder: str, shown: str, digests: bool) -> SetPlan:
    name = posixpath.basename(folder)
    files = [_file_of("queries", filesystem, posixpath.join(folder, QUERY_FILE))]
    corpus = posixpath.join(folder, CORPUS_FILE)
    if filesystem.exists(corpus):
        files.append(_file_of("corpus", filesystem, corpus))
    return SetPlan(
        name=name,
        place=posixpath.join(shown, name),
        units=tuple(unit for file in files for unit in units_of(name, file)),
        digests={file.file: file_digest(*filesystem_of(file.place)) for file in files if digests},
        sizes={file.file: file.size for file in files},
    )


def _file_of(role: Role, filesystem: fsspec.AbstractFileSystem, path: str) -> SourceFile:
    place = place_of(filesystem, path)
    wanted = Wanted(role=role, config=role, split=role, files=None, where=place)
    return SourceFile(wanted=wanted, place=place, file="/".join(path.split("/")[-2:]), size=int(filesystem.size(path)))


def read_queries(plan: SetPlan) -> pa.Table:
    """QUERIES of a set: the texts of its columns, else those that its judgments name, else all of its queries.

    Raises SourceError for a file that is damaged or has other columns, and where no query is judged.
    """
    if plan.columns:
        texts = [text for unit in plan.of("rows") for text in _row_texts(unit, plan.columns)]
    else:
        judged = set(_judged(plan.of("qrels"))) if plan.of("qrels") else None
        found = [text for unit in plan.of("queries") for text in _query_texts(unit, judged)]
        if judged is not None and not found:
            raise SourceError(f"evaluation set {plan.name}: {plan.place}: none of its queries is judged; is it whole?")
        texts = [pa.array(found, pa.string())]
    own = normalise_texts(pa.chunked_array(texts, pa.string()).combine_chunks())
    return pa.table([pa.repeat(plan.name, len(own)), own, pa.repeat(plan.whole, len(own))], schema=QUERIES)


def _row_texts(unit: Unit, patterns: Sequence[str]) -> Iterator[pa.Array]:
    """The texts of the columns that some globs name, each once in its batch."""
    known = column_names(unit) if unit.format == "parquet" else frozenset(patterns)
    wanted = sorted(name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns))
    if not wanted:
        raise SourceError(
            f"evaluation set {unit.dataset}: {unit.path} has no column {' or '.join(patterns)}; it has "
            f"{', '.join(sorted(known))}"
        )
    for raw in read_unit(unit, dict.fromkeys(wanted, unit.path)):
        for name in wanted:
            texts = raw.rows.column(name)
            while pa.types.is_list(texts.type) or pa.types.is_large_list(texts.type):
                texts = pc.list_flatten(texts)
            said = pc.drop_null(_strings(texts)).unique()
            yield said.filter(pc.not_equal(said, ""))


def _judged(units: Collection[Unit]) -> Iterator[tuple[str, str]]:
    """``(language or nothing, query id)`` of every judgment."""
    for unit in units:
        for raw in read_unit(unit, {_JUDGED: unit.path}):
            yield from ((_subset(unit), key) for key in _strings(raw.rows.column(_JUDGED)).unique().to_pylist() if key)


def _query_texts(unit: Unit, judged: Collection[tuple[str, str]] | None) -> Iterator[str]:
    names = column_names(unit)
    id_column = _OTHER_ID if _ID not in names and _OTHER_ID in names else _ID
    wanted = (_TEXT,) if judged is None else (id_column, _TEXT)
    for raw in read_unit(unit, dict.fromkeys(wanted, unit.path)):
        texts = _strings(raw.rows.column(_TEXT)).to_pylist()
        ids = texts if judged is None else _strings(raw.rows.column(id_column)).to_pylist()
        for key, text in zip(ids, texts, strict=True):
            if text and (judged is None or (_subset(unit), key) in judged):
                yield text


def _subset(unit: Unit) -> str:
    """``de`` for ``de-queries``, nothing for ``queries``."""
    return unit.config.rpartition("-")[0]


def column_names(unit: Unit) -> frozenset[str]:
    """Columns of a unit's file, as far as they are known without reading it: of other formats those of BEIR."""
    if unit.format != "parquet":
        return frozenset({_ID, _TITLE, _TEXT})
    return frozenset(read_footer(unit.path).schema.to_arrow_schema().names)


def _strings(values: pa.Array) -> pa.Array:
    return pc.cast(values, pa.string())


def read_passages(unit: Unit) -> Iterator[tuple[pa.Array, list[pa.Array]]]:
    """Batches of a corpus: numbers of its passages in their file, and the texts by which each is known.

    A passage is known by its text, and by its title and text together where it has a title.
    """
    has_title = _TITLE in column_names(unit)
    for raw in read_unit(unit, dict.fromkeys([_TEXT, *([_TITLE] if has_title else [])], unit.path)):
        texts = _normalised(raw.rows, _TEXT)
        known = [texts]
        if has_title:
            titled = pc.binary_join_element_wise(_normalised(raw.rows, _TITLE), texts, "\n")
            known.append(pc.utf8_trim_whitespace(titled))
        yield raw.numbers, known


def _normalised(rows: pa.RecordBatch, column: str) -> pa.Array:
    return normalise_texts(pc.fill_null(_strings(rows.column(column)), ""))
