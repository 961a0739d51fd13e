"""The stages of a run: the facts that each one's output follows from, its folder, and how its graph is made.

Beam is imported when a graph is made (``pipelines.graphs``): a run whose stages are all there never waits for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mining.cross_encoder import CrossScorer, find_cross_encoder
from pipelines.against import Against
from pipelines.configuration.model import CurationConfig, DatasetConfig
from pipelines.configuration.show import parts
from pipelines.evaluation import EvaluationSets
from pipelines.publish import REJECTIONS
from pipelines.readmission import Wanted, by_dataset
from pipelines.reuse import Reused, dataset_key
from pipelines.teachers import TeacherGroup
from pipelines.workplace import StageFolder, Workplace
from schemas.catalog import CatalogEntry, LocatedEntry, Stage
from schemas.config import RunConfig
from schemas.readmission import Readmission
from schemas.reasons import RejectReason
from transforms.sources.opening import Plan
from transforms.sources.units import Unit

Manifest = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run knows before its first stage: its configuration, its entries and what their source holds.

    ``teachers``: those that its rows may have, at least one. ``wanted``: rows that a person wants kept, of whatever
    dataset; ``against``: published rows that these are compared with; ``accelerator``: the GPU of steps that run a
    model, where the runner fetches machines for each step; ``in_turns``: whether the runner takes one step after the
    other, so that a worker can let go of a teacher that had its turn, and no key's values are held more than once.
    """

    config: RunConfig
    params: CurationConfig
    datasets: Mapping[str, DatasetConfig]
    located: Sequence[LocatedEntry]
    plans: Mapping[str, Plan]
    evaluation: EvaluationSets
    training_datasets: Mapping[str, Sequence[str]]
    teachers: Sequence[TeacherGroup]
    workplace: Workplace
    wanted: Sequence[Wanted] = ()
    accelerator: str | None = None
    in_turns: bool = False
    against: Against = field(default_factory=Against)

    @property
    def entries(self) -> dict[str, CatalogEntry]:
        """The entries of the run by name."""
        return {located.entry.name: located.entry for located in self.located}

    @property
    def mined(self) -> frozenset[str]:
        """Datasets that get teacher scores: all but pre-training data, whose negatives are in-batch alone."""
        return mined_of(self.entries)

    @property
    def symmetric(self) -> frozenset[str]:
        """Datasets whose queries and passages are alike."""
        return frozenset(name for name, entry in self.entries.items() if entry.symmetric)

    @property
    def cross_scorers(self) -> dict[str, CrossScorer]:
        """The cross-encoders of the mined datasets that have one. Raises ConfigError for one that cannot be used."""
        named = {name: self.datasets[name].mining for name in sorted(self.mined)}
        return {
            name: CrossScorer(
                model=find_cross_encoder(mining.cross_encoder, pickled=mining.cross_pickled_weights),
                max_tokens=mining.cross_max_tokens,
                pickled=mining.cross_pickled_weights,
            )
            for name, mining in named.items()
            if mining.cross_encoder is not None
        }

    @cached_property
    def readmit(self) -> dict[str, list[str]]:
        """Ids of rows that a person wants kept, sorted, by dataset of the run."""
        return by_dataset(self.wanted, self.datasets)

    @property
    def readmission(self) -> Readmission:
        """The rows that a person wants kept, as workers know them."""
        return Readmission.of(row_id for ids in self.readmit.values() for row_id in ids)

    def teachers_of(self, name: str) -> list[TeacherGroup]:
        """The teachers that rows of a dataset may have; none for one that is not mined."""
        return [group for group in self.teachers if name in group.datasets]

    def store_of(self, group: TeacherGroup) -> str:
        """The vector store of a teacher."""
        return f"{self.workplace.work}/store/{group.teacher.key}"

    @property
    def stores(self) -> list[str]:
        """The vector stores of all teachers, each once."""
        return sorted({self.store_of(group) for group in self.teachers})

    @property
    def vectors(self) -> str:
        """The folder below which the embed stage's manifest names files: the store, or the folder of several."""
        return self.store_of(self.teachers[0]) if len(self.teachers) == 1 else f"{self.workplace.work}/store"


