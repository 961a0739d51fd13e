"""Our deduplication in this process: ``python -m benchmarks._dedup INPUT.parquet FOLDER`` or ``... kernel INPUT``.

From a Parquet file of texts to Parquet files of the kept rows, through Beam on the direct runner, with the steps of
prepare: parts, exact duplicates, near-duplicates with verification, decisions applied. Tells which rows went.
"""

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks._measure import cpu_seconds, tell
from pipelines.options import parse
from pipelines.ranges import num_partitions
from pipelines.runners import run_pipeline
from pipelines.wiring import batches
from schemas.rows import CANONICAL, text_hash
from transforms.duplicates.exact import RemoveExactDuplicates
from transforms.duplicates.minhash import signatures
from transforms.duplicates.near import FindNearDuplicates, NearSpec
from transforms.duplicates.params import MinHashParams, NearDuplicateParams
from transforms.duplicates.scopes import DedupScope
from transforms.flow.overlapping import OverlappingDoFn
from transforms.flow.parts import PartWriter, address
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.keeping.decisions import CAP_TAG, ApplyDecisions, ApplySpec

DATASET = "texts"
ROWS_PER_PARTITION = 50_000


@beam.typehints.with_input_types(int)
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class ReadTexts(OverlappingDoFn):
    """The number of a row group -> the parts that hold its texts as canonical rows."""

    def __init__(self, path: str, folder: str) -> None:
        self._path, self._folder = path, folder

    def work(self, element: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        source = pq.ParquetFile(self._path)
        first = sum(source.metadata.row_group(before).num_rows for before in range(element))
        writer = PartWriter(f"{self._folder}/parts")
        rows = canonical(source.read_row_group(element, ["text"]).column("text"), first)
        for batch in rows.to_batches():
            for part, size in writer.add(batch):
                yield address(part, size)
        for part, size in writer.close():
            yield address(part, size)


def canonical(texts: pa.ChunkedArray, first: int) -> pa.Table:
    """Texts as the queries of canonical rows; the provenance is a row's number in the file."""
    size = len(texts)
    none = pa.ListArray.from_arrays(pa.array(np.zeros(size + 1, np.int32)), pa.array([], pa.string()))
    columns = {
        "dataset": pa.array([DATASET]).take(pa.array(np.zeros(size, np.int32))),
        "id": pa.array([text_hash(text) for text in texts.to_pylist()], pa.binary(16)),
        "language": pa.array(["en"]).take(pa.array(np.zeros(size, np.int32))),
        "instruction": pa.nulls(size, pa.string()),
        "query": texts,
        "positives": none,
        "negatives": none,
        "label": pa.nulls(size, pa.string()),
        "other_labels": none,
        "score": pa.nulls(size, pa.float64()),
        "provenance": pa.array(np.arange(first, first + size)).cast(pa.string()),
    }
    return pa.table([columns[name] for name in CANONICAL.names], schema=CANONICAL)


def deduplicate(path: Path, folder: Path) -> None:
    """Run the pipeline; kept rows lie in ``folder/kept``."""
    metadata = pq.ParquetFile(path).metadata
    partitions = num_partitions(metadata.num_rows, ROWS_PER_PARTITION)
    scopes = {DATASET: DedupScope(compare="query")}
    parts_folder = f"{folder}/parts"
    near = NearSpec(
        folder=parts_folder,
        scopes=scopes,
        params=NearDuplicateParams(),
        num_partitions=partitions,
        rows=metadata.num_rows,
    )
    apply = ApplySpec(folder=str(folder), progress=None, caps={}, num_partitions=partitions)

    def build(pipeline: beam.Pipeline) -> None:
        units = pipeline | "Units" >> beam.Create(range(metadata.num_row_groups)).with_output_types(int)
        parts = units | "Spread" >> beam.Reshuffle() | "Read" >> beam.ParDo(ReadTexts(str(path), str(folder)))
        exact = parts | "Exact duplicates" >> RemoveExactDuplicates(
            folder=parts_folder, scopes=scopes, num_partitions=partitions
        )
        decided = (parts, exact) | "Near duplicates" >> FindNearDuplicates(near)
        applied = (
            (parts, exact, decided)
            | "Parts and decisions" >> beam.Flatten()
            | "By part" >> beam.GroupByKey()
            | "Apply" >> beam.ParDo(ApplyDecisions(apply, None)).with_outputs(COUNTS_TAG, FILES_TAG, CAP_TAG, main="x")
        )
        batches(applied["x"])

    run_pipeline(build, parse([f"--out={folder}", "--category=all"]))


def kernel(path: Path) -> dict[str, Any]:
    """Signatures alone, of texts in memory."""
    texts = pq.read_table(path).column("text").combine_chunks()
    signatures(texts.slice(0, 10), MinHashParams())
    started, cpu = time.perf_counter(), cpu_seconds()
    signatures(texts, MinHashParams())
    return {"docs": len(texts), "seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds() - cpu}


def whole(path: Path, folder: Path) -> dict[str, Any]:
    """Texts to kept texts; writes the numbers of the removed rows to ``removed.npy``."""
    docs = pq.ParquetFile(path).metadata.num_rows
    folder.mkdir(parents=True)
    started, cpu = time.perf_counter(), cpu_seconds()
    deduplicate(path, folder)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    kept = ds.dataset(folder / "kept").to_table(columns=["provenance"]).column("provenance")
    survivors = np.zeros(docs, bool)
    survivors[kept.cast(pa.int64()).to_numpy()] = True
    np.save(folder / "removed.npy", np.flatnonzero(~survivors))
    return {"docs": docs, "seconds": seconds, "cpu_seconds": cpu}


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, force=True)
    what, *paths = sys.argv[1:]
    tell(**(kernel(Path(paths[0])) if what == "kernel" else whole(Path(what), Path(paths[0]))))
