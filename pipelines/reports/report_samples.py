"""What a report shows of shards and rejections: distributions over all rows, and a few rows of each kind.

Rows are chosen by their content's hash, so the same rows are shown whatever the order or the number of files.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import DamageError
from schemas.filesystems import filesystem_of
from schemas.manifest import DatasetRecord
from schemas.rows import REJECTIONS
from transforms.flow.files import read_parquet

#: Characters of a text that are shown.
CLIP = 600
_SHOWN_PASSAGES = 3
_SHOWN_LABELS = 20
#: Lengths in characters: below 2, 4, 8, ... 2^16 and above.
_LENGTHS = 17
#: Cosines from -1 to 1 in steps of 0.05.
SCORE_BINS = 40
#: 0-based ranks of mined negatives in steps of ten; the last bin holds those from 200 on.
RANK_BINS, _RANK_STEP = 21, 10
#: What a row is shown with: of the one that a duplicate lost against without its negatives, which take most of a shard.
_PAIR = ["id", "language", "query", "positives", "positive_scores", "label"]
_SHOWN = [*_PAIR, "negatives", "negative_scores"]
_COUNTED = ["language", "query", "positives", "positive_scores", "negative_scores", "negative_ranks", "label"]
Histogram = npt.NDArray[np.int64]
Row = dict[str, Any]


class Kept:
    """What stands in a dataset's shards; ``samples``: as many rows as were asked for, those of the smallest ids."""

    def __init__(self, out: str, record: DatasetRecord, samples: int) -> None:
        self.languages, self.labels = Counter[str](), Counter[str]()
        self.negatives, self.samples = Counter[int](), list[Row]()
        self.queries = self.positives = np.zeros(_LENGTHS, np.int64)
        self.positive_scores = self.negative_scores = np.zeros(SCORE_BINS, np.int64)
        self.ranks = np.zeros(RANK_BINS, np.int64)
        self.unreadable = 0
        for path in (f"{out}/{shard.path}" for shard in record.shards):
            try:
                self._add(read_parquet(path, _COUNTED))
                if len(self.samples) < samples:  # rows of a shard, and shards, are in order of their ids
                    self.samples += map(_shown, _first_rows(path, samples - len(self.samples)))
            except DamageError:
                self.unreadable += 1

    def _add(self, rows: pa.Table) -> None:
        self.languages.update(_counts(rows.column("language")))
        self.labels.update(_counts(rows.column("label").drop_null()))
        self.negatives.update(_counts(pc.list_value_length(rows.column("negative_scores"))))
        self.queries = self.queries + lengths(rows.column("query"))
        self.positives = self.positives + lengths(pc.list_flatten(rows.column("positives")))
        self.positive_scores = self.positive_scores + _scores(rows.column("positive_scores"))
        self.negative_scores = self.negative_scores + _scores(rows.column("negative_scores"))
        self.ranks = self.ranks + _ranks(rows.column("negative_ranks"))

    def most_labels(self) -> list[tuple[str, int]]:
        """The largest classes, and what is left of the others as one."""
        ranked = sorted(self.labels.items(), key=lambda item: (-item[1], item[0]))
        rest = ranked[_SHOWN_LABELS:]
        return ranked[:_SHOWN_LABELS] + ([(f"{len(rest)} others", sum(n for _, n in rest))] if rest else [])


def _first_rows(path: str, number: int) -> list[Row]:
    """The first rows of a shard that was read before, without decoding the others."""
    filesystem, inner = filesystem_of(path)
    with filesystem.open(inner, "rb") as source, pq.ParquetFile(source) as file:
        found: list[Row] = next(file.iter_batches(number, columns=_SHOWN), pa.record_batch({})).to_pylist()
        return found


def _counts(values: pa.ChunkedArray) -> dict[Any, int]:
    return {item["values"]: item["counts"] for item in pc.value_counts(values).to_pylist()}


def lengths(texts: pa.ChunkedArray | pa.Array) -> Histogram:
    """How many texts have below 2, 4, 8, ... characters; null counts as none."""
    sizes = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False)
    places = np.minimum(np.log2(np.maximum(sizes, 1)).astype(np.int64), _LENGTHS - 1)
    return np.bincount(places, minlength=_LENGTHS)


def _scores(column: pa.ChunkedArray) -> Histogram:
    scores = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return np.histogram(scores[np.isfinite(scores)].clip(-1, 1), SCORE_BINS, (-1.0, 1.0))[0].astype(np.int64)


