"""Writes source files as upstreams keep them: Parquet, JSON lines and documents, CSV, TSV, text, also compressed."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
ROW_GROUP = 64


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of the sample: its path below the root, its schema, and its rows; a row given as bytes is a raw line.

    ``records`` names where a JSON document keeps its rows, keys joined by dots; where it is empty, the document is a
    list of them. Without it, a JSON file holds a row on each line.
    """

    path: str
    schema: pa.Schema
    rows: Sequence[Row | bytes]
    records: str | None = None


def class_label(schema: pa.Schema, names: dict[str, Sequence[str]]) -> pa.Schema:
    """Returns the schema with the class names of its label columns in the ``huggingface`` metadata."""
    features = {field.name: _feature(field.type, names.get(field.name)) for field in schema}
    info = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    return schema.with_metadata({"huggingface": info})


def _feature(kind: pa.DataType, names: Sequence[str] | None) -> Any:
    if names is not None:
        return {"names": list(names), "_type": "ClassLabel"}
    if pa.types.is_list(kind):
        return [_feature(kind.value_type, None)]
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type, None) for field in kind}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}


def write(root: Path, source: SourceFile) -> None:
    """Writes the file below ``root``; its path's endings say how."""
    path = root / source.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        _write_parquet(path, source)
        return
    path.write_bytes(_compress(_content(_kind(path), source), path.suffix))


def _content(kind: str, source: SourceFile) -> bytes:
    if kind == ".json" and source.records is not None:
        return _json_document(source)
    if kind == ".txt" and source.schema.names == ["line"]:
        lines = (row if isinstance(row, bytes) else row["line"].encode() for row in source.rows)
        return b"".join(line + b"\n" for line in lines)
    delimiter = {".csv": ",", ".tsv": "\t", ".txt": "\t"}.get(kind)
    return _json_lines(source.rows) if delimiter is None else _delimited(source, delimiter)


def read_text(path: Path) -> bytes:
    """Returns the decompressed bytes of a text file of the sample."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            return bytes(stream.read())
    return path.read_bytes()


def _kind(path: Path) -> str:
    return path.suffixes[-2] if path.suffix in (".gz", ".zst") else path.suffix


def _write_parquet(path: Path, source: SourceFile) -> None:
    table = pa.Table.from_pylist(list(source.rows), schema=class_label(source.schema, {}))
    table = table.replace_schema_metadata(source.schema.metadata or table.schema.metadata)
    pq.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP)


def _json_lines(rows: Sequence[Row | bytes]) -> bytes:
    lines = (row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows)
    return b"".join(line + b"\n" for line in lines)


def _json_document(source: SourceFile) -> bytes:
    document: Any = list(source.rows)
    for key in reversed(source.records.split(".") if source.records else []):
        document = {key: document}
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def _delimited(source: SourceFile, delimiter: str) -> bytes:
    """Columns named ``#1``, ``#2``, ... have no header."""
    names = source.schema.names
    lines = [] if all(name.startswith("#") for name in names) else [_line(names, delimiter)]
    for row in source.rows:
        lines.append(row if isinstance(row, bytes) else _line([row.get(name) for name in names], delimiter))
    return b"".join(line + b"\n" for line in lines)


def _line(values: Sequence[Any], delimiter: str) -> bytes:
    """A CSV line quotes where it must; a TSV line knows no quotes, so its texts may hold neither tabs nor breaks."""
    if delimiter == "\t":
        texts = ["" if value is None else str(value) for value in values]
        if any(mark in text for text in texts for mark in "\t\r\n"):
            raise ValueError(f"no line of TSV holds a tab or a line break: {texts}")
        return "\t".join(texts).encode()
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerow(values)
    return buffer.getvalue().removesuffix("\n").encode()


def _compress(content: bytes, ending: str) -> bytes:
    if ending == ".gz":
        return gzip.compress(content, compresslevel=9, mtime=0)
    if ending == ".zst":
        return bytes(pa.Codec("zstd", compression_level=19).compress(content, asbytes=True))
    return content
