"""Shards as training data: the manifest says which files, the one prompt template says what an encoder sees."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from schemas.config import explain
from schemas.errors import OutputError, SourceError
from schemas.manifest import VERSION, DatasetRecord, Manifest, ShardRecord
from schemas.prompt import TEMPLATE, format_prompt
from schemas.rows import fields_hash
from trainer.rows import SCHEMA, Rows, map_batches

_ROWS_AT_ONCE = 8192
#: What holds texts, or nothing at all.
_TEXTS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_null,
)
_COLUMNS = [field.name for field in SCHEMA if field.name not in ("dataset", "prompt")] + ["instruction"]


def read_manifest(path: Path) -> Manifest:
    """The manifest of curated data.

    Raises SourceError where there is none, where it is not ours or of another version, where it lists a dataset or a
    shard twice, and where its prompt template is not the one that training puts before queries.
    """
    protocol = path.parts[0] if path.parts else ""
    if protocol in ("s3:", "s3a:", "gs:", "gcs:"):
        raise SourceError(
            f"{protocol}//{'/'.join(path.parts[1:])} lies in an object store, and training reads its rows many times: "
            "copy what was curated to this machine (aws s3 sync, gcloud storage rsync) and give that folder as OUT"
        )
    if not path.is_file():
        raise SourceError(
            f"no manifest at {path}: curate first (make curate CATEGORY=retrieval), or name the folder that was "
            "curated into (make train OUT=<folder>, or --manifest=<file>)"
        )
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        why = explain(error, str(path)) if isinstance(error, ValidationError) else str(error)
        raise SourceError(f"{path} is not a manifest that this version can read; curate again: {why}") from error
    for what, found, ours in (
        ("version", manifest.version, VERSION),
        ("prompt_template", manifest.prompt_template, TEMPLATE),
    ):
        if found != ours:
            raise SourceError(
                f"{path} has {what} {found!r}, but this version trains with {ours!r}; another version of this "
                "project curated it: train with that one, or curate again"
            )
    _refuse_twice(path, manifest)
    return manifest


def _refuse_twice(path: Path, manifest: Manifest) -> None:
    """Raises SourceError for a dataset or a shard that is listed twice: its rows would be trained on twice."""
    shards = (shard.path for record in manifest.datasets for shard in record.shards)
    for what, names in (("dataset", (record.name for record in manifest.datasets)), ("shard", shards)):
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise SourceError(
                f"{path} lists the {what} {twice[0]} twice, so its rows would be trained on twice; the file was joined "
                "or changed by hand: take one of the two out, or curate again"
            )


def open_rows(manifest: Manifest, folder: Path, scratch: Path, stage: str | None = None) -> Rows:
    """The examples of the datasets of a stage (of all, for None), mapped from a nameless file in ``scratch``.

    Raises SourceError where a shard is gone or is not the file that the manifest names, where a row has no positive,
    and where there are no rows; OutputError where ``scratch`` cannot hold them.
    """
    records = manifest.with_rows(stage)
    if not records:
        raise _nothing(manifest, folder, stage)
    batches = (batch for number, record in enumerate(records) for batch in _read(number, record, folder))
    try:
        mapped, keys = map_batches(scratch / "rows.arrow", batches)
    except OSError as error:
        raise OutputError(
            f"cannot write the training examples to {scratch}: {error}; about as much room is needed as the shards "
            "take unpacked: make room, or choose another disk (--output=<folder>)"
        ) from error
    told = sum(record.num_rows for record in records)
    if sum(map(len, mapped)) != told:
        raise SourceError(
            f"the shards in {folder} hold {sum(map(len, mapped))} rows, but the manifest says {told}; it was changed "
            "by hand, or is not of these shards: curate again"
        )
    digests = [shard.sha256 for record in records for shard in record.shards]
    return Rows(
        batches=mapped,
        starts=np.cumsum([0, *(len(batch) for batch in mapped)]),
        names=[record.name for record in records],
        symmetric=[record.symmetric for record in records],
        sizes=[record.num_rows for record in records],
        keys=keys,
        digest=fields_hash([*(record.name for record in records), *digests]).hex(),
    )


def _nothing(manifest: Manifest, folder: Path, stage: str | None) -> SourceError:
    names = ", ".join(record.name for record in manifest.datasets) or "no dataset"
    others = sorted({record.stage for record in manifest.with_rows()})
    if others:
        return SourceError(
            f"the manifest in {folder} has no rows for stage {stage}, but for {', '.join(others)}: curate datasets of "
            f"that stage (make curate CATEGORY={stage}), or train another (make train STAGE={others[0]})"
        )
    return SourceError(
        f"the manifest in {folder} has no shard with rows, so there is nothing to train on (it names {names}); "
        "curate more data, and see its counts for why rows were rejected"
    )


def _read(number: int, record: DatasetRecord, folder: Path) -> Iterator[pa.RecordBatch]:
    for shard in record.shards:
        path = folder / shard.path
        _check(path, shard, folder)
        try:
            with pq.ParquetFile(path) as file:
                _refuse_numbers(file.schema_arrow)
                row = 0
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=_COLUMNS):
                    numbered = _numbered(number, batch)
                    _refuse_lacking(record.name, path, row, numbered)
                    row += len(batch)
                    yield numbered
        except (pa.ArrowException, KeyError) as error:
            raise SourceError(
                f"dataset {record.name}: {path} is no shard that this version can read ({error}), though it is the "
                "file that the manifest names; it was not made by this project, or by another version: curate again"
            ) from error


def _refuse_numbers(schema: pa.Schema) -> None:
    """Raises ArrowTypeError for a column of texts that holds something else, which a cast would turn into texts."""
    for name in ("query", "instruction", "positives", "negatives", "label", "cluster_id"):
        kind = schema.field(name).type
        while hasattr(kind, "value_type"):  # a list, or a dictionary of texts
            kind = kind.value_type
        if not any(is_kind(kind) for is_kind in _TEXTS):
            raise pa.ArrowTypeError(f"its column {name} holds {kind}, not text")


def _refuse_lacking(name: str, path: Path, first: int, batch: pa.RecordBatch) -> None:
    """Raises SourceError for the first row that lacks what every example has. ``first``: the batch's first row."""
    for what, lacking in _lacking(batch):
        if pc.any(lacking).as_py():
            row = first + pc.index(lacking, True).as_py()
            raise SourceError(
                f"dataset {name}: row {row} of {path} has {what}, as no example may; curate the dataset again"
            )


