"""Steps of a pipeline one after the other without a runner: what one gives by tag, what a shuffle makes of it."""

import json
import random
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms.flow.batches import RecordBatchCoder
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG

MAIN = "main"


def outputs(given: Iterable[Any]) -> dict[str, list[Any]]:
    """What a DoFn's ``process`` gave, by tag; the main output under ``MAIN``."""
    by_tag: dict[str, list[Any]] = {}
    for item in given:
        tagged = isinstance(item, beam.pvalue.TaggedOutput)
        by_tag.setdefault(item.tag if tagged else MAIN, []).append(item.value if tagged else item)
    return by_tag


def together(*several: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The outputs of several calls of a step."""
    tags = {tag for given in several for tag in given}
    return {tag: [item for given in several for item in given.get(tag, [])] for tag in tags}


def shuffle(keyed: Iterable[tuple[Any, pa.RecordBatch]], seed: int = 0) -> list[tuple[Any, list[pa.RecordBatch]]]:
    """Group batches by key after a way through their coder; keys and batches come in an order of the seed's."""
    coder = RecordBatchCoder()
    groups: dict[Any, list[pa.RecordBatch]] = {}
    for key, batch in keyed:
        groups.setdefault(key, []).append(coder.decode(coder.encode(batch)))
    found, drawn = list(groups.items()), random.Random(seed)
    drawn.shuffle(found)
    for _, batches in found:
        drawn.shuffle(batches)
    return found


def tally(given: dict[str, list[Any]]) -> dict[str, int]:
    """The sum of each counted key; what was merely noticed is left out."""
    sums: dict[str, int] = {}
    counted = [(key, rows) for key, rows in given.get(COUNTS_TAG, []) if key.split("\t")[1] not in ("note", "least_id")]
    for key, rows in counted:
        sums[key] = sums.get(key, 0) + rows
    return sums


def records(given: dict[str, list[Any]], kind: str) -> list[dict[str, Any]]:
    """The file records of a kind."""
    found = [json.loads(text) for text in given.get(FILES_TAG, [])]
    return [record for record in found if record["kind"] == kind]


def rows_of(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    """All rows of some batches."""
    return [row for batch in batches for row in batch.to_pylist()]


def in_order(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in an order that only depends on them."""
    return sorted(rows, key=lambda row: repr(sorted(row.items())))
