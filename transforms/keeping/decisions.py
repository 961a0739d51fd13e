"""Decisions come home: what was decided about the rows of a part is applied where the part is read again."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.readmission import NOBODY, Readmission
from schemas.reasons import RejectReason
from schemas.rows import CANONICAL
from transforms.duplicates.published import Published
from transforms.flow import progress
from transforms.flow.batches import by_partition, first_words, partitions_of
from transforms.flow.counts import KEPT, count, met_count, note_count
from transforms.flow.manifests import FileRecord
from transforms.flow.overlapping import OverlappingDoFn
from transforms.flow.parts import DECISIONS, address, read_part, split_addresses, write_part
from transforms.flow.rejections import reject
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG, count_readmitted, publish_rejections
from transforms.leaks.evaluation_sightings import sightings_by_range
from transforms.leaks.leak_check import Leaks

CAP_TAG, SIGHTINGS_TAG = "cap", "sightings"

#: A surviving row of a capped dataset: what orders it and where it rests.
CAP_KEYS = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
    ]
)

#: A last look at the rows that survived: gives decisions of its own, and what of evaluation sets it saw.
FinalCheck = Callable[[pa.Table], Leaks]

_ORDER = list(RejectReason)


def first_decisions(decisions: pa.Table) -> pa.Table:
    """One decision for each row: where several steps decided, the reason that comes first in ``RejectReason`` holds."""
    ranks = pa.array(
        [_ORDER.index(RejectReason(reason)) for reason in decisions.column("reason").to_pylist()], pa.int32()
    )
    ordered = decisions.append_column("rank", ranks).sort_by(
        [("row", "ascending"), ("rank", "ascending"), ("kept_id", "ascending"), ("detail", "ascending")]
    )
    rows = ordered.column("row").to_numpy()
    first = np.r_[True, rows[1:] != rows[:-1]] if len(rows) else np.zeros(0, bool)
    return ordered.filter(pa.array(first)).drop_columns("rank")


class Overruled(NamedTuple):
    """``decisions``: those that stand; ``readmitted``: rows that stay without the others, by dataset and reason."""

    decisions: pa.Table
    readmitted: dict[str, Counter[str]]


def overrule(rows: pa.Table, decisions: pa.Table, readmission: Readmission) -> Overruled:
    """Decisions about rows but for those about rows that a person wants kept.

    One stands all the same: a row goes whose very copy, equal in every byte, is kept in its place.
    """
    if not readmission or not decisions.num_rows:
        return Overruled(decisions, {})
    about = rows.select(["dataset", "id"]).take(decisions.column("row"))
    is_copy = np.asarray(pc.fill_null(pc.equal(decisions.column("kept_id"), about.column("id")), False), np.bool_)
    over = readmission.mask(about.column("id")) & ~is_copy
    stands = decisions.filter(pa.array(~over))
    reasons = first_decisions(decisions.filter(pa.array(over)))
    gone = set(stands.column("row").to_pylist())
    readmitted: dict[str, Counter[str]] = {}
    for row, reason in zip(*(reasons.column(name).to_pylist() for name in ("row", "reason")), strict=True):
        if row not in gone:
            readmitted.setdefault(rows.column("dataset")[row].as_py(), Counter())[reason] += 1
    return Overruled(stands, readmitted)


def met(rows: pa.Table, readmission: Readmission) -> Iterator[beam.pvalue.TaggedOutput[str, tuple[str, int]]]:
    """That rows are there which a person wants kept, as counts."""
    there = rows.select(["dataset", "id"]).filter(pa.array(readmission.mask(rows.column("id"))))
    for dataset, row_id in sorted({(row["dataset"], row["id"]) for row in there.to_pylist()}):
        yield beam.pvalue.TaggedOutput(COUNTS_TAG, met_count(dataset, row_id.hex()))


def counted(readmitted: Mapping[str, Mapping[str, int]]) -> Iterator[beam.pvalue.TaggedOutput[str, Any]]:
    """Re-admitted rows of several datasets, as counts."""
    for dataset, rows_by_reason in sorted(readmitted.items()):
        yield from count_readmitted(dataset, rows_by_reason)


def apply_decisions(rows: pa.Table, decisions: pa.Table, stage: str) -> tuple[pa.Table, pa.Table]:
    """``(kept: CANONICAL, rejected: REJECTIONS)``; every row of the part is in exactly one of them."""
    decided = first_decisions(decisions)
    positions = decided.column("row").to_numpy()
    keep = np.ones(rows.num_rows, bool)
    keep[positions] = False
    rejected = reject(
        rows.take(pa.array(positions)),
        stage,
        decided.column("reason").to_pylist(),
        decided.column("detail").to_pylist(),
        decided.column("kept_id").to_pylist(),
    )
    return rows.filter(pa.array(keep)), rejected


def with_labels(rows: pa.Table, united: pa.Table) -> pa.Table:
    """Rows with UNITED labels. A row's own first label stays the first, and its id that of the row as it was read."""
    if not united.num_rows:
        return rows
    place = rows.schema.get_field_index("other_labels")
    others, labels = rows.column(place).to_pylist(), rows.column("label")
    for row in united.to_pylist():
        others[row["row"]] = [label for label in row["labels"] if label != labels[row["row"]].as_py()]
    return rows.set_column(place, rows.schema.field(place), pa.array(others, rows.schema.field(place).type))


