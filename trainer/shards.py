"""Shards as training data: the manifest says which files, the one prompt template says what an encoder sees."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset
from pydantic import ValidationError

from schemas.catalog import TaskType
from schemas.config import explain
from schemas.errors import SourceError
from schemas.manifest import VERSION, DatasetRecord, Manifest, ShardRecord
from schemas.prompt import TEMPLATE, format_prompt
from schemas.rows import fields_hash

_COLUMNS = ["instruction", "query", "positives", "negatives"]


def read_manifest(path: Path) -> Manifest:
    """The manifest of curated data.

    Raises SourceError where there is none, where it is not ours or of another version, and where its prompt template is
    not the one that training puts before queries.
    """
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
    return manifest


def training_datasets(manifest: Manifest, folder: Path, max_negatives: int) -> dict[str, Dataset]:
    """Datasets for sentence-transformers' trainer, keyed ``name/negatives``.

    Columns are ``anchor``, ``positive`` and ``negative_1 .. negative_n``, texts with their prompts. A batch needs the
    same number of negatives throughout, so a dataset's rows are told apart by how many they have (at most
    ``max_negatives``, the first ones); no row is dropped. A row with several positives trains on the first.

    Raises SourceError where a shard is gone or is not the file that the manifest names, and where there are no rows.
    """
    found: dict[str, Dataset] = {}
    for record in with_rows(manifest):
        for num_negatives, rows in by_negatives(_read(record, folder), max_negatives):
            columns = to_columns(rows, num_negatives, record.symmetric)
            # Without one, `datasets` would pickle and hash the whole table to make a fingerprint.
            mark = fields_hash([*(shard.sha256 for shard in record.shards), str(num_negatives), str(max_negatives)])
            found[f"{record.name}/{num_negatives}"] = Dataset(columns, fingerprint=mark.hex())
    if not found:
        names = ", ".join(record.name for record in manifest.datasets) or "no dataset"
        raise SourceError(
            f"the manifest in {folder} has no shard with rows, so there is nothing to train on (it names {names}); "
            "curate more data, and see its counts for why rows were rejected"
        )
    return found


def with_rows(manifest: Manifest) -> list[DatasetRecord]:
    """The datasets of which at least one row was packed."""
    return [record for record in manifest.datasets if _num_rows(record)]


def prompts(records: Sequence[DatasetRecord]) -> dict[str, str]:
    """Prompts that a trained model carries, by the name that ``encode(..., prompt_name=...)`` takes.

    Each dataset's instruction stands under its name. ``query`` is that of the largest retrieval dataset (the largest of
    any kind where there is none), for ``encode_query``; passages (``document``) have none.
    """
    largest = max(records, key=lambda record: (record.task_type == TaskType.RETRIEVAL, _num_rows(record)))
    named = {record.name: format_prompt(record.instruction) for record in records}
    return named | {"query": format_prompt(largest.instruction), "document": ""}


def _num_rows(record: DatasetRecord) -> int:
    return sum(shard.rows for shard in record.shards)


def _read(record: DatasetRecord, folder: Path) -> pa.Table:
    rows = pa.concat_tables([_read_shard(shard, folder) for shard in record.shards])
    if pc.any(pc.equal(pc.list_value_length(rows.column("positives")), 0)).as_py():
        raise SourceError(
            f"dataset {record.name}: a row of its shards in {folder} has no positive, and every example needs one; "
            "curate the dataset again"
        )
    return rows


def _read_shard(shard: ShardRecord, folder: Path) -> pa.Table:
    path = folder / shard.path
    if not path.is_file():
        raise SourceError(f"{path} is gone, but the manifest names it as a shard; curate again into {folder}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != shard.sha256:
        raise SourceError(
            f"{path} has sha256 {digest}, but the manifest says {shard.sha256}; the file was changed, or not copied "
            f"whole: copy it again, or curate again into {folder}"
        )
    return pq.read_table(path, columns=_COLUMNS)


def by_negatives(rows: pa.Table, max_negatives: int) -> Iterator[tuple[int, pa.Table]]:
    """Rows told apart by their number of negatives, most first; numbers above ``max_negatives`` count as it."""
    numbers = pc.min_element_wise(pc.list_value_length(rows.column("negatives")), max_negatives)
    for number in sorted(pc.unique(numbers).to_pylist(), reverse=True):
        yield number, rows.filter(pc.equal(numbers, number))


def to_columns(rows: pa.Table, num_negatives: int, symmetric: bool) -> pa.Table:
    """Texts as the encoder sees them: the prompt before queries, and before every text of a symmetric task.

    Source: KaLM-Embedding's training data and evaluation prompts; passages carry no instruction.
    """
    prompts = _prompts_of(rows.column("instruction"))
    columns = {"anchor": pc.binary_join_element_wise(prompts, rows.column("query"), "")}
    texts = {"positive": pc.list_element(rows.column("positives"), 0)}
    texts |= {f"negative_{i + 1}": pc.list_element(rows.column("negatives"), i) for i in range(num_negatives)}
    for name, values in texts.items():
        columns[name] = pc.binary_join_element_wise(prompts, values, "") if symmetric else values
    return pa.table(columns)


def _prompts_of(instructions: pa.ChunkedArray) -> pa.ChunkedArray:
    distinct = pc.unique(instructions)
    filled = pa.array([format_prompt(instruction) for instruction in distinct.to_pylist()], pa.string())
    return filled.take(pc.index_in(instructions, value_set=distinct))


def sample_texts(datasets: Iterable[Dataset], rows: int) -> Iterator[str]:
    """The texts of the first ``rows`` rows of each dataset, in order."""
    for dataset in datasets:
        for texts in dataset[:rows].values():
            yield from texts
