"""Rows that an earlier run published, as deduplication compares them: read from its shards, no source is read again.

Shards hold what is compared (texts, labels, ids), so nothing else is kept of a run: the keys and signatures of a row
follow from its texts, at a fraction of what reading and cleaning its source took. Stored bands (20 of 8 bytes for each
row, as much as a short row takes in its shard) would be of use only while shingles, permutations and scopes stay.

A piece of a shard is known by a negative number where a part of the run is known by one that is not: the same steps
compare both, and a decision tells by its part whom it is about. Nothing is decided about published rows but that a new
one would take their place: they stay where they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import DamageError
from schemas.rows import CANONICAL, ID
from transforms.duplicates.scopes import DedupScope, Scopes
from transforms.flow.content import part_number
from transforms.flow.files import read_parquet
from transforms.flow.parts import MAX_PART_ROWS, address, read_part


@dataclass(frozen=True, kw_only=True)
class PublishedPart:
    """Rows ``first`` to ``first + rows`` of a shard.

    ``path``: where the shard lies; ``shard_rows``: the rows that it has. ``dataset``, ``scope``: whose they are and
    with whom they are compared; the scope's priority is their rank. ``place``: the folder as a person knows it.
    ``by_names``: whether the positives of labelled rows are the names of classes, not texts that mining found.
    """

    path: str
    shard_rows: int
    first: int
    rows: int
    dataset: str
    scope: DedupScope
    place: str
    by_names: bool = False


#: Pieces of shards by their number.
Published = Mapping[int, PublishedPart]


def shard_parts(
    path: str, sha256: str, rows: int, *, dataset: str, scope: DedupScope, place: str, by_names: bool
) -> dict[int, PublishedPart]:
    """A shard in pieces that are no larger than a part; numbers follow from what it holds, not from where it lies."""
    return {
        -1 - part_number(f"{dataset} {sha256} {first}".encode()): PublishedPart(
            path=path,
            shard_rows=rows,
            first=first,
            rows=min(MAX_PART_ROWS, rows - first),
            dataset=dataset,
            scope=scope,
            place=place,
            by_names=by_names,
        )
        for first in range(0, rows, MAX_PART_ROWS)
    }


def is_published(parts: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.bool_]:
    """Which numbers of parts are those of published rows."""
    found: npt.NDArray[np.bool_] = parts.to_numpy() < 0
    return found


def addresses(published: Published) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The elements that announce published rows, as parts are announced."""
    for number, part in sorted(published.items()):
        yield address(number, part.rows)


def read_rows(folder: str, part: int, columns: list[str], published: Published) -> pa.Table:
    """Some columns of CANONICAL of a part of the run, or of published rows. Raises DamageError as ``read_parquet``."""
    return read_part(folder, part, columns) if part >= 0 else read_published(published[part], columns)


def scopes_at(part: int, scopes: Scopes, published: Published) -> Scopes:
    """What holds for the rows of a part: published ones have the scope that their run had."""
    return scopes if part >= 0 else {published[part].dataset: published[part].scope}


def read_published(part: PublishedPart, columns: list[str]) -> pa.Table:
    """Some columns of CANONICAL of published rows, as they were when they were compared.

    A row that is known by its label has no positives: mining found those of its shard. What a shard does not hold is
    left out: given negatives (they only rank rows of one dataset), further labels, and scores.
    """
    stored = {"id", "query", "positives", "label"} & set(columns)
    if "positives" in stored:
        stored.add("label")
    table = read_parquet(part.path, sorted(stored))
    if table.num_rows != part.shard_rows:
        raise DamageError(f"{part.path} holds {table.num_rows} rows, and the manifest beside it says {part.shard_rows}")
    rows = table.slice(part.first, part.rows).combine_chunks()
    return pa.table([_column(rows, name, part) for name in columns], schema=pa.schema(map(CANONICAL.field, columns)))


def _column(rows: pa.Table, name: str, part: PublishedPart) -> pa.Array | pa.ChunkedArray:
    if name == "dataset":
        return pa.array([part.dataset] * rows.num_rows, pa.string())
    if name == "id":
        return pa.array([bytes.fromhex(text) for text in rows.column("id").to_pylist()], ID)
    if name == "positives" and not part.by_names and rows.column("label").null_count < rows.num_rows:
        return pc.if_else(rows.column("label").is_valid(), pa.scalar([], CANONICAL.field(name).type), rows.column(name))
    if name in rows.column_names:
        return rows.column(name)
    kind = CANONICAL.field(name).type
    return pa.array([[]] * rows.num_rows, kind) if pa.types.is_list(kind) else pa.nulls(rows.num_rows, kind)
