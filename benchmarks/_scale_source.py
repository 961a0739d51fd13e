"""Rows of any number, length and number of datasets in hub layout, for measurements that are to be planned from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.join import english_words
from benchmarks.shuffle import GROUP_ROWS, plant_copies

ENTRY = """
name: {name}
title: Generated pairs
stage: {stage}
task_type: retrieval
languages: [en]
source: {{hub: generated/{name}}}
adapter: pair
columns: {{query: query, positive: positive}}
"""
SCHEMA = pa.schema([("query", pa.string()), ("positive", pa.string())])
_QUERY_WORDS = 9


@dataclass(frozen=True, kw_only=True)
class Shape:
    """``rows`` in all, ``words`` of a row's passage, and over how many ``datasets`` of which training ``stage``."""

    rows: int
    words: int = 51
    datasets: int = 1
    stage: str = "finetune"


def write_source(root: Path, shape: Shape) -> float:
    """Write the rows in hub layout below ``root``, and their entries; gives the mean bytes of a row's texts.

    Each passage is of random words, its question repeats some of them; of every hundred rows of a group five are exact
    copies of others and ten edited ones. Equal shapes give equal files.
    """
    (root / "catalog").mkdir(parents=True)
    size = 0
    for number in range(shape.datasets):
        name = f"generated-{number:03d}"
        (root / "catalog" / f"{name}.yaml").write_text(ENTRY.format(name=name, stage=shape.stage), "utf-8")
        folder = root / "hub" / "datasets" / "generated" / name
        folder.mkdir(parents=True)
        rows = shape.rows // shape.datasets + (number < shape.rows % shape.datasets)
        with pq.ParquetWriter(folder / "train-00000-of-00001.parquet", SCHEMA) as writer:
            for group in pairs(rows, shape.words, seed=number):
                writer.write_table(group, row_group_size=GROUP_ROWS)
                size += sum(pc.sum(pc.binary_length(column)).as_py() for column in group.columns)
    return size / shape.rows


def pairs(rows: int, words: int, seed: int) -> Iterator[pa.Table]:
    """Questions and passages, a row group at a time."""
    known, rng = english_words(), np.random.default_rng([3, seed])
    for start in range(0, rows, GROUP_ROWS):
        drawn = rng.integers(0, len(known), (min(GROUP_ROWS, rows - start), words))
        plant_copies(drawn, rng, len(known))
        spelt = known[drawn]
        queries = [f"What is the {' '.join(row[:_QUERY_WORDS])}?" for row in spelt]
        yield pa.table([queries, [f"The {' '.join(row)}." for row in spelt]], schema=SCHEMA)
