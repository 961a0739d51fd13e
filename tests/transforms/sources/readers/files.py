"""Source files for the readers' tests, and what a reader makes of them."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from transforms.sources.readers import read_unit
from transforms.sources.units import Compression, Unit, split_name

ENDINGS: dict[Compression | None, str] = {None: "", "gzip": ".gz", "zstd": ".zst"}


def compress(data: bytes, compression: Compression | None) -> bytes:
    if compression == "gzip":
        return gzip.compress(data)
    return zstandard.ZstdCompressor().compress(data) if compression == "zstd" else data


def write(path: Path, data: bytes) -> Path:
    """Write bytes, compressed as the path's name says."""
    parts = split_name(path.name)
    assert parts is not None
    path.write_bytes(compress(data, parts[2]))
    return path


def unit_of(path: Path | str, **fields: Any) -> Unit:
    """The unit of a whole file."""
    parts = split_name(str(path).rsplit("/", 1)[-1])
    assert parts is not None
    _, form, compression = parts
    if form == "parquet" and "row_groups" not in fields:
        fields["row_groups"] = tuple(range(pq.read_metadata(path).num_row_groups))
    file = f"datasets/x/y/default/{str(path).rsplit('/', 1)[-1]}"
    common = {"dataset": "y", "config": "default", "role": "rows", "path": str(path), "file": file}
    return Unit(**{**common, "format": form, "compression": compression, **fields})


def read(
    unit: Unit, *columns: str, records: str | None = None, batch_rows: int = 8192
) -> tuple[dict[int, Any], dict[int, str]]:
    """Rows by their number, and the reasons of broken ones by theirs; checks that no number comes twice."""
    rows: dict[int, Any] = {}
    reasons: dict[int, str] = {}
    for batch in read_unit(
        unit, {name: f"catalog/y.yaml:{place}" for place, name in enumerate(columns, 1)}, records, batch_rows
    ):
        assert batch.rows.num_rows <= batch_rows
        new_rows = dict(zip(batch.numbers.to_pylist(), batch.rows.to_pylist(), strict=True))
        new_reasons = {row["number"]: row["reason"] for row in batch.broken.to_pylist()}
        assert len(new_rows) + len(new_reasons) == batch.num_read
        assert not (new_rows.keys() | new_reasons.keys()) & (rows.keys() | reasons.keys())
        rows |= new_rows
        reasons |= new_reasons
    return rows, reasons


def schema_of(unit: Unit, *columns: str) -> pa.Schema:
    """The schema of the first batch."""
    return next(read_unit(unit, dict.fromkeys(columns, "catalog/y.yaml:1"))).rows.schema