def _ranks(column: pa.ChunkedArray) -> Histogram:
    ranks = pc.list_flatten(column).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.bincount(np.minimum(ranks[ranks >= 0] // _RANK_STEP, RANK_BINS - 1), minlength=RANK_BINS)


def _shown(row: Mapping[str, Any]) -> Row:
    """A row of a shard as the page has it."""
    return {
        "id": row["id"],
        "language": row["language"],
        "query": clip(row["query"]),
        "positives": _passages(row, "positive"),
        "negatives": _passages(row, "negative") if "negatives" in row else [],
        "more": max(0, len(row.get("negatives", ())) - _SHOWN_PASSAGES),
        "label": row["label"],
    }


def _passages(row: Mapping[str, Any], what: str) -> list[tuple[str | None, float | None]]:
    pairs = list(zip(row[f"{what}s"], row[f"{what}_scores"], strict=True))[:_SHOWN_PASSAGES]
    return [(clip(text), round(score, 3) if math.isfinite(score) else None) for text, score in pairs]


def clip(text: str | None) -> str | None:
    """The beginning of a text."""
    return text if text is None or len(text) <= CLIP else f"{text[:CLIP]}…"


class Rejected:
    """What stands in a dataset's rejections; ``samples``: for each reason as many rows as were asked for."""

    def __init__(self, paths: Iterable[str], samples: int) -> None:
        self.queries = self.positives = np.zeros(_LENGTHS, np.int64)
        self.unreadable = self.number = 0
        self._rows: dict[str, list[Row]] = {}
        for path in paths:
            try:
                self._add(_conformed(read_parquet(path)), samples)
            except DamageError:
                self.unreadable += 1

    def _add(self, rows: pa.Table, samples: int) -> None:
        self.number += len(rows)
        self.queries = self.queries + lengths(rows.column("query").drop_null())
        self.positives = self.positives + lengths(pc.list_flatten(rows.column("positives")))
        for reason in pc.unique(rows.column("reason")).to_pylist():
            found = rows.filter(pc.equal(rows.column("reason"), reason))
            order = [("id", "ascending"), ("provenance", "ascending")]
            first = found.take(pc.sort_indices(found, sort_keys=order)[:samples]).to_pylist()
            ranked = sorted([*self._rows.get(reason, []), *map(_lost, first)], key=_order)
            self._rows[reason] = ranked[:samples]

    @property
    def samples(self) -> list[Row]:
        """Rejected rows by reason, then by id; rows that never had an id come last, by where they stood."""
        return [row for reason in sorted(self._rows) for row in self._rows[reason]]


def _order(row: Row) -> tuple[bool, str, str]:
    return (row["id"] is None, row["id"] or "", row["provenance"])


def _conformed(rows: pa.Table) -> pa.Table:
    """Rejections that an older version wrote may lack a column."""
    columns = [
        rows.column(field.name) if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in REJECTIONS
    ]
    return pa.table(columns, names=REJECTIONS.names)


def _lost(row: Mapping[str, Any]) -> Row:
    """A rejected row as the page has it."""
    facts = {key: row[key] for key in ("stage", "reason", "id", "kept_id", "provenance", "label")}
    texts = {key: [clip(text) for text in (row[key] or [])[:_SHOWN_PASSAGES]] for key in ("positives", "negatives")}
    return facts | texts | {key: clip(row[key]) for key in ("detail", "query", "raw")}


def find_kept(out: str, records: Sequence[DatasetRecord], ids: Iterable[str]) -> dict[str, Row]:
    """The rows of all shards that have these ids, as the page has them: what removed duplicates lost against."""
    wanted = pa.array(sorted(set(ids)), pa.string())
    found: dict[str, Row] = {}
    for path in (f"{out}/{shard.path}" for record in records for shard in record.shards):
        if len(found) < len(wanted):
            found |= {row["id"]: row for row in _rows_with(path, wanted)}
    return found


def _rows_with(path: str, wanted: pa.Array) -> Iterator[Row]:
    try:
        there = pc.is_in(read_parquet(path, ["id"]).column("id"), value_set=wanted)
        if pc.any(there).as_py():
            yield from map(_shown, read_parquet(path, _PAIR).filter(there).to_pylist())
    except DamageError:
        return  # what is damaged is told by those who look for it
