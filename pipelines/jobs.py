"""The stages of a run: the facts that each one's output follows from, its folder, and how its graph is made.

Beam is imported when a graph is made (``pipelines.graphs``): a run whose stages are all there never waits for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mining.teacher import BUNDLED, Teacher
from pipelines.configuration.model import CurationConfig, DatasetConfig
from pipelines.configuration.show import parts
from pipelines.evaluation import EvaluationSets
from pipelines.workplace import StageFolder, Workplace
from schemas.catalog import CatalogEntry, LocatedEntry, Stage
from schemas.config import RunConfig
from transforms.duplicates.scopes import DedupScope
from transforms.sources.opening import Plan
from transforms.sources.units import Unit

Manifest = Mapping[str, Any]

#: What all-MiniLM-L6-v2 was trained on.
BUNDLED_LANGUAGES = frozenset({"en"})


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run knows before its first stage: its configuration, its entries and what their source holds."""

    config: RunConfig
    params: CurationConfig
    datasets: Mapping[str, DatasetConfig]
    located: Sequence[LocatedEntry]
    plans: Mapping[str, Plan]
    evaluation: EvaluationSets
    training_datasets: Mapping[str, Sequence[str]]
    teacher: Teacher
    workplace: Workplace

    @property
    def entries(self) -> dict[str, CatalogEntry]:
        """The entries of the run by name."""
        return {located.entry.name: located.entry for located in self.located}

    @property
    def mined(self) -> frozenset[str]:
        """Datasets that get teacher scores: all but pre-training data, whose negatives are in-batch alone."""
        return frozenset(name for name, entry in self.entries.items() if entry.stage is not Stage.PRETRAIN)

    @property
    def unjudged(self) -> frozenset[str]:
        """Datasets with a language that the teacher does not know: its low ranks are no reason to drop their rows."""
        given = self.config.teacher_languages
        words = {word.strip() for word in given.split(",")} if given else None
        known = words or (BUNDLED_LANGUAGES if self.teacher.name == BUNDLED else None)
        if known is None:
            return frozenset()
        return frozenset(name for name, entry in self.entries.items() if not known.issuperset(entry.languages))

    @property
    def store(self) -> str:
        """The vector store of the teacher."""
        return f"{self.workplace.work}/store/{self.teacher.key}"


@dataclass(frozen=True, kw_only=True)
class StageJob:
    """One stage of a run: its folder, how its graph is made, and how many rows it is known to read.

    ``make`` imports Beam and gives a function that adds the stage to a pipeline.
    """

    folder: StageFolder
    make: Callable[[], Callable[[Any], None]]
    expected: int | None
    datasets: int

    def build(self, pipeline: Any) -> None:
        """Add the stage to a pipeline."""
        self.make()(pipeline)


def prepare_job(run: Run) -> StageJob:
    """The prepare stage: keyed by entries, parameters, limit, the digests of all source files and evaluation sets."""
    facts = {
        "entries": {name: entry.model_dump(mode="json") for name, entry in run.entries.items()},
        "inputs": sorted([name, file, text] for name, plan in run.plans.items() for file, text in plan.digests.items()),
        "revisions": {name: plan.revision for name, plan in run.plans.items()},
        "limit": run.config.limit,
        "params": parts(run.params, "near", "decontaminate", "partitions"),
        "clean": {name: parts(config, "clean") for name, config in run.datasets.items()},
        "evaluation": run.evaluation.digest,
    }
    folder = run.workplace.stage("prepare", facts)

    def make() -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.prepare_graph(run, folder)

    units = [unit for plan in run.plans.values() for unit in plan.units]
    return StageJob(folder=folder, make=make, expected=_expected(units, run.config.limit), datasets=len(run.located))


def scopes_of(run: Run) -> dict[str, DedupScope]:
    """What makes rows duplicates, by dataset."""
    return {
        name: DedupScope.of(entry.task_type, priority=entry.priority, pool=entry.stage, compare=entry.compare)
        for name, entry in run.entries.items()
    }


def _expected(units: Sequence[Unit], limit: int | None) -> int | None:
    """Rows that will be read, where every unit knows its own: no number is better than one that leaves some out."""
    if limit is not None:
        return None
    rows = [unit.rows for unit in units if unit.role in ("rows", "qrels")]
    known = [number for number in rows if number is not None]
    return sum(known) if len(known) == len(rows) else None


def embed_job(run: Run, prepared: StageJob, manifest: Manifest) -> StageJob:
    """The embed stage: keyed by the prepared rows and the teacher."""
    folder = run.workplace.stage("embed", {"prepared": manifest["key"], "teacher": run.teacher.key})

    def make() -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.embed_graph(run, folder, prepared.folder, manifest)

    return StageJob(folder=folder, make=make, expected=_kept(manifest), datasets=len(run.located))


def _kept(manifest: Manifest) -> int:
    return sum(counts["kept"] for counts in manifest["counts"].values())


def mine_job(run: Run, prepared: StageJob, manifest: Manifest) -> StageJob:
    """The mine stage: keyed by the prepared rows, the teacher and the mining parameters of each dataset."""
    key = {
        "prepared": manifest["key"],
        "teacher": run.teacher.key,
        "params": {name: parts(config, "mining") for name, config in run.datasets.items() if name in run.mined},
        "passages_per_pool_shard": run.params.partitions.passages_per_pool_shard,
        "unjudged": sorted(run.unjudged),
    }
    folder = run.workplace.stage("mine", key)

    def make() -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.mine_graph(run, folder, prepared.folder, manifest)

    return StageJob(folder=folder, make=make, expected=_kept(manifest), datasets=len(run.located))


def pack_job(run: Run, prepared: StageJob, mined: StageJob, manifest: Manifest) -> StageJob:
    """The pack stage: keyed by the mined rows and by what shards take over from the entries."""
    rows = {name: config.shards.rows_per_shard for name, config in run.datasets.items()}
    folder = run.workplace.stage("pack", {"mined": manifest["key"], "rows_per_shard": rows})

    def make() -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.pack_graph(run, folder, prepared.folder, mined.folder, manifest)

    return StageJob(folder=folder, make=make, expected=_kept(manifest), datasets=len(run.located))
