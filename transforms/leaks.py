"""The last look at surviving rows: those that hold an evaluation query are rejected."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from schemas.reasons import RejectReason
from transforms.decontaminate import DecontaminateParams, EvaluationIndex
from transforms.files import read_parquet
from transforms.parts import DECISIONS

Queries = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """Canonical rows -> DECISIONS on those whose query, or first positive, is an evaluation query.

    ``queries``: names of evaluation sets and the Parquet files of their queries (column ``text``). The index is built
    once in each worker process.
    """

    queries: Queries
    params: DecontaminateParams

    def __call__(self, rows: pa.Table) -> pa.Table:
        index = _index(self.queries, self.params)
        found = [index.find(texts) for texts in (rows.column("query").combine_chunks(), _first_positives(rows))]
        details: dict[int, str] = {}
        for side, matches in zip(("query", "positive"), found, strict=True):
            for row in np.flatnonzero(matches.column("matched").to_numpy(zero_copy_only=False)).tolist():
                details.setdefault(row, _detail(side, matches.slice(row, 1).to_pylist()[0]))
        return _decisions(details)


def _first_positives(rows: pa.Table) -> pa.Array:
    lists = rows.column("positives").combine_chunks()
    has_one = pc.greater(pc.list_value_length(lists), 0)
    starts = pa.array(np.asarray(lists.offsets)[:-1] - np.asarray(lists.offsets)[0])
    return pc.fill_null(lists.flatten().take(pc.if_else(has_one, starts, None)), "")


def _detail(side: str, match: dict[str, object]) -> str:
    return (
        f"the {side} holds the query {match['evaluation_query']!r} of evaluation set {match['evaluation_set']} "
        f"(containment {match['containment']:.2f})"
    )


def _decisions(details: dict[int, str]) -> pa.Table:
    rows = sorted(details)
    columns = [
        pa.array(rows, pa.int32()),
        pa.array([RejectReason.LEAKED_EVALUATION.value] * len(rows), pa.string()),
        pa.array([details[row] for row in rows], pa.string()),
        pa.nulls(len(rows), pa.binary(16)),
    ]
    return pa.table(columns, schema=DECISIONS)


@lru_cache(maxsize=2)
def _index(queries: Queries, params: DecontaminateParams) -> EvaluationIndex:
    return EvaluationIndex.build({name: _texts(name, path) for name, path in queries}, params)


def _texts(name: str, path: str) -> pa.Array:
    try:
        return read_parquet(path, ["text"]).column("text").drop_null().combine_chunks()
    except (KeyError, pa.ArrowInvalid) as error:
        raise SourceError(
            f"evaluation set {name}: {path} cannot be read as queries: {error}; it must be Parquet with a column 'text'"
        ) from error
