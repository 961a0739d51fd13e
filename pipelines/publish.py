"""From stage folders to OUT: shards and rejections under their final names, and the manifest that says so, written
last.

A dataset that is replaced is first taken out of the manifest, so that at every moment the manifest names only files
that are there as it says. Other datasets of OUT stay: a second category adds to a first.
"""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.workplace import Workplace, absolute, shown_some
from schemas.catalog import Stage
from schemas.config import explain
from schemas.content_names import is_named_by_content
from schemas.errors import ConfigError, OutputError
from schemas.filesystems import filesystem_of, is_local
from schemas.manifest import (
    EVALUATION_PREFIX,
    AbsentRecord,
    AgainstRecord,
    DatasetRecord,
    DocumentRecord,
    EvaluationSetRecord,
    Manifest,
    ShardRecord,
    StageCounts,
)
from transforms.flow.content import KnownFile, find_faults
from transforms.flow.files import TEMPORARY_PREFIX, output_error, publish, read_json, write_json
from transforms.flow.manifests import MANIFEST
from transforms.flow.stores import ask

STAGES = ("prepare", "embed", "mine", "pack")
REJECTIONS = "rejections"


#: Files that are copied at a time within a store.
_CONNECTIONS = 8
_SHARD_NAME = re.compile(r"part-\d{5}-of-\d{5}\.parquet")


def clear_unnamed(out: str) -> None:
    """Remove shards below OUT that its manifest does not name: those of a run that was cut off while it published."""
    manifest = read_manifest(out)
    named = {shard.path for record in manifest.datasets for shard in record.shards} if manifest else set()
    filesystem, root = filesystem_of(out)
    for stage in Stage:
        for path in filesystem.glob(f"{root}/{stage.value}/*/*/part-*.parquet"):
            below = path[len(root) :].lstrip("/")
            if below not in named and _SHARD_NAME.fullmatch(path.rsplit("/", 1)[-1]):
                filesystem.rm_file(path)


def merged_records(records: Sequence[DatasetRecord], manifests: Mapping[str, Mapping[str, Any]]) -> list[DatasetRecord]:
    """The datasets' records with the counts of every stage and the shards of the last."""
    shards: dict[str, list[ShardRecord]] = {}
    for item in manifests["pack"]["files"].get("shards", []):
        shard = ShardRecord(path=item["path"], rows=item["rows"], sha256=item["sha256"])
        shards.setdefault(item["dataset"], []).append(shard)
    return [
        record.model_copy(
            update={
                "stages": {
                    stage: StageCounts.model_validate(manifests[stage]["counts"][record.name])
                    for stage in STAGES
                    if record.name in manifests[stage]["counts"]
                },
                "shards": shards.get(record.name, []),
            }
        )
        for record in records
    ]


def read_manifest(out: str) -> Manifest | None:
    """OUT's manifest, or None where there is none yet. Raises OutputError for one that is not ours."""
    path = f"{out}/{MANIFEST}"
    try:
        value = read_json(path)
        return None if value is None else Manifest.model_validate(value)
    except (ValueError, RecursionError) as error:  # of pydantic, of json, and for text that is not UTF-8
        why = explain(error, path) if isinstance(error, ValidationError) else str(error)
        raise OutputError(
            f"{path} is not a manifest that this version can read ({why}); move it away or choose another OUT=<folder>"
        ) from error


def open_manifest(out: str) -> Manifest:
    """The manifest of an OUT as a person named it. Raises ConfigError where there is none, OutputError as above."""
    place = absolute(out)
    manifest = read_manifest(place)
    if manifest is None:
        raise ConfigError(f"{place} holds no {MANIFEST}: give the folder that a run was given as OUT")
    return manifest


def write_manifest(out: str, manifest: Manifest) -> Manifest:
    """Write OUT's manifest, after all that it names; gives it back."""
    write_json(f"{out}/{MANIFEST}", manifest.model_dump(mode="json"))
    return manifest


def renew_document(out: str, name: str, write: Callable[[str, Manifest], list[DocumentRecord]]) -> list[DocumentRecord]:
    """Write one document of OUT anew from its manifest, which then names it; gives what was written. While a run has
    OUT it is locked. Raises as ``open_manifest``.
    """
    place = absolute(out)
    with Workplace(place, None).locked():
        manifest = open_manifest(out)
        rest = [document for document in manifest.documents if document.path != name]
        written = write(place, manifest)
        write_manifest(place, manifest.model_copy(update={"documents": rest + written}))
    return written


