"""The passages of a dataset, or of a shard of one, and the search for what may become negatives and positives in them.

One text of each passage is searched (of its spellings, which are one cluster, and of its near-duplicates: that with
the smallest hash), so that ranks and negatives count passages. A cluster and its near-duplicates must lie in one shard;
then the result does not depend on the number of shards.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mining.candidates import (
    FOUND,
    PASSAGES,
    Rows,
    bounds_of,
    conform,
    distinct_texts,
    flat,
    list_bounds,
    vector_hashes,
)
from mining.cell_scan import scan_cells
from mining.cells import Cells, is_approximate, make_cells, measure
from mining.fills import draw_fills
from mining.fixed_point import Fixed, from_cosine, unpack_vectors
from mining.index import find_ids, id_words, run_starts_of, sorted_ids
from mining.labels import Coder, label_sets, language_codes
from mining.lists import Depths, Lists, lists_of_scan, positions_of
from mining.params import MiningParams
from mining.policies import ceiling, floor
from mining.relations import Relations
from mining.scan import EQUAL_VECTOR, GIVEN, NEAR_DUPLICATE, OUTSIDE, Asked, Searched, scan

#: Bits of a mark below the position.
_RULE_BITS = 4


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Passages that rules name: those of group i are ``marks[bounds[i] : bounds[i + 1]]``, ``position << 4 | rule``."""

    bounds: Rows
    marks: Rows


@dataclass(frozen=True, kw_only=True)
class Relevant:
    """Relations, and the marks that they make on a shard's passages, by group."""

    relations: Relations
    marks: Marks


