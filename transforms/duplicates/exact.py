"""Exact duplicates and contradictions: rows whose compared texts are equal in the form for matching.

A row's key and rank travel to its range of keys, about 90 bytes and no text; decisions come back by part.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from schemas.readmission import NOBODY, Readmission
from schemas.reasons import RejectReason
from schemas.rows import TEXTS
from transforms.duplicates.published import (
    CONTRADICT,
    Published,
    is_published,
    read_rows,
    scopes_at,
    source_of,
    stands_in,
    was_rejected,
)
from transforms.duplicates.scopes import (
    RANKED,
    RANKS,
    SURVIVAL,
    Scopes,
    Words,
    is_compared,
    label_word,
    label_words,
    labels_where_several,
    mixed,
    rank_columns,
    scope_of,
    scope_tags,
    statement_words,
    sums_by_row,
)
from transforms.flow.batches import by_partition, partitions_of
from transforms.flow.overlapping import OverlappingDoFn
from transforms.flow.parts import DECISIONS, UNITED
from transforms.text.matching import matching_forms, text_hashes

Keyed = tuple[int, pa.RecordBatch]

#: A row on its way to those with the same key (two words). ``label``, ``says``: hashes of its set of labels, and of it
#: with the score. ``labels``: the labels themselves where there are several. ``marked``: of its texts with their marks.
KEYS = pa.schema(
    [
        pa.field("high", pa.uint64(), nullable=False),
        pa.field("low", pa.uint64(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("label", pa.uint64(), nullable=False),
        pa.field("says", pa.uint64(), nullable=False),
        pa.field("labels", TEXTS),
        pa.field("marked", pa.uint64(), nullable=False),
        *RANKS,
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
    ]
)
#: Decisions with the part they belong to, before they are keyed by it.
_PART = pa.field("part", pa.int64(), nullable=False)
DECIDED = pa.schema([_PART, *DECISIONS])
#: Rows that stay with the labels of others, with the part they belong to.
UNITED_ROWS = pa.schema([_PART, *UNITED])

_WHAT = {"query": "the same query", "positives": "the same positives", "both": "the same texts"}
_TEXT_SALT = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


def exact_keys(rows: pa.Table, scopes: Scopes) -> tuple[Words, Words]:
    """Two words for each row that are equal where the rows are duplicates or contradict each other.

    They hash the scope, the form of the query and the set of forms of the positives, whatever the order of these.
    """
    tags = scope_tags(rows, scopes)
    queries = text_hashes(matching_forms(rows.column("query")))
    lists = rows.column("positives").combine_chunks()
    positives = text_hashes(matching_forms(lists.flatten()))
    counts = pc.list_value_length(lists).to_numpy().astype(np.int64)
    has_query, has_positives = (is_compared(rows, scopes, name) for name in ("query", "positives"))
    words = []
    for half, salt in enumerate(_TEXT_SALT):
        together = sums_by_row(mixed(positives[:, half] + salt), counts) + counts.astype(np.uint64)
        query = np.where(has_query, mixed(queries[:, half]), 0)
        words.append(mixed(mixed(tags ^ salt) + query) + np.where(has_positives, mixed(together), 0))
    return words[0], words[1]


def says(rows: pa.Table, scopes: Scopes) -> Words:
    """A hash of what each row says about its texts, where all of them are compared; else nothing, for where only
    queries are compared, two answers to one query may well have scores of their own.
    """
    whole = is_compared(rows, scopes, "query") & is_compared(rows, scopes, "positives")
    return np.where(whole, statement_words(rows), np.uint64(0))


def marked_words(rows: pa.Table, contradicted: bool = False) -> Words:
    """A hash of each row's texts with their marks, case aside; 0 where no row has a label or a score, unless these rows
    were ``contradicted``, so that they had.

    A label may hang on marks alone: ``what a result :)`` and ``:(``, ``5 degrees`` and ``-5 degrees``.
    """
    if not contradicted and all(rows.column(name).null_count == rows.num_rows for name in ("label", "score")):
        return np.zeros(rows.num_rows, np.uint64)
    lists = rows.column("positives").combine_chunks()
    counts = pc.list_value_length(lists).to_numpy().astype(np.int64)
    positives = text_hashes(pc.utf8_lower(lists.flatten()))[:, 0]
    queries = text_hashes(pc.utf8_lower(rows.column("query").combine_chunks()))[:, 0]
    return mixed(queries) + mixed(sums_by_row(mixed(positives + _TEXT_SALT[0]), counts))


def key_rows(rows: pa.Table, part: int, scopes: Scopes, contradicted: bool = False) -> pa.Table:
    """KEYS of the rows of a part; ``contradicted``: an earlier run's, which rejected them for what they say."""
    high, low = exact_keys(rows, scopes)
    said = [label_words(rows), says(rows, scopes), labels_where_several(rows), marked_words(rows, contradicted)]
    columns = [high, low, rows.column("dataset"), *said, *rank_columns(rows, scopes)]
    numbers = [np.full(rows.num_rows, part), np.arange(rows.num_rows, dtype=np.int32)]
    return pa.table([*columns, *numbers], schema=KEYS)


def run_starts(*keys: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Where a run of equal keys starts; rows with equal keys lie together."""
    if not len(keys[0]):
        return np.empty(0, np.int64)
    differs = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.flatnonzero(np.r_[True, differs])


def run_lengths(starts: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """How long the runs are."""
    lengths: npt.NDArray[np.int64] = np.diff(np.r_[starts, size])
    return lengths


def statements_of(keys: pa.Table, *besides: str) -> npt.NDArray[np.int64]:
    """For each row how many different things its dataset says about the row's texts, and what else must be equal.

    Published rows without a label say nothing beside new ones that have scores, for a shard does not hold these.
    """
    silent = _silent(keys)
    if silent.any():
        found = np.ones(keys.num_rows, np.int64)
        found[~silent] = statements_of(keys.filter(pa.array(~silent)), *besides)
        return found
    codes = keys.column("dataset").combine_chunks().dictionary_encode().indices.to_numpy()
    names = ("high", "low", *besides)
    same = [*(keys.column(name).to_numpy() for name in names), codes]
    says = keys.column("says").to_numpy()
    order = np.lexsort((says, *same[::-1]))
    same, says = [column[order] for column in same], says[order]
    starts = run_starts(*same)
    new = np.zeros(len(order), np.int64)
    new[run_starts(*same, says)] = 1
    statements = np.empty(len(order), np.int64)
    statements[order] = np.repeat(np.add.reduceat(new, starts), run_lengths(starts, len(order))) if len(order) else 0
    return statements


def _silent(keys: pa.Table) -> npt.NDArray[np.bool_]:
    """Published rows without a label whose texts a new row of their dataset has with a score."""
    old = is_published(keys.column("part"))
    if not old.any():
        return old
    bare, says = (keys.column("label").to_numpy() == label_word(None)), keys.column("says").to_numpy()
    scored = ~old & bare & ~np.isin(says, says[old & bare])
    codes = keys.column("dataset").combine_chunks().dictionary_encode().indices.to_numpy()
    texts = keys.column("high").to_numpy() ^ mixed(codes.astype(np.uint64) + np.uint64(1))
    silent: npt.NDArray[np.bool_] = old & bare & np.isin(texts, texts[scored])
    return silent


def with_overlaps(keys: pa.Table, *besides: str) -> pa.Table:
    """KEYS in which rows of one text whose sets of labels all hang together say the same as the first of them;
    ``besides``: what else must be equal.
    """
    words = {name: keys.column(name).to_numpy().copy() for name in ("high", "low", "label", "says", *besides)}
    several = keys.column("labels").is_valid().to_numpy()
    places = np.flatnonzero(np.isin(words["high"], words["high"][several]))
    texts: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    names = keys.column("dataset").take(pa.array(places)).to_pylist()
    for name, place in zip(names, places.tolist(), strict=True):
        same = tuple(int(words[key][place]) for key in ("high", "low", *besides))
        texts.setdefault((name, same), []).append(place)
    labels = keys.column("labels")
    for rows in texts.values():
        if hang_together([_label_set(labels[row].as_py(), int(words["label"][row])) for row in rows]):
            for name in ("label", "says"):
                words[name][rows] = words[name][rows].min()
    for name in ("label", "says"):
        keys = keys.set_column(keys.schema.get_field_index(name), KEYS.field(name), pa.array(words[name]))
    return keys


def _label_set(several: list[str] | None, word: int) -> set[int]:
    return {word} if several is None else set(map(label_word, several))


def hang_together(sets: list[set[int]]) -> bool:
    """Whether sets are one component where those are linked that have an element in common."""
    reached, left = set(sets[0]), sets[1:]
    while near := [found for found in left if found & reached]:
        reached.update(*near)
        left = [found for found in left if not found & reached]
    return not left


class Decided(NamedTuple):
    """Which rows go (DECIDED), and which stay with labels of others that go (UNITED_ROWS)."""

    decisions: pa.Table
    united: pa.Table


class _Said(NamedTuple):
    """By row: how many different things its dataset says about its texts, marks and all; whether they are at odds; and
    what tells its texts apart from others with the same key.
    """

    statements: npt.NDArray[np.int64]
    conflicts: npt.NDArray[np.bool_]
    apart: Words


def _said(keys: pa.Table, published: Published) -> _Said:
    """What is said about the texts of KEYS. What an earlier run found to be contradicted stays so."""
    statements, marked = statements_of(keys, "marked"), keys.column("marked").to_numpy()
    several = statements_of(keys) > 1
    at_odds = was_rejected(keys.column("part"), published, CONTRADICT)
    if at_odds.any():
        codes = keys.column("dataset").combine_chunks().dictionary_encode().indices.to_numpy().astype(np.uint64)
        texts = mixed(mixed(keys.column("high").to_numpy() + codes) ^ keys.column("low").to_numpy())
        several |= np.isin(texts, texts[at_odds])
        texts = mixed(texts + marked)
        statements = np.where(np.isin(texts, texts[at_odds]), np.maximum(statements, 2), statements)
    return _Said(statements, statements > 1, np.where(several, marked, np.uint64(0)))


def decide_exact(
    keys: pa.Table, scopes: Scopes, readmission: Readmission = NOBODY, published: Published | None = None
) -> Decided:
    """Decide about rows that were brought together by their keys; all rows with equal keys are there.

    A dataset that says different things about the same texts, marks and all, loses all these rows: CONFLICTING_LABEL.
    Where it says different things about texts that differ in their marks, these are told apart by them. Labels are
    sets, and sets that have a label in common, be it by way of others, do not contradict each other but are united. Of
    the others with equal keys and labels the first in survival order stays and the rest are EXACT_DUPLICATE.
    ``readmission``: of copies among rows that go though a person wants them all but one are EXACT_DUPLICATE besides.

    ``published``: rows with a negative part are those of earlier runs. A duplicate of a published one is
    PUBLISHED_DUPLICATE. One that new rows contradict, or that would not be the first, stays: what is decided about it
    is there to be counted.
    """
    published = published or {}
    if keys.column("labels").null_count < keys.num_rows:
        keys = with_overlaps(with_overlaps(keys, "marked"))
    said = _said(keys, published)
    told = said.conflicts & _meets_new(keys, said.conflicts) & ~was_rejected(keys.column("part"), published)
    conflicting = keys.filter(pa.array(told))
    details = _conflict_details(keys.filter(pa.array(said.conflicts)), conflicting, said.statements[told], published)
    others = keys.append_column("apart", pa.array(said.apart)).filter(pa.array(~said.conflicts))
    same = ("high", "low", "label", "apart")
    ordered = others.sort_by([*((name, "ascending") for name in same), *SURVIVAL])
    starts = run_starts(*(ordered.column(name).to_numpy() for name in same))
    firsts = np.repeat(starts, run_lengths(starts, ordered.num_rows))
    reasons = [RejectReason.CONFLICTING_LABEL] * len(details)
    gone = _decided(conflicting, reasons, details, pa.nulls(len(details), pa.binary(16)))
    losers = ordered.filter(pa.array(firsts != np.arange(ordered.num_rows))).select(conflicting.column_names)
    copies = _copies(pa.concat_tables([conflicting, losers]), scopes, readmission, published)
    duplicates = _duplicates(ordered, firsts, scopes, published)
    return Decided(pa.concat_tables([gone, copies, duplicates]), _united(ordered, firsts))


def _meets_new(keys: pa.Table, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which rows are of the run, or have a text that a chosen row of the run has: of others nothing is to be told."""
    old, texts = is_published(keys.column("part")), keys.column("high").to_numpy()
    meets: npt.NDArray[np.bool_] = ~old | np.isin(texts, texts[chosen & ~old])
    return meets


def _conflict_details(
    every: pa.Table, told: pa.Table, statements: npt.NDArray[np.int64], published: Published
) -> list[str]:
    """What is said of rows that contradict each other: how many things are said, and where one of ``every`` is from
    an earlier run.
    """
    parts, texts = (every.column(name).to_pylist() for name in ("part", "high"))
    earlier = [(text, part) for text, part in zip(texts, parts, strict=True) if part < 0]
    earlier.sort(key=lambda each: not published[each[1]].rejected)  # those that stay last, and these are told
    there = {text: f", one of them{source_of(part, published)}" for text, part in earlier}
    return [
        f"{number} different labels or scores for the same text{there.get(text, '')}"
        for number, text in zip(statements.tolist(), told.column("high").to_pylist(), strict=True)
    ]


def _copies(losers: pa.Table, scopes: Scopes, readmission: Readmission, published: Published) -> pa.Table:
    """DECIDED of rows that go although a person wants them: of several that are equal in every byte one stays."""
    wanted = losers.filter(pa.array(readmission.mask(losers.column("id"))))
    ordered = wanted.sort_by([("id", "ascending"), *SURVIVAL])
    ids = ordered.column("id").combine_chunks()
    new = np.ones(len(ids), np.bool_)
    new[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return _duplicates(ordered, np.flatnonzero(new)[np.cumsum(new) - 1], scopes, published)


def _duplicates(ordered: pa.Table, firsts: npt.NDArray[np.int64], scopes: Scopes, published: Published) -> pa.Table:
    """DECIDED of rows that are not the first of their kind; ``firsts``: the number of that row, for each row."""
    old = is_published(ordered.column("part"))
    spoken = ~(old & old[firsts]) & ~was_rejected(ordered.column("part"), published)
    gone = np.flatnonzero((firsts != np.arange(ordered.num_rows)) & spoken)
    survivors = ordered.take(pa.array(firsts[gone]))
    names, parts = (survivors.column(name).to_pylist() for name in ("dataset", "part"))
    details = [
        f"{_WHAT[scope_of(scopes_at(part, scopes, published), name).compare]}, but for case and punctuation, as a row "
        f"of {name}{stands_in(part, published)}"
        for name, part in zip(names, parts, strict=True)
    ]
    reasons = reasons_by_survivor(parts, RejectReason.EXACT_DUPLICATE, published)
    return _decided(ordered.take(pa.array(gone)), reasons, details, survivors.column("id"))


def reasons_by_survivor(parts: Sequence[int], reason: RejectReason, published: Published) -> list[RejectReason]:
    """Why duplicates go, by the parts of the rows that stay in their place; ``reason``: where that one is not
    published.
    """
    there = {part for part in parts if part < 0 and not published[part].rejected}
    return [RejectReason.PUBLISHED_DUPLICATE if part in there else reason for part in parts]


def _united(ordered: pa.Table, firsts: npt.NDArray[np.int64]) -> pa.Table:
    """UNITED_ROWS of survivors that do not have all labels which their dataset gives their text."""
    several = np.flatnonzero(ordered.column("labels").is_valid().to_numpy())
    rows = ordered.select(["dataset", "labels"])
    sets: dict[int, set[str]] = {}
    for row, first in zip(several.tolist(), firsts[several].tolist(), strict=True):
        if rows.column("dataset")[row] == rows.column("dataset")[first]:
            sets.setdefault(first, set()).update(rows.column("labels")[row].as_py())
    own = {first: set(rows.column("labels")[first].as_py() or ()) for first in sets}
    old = is_published(ordered.column("part"))
    wider = [first for first, labels in sets.items() if labels != own[first] and not old[first]]
    chosen = ordered.select(["part", "row"]).take(pa.array(wider, pa.int64()))
    return pa.table([*chosen.columns, pa.array([sorted(sets[first]) for first in wider], TEXTS)], schema=UNITED_ROWS)


def _decided(rows: pa.Table, reasons: Sequence[RejectReason], details: Sequence[str], kept: pa.Array) -> pa.Table:
    told = [pa.array(words, pa.string()) for words in (reasons, details)]
    return pa.table([rows.column("part"), rows.column("row"), *told, kept], schema=DECIDED)


def decisions_by_part(decided: pa.Table) -> Iterator[Keyed]:
    """Decisions as they travel home: DECISIONS (or UNITED) under their part."""
    yield from by_partition(decided.drop_columns("part"), decided.column("part").to_numpy())


@beam.typehints.with_input_types(tuple[int, pa.RecordBatch])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class KeyRows(OverlappingDoFn):
    """The address of a part -> KEYS of its rows under their range."""

    def __init__(self, folder: str, scopes: Scopes, num_partitions: int, published: Published | None = None) -> None:
        self._folder, self._scopes, self._num_partitions = folder, scopes, num_partitions
        self._published = published or {}

    def work(self, element: Keyed) -> Iterator[Keyed]:
        part = element[0]
        rows = read_rows(self._folder, part, [*RANKED, "label", "score"], self._published)
        contradicted = part < 0 and self._published[part].rejected in CONTRADICT
        keys = key_rows(rows, part, scopes_at(part, self._scopes, self._published), contradicted)
        yield from by_partition(keys, partitions_of(keys.column("high").to_numpy(), self._num_partitions))


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class DecideExact(beam.DoFn):
    """All KEYS of a range -> decisions by part, and the labels of rows that stay with those of others."""

    def __init__(self, scopes: Scopes, readmission: Readmission = NOBODY, published: Published | None = None) -> None:
        self._scopes, self._readmission, self._published = scopes, readmission, published

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        keys = pa.Table.from_batches(list(keyed[1]), schema=KEYS)
        for found in decide_exact(keys, self._scopes, self._readmission, self._published):
            yield from decisions_by_part(found)


@dataclass(eq=False, kw_only=True)
class RemoveExactDuplicates(beam.PTransform[Any, Any]):
    """Addresses of parts -> decisions by part (CONFLICTING_LABEL, EXACT_DUPLICATE, PUBLISHED_DUPLICATE) and united
    labels.

    ``folder``: where the parts lie. ``num_partitions``: ranges of keys, from the number of rows. ``readmission``: rows
    that stay whatever their labels say. ``published``: what addresses of published rows stand for.
    """

    folder: str
    scopes: Scopes
    num_partitions: int
    readmission: Readmission = NOBODY
    published: Published = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, parts: PCollection[Keyed]) -> PCollection[Keyed]:
        decided: PCollection[Keyed] = (
            parts
            | "Key rows" >> beam.ParDo(KeyRows(self.folder, self.scopes, self.num_partitions, self.published))
            | "By range" >> beam.GroupByKey()
            | "Decide" >> beam.ParDo(DecideExact(self.scopes, self.readmission, self.published))
        )
        return decided