def mined_of(entries: Mapping[str, CatalogEntry]) -> frozenset[str]:
    """Datasets that get teacher scores: all but pre-training data, whose negatives are in-batch alone."""
    return frozenset(name for name, entry in entries.items() if entry.stage is not Stage.PRETRAIN)


Make = Callable[[Reused], Callable[[Any], None]]


@dataclass(frozen=True, kw_only=True)
class StageJob:
    """One stage of a run: its folder, how its graph is made, and how many rows it is known to read.

    ``make`` imports Beam and gives a function that adds the stage to a pipeline. ``keys``: of a stage that is kept by
    dataset, for each of them a key of what its part of the output follows from. ``units``: pieces of the sources that
    prepare reads.
    """

    folder: StageFolder
    make: Make
    expected: int | None
    facts: dict[str, Any]
    keys: Mapping[str, str] = field(default_factory=dict)
    units: int = 0

    @property
    def datasets(self) -> Sequence[str]:
        """The datasets of the stage, in order."""
        names: list[str] = self.facts["datasets"]
        return names

    @property
    def title(self) -> str:
        """What Flink's page calls its job: the stage, the dataset or how many, and the first digits of its key."""
        what = self.datasets[0] if len(self.datasets) == 1 else f"{len(self.datasets)}-datasets"
        return f"kalm-{self.folder.name}-{what}-{self.folder.key[:8]}"

    def build(self, pipeline: Any, reused: Reused | None = None) -> None:
        """Add the stage to a pipeline, for the datasets that were not taken over."""
        self.make(reused or Reused())(pipeline)


