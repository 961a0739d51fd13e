"""What of an evaluation set was seen in a training dataset: its queries, which are kept out, and its passages, which
are reported.

A sighting names what was seen by a hash, so that many of the same thing come together in its range and count once.
"""

from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from schemas.evaluation import QUERIES
from transforms.flow.batches import by_partition, partitions_of
from transforms.flow.counts import Count, overlap_count
from transforms.leaks.decontaminate import CONTAINED, EDITED, EXACT

#: Where a passage was seen: among the positives of kept rows, or in the corpus that mining draws on.
POSITIVES, CORPUS = "positives", "corpus"
#: What is counted beside the kinds: different queries that were found, passages that an evaluation set has.

_LEAKS = (EXACT, CONTAINED, EDITED)

#: One query found in one row (``kind`` says how), or one passage found in a dataset (``kind`` says where).
SIGHTINGS = pa.schema(
    [
        pa.field("high", pa.uint64(), nullable=False),
        pa.field("low", pa.uint64(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("evaluation_set", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
_PAIR = ["dataset", "evaluation_set"]


def count_sightings(sightings: pa.Table) -> Iterator[Count]:
    """Counts by training dataset and evaluation set: rejected rows by kind, different queries, different passages.

    All sightings of the same thing are there.
    """
    is_leak = pc.is_in(sightings.column("kind"), pa.array(_LEAKS))
    leaks, passages = sightings.filter(is_leak), sightings.filter(pc.invert(is_leak))
    yield from _counts(leaks, [*_PAIR, "kind"])
    yield from _counts(distinct(leaks, ["high", "low", *_PAIR]), _PAIR)
    yield from _counts(distinct(passages, SIGHTINGS.names), [*_PAIR, "kind"])


def _counts(rows: pa.Table, keys: Sequence[str]) -> Iterator[Count]:
    for group in rows.group_by(keys).aggregate([([], "count_all")]).to_pylist():
        what = group.get("kind", QUERIES)
        yield overlap_count(group["dataset"], group["evaluation_set"], what, group["count_all"])


def distinct(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Each different combination of some columns once."""
    return rows.group_by(keys).aggregate([]).select(keys)


def sightings_by_range(sightings: pa.Table, num_partitions: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Sightings under the range of what was seen."""
    yield from by_partition(sightings, partitions_of(sightings.column("high").to_numpy(), num_partitions))


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[str, int])
class CountSightings(beam.DoFn):
    """All sightings of a range -> counts by training dataset and evaluation set."""

    def __init__(self) -> None:
        """Needs nothing: what it works on travels in the batches."""

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Count]:
        yield from count_sightings(pa.Table.from_batches(list(keyed[1]), schema=SIGHTINGS))
