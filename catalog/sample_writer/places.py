"""Where an entry's files lie in the sample, and how they are written."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from catalog.sample_writer.formats import Row, SourceFile, class_label
from schemas.catalog import CatalogEntry

#: Endings of files whose rows nest, and of those whose rows are flat, by turns.
NESTED = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst")
FLAT = ("parquet", "csv", "jsonl.gz", "tsv", "parquet", "jsonl", "csv.gz", "jsonl.zst", "tsv.gz", "csv.zst")
_PIECES = ("", ".gz", ".gzip", ".zst", ".zstd")
_KNOWN = tuple(
    kind + piece for kind in (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt") for piece in _PIECES
)


def path_of(entry: CatalogEntry, config: str, split: str, files: str | None, ending: str, stem: str) -> str:
    """Returns a path that the pattern of an entry, or else the hub's layout, finds; ``stem`` fills a pattern's star."""
    if files is None:
        return f"datasets/{entry.folder}/{config}/{split}-00000-of-00001.{ending}"
    name = files.replace("{config}", config).replace("{split}", split)
    name = name.replace("**/", "").replace("**", stem).replace("*", stem).replace("?", "0")
    return f"datasets/{entry.folder}/{name}" + ("" if name.endswith(_KNOWN) else f".{ending}")


def ending_of(files: str | None) -> str | None:
    """Returns the ending that a pattern demands, None where it leaves it open."""
    fitting = [known for known in _KNOWN if files and files.endswith(known)]
    return max(fitting, key=len).removeprefix(".") if fitting else None


def source_file(
    path: str, rows: Sequence[Row | bytes], names: Mapping[str, Sequence[str]], records: str | None
) -> SourceFile:
    """Returns the file with the schema that its rows have; a Parquet file says its classes where ``names`` does."""
    plain = [row for row in rows if isinstance(row, dict)]
    columns = list(dict.fromkeys(name for row in plain for name in row))
    if all(name.startswith("#") for name in columns):
        columns.sort(key=lambda name: int(name[1:]))
    if not path.endswith(".parquet"):
        kept = pa.schema([(name, pa.string()) for name in columns])
        return SourceFile(path=path, schema=kept, rows=rows, records=records)
    schema = pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in plain]).schema
    labels: dict[str, Sequence[str]] = {
        name: classes
        for name, classes in names.items()
        if name in columns and pa.types.is_integer(schema.field(name).type)
    }
    return SourceFile(path=path, schema=class_label(schema, labels), rows=rows)
