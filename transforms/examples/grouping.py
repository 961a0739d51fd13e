"""Groups: rows that share a premise, a first sentence or a query become one example (``nli scored_pair graded beir``).

A group is complete when it comes here. What becomes of it depends on what its rows say, never on their order or
batching: within a group rows are ordered by the hash of their normalised text, then by a hash of everything else they
say.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from schemas.reasons import RejectReason
from schemas.rows import ADAPTED, ID, REJECTIONS, TEXTS
from transforms.examples.group_membership import (
    MEMBERS,
    NEGATIVE,
    POSITIVE,
    QUERY,
    Groups,
    Index,
    Mask,
    first_in_run,
    in_order,
    with_content,
)
from transforms.flow.rejections import rejection_columns

__all__ = ["GROUPED", "MEMBERS", "Grouped", "group_members"]

#: What a group becomes: a dataset's adapted row.
GROUPED = pa.schema([MEMBERS.field("dataset"), *ADAPTED])

#: The content of a text that is blank after normalisation.
_BLANK = xxhash.xxh3_128_digest(b"")


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """``rows`` (GROUPED) in the order of their groups, ``merged``: rows whose text went into another's, by dataset,
    ``rejections`` (REJECTIONS), ``ambiguous``: by dataset the rows whose query has several texts under its id."""

    rows: pa.Table
    merged: dict[str, int]
    rejections: pa.Table
    ambiguous: dict[str, int] = field(default_factory=dict)


def group_members(members: pa.Table) -> Grouped:
    """Make one example of each group that has a positive; whole groups only, in any order.

    The carrier, the positive whose text has the smallest hash, keeps its row; the rows of the other positives and of
    the negatives are merged. Equal texts (after normalisation) stand in a list once, and a text that is positive and
    negative is positive alone (the row that says otherwise: ``CONFLICTING_LABEL``). A judgment whose query or passage
    is not there is ``DANGLING_ID``; all other rows have the reason they brought.
    """
    if not members.num_rows:
        return Grouped(rows=GROUPED.empty_table(), merged={}, rejections=REJECTIONS.empty_table())
    groups = in_order(with_content(members.combine_chunks()))
    queries = groups.queries()
    refusals = _missing(groups, queries)
    sound = ~np.logical_or.reduce([refusal.where for refusal in refusals])
    positive, negative, judged = _used(groups, sound)
    carriers = first_in_run(groups.group, np.flatnonzero(positive))
    merged = positive | negative
    merged[carriers] = False
    return Grouped(
        rows=_examples(groups, queries, carriers, _once(groups, positive), _once(groups, negative)),
        merged=_counts(groups.column("dataset").filter(pa.array(merged))),
        rejections=_rejections(groups, queries, [*refusals, *judged]),
        ambiguous=_counts(groups.column("dataset").filter(pa.array(_ambiguous(groups)))),
    )


def _ambiguous(groups: Groups) -> Mask:
    """Rows whose query is brought by several rows that do not say the same."""
    is_query = groups.has_role(QUERY)
    texts = first_in_run(groups.text, np.flatnonzero(is_query))
    several = np.bincount(groups.group[texts], minlength=len(groups.query_row)) > 1
    found: Mask = several[groups.group] & ~is_query
    return found


class _Refusal(NamedTuple):
    """Rows to reject, the reason (one for all, or one for each row), and words to put before a row's own detail."""

    where: Mask
    reason: RejectReason | pa.StringArray
    words: str = ""


def _missing(groups: Groups, queries: pa.StringArray) -> list[_Refusal]:
    """Judgments that lack a query or a text. Rows that bring a query are among them; they are left out at the end."""
    content = groups.column("content")
    blank = pc.fill_null(pc.equal(content, pa.scalar(_BLANK, ID)), False).to_numpy(zero_copy_only=False)
    blank_query = (blank[groups.query_row] & (groups.query_row >= 0))[groups.group]
    is_query = groups.has_role(QUERY)
    no_query = queries.is_null().to_numpy(zero_copy_only=False)
    no_text = groups.column("text").is_null().to_numpy(zero_copy_only=False)
    return [
        _Refusal(no_query, RejectReason.DANGLING_ID, "there is no such query: "),
        _Refusal(blank_query, RejectReason.EMPTY_QUERY, "the query has no text: "),
        _Refusal(is_query | no_text, RejectReason.DANGLING_ID, "there is no such passage: "),
        _Refusal(blank, RejectReason.EMPTY_POSITIVE, "the passage has no text: "),
    ]


