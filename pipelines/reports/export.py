"""OUT's examples in the form of another trainer.

    kalm export OUT --format=tuples --to=tuples

``--format``: `tuples` (sentence-transformers), `flagembedding`, `tevatron`, `kalm`. Rows are read and written some
thousand at a time. The folder appears whole, when all is written; what no reader of the form could use is counted.
"""

import argparse
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.publish import open_manifest
from pipelines.reporting import report_errors
from pipelines.reports.export_formats import Example, ExportFormat, ExportParams, Form, examples, form_of
from pipelines.verb_parser import add_out, verb_parser
from pipelines.verify import shard_faults
from pipelines.workplace import absolute, shown_some
from schemas.errors import ConfigError, DamageError
from schemas.filesystems import filesystem_of
from schemas.manifest import DatasetRecord, Manifest
from transforms.flow.files import TEMPORARY_PREFIX, output_error

_ROWS_AT_ONCE = 2048


class Exported(NamedTuple):
    """What was written of a dataset: rows by file, and rows that the form has no use for."""

    dataset: str
    files: dict[str, int]
    left_out: int


def export(out: str, to: Path, params: ExportParams, category: str = "all") -> list[Exported]:
    """Write the datasets of OUT that ``category`` names (names, globs, stages, task types, with commas) below ``to``.

    ``to`` must not exist, or be empty. Raises ConfigError for what cannot be chosen or written there, DamageError where
    a shard is not as the manifest says, and OutputError where the disk is full; then nothing is left there.
    """
    manifest, place = open_manifest(out), absolute(out)
    chosen = choose(manifest, category)
    faults = shard_faults(place, manifest.model_copy(update={"datasets": chosen}))
    if faults:
        said = shown_some([f"{path} {what}" for path, what in faults.items()])
        raise DamageError(f"{said}; the command that made {out} puts it back")
    with _folder(to) as folder:
        return [_export_dataset(place, record, folder, params) for record in chosen]


def choose(manifest: Manifest, category: str) -> list[DatasetRecord]:
    """The datasets with rows that a choice names. Raises ConfigError where a part of it names none."""
    records, chosen = manifest.with_rows(), set()
    for part in category.split(","):
        found = {r.name for r in records if part == "all" or any(fnmatchcase(fact, part) for fact in _facts(r))}
        if not found:
            names = ", ".join(record.name for record in records) or "none"
            raise ConfigError(f"category {part!r} names no dataset with rows in OUT; there are {names}")
        chosen |= found
    return [record for record in records if record.name in chosen]


def _facts(record: DatasetRecord) -> tuple[str, ...]:
    return record.name, record.stage, record.task_type


@contextmanager
def _folder(to: Path) -> Iterator[Path]:
    """A folder that gets its final name when all is well, and is removed otherwise."""
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise ConfigError(f"{to} is there already; remove it, or name another folder (--to)")
    temporary = to.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(to)
    except OSError as error:
        raise output_error(str(to), error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _export_dataset(out: str, record: DatasetRecord, folder: Path, params: ExportParams) -> Exported:
    form, files, left_out = form_of(params), Counter[str](), 0
    with _Files(folder, form) as written:
        for batch in _batches(out, record):
            grouped: dict[str, list[Example]] = {}
            for example in examples(record, batch, params):
                place = form.place(record.name, example)
                if place is None:
                    left_out += 1
                else:
                    grouped.setdefault(place, []).append(example)
            for place, group in grouped.items():
                written.write(place, group)
                files[place] += len(group)
    return Exported(record.name, dict(sorted(files.items())), left_out)


def _batches(out: str, record: DatasetRecord) -> Iterator[pa.RecordBatch]:
    for shard in record.shards:
        filesystem, inner = filesystem_of(f"{out}/{shard.path}")
        with filesystem.open(inner, "rb") as source, pq.ParquetFile(source) as file:
            yield from file.iter_batches(_ROWS_AT_ONCE)


class _Files:
    """The open files of a dataset, each opened when its first rows come."""

    def __init__(self, folder: Path, form: Form) -> None:
        self._folder, self._form = folder, form
        self._stack = ExitStack()
        self._open: dict[str, Any] = {}

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *caught: Any) -> None:
        self._stack.close()

    def write(self, place: str, group: Sequence[Example]) -> None:
        """Write examples, which all have the same columns, to the end of a file."""
        records = [self._form.record(example) for example in group]
        if self._form.schema is None:
            self._lines(place).writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        else:
            schema = self._form.schema(group[0])
            self._table(place, schema).write_table(pa.Table.from_pylist(records, schema))

    def _lines(self, place: str) -> IO[str]:
        if place not in self._open:
            opened = self._path(place).open("w", encoding="utf-8", newline="\n")
            self._open[place] = self._stack.enter_context(opened)
        lines: IO[str] = self._open[place]
        return lines

    def _table(self, place: str, schema: pa.Schema) -> pq.ParquetWriter:
        if place not in self._open:
            writer = pq.ParquetWriter(self._path(place), schema, compression="zstd")
            self._open[place] = self._stack.enter_context(writer)
        return self._open[place]

    def _path(self, place: str) -> Path:
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = _parser().parse_args(argv)
    return report_errors(lambda: _run(given))


def _parser() -> argparse.ArgumentParser:
    parser = verb_parser("export", __doc__)
    add_out(parser)
    parser.add_argument("--format", required=True, choices=[form.value for form in ExportFormat])
    parser.add_argument("--to", type=Path, help="folder to write, new or empty (default: export-<format>)")
    parser.add_argument("--category", default="all", help="datasets, stages, task types or globs, with commas")
    parser.add_argument("--num_negatives", type=int, help="at most so many of each row (default: all)")
    parser.add_argument("--no_prompts", action="store_true", help="queries bare, without their instruction")
    parser.add_argument("--scores", action="store_true", help="tuples with the teacher's scores as labels")
    return parser


def _run(given: argparse.Namespace) -> None:
    try:
        params = ExportParams(
            format=ExportFormat(given.format),
            num_negatives=given.num_negatives,
            prompts=not given.no_prompts,
            scores=given.scores,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    to = given.to or Path(f"export-{given.format}")
    written = export(given.out, to, params, given.category)
    for each in written:
        for path, rows in each.files.items():
            print(f"{to / path}\t{rows}")
        if each.left_out:
            why = "not all scores are known" if params.scores else "the form has no rows without negatives"
            print(f"{each.dataset}\t{each.left_out} left out: {why}")