def faults_of(out: str, records: Iterable[ShardRecord | DocumentRecord], *, download: bool = False) -> dict[str, str]:
    """What is wrong with files that OUT's manifest names with their sha256, by path; ``download`` as of
    ``find_faults``.
    """
    files = [KnownFile(path=f"{out}/{each.path}", shown=each.path, sha256=each.sha256) for each in records]
    return {fault.file.shown: fault.what for fault in find_faults(files, download=download)}


def named_files(out: str, folder: str) -> list[str]:
    """Our files below a folder of OUT, by their paths below OUT."""
    filesystem, root = filesystem_of(out)
    if not filesystem.isdir(f"{root}/{folder}"):
        return []
    paths = (path[len(root) :].lstrip("/") for path in filesystem.find(f"{root}/{folder}"))
    return sorted(path for path in paths if is_named_by_content(path.rsplit("/", 1)[-1]))


def rejection_files(out: str, dataset: str) -> list[str]:
    """Our files of rejected rows of a dataset; what lies in folders below is no row."""
    folder = f"{REJECTIONS}/{dataset}"
    return [f"{out}/{path}" for path in named_files(out, folder) if "/" not in path.removeprefix(f"{folder}/")]


def publish_run(
    out: str,
    manifest: Manifest,
    folders: Mapping[str, str],
    stage_manifests: Mapping[str, Any],
    damaged: Mapping[str, str] | None = None,
    say: Callable[[str], object] = str,
    documents: Callable[[str, Manifest], list[DocumentRecord]] = lambda out, manifest: [],
    check_held: Callable[[], object] = lambda: None,
) -> Manifest:
    """Put a run's files in place and merge its manifest into OUT's. Idempotent; gives the manifest that OUT then
    has.

    ``damaged``: shards below OUT that are known not to be as the manifest says, with what is wrong. What is put back is
    told to ``say``. ``documents`` writes what is made from the manifest of all OUT and gives what that is to name.
    ``check_held`` raises, before anything is changed, where OUT is not this run's any more.
    """
    check_held()
    before = read_manifest(out)
    files = _files(manifest, folders, stage_manifests)
    if before is not None and _same_files(before, manifest):
        faults = _faults(out, files, damaged or {})
        if not faults:
            return _write_last(out, before, _merge(before, manifest), documents)
        say(f"damaged in OUT: {shown_some(faults)}; put back")
    names = {record.name for record in manifest.datasets}
    replaced = [record for record in before.datasets if record.name in names] if before is not None else []
    if before is not None and replaced:
        rest = [record for record in before.datasets if record.name not in names]
        write_manifest(out, before.model_copy(update={"datasets": rest, "documents": []}))
    for record in [*replaced, *manifest.datasets]:
        check_held()
        _remove(f"{out}/{REJECTIONS}/{record.name}")
        _remove(f"{out}/{record.stage}/{record.task_type}/{record.name}")
    _place_all(out, files, check_held)
    check_held()
    return _write_last(out, None, _merge(before, manifest), documents)


def _place_all(out: str, files: Mapping[str, str], check_held: Callable[[], object]) -> None:
    """Give files their names below OUT; side by side in a store, where each takes a round trip."""

    def placed(path: str) -> None:
        check_held()
        place(files[path], f"{out}/{path}")

    if is_local(filesystem_of(out)[0]):
        for path in files:
            placed(path)
        return
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for _ in pool.map(placed, files):
            pass


def _files(manifest: Manifest, folders: Mapping[str, str], stage_manifests: Mapping[str, Any]) -> dict[str, str]:
    """Every file of a run by its path below OUT, with the place where its stage left it."""
    shards = [shard.path for record in manifest.datasets for shard in record.shards]
    files = {path: f"{folders['pack']}/{path}" for path in shards}
    for stage in STAGES:
        for item in stage_manifests[stage]["files"].get("rejections", []):
            path = f"{REJECTIONS}/{item['path']}"
            files[path] = f"{folders[stage]}/{path}"
    return files


def _write_last(
    out: str, before: Manifest | None, manifest: Manifest, documents: Callable[[str, Manifest], list[DocumentRecord]]
) -> Manifest:
    """Write the documents and then the manifest that names them, unless ``before`` says the same and they are there."""
    is_same = before is not None and manifest.model_copy(update={"documents": before.documents}) == before
    if before is not None and is_same and not faults_of(out, before.documents):
        return before
    return write_manifest(out, manifest.model_copy(update={"documents": documents(out, manifest)}))