def _lacking(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.BooleanArray]]:
    """What rows may lack, in words, and which rows do; a row may have no negatives, but not no list of them."""
    yield "no query", pc.is_null(batch.column("query"))
    for name in ("positives", "negatives", "positive_scores", "negative_scores"):
        yield f"no list of {name.replace('_', ' ')}", pc.is_null(batch.column(name))
    yield "no positive", pc.equal(pc.list_value_length(batch.column("positives")), 0)
    for name in ("positives", "negatives"):
        texts = batch.column(name)
        empty = pc.unique(pc.list_parent_indices(texts).filter(pc.is_null(pc.list_flatten(texts))))
        yield f"a cell without a text among its {name}", pc.is_in(pa.array(range(len(batch)), pa.int64()), empty)


def _check(path: Path, shard: ShardRecord, folder: Path) -> None:
    if not path.is_file():
        raise SourceError(f"{path} is gone, but the manifest names it as a shard; curate again into {folder}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != shard.sha256:
        raise SourceError(
            f"{path} has sha256 {digest}, but the manifest says {shard.sha256}; the file was changed, or not copied "
            f"whole: copy it again, or curate again into {folder}"
        )


def _numbered(number: int, batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in _COLUMNS}
    columns["prompt"] = _prompts_of(columns.pop("instruction"))
    columns["dataset"] = pa.repeat(number, len(batch))
    return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA)


def _prompts_of(instructions: pa.Array) -> pa.Array:
    distinct = pc.unique(instructions)
    filled = pa.array([format_prompt(instruction) for instruction in distinct.to_pylist()], pa.string())
    return filled.take(pc.index_in(instructions, value_set=distinct))