class Shard:
    """Passages that are searched together: a corpus (``PASSAGES`` and ``vector``) or a part of one.

    ``vectors`` gives the vectors of the corpus' rows where they are not in the table (a memory map). ``texts``: those
    that are searched, in the order of hashes.
    """

    def __init__(self, corpus: pa.Table, params: MiningParams, vectors: Fixed | None = None) -> None:
        self.params = params
        self._cells: Cells | None = None
        self._nprobe = 0
        corpus = conform(corpus, PASSAGES, ("vector",) if vectors is None else ())
        vectors = unpack_vectors(corpus["vector"]) if vectors is None else vectors
        corpus = corpus.select(PASSAGES.names).append_column("source", pa.array(np.arange(len(corpus))))
        texts = distinct_texts(corpus)
        first = _first_of_each(texts["near"])
        self.texts = texts if len(first) == len(texts) else texts.take(pa.array(first)).combine_chunks()
        self.vectors, self._sources = vectors, self.texts["source"].to_numpy().astype(np.int64)
        self._find(texts.select(["cluster", "near"]))
        self.texts = self.texts.select([name for name in FOUND.names if name != "labels"])
        del texts  # the shard keeps what it searches, and of that what it tells
        self._describe(corpus)
        del corpus
        self._digests, self._by_digest = sorted_ids(vector_hashes(vectors, self._sources))

    def __len__(self) -> int:
        return len(self.texts)

    def _find(self, texts: pa.Table) -> None:
        """Which text is searched for each cluster, and whether that is a spelling of it or a near-duplicate."""
        clusters, first = sorted_ids(texts["cluster"])
        kept = run_starts_of(clusters)
        self._clusters = clusters[kept]
        nears, order = sorted_ids(self.texts["near"])
        self._places: Rows = order[find_ids(nears, id_words(texts["near"])[first[kept]])]
        searched = id_words(self.texts["cluster"])[self._places]
        self._is_copy: npt.NDArray[np.bool_] = (searched != self._clusters).any(axis=1)

    def _describe(self, corpus: pa.Table) -> None:
        """Labels and languages of each passage: those of all its spellings, wherever they stand."""
        clusters = pc.coalesce(corpus["cluster"], corpus["text_hash"]).combine_chunks()
        places = self._places[find_ids(self._clusters, id_words(clusters))]
        names = pa.concat_arrays([corpus["label"].combine_chunks(), flat(corpus["other_labels"])[1]])
        self._labels = Coder(names, folded=self.params.fold_labels)
        self._languages = Coder(corpus["language"].combine_chunks())
        self._sets = label_sets(corpus, self._labels, places, len(self))
        codes = language_codes(corpus["language"].combine_chunks(), self._languages)
        languages = np.zeros(len(self), np.int64)
        languages[places] = codes
        mixed = places[codes != languages[places]]
        languages[mixed] = 0
        self._language = languages

    def search(self, queries: pa.Table, vectors: Fixed, relevant: Relevant, judged: npt.NDArray[np.bool_]) -> Lists:
        """The lists of the queries (``SCORED``) in this shard. ``relevant``: of this shard (``relevant``); ``judged``:
        rows that the teacher's ranks say something of.
        """
        asked = self._asked(queries, relevant, judged)
        searched = Searched(
            rows=self._sources, label_bounds=self._sets.bounds, labels=self._sets.codes, language=self._language
        )
        depths = depths_of(queries, self.params)
        sizes = [int(depths.pool.max(initial=1)) + depths.more, depths.refused]
        if asked.by_class.any():
            sizes += [depths.classes, depths.classes]
        if self._cells is None:
            out, found = scan(vectors, self.vectors, asked, searched, tuple(sizes))
        else:
            out, found = self._scan_some(vectors, asked, searched, tuple(sizes), depths)
        fills = self._fills(queries["id"], vectors, asked, searched, found, depths) if self.params.random_fill else ()
        return lists_of_scan(out, found, depths, fills)

    def _fills(
        self, ids: pa.ChunkedArray, vectors: Fixed, asked: Asked, searched: Searched, found: Rows, depths: Depths
    ) -> list[tuple[Rows, Rows]]:
        """What may fill rows up that this shard has too few negatives for: a row that lacks some lacks them in every
        shard. A cross-encoder may refuse any number, so with one no row is left out.
        """
        short = np.ones(len(ids), dtype=bool) if self.params.cross_encoder else found[:, 0] < self.params.num_negatives
        rows, texts = np.flatnonzero(short), id_words(self.texts["text_hash"]).byteswap()
        words = id_words(ids).byteswap()
        return [draw_fills(rows, words, texts, vectors, self.vectors, asked, searched, depths.more, self.params.seed)]

    def prepare(self, queries: pa.Table) -> str | None:
        """Make cells, if the parameters ask for them, probed as a sample of the queries that will come (``SCORED`` and
        ``vector``) needs. Gives what was made, in words.

        The sample are the queries with the smallest ids, which are hashes. Without queries every cell is probed.
        """
        if not is_approximate(len(self), self.params):
            return None
        order = smallest_ids(queries["id"], self.params.ivf_sample)
        vectors = unpack_vectors(queries["vector"].take(order))
        depth = int(depths_of(queries.take(order), self.params).pool.max(initial=1))
        self._cells = make_cells(self.vectors, self._sources, self.params.seed)
        probing = measure(self._cells, self.vectors, self._sources, vectors, depth, self.params.ivf_recall)
        self._nprobe = probing.nprobe
        return probing.told(len(self))

    def _scan_some(
        self, vectors: Fixed, asked: Asked, searched: Searched, sizes: tuple[int, ...], depths: Depths
    ) -> tuple[Rows, Rows]:
        """What the nearest cells hold; rows that lack passages look into twice as many, and at last into all."""
        cells, nprobe = self._cells, self._nprobe
        assert cells is not None
        ranking = cells.nearest(vectors, len(cells))
        inside = (cells.bounds, cells.positions)
        out, found = scan_cells(vectors, self.vectors, asked, searched, inside, ranking[:, :nprobe], sizes)
        while nprobe < len(cells):
            short = np.flatnonzero(_is_short(found, asked, depths, self.params))
            nprobe = min(2 * nprobe, len(cells))
            probed = ranking[short, :nprobe]
            out[:, short], found[short] = scan_cells(
                vectors[short], self.vectors, asked_rows(asked, short), searched, inside, probed, sizes
            )
        return out, found

    def _asked(self, queries: pa.Table, relevant: Relevant, judged: npt.NDArray[np.bool_]) -> Asked:
        marks, own = relevant.marks, self._own_marks(queries)
        sets = label_sets(queries, self._labels)
        language = np.zeros(len(queries), np.int64)
        if self.params.within_language:
            language = language_codes(queries["language"].combine_chunks(), self._languages)
        return Asked(
            group=relevant.relations.of(queries["id"].combine_chunks()),
            group_bounds=marks.bounds,
            group_marks=marks.marks,
            own_bounds=own.bounds,
            own_marks=own.marks,
            label_bounds=sets.bounds,
            labels=sets.codes,
            by_class=by_class(queries),
            language=language,
            ceiling=_ceilings(queries, judged, self.params),
            floor=np.full(len(queries), floor(self.params), np.int64),
        )

    def relevant(self, relations: Relations) -> Relevant:
        """The passages of this shard that are relevant to each group, found once for all blocks of queries."""
        groups, positions, copies = self._of_clusters(relations.cluster_groups, relations.clusters)
        others, equal = self._of_vectors(relations.vector_groups, relations.vectors)
        rules = np.append(np.where(copies, NEAR_DUPLICATE, OUTSIDE), np.full(len(others), EQUAL_VECTOR))
        owners, named = np.append(groups, others), np.append(positions, equal)
        marks = _marks(owners, named, rules, np.arange(relations.num_groups))
        return Relevant(relations=relations, marks=marks)

    def _own_marks(self, queries: pa.Table) -> Marks:
        rows, given, _ = self._of_clusters(*flat(queries["negatives_clusters"]))
        others, equal = self._of_vectors(np.arange(len(queries)), queries["own_vector"].combine_chunks())
        rules = np.repeat([GIVEN, EQUAL_VECTOR], [len(rows), len(others)])
        return _marks(np.append(rows, others), np.append(given, equal), rules, np.arange(len(queries)))

    def _of_clusters(self, owners: Rows, clusters: pa.Array) -> tuple[Rows, Rows, npt.NDArray[np.bool_]]:
        """Those that are here: the owner of each, the position of the text that is searched for it, whether that is a
        near-duplicate.
        """
        found = find_ids(self._clusters, id_words(clusters))
        here = found[found >= 0]
        return owners[found >= 0], self._places[here], self._is_copy[here]

    def _of_vectors(self, owners: Rows, vectors: pa.Array) -> tuple[Rows, Rows]:
        words = id_words(vectors)
        starts = find_ids(self._digests, words)
        owners, words, starts = owners[starts >= 0], words[starts >= 0], starts[starts >= 0]
        lengths = find_ids(self._digests, words, past=True) - starts
        steps = np.arange(lengths.sum()) - np.repeat(np.append(0, np.cumsum(lengths))[:-1], lengths)
        return np.repeat(owners, lengths), self._by_digest[np.repeat(starts, lengths) + steps]

    def named(self, keys: Rows) -> Rows:
        """The positions that some keys name, ascending."""
        marked = np.zeros(len(self), bool)
        marked[positions_of(keys)] = True
        return np.flatnonzero(marked)

    def found(self, positions: Rows) -> pa.Table:
        """``FOUND`` of the passages at some positions."""
        chosen = self.texts.take(pa.array(positions))
        lengths = np.diff(self._sets.bounds)[positions]
        bounds = np.append(0, np.cumsum(lengths))
        steps = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
        names = self._labels.names(self._sets.codes[np.repeat(self._sets.bounds[positions], lengths) + steps])
        labels = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), names)
        columns = [labels if field.name == "labels" else chosen[field.name] for field in FOUND]
        return pa.table(columns, schema=FOUND)