def _merge(before: Manifest | None, manifest: Manifest) -> Manifest:
    names = {record.name for record in manifest.datasets}
    if before is None:
        return manifest.model_copy(update={"generations": generations_of(None, names)})
    others = [record for record in before.datasets if record.name not in names]
    there = {EVALUATION_PREFIX + record.name for record in manifest.evaluation_sets}
    asked = names | there | {record.name for record in manifest.absent}
    absent = [*(record for record in before.absent if record.name not in asked), *manifest.absent]
    datasets = sorted([*others, *manifest.datasets], key=lambda record: record.name)
    return manifest.model_copy(
        update={
            "datasets": datasets,
            "absent": sorted(absent, key=lambda record: (record.name, record.detail)),
            "evaluation_sets": _merged_sets(before, manifest, {name for record in others for name in record.checked}),
            "training_datasets": training_datasets(datasets),
            "generations": generations_of(before, names),
            "against": _merged_against(before, manifest, {record.against for record in datasets}),
        }
    )


def generations_of(before: Manifest | None, names: Iterable[str]) -> dict[str, int]:
    """When each dataset came to OUT; those of ``names`` that are new come now and are of one generation.

    One that came before this was recorded is of the first generation. One that is taken out of the manifest while it is
    replaced keeps its own.
    """
    known = {} if before is None else {record.name: 0 for record in before.datasets} | before.generations
    return dict(sorted((dict.fromkeys(names, max(known.values(), default=-1) + 1) | known).items()))


def _merged_against(before: Manifest, manifest: Manifest, used: Collection[str | None]) -> list[AgainstRecord]:
    every = {record.digest: record for record in [*before.against, *manifest.against]}
    return [record for name, record in sorted(every.items()) if name in used]


def _merged_sets(before: Manifest, manifest: Manifest, used: Collection[str]) -> list[EvaluationSetRecord]:
    """The sets of this run, and those of earlier ones that datasets which stay were compared with."""
    new = {record.name: record for record in manifest.evaluation_sets}
    old = {record.name: record for record in before.evaluation_sets if record.name in used}
    return [(old | new)[name] for name in sorted(old | new)]


def training_datasets(records: Iterable[DatasetRecord]) -> list[str]:
    """What a model card declares: mteb's names of all datasets that have rows in shards."""
    return sorted({name for record in records if record.shards for name in record.training_datasets})


def _same_files(before: Manifest, manifest: Manifest) -> bool:
    there = {record.name: record for record in before.datasets}
    return all(there.get(record.name) == record for record in manifest.datasets)


def _faults(out: str, paths: Iterable[str], damaged: Mapping[str, str]) -> list[str]:
    """The files that are gone or damaged, each with what is wrong; rejections hold what their names say."""
    rejections = [KnownFile(path=f"{out}/{path}", shown=path) for path in paths if path.startswith(f"{REJECTIONS}/")]
    filesystem, root = filesystem_of(out)
    shards = {path: damaged.get(path, "is gone") for path in paths if not path.startswith(f"{REJECTIONS}/")}
    wrong = [
        f"{path} {what}" for path, what in shards.items() if path in damaged or not filesystem.exists(f"{root}/{path}")
    ]
    return [*wrong, *map(str, find_faults(rejections))]


def _remove(place: str) -> None:
    filesystem, inner = filesystem_of(place)
    if filesystem.exists(inner):
        filesystem.rm(inner, recursive=True)


def place(source: str, target: str) -> None:
    """Give a stage's file its final name: a hard link where possible (no second copy), else a copy and a rename; in a
    store it appears whole.
    """
    filesystem, inner = filesystem_of(target)
    if not is_local(filesystem):
        _copy_to_store(source, target)
        return
    try:
        _place_here(source, Path(inner))
    except OSError as error:
        raise output_error(target, error) from error


def _place_here(source: str, path: Path) -> None:
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        _copy_here(source, temporary)
    os.replace(temporary, path)


def _copy_here(source: str, path: Path) -> None:
    origin, found = filesystem_of(source)
    if is_local(origin):
        shutil.copyfile(found, path)
    else:
        ask(f"reading {source}", lambda: origin.get_file(found, str(path)))


def _copy_to_store(source: str, target: str) -> None:
    """Within a store as that does it best, without the bytes coming here; else whole, in one object."""
    (origin, found), (filesystem, inner) = filesystem_of(source), filesystem_of(target)
    if origin == filesystem:
        ask(f"copying {source} to {target}", lambda: filesystem.cp_file(found, inner))
    elif is_local(origin):
        ask(f"writing {target}", lambda: filesystem.put_file(found, inner))
    else:
        publish(target, ask(f"reading {source}", lambda: origin.cat_file(found)))


def absent_records(absent: Iterable[tuple[str, str]]) -> list[AbsentRecord]:
    """What was asked for and is not there, by name."""
    return [AbsentRecord(name=name, detail=detail) for name, detail in sorted(set(absent))]
