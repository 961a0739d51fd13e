"""What the steps give beside their rows: counts, records of the files that they wrote, and rejections."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from schemas.rows import REJECTIONS
from transforms.flow.counts import READMITTED, count
from transforms.flow.manifests import FileRecord
from transforms.flow.rejections import write_rejections

COUNTS_TAG, FILES_TAG = "counts", "files"


KEYED_BATCHES = beam.typehints.KV[int, pa.RecordBatch]
COUNTS = beam.typehints.KV[str, int]


def typed(output: PCollection[Any], kind: Any) -> PCollection[Any]:
    """A tagged output with its type (one of Beam's): without one the batches in it would be pickled.

    It is said of the collection itself: a step that only passes elements on costs as much to build as any other, and
    leaves the type unsaid before it.
    """
    output.element_type = kind
    return output


def publish_rejections(
    folder: str, batches: Iterable[pa.RecordBatch | pa.Table], below: str = ""
) -> Iterator[beam.pvalue.TaggedOutput[str, Any]]:
    """Write rejections and give their counts and file records as tagged outputs."""
    tables = [pa.Table.from_batches([b]) if isinstance(b, pa.RecordBatch) else b for b in batches if b.num_rows]
    if not tables:
        return
    for item in write_rejections(folder, pa.concat_tables(tables).cast(REJECTIONS), below):
        if isinstance(item, FileRecord):
            yield beam.pvalue.TaggedOutput(FILES_TAG, item.to_json())
        else:
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, item)


def count_readmitted(dataset: str, rows_by_reason: Mapping[str, int]) -> Iterator[beam.pvalue.TaggedOutput[str, Any]]:
    """Rows of a dataset that stay since a person wants them, as counts by the reason that was overruled."""
    for reason, rows in sorted(rows_by_reason.items()):
        yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(dataset, READMITTED, rows, reason))
