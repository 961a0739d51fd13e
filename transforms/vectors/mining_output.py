"""What mining found, at rest: accepted rows as parts (MINED), refused ones as decisions that go home to their part.

Labelled rows whose label looks wrong stay, and are listed beside the rejections for a person to read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import MINED
from transforms.flow import progress
from transforms.flow.batches import by_partition
from transforms.flow.counts import MINING, count
from transforms.flow.parts import DECISIONS, read_part
from transforms.flow.rejections import reject
from transforms.flow.tagged import COUNTS_TAG, count_readmitted, publish_rejections
from transforms.keeping.decisions import apply_decisions
from transforms.vectors.mining_input import PoolSpec, publish_mined

STAGE = "mine"
#: Why a row that stays is listed, and the folder below its dataset's rejections where it is.
DOUBTFUL_LABEL, DOUBTFUL_FOLDER = "DOUBTFUL_LABEL", "doubtful_labels/"


def accepted(found: pa.Table) -> pa.Table:
    """Rows without a reject reason as MINED: parallel lists of hashes, addresses, scores and ranks become structs."""
    rows = found.filter(pc.is_null(found.column("reason")))
    columns: dict[str, Any] = {name: rows.column(name) for name in ("dataset", "id", "part", "row")}
    columns["cluster_id"] = rows.column("cluster")
    for side, singular in (("positives", "positive"), ("negatives", "negative")):
        columns[side] = _structs(rows, singular, MINED.field(side).type)
    return pa.table([columns[name] for name in MINED.names], schema=MINED)


def _structs(rows: pa.Table, side: str, kind: pa.ListType) -> pa.ListArray:
    hashes = rows.column(f"{side}_hashes").combine_chunks()
    values = {"hash": hashes.flatten(), "score": rows.column(f"{side}_scores").combine_chunks().flatten()}
    addresses = rows.column(f"{side}_addresses").combine_chunks().flatten()
    values |= {name: addresses.field(name) for name in ("part", "row", "field", "element")}
    values["rank"] = pa.array(np.full(len(addresses), -1), pa.int32())
    if f"{side}_ranks" in rows.column_names:
        values["rank"] = rows.column(f"{side}_ranks").combine_chunks().flatten()
    fields = [kind.value_type.field(i) for i in range(kind.value_type.num_fields)]
    structs = pa.StructArray.from_arrays([values[field.name].cast(field.type) for field in fields], fields=fields)
    offsets = np.asarray(hashes.offsets)
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0], pa.int32()), structs)


def refused(found: pa.Table) -> pa.Table:
    """Rows with a reject reason as DECISIONS plus the ``part`` that they belong to."""
    rows = found.filter(pc.is_valid(found.column("reason")))
    return _decisions(rows, rows.column("reason"), rows.column("detail"))


def doubtful(found: pa.Table) -> pa.Table:
    """Accepted labelled rows none of whose nearest texts shares a label with them, as DECISIONS plus ``part``."""
    nobody = pc.and_(pc.equal(found.column("mates"), 0), pc.greater(found.column("others"), 0))
    rows = found.filter(pc.and_(nobody, pc.is_null(found.column("reason"))))
    reasons = pa.array([DOUBTFUL_LABEL] * rows.num_rows, pa.string())
    details = [f"none of the nearest {number} texts shares a label with it" for number in rows["others"].to_pylist()]
    return _decisions(rows, reasons, pa.array(details, pa.string()))


def _decisions(rows: pa.Table, reasons: Any, details: Any) -> pa.Table:
    nobody = pa.nulls(rows.num_rows, pa.binary(16))
    table = pa.table([rows.column("row"), reasons, details, nobody], schema=DECISIONS)
    return table.append_column("part", rows.column("part"))


def _listed(rows: pa.Table, decisions: pa.Table) -> pa.Table:
    """The rows that decisions name in the form of rejections, though they stay."""
    reasons, details, nobody = (decisions[name].to_pylist() for name in ("reason", "detail", "kept_id"))
    return reject(rows.take(decisions["row"].combine_chunks()), STAGE, reasons, details, nobody)


@beam.typehints.with_input_types(tuple[str, pa.RecordBatch])
class WriteMined(beam.DoFn):
    """What was found for a block of rows -> a mined part (files and counts tagged); decisions on refused rows and on
    those with a doubtful label, by part. ``account`` (from ``mining``) says in numbers what was done to the rows.
    """

    def __init__(self, spec: PoolSpec, account: Callable[[pa.Table], Mapping[str, int]]) -> None:
        self._spec, self._account = spec, account

    def process(self, keyed: tuple[str, pa.RecordBatch]) -> Iterator[Any]:
        found = pa.Table.from_batches([keyed[1]])
        dataset = keyed[0].rsplit("\t", 1)[0]
        for name, number in self._account(found).items():
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(dataset, MINING, number, name))
        for item in pc.value_counts(found.column("readmitted").drop_null()).to_pylist():
            yield from count_readmitted(dataset, {item["values"]: item["counts"]})
        mined = accepted(found)
        if mined.num_rows:
            yield from publish_mined(self._spec, mined)
        decisions = pa.concat_tables([refused(found), doubtful(found)])
        yield from by_partition(decisions.drop_columns("part"), decisions.column("part").to_numpy())


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class RejectMined(beam.DoFn):
    """Decisions on rows of a kept part -> their rejections, with texts (files and counts tagged). Rows with a doubtful
    label are written in the same form, in a folder of their own, and not counted: they were not rejected.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        part, batches = keyed
        rows = read_part(self._spec.texts.kept, part)
        decisions = pa.Table.from_batches(list(batches), schema=DECISIONS)
        stays = pc.equal(decisions["reason"], DOUBTFUL_LABEL)
        _, rejected = apply_decisions(rows, decisions.filter(pc.invert(stays)), STAGE)
        listed = _listed(rows, decisions.filter(stays).sort_by("row"))
        progress.report(self._spec.texts.progress, rejected=rejected.num_rows)
        folder = f"{self._spec.folder}/rejections"
        yield from publish_rejections(folder, [rejected])
        yield from publish_rejections(folder, [listed], DOUBTFUL_FOLDER)
