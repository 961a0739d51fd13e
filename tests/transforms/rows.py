"""Canonical rows and parts for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from schemas.rows import CANONICAL, row_ids
from transforms.flow.parts import address, write_part

DEFAULTS: dict[str, Any] = {
    "dataset": "d",
    "language": "en",
    "query": "q",
    "positives": [],
    "negatives": [],
    "other_labels": [],
    "provenance": "f#0",
}


def canonical_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows in the canonical schema, with their ids; what is not given is empty."""
    table = pa.Table.from_pylist([DEFAULTS | {"id": b"\0" * 16} | row for row in rows], CANONICAL)
    return table.set_column(1, CANONICAL.field("id"), row_ids(table))


def write_parts(folder: Path, rows: pa.Table, rows_per_part: int) -> list[tuple[int, pa.RecordBatch]]:
    """Rows at rest in several parts: the addresses of these."""
    cuts = [rows.slice(start, rows_per_part) for start in range(0, rows.num_rows, rows_per_part)]
    return [address(write_part(str(folder), cut), cut.num_rows) for cut in cuts]


class Gather(beam.DoFn):
    """Writes each batch to a file, so that a test can read what a pipeline gave."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, keyed: tuple[int, pa.RecordBatch]) -> None:
        part, batch = keyed
        write_part(self._folder, pa.Table.from_batches([batch]).append_column("part", pa.array([part] * len(batch))))


def run_decisions(addresses: list[tuple[int, pa.RecordBatch]], transform: Any, out: Path) -> list[dict[str, Any]]:
    """What a transform of addresses decides, in the order of (part, row)."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        parts = pipeline | beam.Create(addresses).with_output_types(tuple[int, pa.RecordBatch])
        parts | transform | "Gather" >> beam.ParDo(Gather(str(out)))
    tables = [pq.read_table(path) for path in out.glob("*.parquet")] if out.exists() else []
    found = [row for table in tables for row in table.to_pylist()]
    return sorted(found, key=lambda row: (row["part"], row["row"]))