def _first_of_each(values: pa.ChunkedArray) -> Rows:
    """The row where each distinct id stands first, ascending."""
    words, rows = sorted_ids(values)
    return np.sort(rows[run_starts_of(words)])


def _marks(owners: Rows, positions: Rows, rules: npt.NDArray[np.int64], names: Rows) -> Marks:
    """Marks by owner, in the order of ``names`` (ascending); of two on one position the stronger."""
    place = np.searchsorted(names, owners)
    here = (place < len(names)) & (names[np.minimum(place, len(names) - 1)] == owners) if len(names) else place < 0
    place, positions, rules = place[here], positions[here], rules[here]
    order = np.lexsort((rules, positions, place))
    place, positions, rules = place[order], positions[order], rules[order]
    last = np.ones(len(place), dtype=bool)
    last[:-1] = (place[1:] != place[:-1]) | (positions[1:] != positions[:-1])
    marks = (positions[last] << _RULE_BITS) | rules[last]
    return Marks(bounds=bounds_of(place[last], len(names)), marks=marks.astype(np.int64))


def smallest_ids(ids: pa.Array | pa.ChunkedArray, num: int) -> pa.Array:
    """Where the ``num`` smallest ids stand, the smallest first."""
    return pc.sort_indices(ids)[:num]


def _is_short(found: Rows, asked: Asked, depths: Depths, params: MiningParams) -> npt.NDArray[np.bool_]:
    """Rows that lack passages that may be negatives, or a labelled row's positives."""
    short: npt.NDArray[np.bool_] = found[:, 0] < depths.pool + depths.more
    if found.shape[1] > 2:
        short |= asked.by_class & (found[:, 2:].sum(axis=1) < params.num_positives)
    return short


