"""Rows that an earlier run published, as deduplication compares them: read from its shards, no source is read again.

Shards hold what is compared (texts, labels, ids), so nothing else is kept of a run: the keys and signatures of a row
follow from its texts, at a fraction of what reading and cleaning its source took. Stored bands (20 of 8 bytes for each
row, as much as a short row takes in its shard) would be of use only while shingles, permutations and scopes stay.

A piece of a shard is known by a negative number where a part of the run is known by one that is not: the same steps
compare both, and a decision tells by its part whom it is about. Nothing is decided about published rows but that a new
one would take their place: they stay where they are.

Rows that the earlier run rejected once they had been compared count too, as in one run over its rows and the new ones:

- those that survived deduplication and went later (a leak, a cap, mining) beat their duplicates;
- near-duplicates beat their exact copies, link those that resemble them, and stand for nobody;
- contradictions contradict the rows of their own dataset, and nobody else's.

Of exact duplicates the row that stayed says all there is to say, and what went before deduplication was never compared.
Nothing is decided about any of them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import DamageError
from schemas.readmission import NOBODY, Readmission
from schemas.reasons import RejectReason
from schemas.rows import CANONICAL, ID
from transforms.duplicates.scopes import DedupScope, Scopes
from transforms.flow.content import part_number
from transforms.flow.files import read_parquet
from transforms.flow.parts import MAX_PART_ROWS, address, read_part

#: Rejected rows that contradict others of their dataset, and those that link the rows which resemble them.
CONTRADICT = frozenset({RejectReason.CONFLICTING_LABEL.value})
LINK = frozenset({RejectReason.NEAR_DUPLICATE.value, RejectReason.PUBLISHED_DUPLICATE.value})
_COMPARED = list(RejectReason)[list(RejectReason).index(RejectReason.CONFLICTING_LABEL) :]
#: All reasons for which a row is rejected that has been compared with others, but for copies of one that stayed.
AFTER_COMPARING = frozenset(reason.value for reason in _COMPARED if reason is not RejectReason.EXACT_DUPLICATE)
#: What a shard holds of what is compared, and a file of rejections.
_IN_SHARD = frozenset({"id", "query", "positives", "label"})
_IN_REJECTIONS = frozenset({*_IN_SHARD, "negatives", "reason"})
_LOSES_TO_REJECTED = re.compile(r", rejected as [A-Z_]+ in ")


@dataclass(frozen=True, kw_only=True)
class PublishedPart:
    """Rows ``first`` to ``first + rows`` of a shard, or of the rows of a file of rejections that have one reason.

    ``path``: where the file lies; ``shard_rows``: the rows that it has. ``dataset``, ``scope``: whose they are and
    with whom they are compared; the scope's priority is their rank. ``place``: the folder as a person knows it.
    ``by_names``: whether the positives of labelled rows are the names of classes, not texts that mining found.
    ``rejected``: why they were rejected, empty for rows of a shard; ``without``: rejected rows that a person now wants
    kept, and that take no part.
    """

    path: str
    shard_rows: int
    first: int
    rows: int
    dataset: str
    scope: DedupScope
    place: str
    by_names: bool = False
    rejected: str = ""
    without: Readmission = NOBODY


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


def rejected_parts(
    path: str,
    rows_by_reason: Mapping[str, int],
    *,
    dataset: str,
    scopes: Mapping[str, DedupScope],
    place: str,
    without: Readmission,
) -> dict[int, PublishedPart]:
    """A file of rejections, which is named by its content, in pieces; ``scopes`` by reason."""
    name = path.rsplit("/", 1)[-1]
    return {
        -1 - part_number(f"{dataset} {name} {reason} {first}".encode()): PublishedPart(
            path=path,
            shard_rows=rows,
            first=first,
            rows=min(MAX_PART_ROWS, rows - first),
            dataset=dataset,
            scope=scopes[reason],
            place=place,
            rejected=reason,
            without=without,
        )
        for reason, rows in sorted(rows_by_reason.items())
        for first in range(0, rows, MAX_PART_ROWS)
    }


def was_rejected(
    parts: pa.ChunkedArray | pa.Array, published: Published, reasons: Collection[str] = AFTER_COMPARING
) -> npt.NDArray[np.bool_]:
    """Which numbers of parts are those of rows that an earlier run rejected for one of some reasons."""
    numbers = parts.to_numpy()
    if not (numbers < 0).any():
        return np.zeros(len(numbers), np.bool_)
    chosen = np.array([number for number, part in published.items() if part.rejected in reasons], np.int64)
    found: npt.NDArray[np.bool_] = np.isin(numbers, chosen)
    return found


def is_published(parts: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.bool_]:
    """Which numbers of parts are those of earlier runs' rows."""
    found: npt.NDArray[np.bool_] = parts.to_numpy() < 0
    return found


