"""What an adapter gives, and how its columns become example rows and rejections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from schemas.rows import ADAPTED, PASSAGES, REJECTIONS
from transforms.examples.adapters.lists import as_lists, empty_lists, null_as_empty
from transforms.examples.adapters.source import Source, provenance
from transforms.examples.group_membership import MEMBERS, QUERY
from transforms.flow.rejections import rejection_columns
from transforms.sources.readers.raw import BROKEN
from transforms.sources.units import Unit

STAGE = "prepare"


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, column.type) for column in schema], schema=schema)


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What one batch of source rows became. Every row is in exactly one of ``rows``, ``members``, ``rejections``.

    ``rows`` (ADAPTED) are examples, ``members`` (MEMBERS) wait for their group, ``rejections`` (REJECTIONS) say why.
    For ``beir``, whose rows are the judgments, ``members`` also holds queries, and ``passages`` (PASSAGES) one for
    each row of a corpus, whose text is empty where the source has none; neither is counted. ``unusable`` (REJECTIONS)
    are rows of a corpus or of queries that could not be read or have no id, outside the count too: judgments of them
    are rejected. ``least_ids``: of each kind of id (``corpus queries judged_queries judged_passages``) the first one in
    the order of texts, for whoever wonders why they do not meet.
    """

    rows: pa.RecordBatch = field(default_factory=lambda: _empty(ADAPTED))
    members: pa.RecordBatch = field(default_factory=lambda: _empty(MEMBERS))
    passages: pa.RecordBatch = field(default_factory=lambda: _empty(PASSAGES))
    rejections: pa.RecordBatch = field(default_factory=lambda: _empty(REJECTIONS))
    unusable: pa.RecordBatch = field(default_factory=lambda: _empty(REJECTIONS))
    least_ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_read(self) -> int:
        """Source rows that are accounted for."""
        counted = pc.sum(pc.not_equal(self.members.column("role"), QUERY)).as_py() or 0
        return int(self.rows.num_rows + counted + self.rejections.num_rows)

    def with_broken(self, broken: pa.RecordBatch, unit: Unit) -> "Adapted":
        """Add the rows that the reader could not read (BROKEN)."""
        if not broken.num_rows:
            return self
        rejected = broken_rejections(broken, unit)
        if unit.role in ("corpus", "queries"):
            return replace(self, unusable=concat(self.unusable, rejected))
        return replace(self, rejections=concat(self.rejections, rejected))


def concat(*batches: pa.RecordBatch) -> pa.RecordBatch:
    """Batches of one schema as one."""
    columns = [pa.concat_arrays([batch.column(i) for batch in batches]) for i in range(batches[0].num_columns)]
    return pa.RecordBatch.from_arrays(columns, schema=batches[0].schema)


class Refusal(NamedTuple):
    """Rows where ``where`` is true are rejected for ``reason``; ``detail`` is one text, or one for each row."""

    where: pa.BooleanArray
    reason: RejectReason
    detail: str | pa.StringArray


class Verdicts(NamedTuple):
    """For each row a reason (null: it stays) and a detail."""

    reason: pa.StringArray
    detail: pa.StringArray


def judge(size: int, refusals: Sequence[Refusal]) -> Verdicts:
    """Of several refusals of a row the first in the sequence holds. A null in ``where`` counts as false."""
    reason = detail = pa.nulls(size, pa.string())
    for refusal in reversed(refusals):
        where = pc.fill_null(refusal.where, False)
        shown = refusal.detail if isinstance(refusal.detail, pa.Array) else pa.scalar(refusal.detail)
        reason = pc.if_else(where, pa.scalar(refusal.reason.value), reason)
        detail = pc.if_else(where, shown, detail)
    return Verdicts(reason, detail)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Columns of examples, one for each source row. Positives and negatives are lists, or one text for each row."""

    query: pa.Array
    positives: pa.Array | None = None
    negatives: pa.Array | None = None
    instruction: pa.Array | None = None
    label: pa.Array | None = None
    other_labels: pa.Array | None = None
    score: pa.Array | None = None
    refusals: Sequence[Refusal] = ()


def finish(source: Source, draft: Draft) -> Adapted:
    """Split a draft into the rows that stay and those that are refused."""
    rows = pa.RecordBatch.from_arrays(_columns(source, draft), schema=ADAPTED)
    verdicts = judge(len(source), draft.refusals)
    stays = verdicts.reason.is_null()
    if verdicts.reason.null_count == len(source):
        return Adapted(rows=rows)
    return Adapted(rows=rows.filter(stays), rejections=reject(source, rows, verdicts))


def _columns(source: Source, draft: Draft) -> list[pa.Array]:
    size = len(source)
    columns = {
        "language": source.languages(),
        "instruction": _or_nulls(draft.instruction, size, pa.string()),
        "query": draft.query,
        "positives": _lists(draft.positives, size),
        "negatives": _lists(draft.negatives, size),
        "label": _or_nulls(draft.label, size, pa.string()),
        "other_labels": _lists(draft.other_labels, size),
        "score": _or_nulls(draft.score, size, pa.float64()),
        "provenance": source.provenance(),
    }
    return [columns[name] for name in ADAPTED.names]


def _or_nulls(column: pa.Array | None, size: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(size, kind) if column is None else column


def _lists(texts: pa.Array | None, size: int) -> pa.ListArray:
    if texts is None:
        return empty_lists(size)
    return null_as_empty(texts) if pa.types.is_list(texts.type) else as_lists(texts)


def reject(source: Source, rows: pa.RecordBatch, verdicts: Verdicts) -> pa.RecordBatch:
    """The rows that have a reason, as REJECTIONS; ``rows`` has their query, positives, negatives and label."""
    refused = verdicts.reason.is_valid()
    chosen = rows.filter(refused)
    size = chosen.num_rows
    columns = {
        "dataset": pa.repeat(pa.scalar(source.entry.name), size),
        "stage": pa.repeat(pa.scalar(STAGE), size),
        "reason": verdicts.reason.filter(refused),
        "detail": pc.fill_null(verdicts.detail.filter(refused), ""),
        "provenance": source.provenance().filter(refused),
    } | {name: chosen.column(name) for name in ("query", "positives", "negatives", "label")}
    return pa.RecordBatch.from_arrays(rejection_columns(columns, size), schema=REJECTIONS)


def broken_rejections(broken: pa.RecordBatch, unit: Unit) -> pa.RecordBatch:
    """Rows that the reader could not read (BROKEN) as REJECTIONS, with what stood in their line."""
    size = broken.num_rows
    assert broken.schema.names == BROKEN.names, broken.schema
    columns = {
        "dataset": pa.repeat(pa.scalar(unit.dataset), size),
        "stage": pa.repeat(pa.scalar(STAGE), size),
        "reason": broken.column("reason"),
        "detail": broken.column("detail"),
        "provenance": provenance(unit, broken.column("number")),
        "raw": broken.column("raw"),
    }
    return pa.RecordBatch.from_arrays(rejection_columns(columns, size), schema=REJECTIONS)
