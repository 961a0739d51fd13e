"""Mining on Beam: each DoFn wraps a function of this package over ``pa.RecordBatch``. Nothing else here imports Beam.

Keys are ``dataset<TAB>number``. Queries and passages of a shard meet under one key, and so do candidates and queries of
a range; which is which is seen from the columns. A batch is at most about ``MAX_BYTES`` long.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import apache_beam as beam
import numpy as np
import pyarrow as pa

from mining.candidates import CANDIDATES, Shard, merge_candidates
from mining.examples import apply_policies
from mining.index import id_words
from mining.policies import MiningParams

MAX_ROWS = 8192
MAX_BYTES = 4 << 20

KeyedBatch = tuple[str, pa.RecordBatch]
KeyedBatches = tuple[str, Iterable[pa.RecordBatch]]


class SearchShard(beam.DoFn):
    """A shard's passages and all queries of its dataset -> candidates, by range of query ids.

    Under ``dataset<TAB>shard`` come batches of ``PASSAGES`` and of ``QUERIES``, both with ``vector``. Under
    ``dataset<TAB>range`` leave batches of ``CANDIDATES``, and from shard 0 alone those of the queries, without vectors,
    so that both meet in ``ChooseExamples``. ``num_ranges`` gives the number of ranges of each dataset.
    """

    def __init__(self, params: MiningParams, num_ranges: Mapping[str, int]) -> None:
        self._params, self._num_ranges = params, dict(num_ranges)

    def process(self, keyed: KeyedBatches) -> Iterator[KeyedBatch]:
        dataset, number = keyed[0].rsplit("\t", 1)
        shard = _open_shard(keyed[1])
        # The values are gone through again, so that only one batch of queries is held beside the shard.
        for batch in keyed[1]:
            if "query_hash" not in batch.schema.names:
                continue
            queries = pa.Table.from_batches([batch])
            if number == "0":
                yield from self._by_range(dataset, queries.drop_columns(["vector"]), "id")
            if shard is not None:
                yield from self._by_range(dataset, shard.search(queries, self._params), "query_id")

    def _by_range(self, dataset: str, rows: pa.Table, ids: str) -> Iterator[KeyedBatch]:
        num_ranges = self._num_ranges[dataset]
        ranges = query_ranges(rows[ids], num_ranges)
        for number in np.unique(ranges).tolist():
            for batch in small_batches(rows.filter(pa.array(ranges == number))):
                yield f"{dataset}\t{number}", batch


class ChooseExamples(beam.DoFn):
    """All queries and candidates of a range -> ``MINED``, in order of ids, under the same key.

    ``unjudged`` names datasets in languages that the teacher does not know: what it ranks low there is no reason to
    drop a row and no ceiling for negatives, so they pass without the consistency filter and the relative ceiling.
    """

    def __init__(self, params: MiningParams, unjudged: frozenset[str] = frozenset()) -> None:
        self._params, self._unjudged = params, unjudged

    def process(self, keyed: KeyedBatches) -> Iterator[KeyedBatch]:
        batches = list(keyed[1])
        queries = pa.Table.from_batches([batch for batch in batches if "query_hash" in batch.schema.names])
        found = pa.Table.from_batches(
            [batch for batch in batches if "query_id" in batch.schema.names], schema=CANDIDATES
        )
        judged = keyed[0].rsplit("\t", 1)[0] not in self._unjudged
        params = self._params if judged else replace(self._params, consistency_rank=None, max_relative_score=None)
        ranked = merge_candidates(found, params.top_k)
        for batch in small_batches(apply_policies(queries.sort_by("id"), ranked, params)):
            yield keyed[0], batch


def _open_shard(batches: Iterable[pa.RecordBatch]) -> Shard | None:
    passages = [batch for batch in batches if "text_hash" in batch.schema.names]
    return Shard(pa.Table.from_batches(passages)) if passages else None


def query_ranges(ids: pa.ChunkedArray, num_ranges: int) -> np.typing.NDArray[np.int64]:
    """The range of each id: equal parts of the values of its first 4 bytes."""
    return ((id_words(ids)[:, 0] >> np.uint64(32)) * np.uint64(num_ranges) >> np.uint64(32)).astype(np.int64)


def small_batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Rows cut into batches of at most ``MAX_ROWS`` and about ``MAX_BYTES``, each with buffers of its own."""
    step = max(1, min(MAX_ROWS, MAX_BYTES * len(rows) // max(1, rows.nbytes)))
    for start in range(0, len(rows), step):
        piece = rows.slice(start, step)
        yield from piece.take(pa.array(np.arange(len(piece)))).combine_chunks().to_batches()