def source_of(part: int, published: Published) -> str:
    """What became of the rows of an earlier run: `` published in <folder>``."""
    known = published[part]
    return f" rejected as {known.rejected} in {known.place}" if known.rejected else f" published in {known.place}"


def stands_in(part: int, published: Published) -> str:
    """What became of the rows of a part of an earlier run, as the end of a sentence; empty for a part of the run."""
    return f",{source_of(part, published)}" if part < 0 else ""


def loses_to_rejected(detail: str) -> bool:
    """Whether the detail of a duplicate says that the row in its place was rejected by an earlier run."""
    return _LOSES_TO_REJECTED.search(detail) is not None


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

    A row that is known by its label has no positives: mining found those of its shard. What the file does not hold is
    left out: further labels and scores, and of a shard given negatives (they only rank rows of one dataset).
    """
    rows = _of_rejections(part, columns) if part.rejected else _of_shard(part, columns)
    return pa.table([_column(rows, name, part) for name in columns], schema=pa.schema(map(CANONICAL.field, columns)))


def _of_shard(part: PublishedPart, columns: list[str]) -> pa.Table:
    stored = _IN_SHARD & set(columns)
    table = read_parquet(part.path, sorted(stored | {"label"} if "positives" in stored else stored))
    if table.num_rows != part.shard_rows:
        raise DamageError(f"{part.path} holds {table.num_rows} rows, and the manifest beside it says {part.shard_rows}")
    return table.slice(part.first, part.rows).combine_chunks()


def _of_rejections(part: PublishedPart, columns: list[str]) -> pa.Table:
    table = read_parquet(part.path, sorted(_IN_REJECTIONS & {*columns, "id", "reason"}))
    table = table.filter(pc.equal(table.column("reason"), part.rejected))
    if table.num_rows != part.shard_rows:
        raise DamageError(
            f"{part.path} holds {table.num_rows} rows that were rejected as {part.rejected}; when the run began it "
            f"held {part.shard_rows}"
        )
    rows = table.slice(part.first, part.rows)
    return rows.filter(pa.array(~part.without.mask(_ids(rows)))).combine_chunks()


def _ids(rows: pa.Table) -> pa.Array:
    return pa.array([bytes.fromhex(text) for text in rows.column("id").to_pylist()], ID)


def _column(rows: pa.Table, name: str, part: PublishedPart) -> pa.Array | pa.ChunkedArray:
    if name == "dataset":
        return pa.array([part.dataset] * rows.num_rows, pa.string())
    if name == "id":
        return _ids(rows)
    if name == "positives" and _are_found(rows, part):
        return pc.if_else(rows.column("label").is_valid(), pa.scalar([], CANONICAL.field(name).type), rows.column(name))
    if name in rows.column_names:
        return rows.column(name)
    kind = CANONICAL.field(name).type
    return pa.array([[]] * rows.num_rows, kind) if pa.types.is_list(kind) else pa.nulls(rows.num_rows, kind)


def _are_found(rows: pa.Table, part: PublishedPart) -> bool:
    """Whether positives of these rows are texts that mining found."""
    return not (part.by_names or part.rejected) and bool(rows.column("label").null_count < rows.num_rows)
