"""The arms of the ablation: which rows each trains on, and with which parts of the loss.

One run of curate gives them all. Its shards hold the kept rows, its rejections hold every other row with its reason, so
an arm puts back what the step that it lacks took away. Texts of rejected rows are the source's own, those of kept rows
are normalised. Rows that have no positive to train on (NLI rows of other classes, pairs with a low score) are no
example for any arm.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.manifest import DatasetRecord, Manifest
from schemas.rows import fields_hash
from trainer.rows import SCHEMA, Rows, map_batches

#: Reasons of one step, as rejections name them.
CLEANING = frozenset(
    ["EMPTY_QUERY", "EMPTY_POSITIVE", "TOO_SHORT", "TOO_LONG", "REPETITIVE", "QUERY_IS_POSITIVE", "WRONG_LANGUAGE"]
)
DUPLICATES = frozenset(["EXACT_DUPLICATE", "NEAR_DUPLICATE", "CONFLICTING_LABEL"])
LEAKS = frozenset(["LEAKED_EVALUATION"])
MINING = frozenset(["INCONSISTENT", "LONELY_LABEL"])

Example = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """``put_back``: reasons whose rows take part. ``grouped``: a query's positives stand in one row. ``negatives``:
    hard ones take part. ``by_example``: a labelled row's positive is a text of its class, otherwise the class's name.
    ``loss``: fields of the trainer's configuration.
    """

    name: str
    put_back: frozenset[str] = frozenset()
    grouped: bool = True
    negatives: bool = True
    by_example: bool = True
    loss: Mapping[str, Any] = field(default_factory=dict)


_PLAIN: dict[str, Any] = {"masks": "", "focal_gamma": 0.0, "mix": False}
_MASKED = _PLAIN | {"masks": "text,positives,label"}
_FOCAL = _MASKED | {"focal_gamma": 0.5}
_MIXED = _FOCAL | {"mix": True}
_DISTILLED = _MIXED | {"stage": "distill", "soft_labels": "row"}
_SOFT = _DISTILLED | {"soft_labels": "batch"}

RAW, MIXED, DISTILLED = "raw rows", "+ mixing", "+ soft labels of the batch"
LEAKY = "+ mixing, without decontamination"
#: Each arm has all that the one before has, and one step more; the last one has not.
ARMS = (
    Arm(
        name=RAW,
        put_back=CLEANING | DUPLICATES | MINING,
        grouped=False,
        negatives=False,
        by_example=False,
        loss=_PLAIN,
    ),
    Arm(name="+ cleaning", put_back=DUPLICATES | MINING, negatives=False, by_example=False, loss=_PLAIN),
    Arm(name="+ deduplication", put_back=MINING, negatives=False, by_example=False, loss=_PLAIN),
    Arm(name="+ hard negatives", put_back=MINING, by_example=False, loss=_PLAIN),
    Arm(name="+ ranking consistency", by_example=False, loss=_PLAIN),
    Arm(name="+ masks", by_example=False, loss=_MASKED),
    Arm(name="+ examples for label names", loss=_MASKED),
    Arm(name="+ focal weight", loss=_FOCAL),
    Arm(name=MIXED, loss=_MIXED),
    Arm(name="+ distillation", loss=_DISTILLED),
    Arm(name=DISTILLED, loss=_SOFT),
    Arm(name=LEAKY, put_back=LEAKS, loss=_MIXED),
)


def arm_rows(arm: Arm, manifest: Manifest, folder: Path) -> Rows:
    """The rows of an arm as the trainer reads them; datasets that give none are left out."""
    datasets = {record.name: list(_examples(arm, record, folder)) for record in manifest.datasets}
    return rows_of({name: examples for name, examples in datasets.items() if examples}, manifest)


def rows_of(datasets: Mapping[str, Sequence[Example]], manifest: Manifest) -> Rows:
    """Examples by dataset as rows in a nameless file. Their digest is that of the texts."""
    batches = []
    for number, examples in enumerate(datasets.values()):
        prompted = [example | {"dataset": number, "prompt": ""} for example in examples]
        batches.append(pa.RecordBatch.from_pylist(prompted, SCHEMA))
    with tempfile.TemporaryDirectory() as scratch:
        mapped, keys = map_batches(Path(scratch) / "rows.arrow", batches)
    every = [each for examples in datasets.values() for each in examples]
    texts = [text for each in every for text in (each["query"], *each["positives"])]
    return Rows(
        batches=mapped,
        starts=np.cumsum([0, *(len(batch) for batch in mapped)]),
        names=list(datasets),
        symmetric=[manifest.dataset(name).symmetric for name in datasets],
        sizes=[len(examples) for examples in datasets.values()],
        keys=keys,
        digest=fields_hash(texts).hex(),
    )


def _examples(arm: Arm, record: DatasetRecord, folder: Path) -> Iterator[Example]:
    kept = [row for shard in record.shards for row in pq.read_table(folder / shard.path).to_pylist()]
    rejected = [row for row in _rejections(folder, record.name) if row["reason"] in arm.put_back]
    names = sorted({row["label"] for row in kept if row["label"] is not None})
    for row in [*kept, *rejected]:
        yield from _of_row(arm, row, names)


def _rejections(folder: Path, dataset: str) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "rejections" / dataset).glob("*.parquet")):
        yield from pq.read_table(path).to_pylist()


def _of_row(arm: Arm, row: Mapping[str, Any], names: Sequence[str]) -> Iterator[Example]:
    """What a kept or rejected row gives an arm: nothing where it has no positive."""
    example = {name: row.get(name) for name in ("query", "label", "cluster_id")}
    negatives = list(row["negatives"] or []) if arm.negatives else []
    scores = {name: row.get(name) or [] for name in ("positive_scores", "negative_scores")}
    if row["label"] is not None and not arm.by_example:
        positives = [_spoken(row["label"])]
        negatives = _other_names(row, names) if arm.negatives else []
        scores = {"positive_scores": [], "negative_scores": []}
    else:
        positives = list(row["positives"] or [])
    example |= scores | {"query": row["query"] or "", "negatives": negatives}
    if arm.grouped and positives:
        yield example | {"positives": positives}
    elif positives:
        yield from (example | {"positives": [text]} for text in positives)


def _spoken(label: str) -> str:
    """A label as words: ``card_arrival`` is *card arrival*."""
    return label.replace("_", " ")


def _other_names(row: Mapping[str, Any], names: Sequence[str], number: int = 7) -> list[str]:
    """Names of other classes, drawn by the hash of the query."""
    others = [name for name in names if name != row["label"]]
    first = int.from_bytes(fields_hash([row["query"]])[:4], "big")
    chosen = [others[(first + step) % len(others)] for step in range(min(number, len(others)))]
    return [_spoken(name) for name in chosen]
