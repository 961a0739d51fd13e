"""The last look at surviving rows: those that hold an evaluation query are rejected."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from schemas.rows import QUERIES
from transforms.flow.files import read_parquet
from transforms.flow.parts import DECISIONS
from transforms.leaks.decontaminate import DecontaminateParams, EvaluationIndex
from transforms.leaks.evaluation_sightings import SIGHTINGS
from transforms.text.matching import text_hashes
from transforms.text.part_texts import first_texts


class Leaks(NamedTuple):
    """Which rows hold an evaluation query (DECISIONS), and which queries of which sets were seen (SIGHTINGS)."""

    decisions: pa.Table
    sightings: pa.Table


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """Canonical rows -> the rows whose query, or first positive, holds an evaluation query.

    ``queries``: a Parquet file of QUERIES. The index is built once in each worker process.
    """

    queries: str
    params: DecontaminateParams

    def __call__(self, rows: pa.Table) -> Leaks:
        index = _index(self.queries, self.params)
        found = [index.find(texts) for texts in (rows.column("query").combine_chunks(), _first_positives(rows))]
        matches: dict[int, dict[str, Any]] = {}
        for side, matched in zip(("query", "positive"), found, strict=True):
            for row in np.flatnonzero(matched.column("matched").to_numpy(zero_copy_only=False)).tolist():
                matches.setdefault(row, {"side": side} | matched.slice(row, 1).to_pylist()[0])
        return Leaks(_decisions(matches), _sightings(matches, rows.column("dataset")))


def _first_positives(rows: pa.Table) -> pa.Array:
    return pc.fill_null(first_texts(rows.column("positives").combine_chunks()), "")


def _detail(match: dict[str, Any]) -> str:
    sets = match["evaluation_sets"]
    return (
        f"the {match['side']} holds the query {match['evaluation_query']!r} of evaluation set"
        f"{'s' if len(sets) > 1 else ''} {', '.join(sets)} ({match['kind']}, containment {match['containment']:.2f})"
    )


def _decisions(matches: dict[int, dict[str, Any]]) -> pa.Table:
    rows = sorted(matches)
    columns = [
        pa.array(rows, pa.int32()),
        pa.array([RejectReason.LEAKED_EVALUATION.value] * len(rows), pa.string()),
        pa.array([_detail(matches[row]) for row in rows], pa.string()),
        pa.nulls(len(rows), pa.binary(16)),
    ]
    return pa.table(columns, schema=DECISIONS)


def _sightings(matches: dict[int, dict[str, Any]], datasets: pa.ChunkedArray) -> pa.Table:
    """One sighting for each row and each set that has the query it holds."""
    seen = [(row, match, name) for row, match in sorted(matches.items()) for name in match["evaluation_sets"]]
    words = text_hashes(pa.array([match["evaluation_query"] for _, match, _ in seen], pa.string()))
    columns = [
        pa.array(words[:, 0]),
        pa.array(words[:, 1]),
        datasets.take(pa.array([row for row, _, _ in seen], pa.int64())),
        pa.array([name for _, _, name in seen], pa.string()),
        pa.array([match["kind"] for _, match, _ in seen], pa.string()),
    ]
    return pa.table(columns, schema=SIGHTINGS)


#: Two parts begin at the same time, and ``lru_cache`` alone would let both build the index.
_BUILDING = threading.Lock()


def _index(queries: str, params: DecontaminateParams) -> EvaluationIndex:
    with _BUILDING:
        return _built(queries, params)


@lru_cache(maxsize=2)
def _built(queries: str, params: DecontaminateParams) -> EvaluationIndex:
    rows = read_parquet(queries, QUERIES.names)
    names = rows.column("evaluation_set")
    sets = {
        name: rows.filter(pc.equal(names, name)).column("text").combine_chunks() for name in names.unique().to_pylist()
    }
    return EvaluationIndex.build(sets, params)
