"""Which evaluation sets a run keeps out: folders of collections, and sets of the catalog from a hub or its mirror."""

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from catalog.evaluation_sets import select_sets
from pipelines.workplace import Workplace, absolute, code_digest, digest
from schemas.config import HUB, SAMPLE, RunConfig
from schemas.errors import ConfigError, SourceError
from schemas.evaluation import PASSAGES, EvaluationCatalog
from schemas.filesystems import filesystem_of, is_local
from schemas.manifest import EVALUATION_PREFIX, EvaluationSetRecord, OverlapRecord
from schemas.rows import QUERIES
from transforms.flow.content import made_once
from transforms.flow.files import read_parquet
from transforms.leaks.evaluation_sets import QUERY_FILE, SetPlan, plan_folder, plan_set
from transforms.sources.links import refuse_links_out
from transforms.sources.opening import DATASETS, SAMPLE_ROOT, open_source
from transforms.sources.params import AS_USUAL, RangeParams, ReadingParams

NONE = "none"
#: The folder of evaluation sets in a source.
BESIDE = "eval"


@dataclass(frozen=True, kw_only=True)
class EvaluationSets:
    """The evaluation sets of a run, the file of all their queries, what is absent, and a digest of what was read."""

    plans: Sequence[SetPlan]
    queries: str | None
    absent: Sequence[tuple[str, str]]
    digest: str

    @property
    def corpora(self) -> list[str]:
        """The units of all corpora, as they travel."""
        return [unit.to_json() for plan in self.plans for unit in plan.of("corpus")]

    @property
    def num_passages(self) -> int:
        """Passages of all corpora, as far as footers tell."""
        return sum(unit.rows or 0 for plan in self.plans for unit in plan.of("corpus"))

    def records(self, found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[EvaluationSetRecord]:
        """The sets for the manifest; ``found`` is what prepare counted."""
        queries = _queries_by_set(self.queries)
        sizes = found.get("", {})
        return [
            EvaluationSetRecord(
                name=plan.name,
                source=plan.place,
                revision=plan.revision,
                queries=queries.get(plan.name, 0),
                passages=sizes.get(plan.name, {}).get(PASSAGES, 0),
            )
            for plan in self.plans
        ]


def overlap_records(found: Mapping[str, Mapping[str, int]]) -> list[OverlapRecord]:
    """What prepare counted of one training dataset, by evaluation set."""
    return [OverlapRecord.model_validate({"evaluation_set": name, **counts}) for name, counts in sorted(found.items())]


@dataclass(frozen=True, kw_only=True)
class PlannedSets:
    """The evaluation sets that a run asks for, by name, and the ``places`` where they are looked for.

    ``missing``: of those that are absent the ones that a run cannot do without, namely a set that was named exactly,
    and all where nothing that was asked for is there.
    """

    plans: Sequence[SetPlan]
    places: Sequence[str]
    missing: Sequence[SetPlan]

    @property
    def there(self) -> list[SetPlan]:
        """The sets that are kept out."""
        return [plan for plan in self.plans if plan.units]

    @property
    def absent(self) -> list[tuple[str, str]]:
        """``(evaluation/<set>, reason)`` for each thing that is not there."""
        return [(EVALUATION_PREFIX + plan.name, line) for plan in self.plans for line in plan.absent]


def plan_evaluation(
    config: RunConfig, catalog: EvaluationCatalog, *, digests: bool = True, reading: ReadingParams = AS_USUAL
) -> PlannedSets:
    """What a run would read of evaluation sets, from listings and footers alone; no content without ``digests``.

    Raises ConfigError for a word that means nothing, and SourceError where a folder holds no set.
    """
    asked = _asked(config, catalog)
    plan_of = partial(_plan_folder, digests=digests, follow_links=config.follow_links, ranges=reading.ranges)
    folders = [plan for folder in asked.folders for plan in plan_of(folder)]
    chosen, named = select_sets(catalog, asked.words)
    planned: list[SetPlan] = []
    if chosen:
        source = open_source(asked.source, digests=digests, follow_links=config.follow_links, reading=reading)
        planned = [plan_set(source, located) for located in chosen]
    there = [*folders, *(plan for plan in planned if plan.units)]
    _refuse_twins(there)
    return PlannedSets(
        plans=sorted([*folders, *planned], key=lambda plan: plan.name),
        places=[*asked.folders, *([asked.source] if planned else [])],
        missing=[plan for plan in planned if not plan.units and (plan.name in named or not there)],
    )


def open_evaluation(
    config: RunConfig, catalog: EvaluationCatalog, workplace: Workplace, reading: ReadingParams = AS_USUAL
) -> EvaluationSets:
    """The evaluation sets of a run, their queries written once below the work folder.

    Raises what ``plan_evaluation`` raises, and SourceError where a set that was named exactly is absent, or where
    nothing that was asked for is there.
    """
    planned = plan_evaluation(config, catalog, reading=reading)
    _require(planned.missing)
    plans = planned.there
    key = digest([code_digest(), {plan.name: plan.digests for plan in plans}])
    queries = _write_queries(plans, f"{workplace.work}/evaluation/{key}") if plans else None
    return EvaluationSets(plans=plans, queries=queries, absent=planned.absent, digest=key)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What ``--evaluation`` says: folders of collections, words for sets of the catalog, and where these are read."""

    folders: tuple[str, ...]
    words: tuple[str, ...]
    source: str


def _asked(config: RunConfig, catalog: EvaluationCatalog) -> _Asked:
    value = config.evaluation
    if value is None:
        beside = _beside(config.source)
        return _Asked(folders=(beside,) if beside else (), words=(), source=config.source)
    words = [value] if _is_folder(value) else [word for part in value.split(",") if (word := part.strip())]
    if not words or (NONE in words and len(words) > 1):
        raise ConfigError(f"--evaluation={value!r}: give {NONE} alone, or folders and evaluation sets with commas")
    if words == [NONE]:
        return _Asked(folders=(), words=(), source=config.source)
    folders = [word for word in words if _names_folder(word, catalog)]
    places = [word for word in words if word == HUB] + [folder for folder in folders if _holds(folder, DATASETS)]
    if len(places) > 1:
        raise ConfigError(f"--evaluation={value}: sets are read from one place, not from {' and '.join(places)}")
    names = [word for word in words if word not in folders and word != HUB]
    return _Asked(
        folders=tuple(folder for folder in folders if folder not in places),
        words=tuple(names or (["*"] if places else [])),
        source=places[0] if places else config.source,
    )


def _names_folder(word: str, catalog: EvaluationCatalog) -> bool:
    known = word in catalog.sets or word in catalog.benchmarks or word == HUB
    return not known and ("/" in word or _is_folder(word))


def _is_folder(word: str) -> bool:
    return "://" not in word and Path(word).expanduser().is_dir()


def _holds(folder: str, name: str) -> bool:
    filesystem, inner = filesystem_of(absolute(folder))
    return bool(filesystem.isdir(posixpath.join(inner, name)))


def _beside(source: str) -> str | None:
    """The folder ``eval`` of the sample or a directory, if it has one."""
    return f"{source.rstrip('/')}/{BESIDE}" if source != HUB and _holds(_root(source), BESIDE) else None


def _root(source: str) -> str:
    return str(SAMPLE_ROOT) if source == SAMPLE else source


def _plan_folder(folder: str, *, digests: bool, follow_links: bool, ranges: RangeParams) -> list[SetPlan]:
    place = str(SAMPLE_ROOT / BESIDE) if folder == f"{SAMPLE}/{BESIDE}" else folder
    plans = plan_folder(absolute(place), folder, digests=digests, ranges=ranges)
    if not plans:
        raise SourceError(
            f"--evaluation={folder}: no <set>/{QUERY_FILE} below it; give a folder of evaluation sets in BEIR layout "
            "(<set>/queries.parquet with the columns _id and text), or a directory in hub layout"
        )
    filesystem, root = filesystem_of(absolute(place))
    if is_local(filesystem) and not follow_links:
        refuse_links_out(str(Path(root).resolve()), (unit.path for plan in plans for unit in plan.units), folder)
    return plans


def _require(missing: Sequence[SetPlan]) -> None:
    if missing:
        lines = [f"evaluation set {plan.name}: {line}" for plan in missing for line in plan.absent]
        raise SourceError("\n".join([*lines, "EVALUATION=none keeps nothing out"]))


def _refuse_twins(plans: Sequence[SetPlan]) -> None:
    places: dict[str, str] = {}
    for plan in plans:
        if plan.name in places:
            raise ConfigError(
                f"--evaluation: the name {plan.name} stands for {places[plan.name]} and for {plan.place}; rename one"
            )
        places[plan.name] = plan.place


def _write_queries(plans: Sequence[SetPlan], stem: str) -> str:
    """All queries in one file, named by what they were read from and what it holds: written once."""

    def make() -> Any:
        import pyarrow as pa

        from transforms.leaks.evaluation_texts import read_queries  # and with it all readers

        return pa.concat_tables([QUERIES.empty_table(), *map(read_queries, plans)])

    return made_once(stem, make)


def _queries_by_set(path: str | None) -> dict[str, int]:
    if path is None:
        return {}
    return Counter(read_parquet(path, ["evaluation_set"]).column(0).to_pylist())