def asked_rows(asked: Asked, rows: Rows) -> Asked:
    """Some of the queries."""
    own, own_marks = _runs(asked.own_bounds, asked.own_marks, rows)
    labels, label_codes = _runs(asked.label_bounds, asked.labels, rows)
    each = {name: getattr(asked, name)[rows] for name in ("group", "by_class", "language", "ceiling", "floor")}
    return asked._replace(own_bounds=own, own_marks=own_marks, label_bounds=labels, labels=label_codes, **each)


def _runs(bounds: Rows, values: Rows, rows: Rows) -> tuple[Rows, Rows]:
    lengths = np.diff(bounds)[rows]
    ends = np.append(0, np.cumsum(lengths))
    steps = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
    return ends, values[np.repeat(bounds[rows], lengths) + steps]


def by_class(queries: pa.Table) -> npt.NDArray[np.bool_]:
    """Rows that are known by their label alone."""
    rows: npt.NDArray[np.bool_] = pc.equal(pc.list_value_length(queries["positives"]), 0).to_numpy()
    return rows


def depths_of(queries: pa.Table, params: MiningParams) -> Depths:
    """How much of its lists each row needs: up to the end of its range, and to the rank of the filter."""
    with_positives = max(params.rank_range[1], (params.consistency_rank or 0) + 1)
    labelled = max(params.labelled_rank_range[1], params.balance_depth if params.balance_classes else 0)
    return Depths(
        pool=np.where(by_class(queries), labelled, with_positives).astype(np.int64),
        more=params.num_negatives + (params.cross_margin if params.cross_encoder else 0),
        refused=max(with_positives, labelled),
        classes=params.class_pool,
    )


def _ceilings(queries: pa.Table, judged: npt.NDArray[np.bool_], params: MiningParams) -> Rows:
    bounds = list_bounds(queries["positives_scores"])
    scores = flat(queries["positives_scores"])[1].to_numpy().astype(np.int64)
    return np.where(judged, ceilings(scores, bounds, params), ceilings(scores, bounds, params.unjudged))


def ceilings(scores: Rows, bounds: Rows, params: MiningParams) -> Rows:
    """``policies.ceiling`` of rows whose positives score ``scores[bounds[i] : bounds[i + 1]]``, in the same numbers."""
    highest = np.full(len(bounds) - 1, ceiling(np.empty(0, np.int64), params), np.float64)
    rows = np.flatnonzero(np.diff(bounds))
    if len(rows) and (params.max_relative_score is not None or params.min_margin is not None):
        reference = _references(scores, bounds[:-1][rows], params).astype(np.float64)
        if params.max_relative_score is not None:
            share = np.where(reference > 0, reference * params.max_relative_score, reference - 1)
            highest[rows] = np.minimum(highest[rows], share)
        if params.min_margin is not None:
            highest[rows] = np.minimum(highest[rows], reference - from_cosine(params.min_margin))
    return np.floor(highest).astype(np.int64)


def _references(scores: Rows, starts: Rows, params: MiningParams) -> Rows:
    """The score of the positive that ``relative_to`` names, of runs that are not empty and follow one another."""
    if params.relative_to == "first":
        return scores[starts]
    found: Rows = (np.maximum if params.relative_to == "best" else np.minimum).reduceat(scores, starts)
    return found
