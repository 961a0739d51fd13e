"""What the peers are given: the same rows, texts, queries and passages as the stages, in plain Parquet files.

``python -m benchmarks._inputs rows|texts|pairs FOLDER ROWS [flags of curate]``; ``ROWS``: source rows that are wanted.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._measure import tell
from benchmarks._stage import completed
from pipelines.curate import plan
from pipelines.graphs import parts_of, texts_of
from pipelines.jobs import Run, prepare_job
from pipelines.options import parse
from pipelines.workplace import Workplace
from schemas.catalog import Adapter
from schemas.vectors import unique_by
from transforms.examples.adapters.source import source_columns
from transforms.text.part_texts import AS_PASSAGE, POSITIVES
from transforms.vectors.embedding import read_texts


def source_rows(run: Run, folder: Path, wanted: int) -> dict[str, Any]:
    """About ``wanted`` source rows, one in every so many of each Parquet file: mapped columns that hold plain texts."""
    tables = list(_tables(run))
    step = max(1, sum(len(rows) for _, rows in tables) // wanted)
    for number, (name, rows) in enumerate(tables):
        every = rows.take(pa.array(range(0, len(rows), step)))
        pq.write_table(every, folder / f"{number:04d}-{name}.parquet")
    return {"total": sum(len(rows) for _, rows in tables), "step": step}


def _tables(run: Run) -> Iterator[tuple[str, pa.Table]]:
    for located in run.located:
        for unit in run.plans[located.entry.name].units:
            if unit.format == "parquet" and unit.role in ("rows", "corpus"):
                mapped = source_columns(located, unit.role, unit.config)
                schema = pq.read_schema(unit.path)
                texts = [f.name for f in schema if f.name in mapped and pa.types.is_string(f.type)]
                yield located.entry.name, pq.ParquetFile(unit.path).read_row_groups(unit.row_groups, columns=texts)


def prepared_texts(run: Run) -> pa.Table:
    """All texts of the prepared rows of datasets that are mined, as ``transforms.text.part_texts.TEXT_ROWS``."""
    prepared = prepare_job(run)
    manifest = completed(prepared)
    spec = texts_of(run, prepared.folder, manifest, prepared.folder, run.teachers[0])
    return pa.concat_tables([read_texts(spec, part)[3] for part in parts_of(manifest, run.entries)])


def distinct_texts(run: Run, folder: Path) -> dict[str, Any]:
    """What embed embeds, each text once with its prompt: the file ``texts.parquet``."""
    texts = unique_by(prepared_texts(run), "key")
    seen = pc.binary_join_element_wise(texts.column("prompt"), texts.column("text"), "")
    pq.write_table(pa.table({"text": seen}), folder / "texts.parquet")
    return {"texts": len(texts), "teacher": run.teachers[0].teacher.path}


def pairs(run: Run, folder: Path) -> dict[str, Any]:
    """What mine mines: ``<dataset>.pairs.parquet`` (query, positive) and ``<dataset>.corpus.parquet`` (text)."""
    texts = prepared_texts(run)
    queries = texts.filter(pc.equal(texts.column("field"), "query")).select(["part", "row", "text"])
    positives = texts.filter(pc.equal(texts.column("field"), POSITIVES)).select(["dataset", "part", "row", "text"])
    joined = positives.rename_columns(["dataset", "part", "row", "positive"]).join(queries, ["part", "row"])
    passages = texts.filter(pc.equal(texts.column("role"), AS_PASSAGE))
    for name in pc.unique(joined.column("dataset")).to_pylist():
        own = joined.filter(pc.equal(joined.column("dataset"), name)).sort_by("text")
        pq.write_table(own.select(["text", "positive"]).rename_columns(["query", "positive"]), folder / f"{name}.pairs")
        corpus = unique_by(passages.filter(pc.equal(passages.column("dataset"), name)), "hash")
        pq.write_table(corpus.select(["text"]), folder / f"{name}.corpus")
    return {"rows": len(joined.group_by(["part", "row"]).aggregate([]))}


def unlabelled(run: Run) -> list[str]:
    """Datasets that are mined and whose positives are given: only they can go through a miner of pairs."""
    return [name for name in sorted(run.mined) if run.entries[name].adapter is not Adapter.LABELED]


def main(argv: Sequence[str]) -> dict[str, Any]:
    """Write one kind of input into a folder; gives what there is to know of it."""
    kind, folder, command = argv[0], Path(argv[1]), parse(argv[3:])
    folder.mkdir(parents=True, exist_ok=True)
    run, _ = plan(command, Workplace(command.config.out, command.config.work))
    if kind == "rows":
        return source_rows(run, folder, int(argv[2])) | {"unlabelled": unlabelled(run)}
    return distinct_texts(run, folder) if kind == "texts" else pairs(run, folder)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, force=True)
    tell(**main(sys.argv[1:]))