@dataclass(frozen=True, kw_only=True)
class ApplySpec:
    """Places and numbers of the steps that apply decisions. ``caps``: rows that a dataset may have at most;
    ``readmission``: rows that stay whatever is decided about them. ``published``: rows of earlier runs that these were
    compared with.
    """

    folder: str
    progress: str | None
    caps: Mapping[str, int]
    num_partitions: int
    readmission: Readmission = NOBODY
    published: Published = field(default_factory=dict)


#: What is noticed of published rows, by what was decided about them: nothing can be taken back.
_STANDING = {
    True: "published rows say something else than new rows about the same texts; they stay, new rows are rejected",
    False: "published rows would be duplicates of new ones, whose datasets come first; both stay",
}


def standing(decisions: pa.Table, dataset: str) -> Iterator[beam.pvalue.TaggedOutput[str, tuple[str, int]]]:
    """Published rows about which something was decided, as counts: a row once."""
    decided = first_decisions(decisions)
    for contradicts, words in _STANDING.items():
        is_so = pc.equal(decided.column("reason"), RejectReason.CONFLICTING_LABEL.value)
        number = pc.sum(pc.equal(is_so, contradicts)).as_py() or 0
        if number:
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, note_count(dataset, words, number))


def keep(spec: ApplySpec, rows: pa.Table) -> Iterator[beam.pvalue.TaggedOutput[str, str | tuple[str, int]]]:
    """Write kept rows as a part for each dataset; gives their file records and counts.

    Rows of several datasets come together in groups; from here on what becomes of one shall not depend on another.
    """
    for dataset in sorted(rows.column("dataset").unique().to_pylist()):
        own = rows.filter(pc.equal(rows.column("dataset"), dataset))
        number = write_part(f"{spec.folder}/kept", own.cast(CANONICAL))
        progress.report(spec.progress, kept=own.num_rows)
        record = FileRecord(kind="kept", path=f"kept/{number:016x}.parquet", rows=own.num_rows, dataset=dataset)
        yield beam.pvalue.TaggedOutput(FILES_TAG, record.to_json())
        yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(dataset, KEPT, own.num_rows))


