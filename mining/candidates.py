"""From queries and a corpus to ranked candidates: search each shard, then merge what the shards found.

A query's candidates are its ``top_k`` passages and, wherever they rank, those that were *asked for*: its positives and
given negatives (for their scores and clusters), its own text, and for a labelled row a few texts of its class and the
nearest of other classes, so that a class far from the query still gives a positive, and one that fills its whole list
still leaves it negatives. Each text must lie in one shard only;
then the result does not depend on the number of shards.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from mining.fixed_point import Fixed, exact_pair_scores, unpack_vectors
from mining.index import FlatIndex, Hits, id_words
from mining.policies import MiningParams
from schemas.rows import ID, TEXTS

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

HASHES = pa.list_(ID)
#: Where a text lies: element ``element`` of field ``field`` of row ``row`` in part ``part``.
ADDRESS = pa.struct([("part", pa.int64()), ("row", pa.int32()), ("field", pa.string()), ("element", pa.int32())])

#: A row that wants negatives, its ``vector`` apart. The lists are text hashes, ``cluster`` is of the query's text;
#: further columns are passed through.
#: ``known_positives`` are relevant to the query but no positives of this row: those of other rows with the same query.
QUERIES = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("query_hash", ID, nullable=False),
        pa.field("positives", HASHES, nullable=False),
        pa.field("negatives", HASHES, nullable=False),
        pa.field("known_positives", HASHES),
        pa.field("label", pa.string()),
        pa.field("other_labels", TEXTS),
        pa.field("cluster", ID),
    ]
)
#: A passage of the corpus, its ``vector`` apart. A text may stand there more than once: its smallest address counts.
PASSAGES = pa.schema(
    [
        pa.field("text_hash", ID, nullable=False),
        pa.field("label", pa.string()),
        pa.field("other_labels", TEXTS),
        pa.field("cluster", ID),
        *(pa.field(field.name, field.type) for field in ADDRESS),
    ]
)
#: A passage as candidate of a query. ``score`` is the integer score; ``asked``: wanted whatever its rank.
CANDIDATES = pa.schema(
    [
        pa.field("query_id", ID, nullable=False),
        pa.field("score", pa.int64(), nullable=False),
        pa.field("asked", pa.bool_(), nullable=False),
        *PASSAGES,
    ]
)
#: A candidate after the merge: its 0-based rank over all shards, or -1 beyond ``top_k`` (then it was asked for).
RANKED = CANDIDATES.append(pa.field("rank", pa.int32(), nullable=False))


def conform(table: pa.Table, schema: pa.Schema, keep: tuple[str, ...] = ()) -> pa.Table:
    """The columns of ``schema`` in their types, then those in ``keep``; an absent one that may be null is all null.

    Raises ValueError that names the columns which may not be null and are absent.
    """
    absent = [field.name for field in schema if not field.nullable and field.name not in table.column_names]
    absent += [name for name in keep if name not in table.column_names]
    if absent:
        raise ValueError(
            f"a table for mining lacks the columns {absent}; it has {table.column_names} and needs those of "
            f"{schema.names} that may not be null, and {list(keep)}"
        )
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    kept = [table[name] for name in keep]
    return pa.table([*columns, *kept], names=[*schema.names, *keep]).combine_chunks()


class Shard:
    """Passages that are searched together: a corpus (``PASSAGES`` and ``vector``) or a part of one."""

    def __init__(self, corpus: pa.Table) -> None:
        self.passages = _distinct(conform(corpus, PASSAGES, ("vector",)))
        self.vectors = unpack_vectors(self.passages["vector"])
        self.ids = self.passages["text_hash"].combine_chunks()
        self.index = FlatIndex(self.ids, self.vectors)
        self.circle = id_words(self.ids)[:, 1]
        self.classes = _classes(self.passages["label"], self.circle)

    def search(self, queries: pa.Table, params: MiningParams) -> pa.Table:
        """``CANDIDATES`` of the queries (``QUERIES`` and ``vector``) in this shard, in no particular order."""
        queries = conform(queries, QUERIES, ("vector",))
        if not len(self.index) or not len(queries):
            return CANDIDATES.empty_table()
        vectors, size = unpack_vectors(queries["vector"]), len(self.index)
        hits = self.index.search(vectors, params.top_k)
        listed = (np.arange(len(vectors))[:, None] * size + hits.rows).ravel()
        pairs = [*self._named(queries)]
        for label, rows in _by_wanted_label(queries):
            members = self.classes.get(label, np.empty(0, np.int64))
            pairs.append(self._of_class(members, queries["id"].take(pa.array(rows)), rows, params))
            pairs.append(self._of_others(members, vectors, hits, rows, params))
        asked = np.unique(np.concatenate(pairs))
        unlisted = np.setdiff1d(asked, listed, assume_unique=True)
        scores = exact_pair_scores(vectors[unlisted // size], self.vectors, (unlisted % size)[:, None])
        found = np.concatenate([listed, unlisted])
        all_scores = np.concatenate([hits.scores.ravel(), scores.ravel()])
        return self._table(queries, found, all_scores, np.isin(found, asked))

    def _named(self, queries: pa.Table) -> Iterator[Rows]:
        """Pairs (query row * size + passage row) of the texts that a query names, its own among them."""
        named = [(np.arange(len(queries)), queries["query_hash"].combine_chunks())]
        for column in ("positives", "negatives", "known_positives"):
            lists = queries[column].combine_chunks()
            named.append((pc.list_parent_indices(lists).to_numpy(), lists.flatten()))
        for parents, hashes in named:
            found = pc.index_in(hashes, value_set=self.ids)
            here = found.is_valid().to_numpy(zero_copy_only=False)
            yield parents[here].astype(np.int64) * len(self.index) + found.drop_null().to_numpy()

    def _of_class(self, members: Rows, ids: pa.ChunkedArray, rows: Rows, params: MiningParams) -> Rows:
        """Pairs of query rows of one label with the members of that class that follow their start on the circle."""
        if not len(members):
            return members
        steps = np.arange(params.num_positives + 1)  # one more: the query's own text may be among them
        first = np.searchsorted(self.circle[members], circle_starts(ids, params.seed))
        drawn = members[(first[:, None] + steps) % len(members)]
        pairs: Rows = (rows[:, None] * len(self.index) + drawn).ravel()
        return pairs

    def _of_others(self, members: Rows, vectors: Fixed, hits: Hits, rows: Rows, params: MiningParams) -> Rows:
        """Pairs of query rows of one label with the nearest passages outside its class, up to ``labelled_rank_range``.

        They are in the list already where it holds enough of them; other rows are searched anew among these passages.
        """
        others = np.ones(len(self.index), dtype=bool)
        others[members] = False
        places, wanted = np.flatnonzero(others), params.labelled_rank_range[1] + 1  # one more, as above
        listed = others[hits.rows[rows]]
        nearest = listed & (listed.cumsum(axis=1) <= wanted)
        pairs = (rows[:, None] * len(self.index) + hits.rows[rows])[nearest]
        short = rows[listed.sum(axis=1) < min(wanted, len(places))]
        if not len(short):
            return pairs
        found = FlatIndex(self.ids.take(pa.array(places)), self.vectors[places]).search(vectors[short], wanted)
        return np.append(pairs, short[:, None] * len(self.index) + places[found.rows])

    def _table(self, queries: pa.Table, pairs: Rows, scores: Rows, asked: Mask) -> pa.Table:
        passages = self.passages.select(PASSAGES.names).take(pa.array(pairs % len(self.index)))
        ids = queries["id"].take(pa.array(pairs // len(self.index)))
        return pa.table([ids, pa.array(scores), pa.array(asked), *passages.columns], schema=CANDIDATES)


def search_shard(queries: pa.Table, corpus: pa.Table, params: MiningParams) -> pa.Table:
    """``CANDIDATES`` of ``queries`` (``QUERIES`` and ``vector``) in ``corpus`` (``PASSAGES`` and ``vector``)."""
    return Shard(corpus).search(queries, params)


def merge_candidates(candidates: pa.Table, top_k: int) -> pa.Table:
    """``RANKED`` candidates by query id and rank: of each query the best ``top_k`` over all shards, and what was
    asked for.

    ``candidates`` holds all of a query's, from every shard, in any order. Ranked by score downwards, then text hash. An
    asked-for passage outside its shard's list ranks behind that list's ``top_k``, so its place among the ``top_k`` is
    never taken wrongly. Raises ValueError where a text came from two shards.
    """
    queries, texts = id_words(candidates["query_id"]), id_words(candidates["text_hash"])
    scores = candidates["score"].to_numpy()
    order = np.lexsort((texts[:, 1], texts[:, 0], -scores, queries[:, 1], queries[:, 0]))
    queries, texts = queries[order], texts[order]
    new_query = np.ones(len(order), dtype=bool)
    new_query[1:] = (queries[1:] != queries[:-1]).any(axis=1)
    _check_one_shard(new_query, texts)
    first = np.flatnonzero(new_query)
    ranks = np.arange(len(order)) - first[np.cumsum(new_query) - 1] if len(order) else order
    kept = (ranks < top_k) | candidates["asked"].to_numpy()[order]
    ranks = np.where(ranks < top_k, ranks, -1)[kept].astype(np.int32)
    return candidates.select(CANDIDATES.names).take(pa.array(order[kept])).append_column(RANKED.field("rank"), [ranks])


def circle_starts(query_ids: pa.ChunkedArray, seed: int) -> npt.NDArray[np.uint64]:
    """Where each query starts on the circle of 2^64 places on which a text stands at the last 8 bytes of its hash.

    The texts of a class that follow the start are a fair draw that needs neither the whole class nor an order of
    arrival.
    """
    return np.array([xxhash.xxh3_64_intdigest(id_, seed=seed) for id_ in query_ids.to_pylist()], dtype=np.uint64)


def circle_distances(text_hashes: list[bytes], start: np.uint64) -> npt.NDArray[np.uint64]:
    """How far after ``start`` each text stands on the circle."""
    places = np.array([int.from_bytes(text[8:], "big") for text in text_hashes], dtype=np.uint64)
    return places - start  # modulo 2^64


def _by_wanted_label(queries: pa.Table) -> Iterator[tuple[str, Rows]]:
    """Rows that want a positive of their class, by label."""
    wanting = pc.equal(pc.list_value_length(queries["positives"]), 0).to_numpy()
    labels = np.array(queries["label"].to_pylist(), dtype=object)
    for label in sorted(set(labels[wanting]) - {None}):
        yield label, np.flatnonzero(wanting & (labels == label))


def _distinct(passages: pa.Table) -> pa.Table:
    keys = ["text_hash", *(field.name for field in ADDRESS)]
    ordered = passages.sort_by([(key, "ascending") for key in keys]).combine_chunks()
    words = id_words(ordered["text_hash"])
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = (words[1:] != words[:-1]).any(axis=1)
    return ordered.filter(pa.array(first)).combine_chunks()


def _classes(labels: pa.ChunkedArray, circle: npt.NDArray[np.uint64]) -> dict[str, Rows]:
    """For each label its passages' rows in the order of the circle."""
    encoded = labels.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    order = np.lexsort((circle, codes)).astype(np.int64)
    bounds = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
    names = encoded.dictionary.to_pylist()
    return {name: order[bounds[code] : bounds[code + 1]] for code, name in enumerate(names)}


def _check_one_shard(new_query: Mask, texts: npt.NDArray[np.uint64]) -> None:
    repeats = np.flatnonzero(~new_query[1:] & (texts[1:] == texts[:-1]).all(axis=1))
    if repeats.size:
        high, low = texts[repeats[0]].tolist()
        raise ValueError(
            f"text {high:016x}{low:016x} is a candidate of one query twice; a text must lie in one shard only: "
            "divide a corpus into shards by text hash"
        )
