"""The sample's rows in other files: the same datasets, cut and named so that they are read in another order."""

import gzip
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.e2e.running import SAMPLE

Bytes = Callable[[bytes], bytes]

_UNPACK: dict[str, Bytes] = {
    "gz": gzip.decompress,
    "zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
_PACK: dict[str, Bytes] = {"gz": gzip.compress, "zst": lambda data: zstandard.ZstdCompressor().compress(data)}


def shuffled_source(root: Path, folders: Iterable[str]) -> Path:
    """A directory in hub layout: every file of these datasets in two, the last rows in the file that is read first.

    CSV stays whole, since a row may span lines there, and gets a name that is read in another order.
    """
    for folder in folders:
        for path in sorted((SAMPLE / "datasets" / folder).rglob("*-of-*")):
            target = root / path.relative_to(SAMPLE).parent
            target.mkdir(parents=True, exist_ok=True)
            split, _, ending = path.name.partition("-00000-of-00001")
            if ".csv" in ending:
                shutil.copyfile(path, target / f"{split}-00007-of-00009{ending}")
                continue
            first, second = (target / f"{split}-0000{i}-of-00002{ending}" for i in range(2))
            (_split_parquet if ending == ".parquet" else _split_lines)(path, first, second)
    shutil.copytree(SAMPLE / "eval", root / "eval")
    return root


def _split_parquet(path: Path, first: Path, second: Path) -> None:
    table = pq.ParquetFile(path).read()
    cut = table.num_rows // 3
    backwards = table.take(pa.array(range(table.num_rows - 1, -1, -1)))
    pq.write_table(backwards.slice(0, cut), first, row_group_size=7)
    pq.write_table(backwards.slice(cut), second, row_group_size=50)


def _split_lines(path: Path, first: Path, second: Path) -> None:
    ending = path.suffix.removeprefix(".")
    lines = _UNPACK.get(ending, bytes)(path.read_bytes()).splitlines(keepends=True)
    head, rows = (lines[:1], lines[1:]) if ".tsv" in path.name else ([], lines)
    rows = [row if row.endswith(b"\n") else row + b"\n" for row in reversed(rows)]
    cut = len(rows) // 3
    for target, part in ((first, rows[:cut]), (second, rows[cut:])):
        target.write_bytes(_PACK.get(ending, bytes)(b"".join([*head, *part])))