def facts_of(folder: StageFolder, run: Run, keys: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a stage's manifest says of itself."""
    facts: dict[str, Any] = {"stage": folder.name, "key": folder.key, "datasets": sorted(run.entries)}
    return facts | ({"keys": dict(keys)} if keys else {})


def prepare_job(run: Run) -> StageJob:
    """The prepare stage: keyed by entries, parameters, limit, and the digests of all source files, evaluation sets and
    published rows.
    """
    key = {
        "entries": {name: entry.model_dump(mode="json") for name, entry in run.entries.items()},
        "inputs": sorted([name, file, text] for name, plan in run.plans.items() for file, text in plan.digests.items()),
        "revisions": {name: plan.revision for name, plan in run.plans.items()},
        "limit": run.config.limit,
        "params": parts(run.params, "near", "decontaminate", "partitions"),
        "clean": {name: parts(config, "clean") for name, config in run.datasets.items()},
        "evaluation": run.evaluation.digest,
        "readmit": run.readmit,
    }
    folder = run.workplace.stage("prepare", key | run.against.facts)
    facts = facts_of(folder, run)

    def make(_: Reused) -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.prepare_graph(run, folder, facts)

    units = [unit for plan in run.plans.values() for unit in plan.units]
    return StageJob(
        folder=folder, make=make, expected=_expected(units, run.config.limit), facts=facts, units=len(units)
    )


def _expected(units: Sequence[Unit], limit: int | None) -> int | None:
    """Rows that will be read, where every unit knows its own: no number is better than one that leaves some out."""
    if limit is not None:
        return None
    rows = [unit.rows for unit in units if unit.role in ("rows", "qrels")]
    known = [number for number in rows if number is not None]
    return sum(known) if len(known) == len(rows) else None


def embed_job(run: Run, prepared: StageJob, manifest: Manifest) -> StageJob:
    """The embed stage: keyed by the prepared rows and the teachers. The store itself knows which texts it has."""
    folder = run.workplace.stage("embed", {"prepared": manifest["key"], **_teachers_of_embed(run)})
    facts = facts_of(folder, run)

    def make(_: Reused) -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.embed_graph(run, folder, prepared.folder, manifest, facts)

    return StageJob(folder=folder, make=make, expected=_kept(manifest), facts=facts)


def _teachers_of_embed(run: Run) -> dict[str, Any]:
    if len(run.teachers) == 1:
        return {"teacher": run.teachers[0].teacher.key}
    return {"teachers": [[*_rows_of(group), group.teacher.key] for group in run.teachers]}


def _rows_of(group: TeacherGroup) -> list[Any]:
    """Which rows are a teacher's, for a key."""
    return [sorted(group.share.languages), group.share.is_rest] if group.share else []


def _kept(manifest: Manifest) -> int:
    return sum(counts["kept"] for counts in manifest["counts"].values())


def mine_job(run: Run, prepared: StageJob, manifest: Manifest) -> StageJob:
    """The mine stage: by dataset, keyed by its prepared rows, its prompts, the teachers that its rows may have and its
    parameters.
    """
    parts_of, cross = _parts_by_dataset(manifest), run.cross_scorers
    keys = {
        name: dataset_key(
            "mine",
            {
                "parts": parts_of.get(name, []),
                "removed": removed_of(manifest, name) if name in run.mined else [],
                "symmetric": entry.symmetric,
                "params": parts(run.datasets[name], "mining") if name in run.mined else None,
                "near": parts(run.params, "near") if name in run.mined else None,
                "cross_encoder": cross[name].model.digest if name in cross else None,
                "readmit": run.readmit.get(name, []),
            }
            | _teachers_of_mine(run, name),
        )
        for name, entry in run.entries.items()
    }
    folder = run.workplace.stage("mine", {"datasets": keys})
    facts = facts_of(folder, run, keys)

    def make(reused: Reused) -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.mine_graph(run, folder, prepared.folder, manifest, facts, reused)

    return StageJob(folder=folder, make=make, expected=_kept(manifest), facts=facts, keys=keys)


def _teachers_of_mine(run: Run, name: str) -> dict[str, Any]:
    """What the mining of a dataset follows from of its teachers. One that is a dataset's only one is said as the only
    one of a run is: its rows are mined alike in both.
    """
    groups = list(run.teachers) if len(run.teachers) == 1 else run.teachers_of(name)
    facts = [_teacher_of_mine(group, run.entries[name]) for group in groups]
    if len(groups) == 1:
        return facts[0]
    return {"teachers": [[*_rows_of(group), fact] for group, fact in zip(groups, facts, strict=True)]}


def _teacher_of_mine(group: TeacherGroup, entry: CatalogEntry) -> dict[str, Any]:
    return {
        "teacher": group.teacher.key,
        "prompts": [group.teacher.prompt_for_query(entry.instruction), group.teacher.prompt_for_passage()],
        "languages": None if group.knows is None else sorted(group.knows),
    }


def _parts_by_dataset(manifest: Manifest) -> dict[str, list[str]]:
    """The parts of each dataset of a prepared run; they are named by what they hold."""
    found: dict[str, list[str]] = {}
    for kind in ("kept", "corpus"):
        for record in manifest["files"].get(kind, []):
            found.setdefault(record["dataset"], []).append(record["path"])
    return {name: sorted(paths) for name, paths in found.items()}


def removed_of(manifest: Manifest, dataset: str) -> list[str]:
    """The files of a dataset's rejected rows, if any is a near-duplicate: mining compares the passages of these."""
    if not manifest["counts"].get(dataset, {}).get("rejected", {}).get(RejectReason.NEAR_DUPLICATE):
        return []
    files = [record["path"] for record in manifest["files"].get(REJECTIONS, []) if record["dataset"] == dataset]
    return sorted(path for path in files if path.count("/") == 1)  # deeper ones hold what is no rejected row


def pack_job(run: Run, prepared: StageJob, mined: StageJob, manifest: Manifest) -> StageJob:
    """The pack stage: by dataset, keyed by its mined rows and by what shards take over from its entry."""
    keys = {
        name: dataset_key(
            "pack",
            {
                "mined": manifest["keys"][name],
                "place": [entry.stage.value, entry.task_type.value, entry.instruction],
                "shards": parts(run.datasets[name], "shards"),
            },
        )
        for name, entry in run.entries.items()
    }
    folder = run.workplace.stage("pack", {"datasets": keys})
    facts = facts_of(folder, run, keys)

    def make(reused: Reused) -> Callable[[Any], None]:
        from pipelines import graphs

        return graphs.pack_graph(run, folder, prepared.folder, mined.folder, manifest, facts, reused)

    return StageJob(folder=folder, make=make, expected=_kept(manifest), facts=facts, keys=keys)
