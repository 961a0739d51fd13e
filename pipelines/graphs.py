"""What each stage's graph is built from; here Beam and all steps are imported."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import apache_beam as beam

from mining.beam import MiningSpec
from mining.rescoring import CrossCheck
from mining.teacher import BUNDLED
from pipelines import embed, mine, pack, prepare
from pipelines.against import scopes_of
from pipelines.engines.dataflow import accelerator_hint
from pipelines.jobs import Run, removed_of
from pipelines.publish import REJECTIONS
from pipelines.ranges import num_partitions
from pipelines.reuse import Reused
from pipelines.steps import branch_label
from pipelines.teachers import TeacherGroup
from pipelines.workplace import StageFolder
from schemas.filesystems import filesystem_of
from schemas.vectors import num_store_partitions
from transforms.duplicates.exact import RemoveExactDuplicates
from transforms.duplicates.near import FindNearDuplicates, NearSpec
from transforms.examples.read_rows import ReadSpec
from transforms.keeping.decisions import ApplySpec
from transforms.leaks.evaluation_passages import PassageSpec
from transforms.leaks.leak_check import LeakCheck
from transforms.shards.writing import PackSpec, ShardPlace, num_shards
from transforms.sources.units import Unit
from transforms.text.part_texts import Prompts
from transforms.text.texts_at import PartTexts
from transforms.vectors.embedding import TextSpec, part_element
from transforms.vectors.mining_input import PoolSpec
from transforms.vectors.near_passages import NearPassageSpec, removed_element

Manifest = Mapping[str, Any]
Build = Callable[[beam.Pipeline], None]

_BYTES_PER_ROW = 512
#: Rows that come together under one key where an engine holds these in memory more than once, some MB: a shard of
#: 20,000 rows with seven negatives is 80 to 400 MB, which would pass Flink's heap and its channels several times over.
_ROWS_PER_PIECE, _BARE_ROWS_PER_PIECE = 512, 8192


def prepare_graph(run: Run, folder: StageFolder, facts: dict[str, Any]) -> Build:
    """The graph of prepare."""
    units = [unit for plan in run.plans.values() for unit in plan.units]
    rows = sum(_rows(unit) for unit in units) + run.against.rows
    partitions = num_partitions(rows, run.params.partitions.rows_per_partition)
    read = ReadSpec(
        entries={located.entry.name: located.model_dump_json(exclude_unset=True) for located in run.located},
        folder=folder.path,
        progress=folder.progress,
        clean={name: config.clean for name, config in run.datasets.items()},
        num_partitions=partitions,
        limit=run.config.limit,
        readmission=run.readmission,
    )
    apply = ApplySpec(
        folder=folder.path,
        progress=folder.progress,
        caps={name: entry.cap for name, entry in run.entries.items() if entry.cap is not None},
        num_partitions=partitions,
        readmission=run.readmission,
        published=run.against.parts,
    )
    near = _near(run, read.parts, partitions, units)
    job = prepare.PrepareJob(
        units=[unit.to_json() for unit in units],
        read=read,
        exact=_exact(run, near),
        near=FindNearDuplicates(near),
        apply=apply,
        final_check=_leak_check(run),
        passages=_passages(run, folder, partitions),
        facts=facts,
        published=near.published,
    )
    return partial(prepare.build, job=job)


def _near(run: Run, parts: str, partitions: int, units: Sequence[Unit]) -> NearSpec:
    """Among which rows near-duplicates are sought: those of the run and published ones."""
    return NearSpec(
        folder=parts,
        scopes=run.against.scopes(scopes_of(run.entries)),
        params=run.params.near,
        num_partitions=partitions,
        rows=_most_rows(units, run.config.limit) + run.against.rows,
        published=run.against.parts,
    )


def _exact(run: Run, near: NearSpec) -> RemoveExactDuplicates:
    """Exact duplicates are sought where near ones are, and among the same rows."""
    return RemoveExactDuplicates(
        folder=near.folder,
        scopes=near.scopes,
        num_partitions=near.num_partitions,
        readmission=run.readmission,
        published=near.published,
    )


def _leak_check(run: Run) -> LeakCheck | None:
    """The check that prepare makes on surviving rows; None where no evaluation set was given."""
    queries = run.evaluation.queries
    return LeakCheck(queries=queries, params=run.params.decontaminate) if queries else None


def _passages(run: Run, folder: StageFolder, partitions: int) -> PassageSpec:
    """How passages of evaluation sets are looked for: in as many ranges as the larger side needs."""
    needed = num_partitions(run.evaluation.num_passages, run.params.partitions.rows_per_partition)
    return PassageSpec(units=run.evaluation.corpora, folder=folder.path, num_partitions=max(partitions, needed))


def _most_rows(units: Sequence[Unit], limit: int | None) -> int:
    """Rows that deduplication may meet: those of each dataset, within the limit. Passages of a corpus take no part."""
    rows: dict[str, int] = {}
    for unit in units:
        if unit.role in ("rows", "qrels"):
            rows[unit.dataset] = rows.get(unit.dataset, 0) + _rows(unit)
    return sum(number if limit is None else min(number, limit) for number in rows.values())


def _rows(unit: Unit) -> int:
    """Rows of a unit: known of Parquet, guessed from the file's size elsewhere (it only sizes partitions)."""
    if unit.rows is not None:
        return unit.rows
    filesystem, inner = filesystem_of(unit.path)
    return int(filesystem.size(inner) or 0) * (4 if unit.compression else 1) // _BYTES_PER_ROW