class _Checked(NamedTuple):
    """``Leaks`` of rows, and those that stay all the same, by dataset and reason."""

    decisions: pa.Table
    sightings: pa.Table
    readmitted: Mapping[str, Mapping[str, int]]


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class ApplyDecisions(OverlappingDoFn):
    """A part and its decisions -> what is kept of it, with counts, file records, and sightings of evaluation queries.

    A part that holds rows under a cap gives a part of survivors (main output: its address) and their keys instead.
    """

    def __init__(self, spec: ApplySpec, final_check: FinalCheck | None) -> None:
        self._spec, self._final_check = spec, final_check

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        part, batches = element
        _, decisions, united = split_addresses(batches)
        if part < 0:
            yield from standing(decisions, self._spec.published[part].dataset)
            return
        rows = with_labels(read_part(f"{self._spec.folder}/parts", part), united)
        found = overrule(rows, decisions, self._spec.readmission)
        yield from met(rows, self._spec.readmission)
        yield from counted(found.readmitted)
        kept, rejected = apply_decisions(rows, found.decisions, "prepare")
        if self._final_check is not None:
            leaks = self._checked(kept, self._final_check)
            kept, leaked = apply_decisions(kept, leaks.decisions, "prepare")
            rejected = pa.concat_tables([rejected, leaked])
            yield from counted(leaks.readmitted)
            for keyed in sightings_by_range(leaks.sightings, self._spec.num_partitions):
                yield beam.pvalue.TaggedOutput(SIGHTINGS_TAG, keyed)
        progress.report(self._spec.progress, rejected=rejected.num_rows)
        yield from publish_rejections(f"{self._spec.folder}/rejections", [rejected])
        if self._spec.caps.keys() & set(kept.column("dataset").unique().to_pylist()):
            survivors = write_part(f"{self._spec.folder}/survivors", kept)
            yield address(survivors, kept.num_rows)
            yield from self._cap_keys(survivors, kept)
        else:
            yield from keep(self._spec, kept)

    def _checked(self, kept: pa.Table, check: FinalCheck) -> "_Checked":
        """What the check says of rows; of those that are wanted it is counted alone, so no sighting names them."""
        wanted = self._spec.readmission.mask(kept.column("id"))
        if not wanted.any():
            return _Checked(*check(kept), {})
        others = np.flatnonzero(~wanted)
        leaks, own = check(kept.take(pa.array(others))), kept.filter(pa.array(wanted))
        places = pa.array(others[leaks.decisions.column("row").to_numpy()], pa.int32())
        decisions = leaks.decisions.set_column(0, DECISIONS.field("row"), places)
        return _Checked(
            decisions, leaks.sightings, overrule(own, check(own).decisions, self._spec.readmission).readmitted
        )

    def _cap_keys(self, part: int, rows: pa.Table) -> Iterator[beam.pvalue.TaggedOutput[str, Any]]:
        capped = pc.is_in(rows.column("dataset"), pa.array(sorted(self._spec.caps), pa.string()))
        positions = np.flatnonzero(capped.to_numpy())
        chosen = rows.take(pa.array(positions))
        columns = [
            chosen.column("dataset"),
            chosen.column("id"),
            pa.array(np.full(len(positions), part)),
            pa.array(positions, pa.int32()),
        ]
        keys = pa.table(columns, schema=CAP_KEYS)
        for keyed in by_partition(keys, partitions_of(first_words(keys.column("id")), self._spec.num_partitions)):
            yield beam.pvalue.TaggedOutput(CAP_TAG, keyed)


def cap_counts(keyed: tuple[int, pa.RecordBatch]) -> Iterator[tuple[str, int]]:
    """Rows of each capped dataset in a range of ids, keyed ``dataset<TAB>range``."""
    for item in pc.value_counts(keyed[1].column("dataset")).to_pylist():
        yield f"{item['values']}\t{keyed[0]}", item["counts"]


@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class CapRows(beam.DoFn):
    """All rows of a range of ids -> decisions that reject those beyond their dataset's cap.

    The rows with the smallest ids stay, so a cap is the same whatever the order. ``rows_by_range`` holds the rows of
    each dataset and range; ranges are in the order of ids, so their sums say how many come before a range.
    """

    def __init__(self, caps: Mapping[str, int]) -> None:
        self._caps = caps

    def process(
        self, keyed: tuple[int, Iterable[pa.RecordBatch]], rows_by_range: dict[str, int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        number, batches = keyed
        table = pa.Table.from_batches(list(batches), schema=CAP_KEYS).sort_by(
            [("dataset", "ascending"), ("id", "ascending")]
        )
        for dataset, cap in sorted(self._caps.items()):
            before = sum(rows_by_range.get(f"{dataset}\t{i}", 0) for i in range(number))
            rows = table.filter(pc.equal(table.column("dataset"), dataset)).slice(max(0, cap - before))
            yield from by_partition(_capped(rows, cap), rows.column("part").to_numpy())


def _capped(rows: pa.Table, cap: int) -> pa.Table:
    size = rows.num_rows
    columns = [
        rows.column("row"),
        pa.array([RejectReason.CAPPED.value] * size, pa.string()),
        pa.array([f"beyond the dataset's cap of {cap} rows"] * size, pa.string()),
        pa.nulls(size, pa.binary(16)),
    ]
    return pa.table(columns, schema=DECISIONS)


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class KeepRows(OverlappingDoFn):
    """Survivors and caps of a part -> the part as it is kept, with counts and file records."""

    def __init__(self, spec: ApplySpec) -> None:
        self._spec = spec

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        part, batches = element
        rows = read_part(f"{self._spec.folder}/survivors", part)
        found = overrule(rows, split_addresses(batches).decisions, self._spec.readmission)
        yield from counted(found.readmitted)
        kept, rejected = apply_decisions(rows, found.decisions, "prepare")
        yield from publish_rejections(f"{self._spec.folder}/rejections", [rejected])
        yield from keep(self._spec, kept)
