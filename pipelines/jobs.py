"""What each stage's graph is built from, and the facts that its output follows from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mining.teacher import BUNDLED, Teacher
from pipelines import embed, mine, pack, prepare
from pipelines.config import CurationConfig, num_partitions
from pipelines.evaluation import EvaluationSets
from pipelines.runners import Build
from pipelines.workplace import StageFolder, Workplace
from schemas.catalog import CatalogEntry, LocatedEntry, Stage
from schemas.config import RunConfig
from transforms.duplicates.exact import RemoveExactDuplicates
from transforms.duplicates.near import FindNearDuplicates, NearSpec
from transforms.duplicates.scopes import DedupScope
from transforms.examples.read_rows import ReadSpec
from transforms.keeping.decisions import ApplySpec
from transforms.leaks.evaluation_passages import PassageSpec
from transforms.shards.writing import PackSpec, ShardPlace, num_shards
from transforms.sources.filesystems import filesystem_of
from transforms.sources.opening import Plan
from transforms.sources.units import Unit
from transforms.text.part_texts import Prompts
from transforms.vectors.embedding import TextSpec, part_element
from transforms.vectors.mining_input import PoolSpec
from transforms.vectors.vector_store import num_store_partitions

Manifest = Mapping[str, Any]

_BYTES_PER_ROW = 512
#: What all-MiniLM-L6-v2 was trained on.
BUNDLED_LANGUAGES = frozenset({"en"})


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run knows before its first stage: its configuration, its entries and what their source holds."""

    config: RunConfig
    params: CurationConfig
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
    """One stage of a run: its folder, how its graph is built, and how many rows it is known to read."""

    folder: StageFolder
    build: Build
    expected: int | None
    datasets: int


def prepare_job(run: Run) -> StageJob:
    """The prepare stage: keyed by entries, parameters, limit, the digests of all source files and evaluation sets."""
    facts = {
        "entries": {name: entry.model_dump(mode="json") for name, entry in run.entries.items()},
        "inputs": sorted([name, file, text] for name, plan in run.plans.items() for file, text in plan.digests.items()),
        "revisions": {name: plan.revision for name, plan in run.plans.items()},
        "limit": run.config.limit,
        "params": _dump(run.params, "clean", "near", "decontaminate", "rows_per_partition"),
        "evaluation": run.evaluation.digest,
    }
    folder = run.workplace.stage("prepare", facts)
    units = [unit for plan in run.plans.values() for unit in plan.units]
    partitions = num_partitions(sum(_rows(unit) for unit in units), run.params.rows_per_partition)
    read = ReadSpec(
        entries={located.entry.name: located.model_dump_json(exclude_unset=True) for located in run.located},
        folder=folder.path,
        progress=folder.progress,
        clean=run.params.clean,
        num_partitions=partitions,
        limit=run.config.limit,
    )
    near = NearSpec(
        folder=read.parts,
        scopes=scopes_of(run),
        params=run.params.near,
        num_partitions=partitions,
        rows=_most_rows(units, run.config.limit),
    )
    caps = {name: entry.cap for name, entry in run.entries.items() if entry.cap is not None}
    job = prepare.PrepareJob(
        units=[unit.to_json() for unit in units],
        read=read,
        exact=RemoveExactDuplicates(folder=read.parts, scopes=near.scopes, num_partitions=partitions),
        near=FindNearDuplicates(near),
        apply=ApplySpec(folder=folder.path, progress=folder.progress, caps=caps, num_partitions=partitions),
        final_check=run.evaluation.check(run.params.decontaminate),
        passages=_passages(run, folder, partitions),
        facts=_facts(folder, run),
    )
    expected = _expected(units, run.config.limit)
    return StageJob(folder=folder, build=partial(prepare.build, job=job), expected=expected, datasets=len(run.located))


def _passages(run: Run, folder: StageFolder, partitions: int) -> PassageSpec:
    """How passages of evaluation sets are looked for: in as many ranges as the larger side needs."""
    needed = num_partitions(run.evaluation.num_passages, run.params.rows_per_partition)
    return PassageSpec(units=run.evaluation.corpora, folder=folder.path, num_partitions=max(partitions, needed))


def scopes_of(run: Run) -> dict[str, DedupScope]:
    """What makes rows duplicates, by dataset."""
    return {
        name: DedupScope.of(entry.task_type, priority=entry.priority, pool=entry.stage, compare=entry.compare)
        for name, entry in run.entries.items()
    }


def _most_rows(units: Sequence[Unit], limit: int | None) -> int:
    """Rows that deduplication may meet: those of each dataset, within the limit. Passages of a corpus take no part."""
    rows: dict[str, int] = {}
    for unit in units:
        if unit.role in ("rows", "qrels"):
            rows[unit.dataset] = rows.get(unit.dataset, 0) + _rows(unit)
    return sum(number if limit is None else min(number, limit) for number in rows.values())


def _expected(units: Sequence[Unit], limit: int | None) -> int | None:
    """Rows that will be read, where every unit knows its own: no number is better than one that leaves some out."""
    if limit is not None:
        return None
    rows = [unit.rows for unit in units if unit.role in ("rows", "qrels")]
    known = [number for number in rows if number is not None]
    return sum(known) if len(known) == len(rows) else None


def _rows(unit: Unit) -> int:
    """Rows of a unit: known of Parquet, guessed from the file's size elsewhere (it only sizes partitions)."""
    if unit.rows is not None:
        return unit.rows
    filesystem, inner = filesystem_of(unit.path)
    return int(filesystem.size(inner) or 0) * (4 if unit.compression else 1) // _BYTES_PER_ROW