def texts_of(run: Run, prepared: StageFolder, manifest: Manifest, folder: StageFolder, group: TeacherGroup) -> TextSpec:
    """How the texts of a prepared run reach a teacher."""
    mined = run.mined if group.share is None else group.datasets
    prompts = {name: group.prompts(entry) for name, entry in run.entries.items()}
    rows = sum(record["rows"] for kind in ("kept", "corpus") for record in manifest["files"].get(kind, []))
    return TextSpec(
        kept=f"{prepared.path}/kept",
        corpus=f"{prepared.path}/corpus",
        mined=mined,
        prompts=Prompts(
            queries={name: query for name, (query, _) in prompts.items()},
            passages={name: passage for name, (_, passage) in prompts.items()},
        ),
        store=run.store_of(group),
        dims=group.teacher.dims,
        num_store_partitions=num_store_partitions(2 * rows),
        progress=folder.progress,
        share=group.share,
        prefix=f"{group.teacher.key}/" if group.share else "",
    )


def _read_by(run: Run, group: TeacherGroup, datasets: Collection[str]) -> list[str]:
    """The datasets, of some, whose parts are read for a teacher: those that may have rows of it. What is not mined
    passes with the first.
    """
    if group.share is None:
        return sorted(datasets)
    unmined = set(run.entries) - run.mined if group is run.teachers[0] else set()
    return sorted(set(datasets) & (group.datasets | unmined))


def _labels(run: Run) -> list[str]:
    """What the steps of each teacher are called, where there are several (``steps`` reads it)."""
    return [branch_label(n, len(run.teachers), group.words) for n, group in enumerate(run.teachers, 1)]


def parts_of(manifest: Manifest, datasets: Collection[str]) -> list[str]:
    """The parts of some datasets of a prepared run, as they travel to their readers."""
    return [
        part_element(kind, _number(record["path"]))
        for kind in ("kept", "corpus")
        for record in manifest["files"].get(kind, [])
        if record["dataset"] in datasets
    ]


def _number(path: str) -> int:
    return int(path.rsplit("/", 1)[-1].removesuffix(".parquet"), 16)


def embed_graph(
    run: Run, folder: StageFolder, prepared: StageFolder, manifest: Manifest, facts: dict[str, Any]
) -> Build:
    """The graph of embed."""
    jobs = [
        embed.EmbedJob(
            parts=parts_of(manifest, _read_by(run, group, run.entries)),
            datasets=sorted(run.entries),
            texts=texts_of(run, prepared, manifest, folder, group),
            encode=encode_of(run, group),
            folder=folder.path,
            facts=facts,
            accelerator=accelerator_hint(run.accelerator),
        )
        for group in run.teachers
    ]
    if len(jobs) == 1:
        return partial(embed.build, job=jobs[0])
    return partial(embed.build_branches, jobs=dict(zip(_labels(run), jobs, strict=True)))


def encode_of(run: Run, group: TeacherGroup) -> embed.Encode:
    """How a worker asks a teacher; it opens bundled weights by name, any other by the folder found here."""
    teacher = group.teacher
    path = teacher.name if teacher.name == BUNDLED else teacher.path
    journal = f"{run.store_of(group)}/asked" if run.workplace.is_local else None
    alone = run.in_turns and len(run.teachers) > 1
    return embed.Encode(
        name=teacher.name, path=path, params=teacher.params, digest=teacher.digest, journal=journal, alone=alone
    )


def mine_graph(
    run: Run, folder: StageFolder, prepared: StageFolder, manifest: Manifest, facts: dict[str, Any], reused: Reused
) -> Build:
    """The graph of mine, for the datasets that no earlier run has mined so."""
    datasets = reused.rest(run.entries)
    own = facts | reused.facts()
    jobs = [_mine_job(run, manifest, datasets, group, prepared, folder, own) for group in run.teachers]
    if len(jobs) == 1:
        return partial(mine.build, job=jobs[0])
    return partial(mine.build_branches, jobs=dict(zip(_labels(run), jobs, strict=True)))


