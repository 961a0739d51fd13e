"""Which rows of a dataset differ between two OUTs, by their ids: a row's id is a hash of what it says."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.publish import rejection_files
from schemas.manifest import DatasetRecord
from transforms.flow.files import read_parquet

_SHOWN = 3
_CLIP = 120


class RowChanges(NamedTuple):
    """``gone``, ``new``: rows in shards of one side alone; ``other``: rows of both that differ in their positives or
    negatives. ``same_input``: whether mining was given the same rows. ``examples``: lines that show some rows.
    """

    gone: int
    new: int
    other: int
    same_input: bool
    examples: list[str]


def row_changes(outs: tuple[str, str], records: tuple[DatasetRecord, DatasetRecord]) -> RowChanges:
    """Compare the shards of a dataset in two OUTs. Raises DamageError where one cannot be read."""
    left, right = (_rows(out, record) for out, record in zip(outs, records, strict=True))
    gone, new = _without(left, right), _without(right, left)
    inputs = [_input(out, record, rows) for out, record, rows in zip(outs, records, (left, right), strict=True)]
    return RowChanges(
        gone=len(gone),
        new=len(new),
        other=_other(left, right),
        same_input=inputs[0].equals(inputs[1]),
        examples=[*_examples("gone", gone), *_examples("new", new)],
    )


def _rows(out: str, record: DatasetRecord) -> pa.Table:
    columns = ["id", "query", "positive_ids", "negative_ids"]
    schema = pa.schema([("id", pa.string()), ("query", pa.string())])
    tables = [read_parquet(f"{out}/{shard.path}", columns) for shard in record.shards]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _without(rows: pa.Table, others: pa.Table) -> pa.Table:
    there = pc.is_in(rows.column("id"), value_set=others.column("id").combine_chunks())
    return rows.filter(pc.invert(there))


def _other(left: pa.Table, right: pa.Table) -> int:
    """Rows of both sides with other texts beside them; shards are in order of ids, and so are these."""
    if not len(left) or not len(right):
        return 0
    sides = []
    for rows, others in ((left, right), (right, left)):
        there = pc.is_in(rows.column("id"), value_set=others.column("id").combine_chunks())
        sides.append(rows.filter(there).sort_by("id"))
    joined = [[_text(side, name) for side in sides] for name in ("positive_ids", "negative_ids")]
    return int(pc.sum(pc.or_(*(pc.not_equal(*pair) for pair in joined))).as_py() or 0)


def _text(side: pa.Table, name: str) -> pa.Array:
    return pc.binary_join(side.column(name).combine_chunks(), " ")


def _input(out: str, record: DatasetRecord, rows: pa.Table) -> pa.Array:
    """The ids that came to mining, in order: those in shards, and those that it rejected."""
    ids: list[Any] = [rows.column("id").combine_chunks()]
    for path in rejection_files(out, record.name):
        rejected = read_parquet(path, ["id", "stage"])
        ids.append(rejected.filter(pc.equal(rejected.column("stage"), "mine")).column("id").combine_chunks())
    joined = pa.concat_arrays([array.cast(pa.string()) for array in ids])
    return joined.take(pc.sort_indices(joined))


def _examples(what: str, rows: pa.Table) -> list[str]:
    shown = rows.slice(0, _SHOWN).select(["id", "query"]).to_pylist()
    return [f"{what}: {row['id']}: {' '.join(row['query'].split())[:_CLIP]!r}" for row in shown]
