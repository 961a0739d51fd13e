"""The last look at surviving rows: those that hold an evaluation query are rejected."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from schemas.rows import QUERIES, TEXTS
from transforms.flow.files import read_parquet
from transforms.flow.parts import DECISIONS
from transforms.leaks.decontaminate import EXACT, EvaluationIndex
from transforms.leaks.evaluation_sightings import SIGHTINGS
from transforms.leaks.params import DecontaminateParams
from transforms.text.matching import text_hashes

#: Characters of an evaluation text that a rejection shows at most.
_SHOWN = 300
#: What a text is to its row.
SIDES = ("query", "positive", "other text")


class Leaks(NamedTuple):
    """Which rows hold an evaluation query (DECISIONS), and which queries of which sets were seen (SIGHTINGS)."""

    decisions: pa.Table
    sightings: pa.Table


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """Canonical rows -> the rows of which a text holds an evaluation query.

    Looked at are the query and all positives, and of a row with a score its negatives too: they are the other half of a
    pair that was judged. ``queries``: a Parquet file of QUERIES. The index is built once in each worker process.
    """

    queries: str
    params: DecontaminateParams

    def __call__(self, rows: pa.Table) -> Leaks:
        matches = matches_of(rows, _index(self.queries, self.params))
        return Leaks(_decisions(matches), _sightings(matches, rows.column("dataset")))


def _texts_of(rows: pa.Table) -> pa.Table:
    """``row, side, text`` of all texts that are looked at, each row's query first."""
    scores = pc.is_valid(rows.column("score")).combine_chunks()
    sides = [
        (0, np.arange(rows.num_rows), rows.column("query").combine_chunks()),
        (1, *_listed(rows.column("positives").combine_chunks())),
        (2, *_listed(pc.if_else(scores, rows.column("negatives").combine_chunks(), pa.scalar([], TEXTS)))),
    ]
    tables = [
        pa.table({"row": owners, "side": np.full(len(owners), side, np.int8), "text": texts})
        for side, owners, texts in sides
    ]
    return pa.concat_tables(tables)


def _listed(lists: pa.ListArray) -> tuple[np.ndarray[Any, Any], pa.Array]:
    return pc.list_parent_indices(lists).to_numpy().astype(np.int64), pc.list_flatten(lists)


def matches_of(rows: pa.Table, index: EvaluationIndex) -> dict[int, dict[str, Any]]:
    """For each row that holds an evaluation query the match that decides: an equal one, else the first."""
    texts = _texts_of(rows)
    encoded = pc.dictionary_encode(texts.column("text").combine_chunks())
    codes = encoded.indices.to_numpy()
    found = index.find(encoded.dictionary)
    places = np.flatnonzero(found.column("matched").combine_chunks().to_numpy(zero_copy_only=False)[codes])
    matched = found.take(pa.array(codes[places])).to_pylist()
    addresses = texts.select(["row", "side"]).take(pa.array(places)).to_pylist()
    said = [address | match for address, match in zip(addresses, matched, strict=True)]
    matches: dict[int, dict[str, Any]] = {}
    for match in sorted(said, key=lambda match: match["kind"] != EXACT):  # stable: queries before positives
        matches.setdefault(match["row"], match)
    return matches


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _detail(match: dict[str, Any]) -> str:
    sets = match["evaluation_sets"]
    return (
        f"the {SIDES[match['side']]} holds the query {_shown(match['evaluation_query'])!r} of evaluation set"
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
    is_whole = rows.column("whole")
    return EvaluationIndex.build(_by_set(rows.filter(pc.invert(is_whole))), params, _by_set(rows.filter(is_whole)))


def _by_set(rows: pa.Table) -> dict[str, pa.Array]:
    """The texts of each set; those of a set lie one behind the other."""
    names = rows.column("evaluation_set").combine_chunks()
    encoded = pc.run_end_encode(names) if len(names) else None
    if encoded is None:
        return {}
    texts, start, found = rows.column("text").combine_chunks(), 0, dict[str, list[pa.Array]]()
    for name, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        found.setdefault(name, []).append(texts.slice(start, end - start))
        start = end
    return {name: pa.concat_arrays(pieces) for name, pieces in found.items()}