def _facts(folder: StageFolder, run: Run) -> dict[str, Any]:
    return {"stage": folder.name, "key": folder.key, "datasets": sorted(run.entries)}


def _dump(params: CurationConfig, *names: str) -> dict[str, Any]:
    values = params.model_dump(mode="json")
    return {name: values[name] for name in names}


def texts_of(run: Run, prepared: StageFolder, manifest: Manifest, folder: StageFolder) -> TextSpec:
    """How the texts of a prepared run reach the teacher. Both sides of a symmetric task are queries."""
    queries = {name: run.teacher.prompt_for_query(entry.instruction) for name, entry in run.entries.items()}
    passages = {
        name: queries[name] if entry.symmetric else run.teacher.prompt_for_passage()
        for name, entry in run.entries.items()
    }
    rows = sum(record["rows"] for kind in ("kept", "corpus") for record in manifest["files"].get(kind, []))
    return TextSpec(
        kept=f"{prepared.path}/kept",
        corpus=f"{prepared.path}/corpus",
        mined=run.mined,
        prompts=Prompts(queries=queries, passages=passages),
        store=run.store,
        dims=run.teacher.dims,
        num_store_partitions=num_store_partitions(2 * rows),
        progress=folder.progress,
    )


def parts_of(manifest: Manifest) -> list[str]:
    """The parts of a prepared run, as they travel to their readers."""
    return [
        part_element(kind, _number(record["path"]))
        for kind in ("kept", "corpus")
        for record in manifest["files"].get(kind, [])
    ]


def _number(path: str) -> int:
    return int(path.rsplit("/", 1)[-1].removesuffix(".parquet"), 16)


def embed_job(run: Run, prepared: StageJob, manifest: Manifest) -> StageJob:
    """The embed stage: keyed by the prepared rows and the teacher."""
    folder = run.workplace.stage("embed", {"prepared": manifest["key"], "teacher": run.teacher.key})
    job = embed.EmbedJob(
        parts=parts_of(manifest),
        datasets=sorted(run.entries),
        texts=texts_of(run, prepared.folder, manifest, folder),
        encode=embed.Encode(name=_teacher_name(run.teacher), params=run.teacher.params, digest=run.teacher.digest),
        folder=folder.path,
        facts=_facts(folder, run),
    )
    return StageJob(
        folder=folder, build=partial(embed.build, job=job), expected=_kept(manifest), datasets=len(run.located)
    )


def _teacher_name(teacher: Teacher) -> str:
    """What a worker opens the teacher by: bundled weights by name, any other by the folder that was found here."""
    return teacher.name if teacher.name == BUNDLED else teacher.path


def _kept(manifest: Manifest) -> int:
    return sum(counts["kept"] for counts in manifest["counts"].values())


def mine_job(run: Run, prepared: StageJob, manifest: Manifest) -> StageJob:
    """The mine stage: keyed by the prepared rows, the teacher and the mining parameters."""
    key = {"prepared": manifest["key"], "teacher": run.teacher.key, "params": _dump(run.params, "mining")}
    key["unjudged"] = sorted(run.unjudged)
    folder = run.workplace.stage("mine", key)
    texts = texts_of(run, prepared.folder, manifest, folder)
    pools = PoolSpec(texts=texts, num_shards=_pool_shards(run, manifest), folder=folder.path)
    job = mine.MineJob(
        parts=parts_of(manifest),
        datasets=sorted(run.entries),
        pools=pools,
        params=run.params.mining,
        unjudged=run.unjudged,
        num_ranges={name: num_shards(c["kept"], 8192) for name, c in manifest["counts"].items()},
        facts=_facts(folder, run),
    )
    return StageJob(
        folder=folder, build=partial(mine.build, job=job), expected=_kept(manifest), datasets=len(run.located)
    )


def _pool_shards(run: Run, manifest: Manifest) -> dict[str, int]:
    """Pool shards of each dataset, from the passages that it has at most: its rows' and its corpus's."""
    passages = {name: counts["kept"] + counts.get("merged", 0) for name, counts in manifest["counts"].items()}
    for record in manifest["files"].get("corpus", []):
        passages[record["dataset"]] = passages.get(record["dataset"], 0) + record["rows"]
    return {name: num_shards(rows, run.params.passages_per_pool_shard) for name, rows in passages.items()}


def pack_job(run: Run, prepared: StageJob, mined: StageJob, manifest: Manifest) -> StageJob:
    """The pack stage: keyed by the mined rows and by what shards take over from the entries."""
    key = {"mined": manifest["key"], "rows_per_shard": run.params.rows_per_shard}
    folder = run.workplace.stage("pack", key)
    places = {
        name: ShardPlace(
            stage=entry.stage.value,
            task_type=entry.task_type.value,
            instruction=entry.instruction,
            num_shards=num_shards(manifest["counts"][name]["kept"], run.params.rows_per_shard),
        )
        for name, entry in run.entries.items()
        if manifest["counts"].get(name, {}).get("kept")
    }
    spec = PackSpec(
        mined=f"{mined.folder.path}/mined",
        kept=f"{prepared.folder.path}/kept",
        corpus=f"{prepared.folder.path}/corpus",
        folder=folder.path,
        places=places,
        progress=folder.progress,
    )
    parts = [str(_number(record["path"])) for record in manifest["files"].get("mined", [])]
    job = pack.PackJob(parts=parts, datasets=sorted(run.entries), pack=spec, facts=_facts(folder, run))
    return StageJob(
        folder=folder, build=partial(pack.build, job=job), expected=_kept(manifest), datasets=len(run.located)
    )
