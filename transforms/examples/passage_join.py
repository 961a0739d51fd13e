"""Judgments meet their passages, and members meet their group.

A judged passage is found by the hash of its id; its address is sent to its part, and only there are texts read, so that
a corpus is never held by anyone. What was found joins the members of its group.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import ADAPTED
from transforms.cleaning.normalise import escaped
from transforms.examples.grouping import MEMBERS, group_members
from transforms.examples.read_rows import PASSAGE_ADDRESSES, ReadSpec
from transforms.flow import progress
from transforms.flow.batches import by_partition, first_words, partitions_of, split_batches
from transforms.flow.counts import MERGED, count, note_count
from transforms.flow.overlapping import OverlappingDoFn
from transforms.flow.parts import PartWriter, address, read_part
from transforms.flow.tagged import COUNTS_TAG, count_readmitted, publish_rejections

MISSING_TAG = "missing"
AMBIGUOUS_PASSAGE = "judgments name a passage whose id stands in the corpus with several texts; one of them was taken"
AMBIGUOUS_QUERY = "judgments name a query whose id stands there with several texts; one of them was taken"

#: A judgment on its way to the part that holds its passage.
WANTED = MEMBERS.append(pa.field("row", pa.int32(), nullable=False))


class Found(NamedTuple):
    """Judgments whose passage is there (WANTED with a column part), those whose passage is not (MEMBERS), and for each
    dataset how many of the former name a passage that its corpus holds with several texts."""

    found: pa.Table
    missing: pa.Table
    ambiguous: dict[str, int]


def find_passages(addresses: pa.Table, judgments: pa.Table) -> Found:
    """Match judgments with passage addresses by key.

    Of the texts of a passage id that a corpus holds twice the one with the smallest hash is taken, whatever the files.
    """
    ordered = addresses.sort_by([(name, "ascending") for name in ("passage", "content", "part", "row")])
    keys, wanted = _fixed(ordered.column("passage")), _fixed(judgments.column("passage"))
    first, end = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, side="right")
    there = pa.array(end > first)
    rows, positions = judgments.filter(there), pa.array(first[end > first])
    content = ordered.column("content").to_numpy()
    several = content[first[end > first]] != content[end[end > first] - 1]
    joined = rows.append_column(WANTED.field("row"), ordered.column("row").take(positions))
    return Found(
        found=joined.append_column("part", ordered.column("part").take(positions)),
        missing=judgments.filter(pc.invert(there)),
        ambiguous=dict(Counter(rows.column("dataset").filter(pa.array(several)).to_pylist())),
    )


def _fixed(hashes: pa.ChunkedArray) -> Any:
    """``binary(16)`` as a NumPy record array of two big-endian words, which compares as the hashes do."""
    array = hashes.combine_chunks()
    words = np.frombuffer(array.buffers()[1] or b"", dtype=">u8").reshape(-1, 2)[
        array.offset : array.offset + len(array)
    ]
    return np.rec.fromarrays([words[:, 0], words[:, 1]])


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class FindPassages(beam.DoFn):
    """Judgments and passage addresses of a range of ids -> judgments by part; tagged: those without a passage, by
    group, and counts.
    """

    def __init__(self, num_partitions: int) -> None:
        self._num_partitions = num_partitions

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        batches = list(keyed[1])
        addresses = [batch for batch in batches if batch.schema.names == PASSAGE_ADDRESSES.names]
        judgments = [batch for batch in batches if batch.schema.names == MEMBERS.names]
        if not judgments:
            return
        found, missing, ambiguous = find_passages(
            pa.Table.from_batches(addresses, schema=PASSAGE_ADDRESSES), pa.Table.from_batches(judgments, schema=MEMBERS)
        )
        for dataset, number in sorted(ambiguous.items()):
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, note_count(dataset, AMBIGUOUS_PASSAGE, number))
        yield from by_partition(found.drop_columns("part"), found.column("part").to_numpy())
        partitions = partitions_of(first_words(missing.column("group")), self._num_partitions)
        for pair in by_partition(missing, partitions):
            yield beam.pvalue.TaggedOutput(MISSING_TAG, pair)


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class FetchPassages(OverlappingDoFn):
    """Judgments of a corpus part -> members with their passage's text, by group."""

    def __init__(self, spec: ReadSpec) -> None:
        self._spec = spec

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[tuple[int, pa.RecordBatch]]:
        part, batches = element
        wanted = pa.Table.from_batches(list(batches), schema=WANTED)
        texts = read_part(self._spec.corpus, part, ["text"]).column("text").take(wanted.column("row"))
        texts = escaped(texts)  # they are normalised, and will be again with the rest of their row
        members = wanted.drop_columns("row").set_column(MEMBERS.get_field_index("text"), MEMBERS.field("text"), texts)
        yield from by_partition(members, partitions_of(first_words(members.column("group")), self._spec.num_partitions))


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class GroupRows(OverlappingDoFn):
    """All members of a range of groups -> parts of canonical rows (their addresses), counts and files."""

    def __init__(self, spec: ReadSpec) -> None:
        self._spec = spec

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        grouped = group_members(pa.Table.from_batches(list(element[1]), schema=MEMBERS))
        rows, rejected = PartWriter(self._spec.parts), [grouped.rejections]
        for dataset in sorted(set(grouped.rows.column("dataset").to_pylist())):
            chosen = grouped.rows.filter(pc.equal(grouped.rows.column("dataset"), dataset)).select(ADAPTED.names)
            for batch in split_batches(chosen.cast(ADAPTED)):
                cleaned = self._spec.cleaned(batch, dataset)
                rejected.append(cleaned.rejected)
                yield from count_readmitted(dataset, cleaned.readmitted)
                for part, size in rows.add(cleaned.kept):
                    yield address(part, size)
        for part, size in rows.close():
            yield address(part, size)
        progress.report(self._spec.progress, rejected=sum(batch.num_rows for batch in rejected))
        for dataset, merged in sorted(grouped.merged.items()):
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(dataset, MERGED, merged))
        for dataset, number in sorted(grouped.ambiguous.items()):
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, note_count(dataset, AMBIGUOUS_QUERY, number))
        yield from publish_rejections(self._spec.rejections, rejected)