def _used(groups: Groups, sound: Mask) -> tuple[Mask, Mask, list[_Refusal]]:
    """Which rows are positives and which are negatives of an example, and why the others are neither."""
    positive = sound & groups.has_role(POSITIVE)
    has_positive = groups.in_group(positive)
    contradicts = np.isin(groups.text, groups.text[positive]) & groups.has_role(NEGATIVE)
    negative = sound & groups.has_role(NEGATIVE) & has_positive & ~contradicts
    return (
        positive,
        negative,
        [
            _Refusal(~has_positive, groups.column("reason_if_orphan")),
            _Refusal(contradicts, RejectReason.CONFLICTING_LABEL, "the same text is a positive of this query: "),
            _Refusal(~(positive | negative), groups.column("reason_if_kept")),
        ],
    )


def _once(groups: Groups, rows: Mask) -> Index:
    """These rows, of those of a group that have equal texts only the first."""
    return first_in_run(groups.text, np.flatnonzero(rows))


def _examples(groups: Groups, queries: pa.StringArray, carriers: Index, positives: Index, negatives: Index) -> pa.Table:
    size = len(carriers)
    carried = groups.members.take(pa.array(carriers))
    query_row = groups.query_row[groups.group[carriers]]
    columns = {
        "dataset": carried.column("dataset"),
        "language": groups.column("language").take(pa.array(np.where(query_row < 0, carriers, query_row))),
        "instruction": pa.nulls(size, pa.string()),
        "query": queries.take(pa.array(carriers)),
        "positives": _lists(groups, carriers, positives),
        "negatives": _lists(groups, carriers, negatives),
        "label": pa.nulls(size, pa.string()),
        "other_labels": _lists(groups, carriers, np.zeros(0, np.int64)),
        "score": carried.column("score"),
        "provenance": carried.column("provenance"),
    }
    return pa.table([columns[name] for name in GROUPED.names], schema=GROUPED)


def _lists(groups: Groups, carriers: Index, rows: Index) -> pa.ListArray:
    """For each carrier the texts of those of ``rows`` that are in its group."""
    counts = np.bincount(groups.group[rows], minlength=len(groups.query_row))[groups.group[carriers]]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), groups.column("text").take(pa.array(rows)), type=TEXTS)


def _counts(datasets: pa.StringArray) -> dict[str, int]:
    return {item["values"]: item["counts"] for item in pc.value_counts(datasets).to_pylist()}


def _rejections(groups: Groups, queries: pa.StringArray, refusals: list[_Refusal]) -> pa.Table:
    """Rows that are refused, but for those that only bring a query; of several refusals the first holds."""
    reason = words = pa.nulls(len(queries), pa.string())
    for refusal in reversed(refusals):
        where = pa.array(refusal.where)
        given = refusal.reason if isinstance(refusal.reason, pa.Array) else pa.scalar(refusal.reason.value)
        reason, words = pc.if_else(where, given, reason), pc.if_else(where, refusal.words, words)
    refused = np.flatnonzero(reason.is_valid().to_numpy(zero_copy_only=False) & ~groups.has_role(QUERY))
    rows, taken = groups.members.take(pa.array(refused)), pa.array(refused)
    size, text = len(refused), groups.column("text").take(taken)
    is_negative = groups.has_role(NEGATIVE)[refused]
    columns = {
        "dataset": rows.column("dataset"),
        "stage": pa.repeat(pa.scalar("prepare"), size),
        "reason": reason.take(taken),
        "detail": pc.binary_join_element_wise(words.take(taken), rows.column("detail"), ""),
        "provenance": rows.column("provenance"),
        "query": queries.take(taken),
        "positives": _one_each(text, ~is_negative),
        "negatives": _one_each(text, is_negative),
        "label": rows.column("label"),
    }
    return pa.table(rejection_columns(columns, size), schema=REJECTIONS)


def _one_each(texts: pa.StringArray, where: Mask) -> pa.ListArray:
    """A list of the row's text where ``where`` is true and there is one, else an empty list."""
    there = where & texts.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(there)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), texts.filter(pa.array(there)), type=TEXTS)