def _mine_job(
    run: Run,
    manifest: Manifest,
    datasets: Sequence[str],
    group: TeacherGroup,
    prepared: StageFolder,
    folder: StageFolder,
    facts: dict[str, Any],
) -> mine.MineJob:
    """What is mined with one teacher."""
    texts = texts_of(run, prepared, manifest, folder, group)
    checks, own = _cross_checks(run, texts), _read_by(run, group, datasets)
    return mine.MineJob(
        parts=parts_of(manifest, own),
        removed=[removed_element(path) for name in own if name in run.mined for path in removed_of(manifest, name)],
        datasets=datasets,
        pools=PoolSpec(texts=texts, num_shards=_pool_shards(run, manifest), folder=folder.path),
        near=NearPassageSpec(
            texts=texts,
            params=run.params.near,
            symmetric=run.symmetric,
            passages=sum(_passages_of(manifest).values()),
            rejections=f"{prepared.path}/{REJECTIONS}",
        ),
        mining=_mining(run, manifest, group, checks),
        facts=facts,
        accelerator=accelerator_hint(run.accelerator) if checks else None,
    )


def _mining(run: Run, manifest: Manifest, group: TeacherGroup, checks: Mapping[str, CrossCheck]) -> MiningSpec:
    return MiningSpec(
        num_ranges={name: num_shards(c["kept"], 8192) for name, c in manifest["counts"].items()},
        default=run.params.mining,
        params={name: config.mining for name, config in run.datasets.items()},
        symmetric=run.symmetric,
        languages=group.knows,
        checks=checks,
        readmission=run.readmission,
    )


def _cross_checks(run: Run, texts: TextSpec) -> dict[str, CrossCheck]:
    """How the cross-encoders of datasets are asked."""
    parts = PartTexts(kept=texts.kept, corpus=texts.corpus)
    return {name: CrossCheck(score=scorer, texts=parts) for name, scorer in run.cross_scorers.items()}


def _pool_shards(run: Run, manifest: Manifest) -> dict[str, int]:
    """Pool shards of each dataset, from the passages that it has at most."""
    per_shard = run.params.partitions.passages_per_pool_shard
    return {name: num_shards(rows, per_shard) for name, rows in _passages_of(manifest).items()}


def _passages_of(manifest: Manifest) -> dict[str, int]:
    """The passages that each dataset has at most: its rows' and its corpus's."""
    passages = {name: counts["kept"] + counts.get("merged", 0) for name, counts in manifest["counts"].items()}
    for record in manifest["files"].get("corpus", []):
        passages[record["dataset"]] = passages.get(record["dataset"], 0) + record["rows"]
    return passages


def pieces_of(rows: int, rows_per_shard: int, mined: bool) -> int:
    """Pieces of each of the shards that so many rows of a dataset make; ``mined``: whether they have negatives."""
    rows_per_piece = _ROWS_PER_PIECE if mined else _BARE_ROWS_PER_PIECE
    return num_shards(-(-rows // num_shards(rows, rows_per_shard)), rows_per_piece)


def _pieces(run: Run, name: str, rows: int) -> int:
    return pieces_of(rows, run.datasets[name].shards.rows_per_shard, name in run.mined)


def pack_graph(
    run: Run,
    folder: StageFolder,
    prepared: StageFolder,
    mined: StageFolder,
    manifest: Manifest,
    facts: dict[str, Any],
    reused: Reused,
) -> Build:
    """The graph of pack, for the datasets that no earlier run has packed so."""
    datasets = reused.rest(run.entries)
    kept = {name: counts["kept"] for name, counts in manifest["counts"].items()}
    places = {
        name: ShardPlace(
            stage=entry.stage.value,
            task_type=entry.task_type.value,
            instruction=entry.instruction,
            num_shards=num_shards(kept[name], run.datasets[name].shards.rows_per_shard),
            num_pieces=1 if run.in_turns else _pieces(run, name, kept[name]),
        )
        for name, entry in run.entries.items()
        if name in datasets and kept.get(name)
    }
    spec = PackSpec(
        mined=f"{mined.path}/mined",
        kept=f"{prepared.path}/kept",
        corpus=f"{prepared.path}/corpus",
        folder=folder.path,
        places=places,
        progress=folder.progress,
    )
    mined_parts = [record for record in manifest["files"].get("mined", []) if record["dataset"] in datasets]
    parts = [str(_number(record["path"])) for record in mined_parts]
    job = pack.PackJob(parts=parts, datasets=datasets, pack=spec, facts=facts | reused.facts())
    return partial(pack.build, job=job)
