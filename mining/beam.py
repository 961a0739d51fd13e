"""Mining on Beam: each DoFn wraps a function of this package over ``pa.RecordBatch``. Nothing else here imports Beam.

Keys are ``dataset<TAB>number``. Queries and passages of a shard meet under one key, and so do queries, the lists of
each shard and the passages that these name, in a range of query ids; which is which is seen from the columns. A batch
is at most about ``MAX_BYTES`` long.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.metrics.metric import Metrics

from mining.accounting import INDEX, alike_counts
from mining.candidates import FOUND, Rows, flat
from mining.cells import is_approximate
from mining.examples import make_examples
from mining.fixed_point import unpack_vectors
from mining.index import id_words, run_starts_of, sorted_ids
from mining.lists import Lists, at_positions, positions_of, together
from mining.mine import judged_rows
from mining.params import MiningParams
from mining.pools import Relevant, Shard, depths_of, smallest_ids
from mining.relations import Relations, relate
from mining.rescoring import CrossCheck
from schemas.readmission import NOBODY, Readmission
from schemas.rows import ID

#: Counter of pool shards that were made searchable.
INDEXES = "indexes"
_ONE_SHARD = threading.Lock()
MAX_ROWS = 8192
MAX_BYTES = 4 << 20
COUNTS_TAG = "counts"

KeyedBatch = tuple[str, pa.RecordBatch]
KeyedBatches = tuple[str, Iterable[pa.RecordBatch]]

#: The keys of a row in one shard; positions are those in the shard.
LISTED = pa.schema(
    [
        pa.field("query_id", ID, nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("keys", pa.list_(pa.int64()), nullable=False),
    ]
)
#: A passage that such keys name.
NAMED = pa.schema(
    [*FOUND, pa.field("shard", pa.int32(), nullable=False), pa.field("position", pa.int64(), nullable=False)]
)
#: What relations are made of.
_RELATED = ("id", "cluster", "positives_clusters", "positives_vectors")
#: What an index is measured on.
_SAMPLED = ("id", "positives", "vector")


@dataclass(frozen=True, kw_only=True)
class MiningSpec:
    """What mining knows of datasets.

    ``default``: parameters of those that ``params`` does not name; ``symmetric``: datasets whose sides are alike;
    ``languages``: those that the teacher knows, None: all; ``num_ranges``: ranges of query ids that are decided
    together; ``checks``: how the cross-encoders of datasets that have one are asked; ``readmission``: rows that stay
    whatever the teacher says of them.
    """

    num_ranges: Mapping[str, int]
    default: MiningParams = field(default_factory=MiningParams)
    params: Mapping[str, MiningParams] = field(default_factory=dict)
    symmetric: frozenset[str] = frozenset()
    languages: frozenset[str] | None = None
    checks: Mapping[str, CrossCheck] = field(default_factory=dict)
    readmission: Readmission = NOBODY

    def params_of(self, dataset: str) -> MiningParams:
        """The parameters of a dataset."""
        return self.params.get(dataset, self.default)


def _nobody_hears(searches: int) -> None:
    """For pipelines that nobody looks at."""


class Told:
    """Which passages of a shard each range of queries has heard of: a bit for each, as a shard is large."""

    def __init__(self, num_passages: int) -> None:
        self._num_passages = num_passages
        self._bits: dict[int, npt.NDArray[np.uint8]] = {}

    def news(self, number: int, positions: Rows) -> Rows:
        """Those of ascending positions that the range has not heard of before this call."""
        if number not in self._bits:
            self._bits[number] = np.zeros(-(-self._num_passages // 8), np.uint8)
        known = np.unpackbits(self._bits[number])
        news: Rows = positions[known[positions] == 0]
        known[news] = 1
        self._bits[number] = np.packbits(known)
        return news


class SearchShard(beam.DoFn):
    """A shard's passages and all queries of its dataset -> the lists of the queries, by range of their ids.
    ``on_searched`` hears of how many.

    Under ``dataset<TAB>shard`` come batches of ``PASSAGES`` and of ``SCORED``, both with ``vector``. Under
    ``dataset<TAB>range`` leave batches of ``LISTED`` and ``NAMED``, and from shard 0 alone those of the queries,
    without vectors, so that all meet in ``ChooseExamples``. Labels that are one word in several spellings are counted
    (tagged).

    A process holds one shard at a time, however many threads it has (slots of a TaskManager): the search of one uses
    the cores that the process is given.
    """

    def __init__(self, spec: MiningSpec, on_searched: Callable[[int], None] = _nobody_hears) -> None:
        self._spec, self._on_searched = spec, on_searched

    def process(self, keyed: KeyedBatches) -> Iterator[Any]:
        with _ONE_SHARD:
            yield from self._search_all(keyed)

    def _search_all(self, keyed: KeyedBatches) -> Iterator[Any]:
        dataset, number = keyed[0].rsplit("\t", 1)
        shard = _open_shard(keyed[1], self._spec.params_of(dataset))
        relevant = None if shard is None else shard.relevant(self._relations(dataset, keyed[1]))
        told = Told(0 if shard is None else len(shard))
        if shard is not None:
            Metrics.counter("kalm", INDEXES).inc()
            yield from self._prepare(dataset, shard, keyed[1])
        if number == "0":
            yield from self._count_labels(dataset, keyed[1])
        # The values are gone through again, so that the vectors of one batch of queries are held beside the shard.
        for batch in keyed[1]:
            if "query_hash" not in batch.schema.names:
                continue
            queries = pa.Table.from_batches([batch])
            if number == "0":
                yield from self._by_range(dataset, queries.drop_columns(["vector"]), "id")
            if shard is not None and relevant is not None:
                yield from self._search(dataset, int(number), shard, told, queries, relevant)
            self._on_searched(len(queries))

    def _relations(self, dataset: str, batches: Iterable[pa.RecordBatch]) -> Relations:
        related = [batch.select(_RELATED) for batch in batches if "query_hash" in batch.schema.names]
        return relate(pa.Table.from_batches(related), symmetric=dataset in self._spec.symmetric) if related else _NOBODY

    def _prepare(self, dataset: str, shard: Shard, batches: Iterable[pa.RecordBatch]) -> Iterator[Any]:
        """Let the shard make cells, if it is to; what it made is counted."""
        if not is_approximate(len(shard), shard.params):
            return
        queries = [batch.select(_SAMPLED) for batch in batches if "query_hash" in batch.schema.names]
        sampled = [batch.take(smallest_ids(batch["id"], shard.params.ivf_sample)) for batch in queries]
        if told := shard.prepare(pa.Table.from_batches(sampled)) if sampled else None:
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, (f"{dataset}\tmining\t{INDEX}{told}", 1))

    def _count_labels(self, dataset: str, batches: Iterable[pa.RecordBatch]) -> Iterator[Any]:
        labels = [batch.column("label") for batch in batches if "query_hash" in batch.schema.names]
        for counted in alike_counts(dataset, pa.chunked_array(labels, pa.string())):
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, counted)

    def _search(
        self, dataset: str, number: int, shard: Shard, told: Told, queries: pa.Table, relevant: Relevant
    ) -> Iterator[KeyedBatch]:
        vectors, judged = unpack_vectors(queries["vector"]), judged_rows(queries, self._spec.languages)
        lists = shard.search(queries, vectors, relevant, judged)
        ranges = query_ranges(queries["id"], self._spec.num_ranges[dataset])
        for named in np.unique(ranges).tolist():
            rows = np.flatnonzero(ranges == named)
            own, ids = lists.take(rows), queries["id"].take(pa.array(rows))
            news = told.news(named, shard.named(own.keys))
            for table in shard_tables(shard, number, ids, own, news):
                for batch in small_batches(table):
                    yield f"{dataset}\t{named}", batch

    def _by_range(self, dataset: str, rows: pa.Table, ids: str) -> Iterator[KeyedBatch]:
        num_ranges = self._spec.num_ranges[dataset]
        ranges = query_ranges(rows[ids], num_ranges)
        for number in np.unique(ranges).tolist():
            for batch in small_batches(rows.filter(pa.array(ranges == number))):
                yield f"{dataset}\t{number}", batch


_NOBODY = relate(
    pa.schema(
        [("id", ID), ("cluster", ID), ("positives_clusters", pa.list_(ID)), ("positives_vectors", pa.list_(ID))]
    ).empty_table(),
    symmetric=False,
)


def shard_tables(shard: Shard, number: int, ids: pa.ChunkedArray, lists: Lists, news: Rows) -> Iterator[pa.Table]:
    """The lists of some rows, and the passages that they name, as far as these are ``news``."""
    keys = pa.ListArray.from_arrays(pa.array(lists.bounds, pa.int32()), pa.array(lists.keys))
    numbers = pa.array(np.full(len(ids), number), pa.int32())
    yield pa.table([ids, numbers, keys], schema=LISTED)
    numbers = pa.array(np.full(len(news), number), pa.int32())
    yield pa.table([*shard.found(news).columns, numbers, pa.array(news)], schema=NAMED)


class ChooseExamples(beam.DoFn):
    """All queries of a range, their lists and the passages these name -> ``MINED``, in order of ids, under the same
    key.
    """

    def __init__(self, spec: MiningSpec) -> None:
        self._spec = spec

    def process(self, keyed: KeyedBatches) -> Iterator[KeyedBatch]:
        batches = list(keyed[1])
        queries = pa.Table.from_batches([batch for batch in batches if "query_hash" in batch.schema.names])
        named = pa.Table.from_batches([batch for batch in batches if "position" in batch.schema.names], schema=NAMED)
        listed = pa.Table.from_batches([batch for batch in batches if "keys" in batch.schema.names], schema=LISTED)
        dataset, spec = keyed[0].rsplit("\t", 1)[0], self._spec
        ordered, params = queries.sort_by("id").combine_chunks(), spec.params_of(dataset)
        check = spec.checks.get(dataset)
        mined = choose_from_shards(ordered, listed, named, params, spec.languages, check, spec.readmission)
        for batch in small_batches(mined):
            yield keyed[0], batch


def choose_from_shards(
    queries: pa.Table,
    listed: pa.Table,
    named: pa.Table,
    params: MiningParams,
    languages: Collection[str] | None,
    check: CrossCheck | None = None,
    readmission: Readmission = NOBODY,
) -> pa.Table:
    """``MINED`` of queries from what every shard found for them, in any order."""
    found, places = _distinct_passages(named)
    rows = id_rows(queries["id"], listed["query_id"])
    parents, values = flat(listed["keys"])
    keys = values.to_numpy().astype(np.int64)
    shards = listed["shard"].to_numpy().astype(np.int64)[parents]
    keys = at_positions(keys, places[_places_of(shards, positions_of(keys), named)])
    lists = together([(rows[parents], keys)], len(queries), depths_of(queries, params))
    return make_examples(queries, lists, found, params, judged_rows(queries, languages), check, readmission)


def id_rows(ids: pa.ChunkedArray, wanted: pa.ChunkedArray) -> Rows:
    """Where each wanted id stands among ``ids``. Raises ValueError for one that does not."""
    rows = pa.compute.index_in(wanted.combine_chunks(), value_set=ids.combine_chunks())
    if rows.null_count:
        raise ValueError(
            f"{rows.null_count} of {len(rows)} lists belong to queries that are not here; queries and lists "
            "were grouped by different keys: use mining.beam.query_ranges for both"
        )
    found: Rows = rows.to_numpy().astype(np.int64)
    return found


def _distinct_passages(named: pa.Table) -> tuple[pa.Table, Rows]:
    """``FOUND`` of all shards in the order of hashes, and the place there of each row of ``named``."""
    words, order = sorted_ids(named["text_hash"])
    first = run_starts_of(words)
    places = np.empty(len(order), np.int64)
    places[order] = np.searchsorted(first, np.arange(len(order)), side="right") - 1
    return named.select(FOUND.names).take(pa.array(order[first])).combine_chunks(), places


def _places_of(shards: Rows, positions: Rows, named: pa.Table) -> Rows:
    """Which row of ``named`` is the passage at each position of each shard."""
    known = (named["shard"].to_numpy().astype(np.int64) << 32) | named["position"].to_numpy()
    places = pa.compute.index_in(pa.array((shards << 32) | positions), value_set=pa.array(known))
    return places.to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _open_shard(batches: Iterable[pa.RecordBatch], params: MiningParams) -> Shard | None:
    passages = [batch for batch in batches if "text_hash" in batch.schema.names]
    return Shard(pa.Table.from_batches(passages), params) if passages else None


def query_ranges(ids: pa.ChunkedArray, num_ranges: int) -> npt.NDArray[np.int64]:
    """The range of each id: equal parts of the values of its first 4 bytes."""
    return ((id_words(ids)[:, 0] >> np.uint64(32)) * np.uint64(num_ranges) >> np.uint64(32)).astype(np.int64)


def small_batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Rows cut into batches of at most ``MAX_ROWS`` and about ``MAX_BYTES``, each with buffers of its own."""
    step = max(1, min(MAX_ROWS, MAX_BYTES * len(rows) // max(1, rows.nbytes)))
    for start in range(0, len(rows), step):
        piece = rows.slice(start, step)
        yield from piece.take(pa.array(np.arange(len(piece)))).combine_chunks().to_batches()
