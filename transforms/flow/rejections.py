"""Rejected rows: with reason, detail and provenance, written where a person can read and re-admit them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.content_names import content_name
from schemas.rows import REJECTIONS
from transforms.flow.counts import REJECTED, Count, count
from transforms.flow.files import parquet_bytes, publish
from transforms.flow.manifests import FileRecord

_TEXTS = ("query", "positives", "negatives", "label")


def rejection_columns(columns: Mapping[str, Any], size: int) -> list[Any]:
    """The columns of REJECTIONS in their order, ``size`` rows each; those that are not given are null."""
    return [columns.get(field.name, pa.nulls(size, field.type)) for field in REJECTIONS]


def reject(
    rows: pa.Table, stage: str, reasons: Sequence[str], details: Sequence[str], kept_ids: Sequence[bytes | None]
) -> pa.Table:
    """Canonical rows as rejections (REJECTIONS schema); one reason, detail and kept id for each row."""
    size = rows.num_rows
    columns = {
        "dataset": rows.column("dataset"),
        "stage": pa.array([stage] * size, pa.string()),
        "reason": pa.array(reasons, pa.string()),
        "detail": pa.array(details, pa.string()),
        "id": _hex(rows.column("id").to_pylist()),
        "kept_id": _hex(kept_ids),
        "provenance": rows.column("provenance"),
    } | {name: rows.column(name) for name in _TEXTS}
    return pa.table(rejection_columns(columns, size), schema=REJECTIONS)


def _hex(ids: Sequence[bytes | None]) -> pa.Array:
    return pa.array([None if value is None else value.hex() for value in ids], pa.string())


def write_rejections(folder: str, rejected: pa.Table, below: str = "") -> Iterator[Count | FileRecord]:
    """Write rejections to one file for each dataset, named by its content; gives the file records and the counts.

    ``below`` names a folder below the dataset's for what is no rejected row (unusable passages): it is written, not
    counted.
    """
    for dataset in sorted(pc.unique(rejected.column("dataset")).to_pylist()):
        rows = rejected.filter(pc.equal(rejected.column("dataset"), dataset))
        data = parquet_bytes(rows)
        name = f"{dataset}/{below}{content_name(data)}.parquet"
        publish(f"{folder}/{name}", data)
        yield FileRecord(kind="rejections", path=name, rows=rows.num_rows, dataset=dataset)
        for item in pc.value_counts(rows.column("reason")).to_pylist() if not below else ():
            yield count(dataset, REJECTED, item["counts"], item["values"])
