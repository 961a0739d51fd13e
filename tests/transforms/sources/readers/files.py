"""Source files for the readers' tests, and what a reader makes of them."""

import bz2
import gzip
import lzma
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from transforms.sources.readers import Notes, ReadOptions, read_unit
from transforms.sources.readers.request import Request
from transforms.sources.units import Compression, Unit, split_name

ENDINGS: dict[Compression | None, str] = {None: "", "gzip": ".gz", "zstd": ".zst", "bz2": ".bz2", "xz": ".xz"}


def compress(data: bytes, compression: Compression | None) -> bytes:
    compressors = {
        "gzip": gzip.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
    }
    return data if compression is None else compressors[compression](data)


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


def request(*columns: str, notes: Notes | None = None, **options: Any) -> Request:
    """What is asked of a reader, each column by a line of the catalog of its own."""
    places = {name: f"catalog/y.yaml:{place}" for place, name in enumerate(columns, 1)}
    return Request(columns=places, options=ReadOptions(**options), notes=Counter() if notes is None else notes)


def read(
    unit: Unit, *columns: str, batch_rows: int = 8192, notes: Notes | None = None, **options: Any
) -> tuple[dict[int, Any], dict[int, str]]:
    """Rows by their number, and the reasons of broken ones by theirs; checks that no number comes twice."""
    asked = request(*columns, **options)
    rows: dict[int, Any] = {}
    reasons: dict[int, str] = {}
    for batch in read_unit(unit, asked.columns, asked.options, batch_rows, notes):
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
