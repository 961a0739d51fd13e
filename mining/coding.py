"""Queries and their candidates as integer arrays, so that the policies compare numbers instead of hashes and labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mining.index import id_words
from mining.policies import Codes, Mask

Parents = npt.NDArray[np.int64]

#: The columns in which a row names texts by their hashes.
NAMED = ("positives", "negatives", "known_positives")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row and its candidates, best first. Arrays have an entry per candidate, where not said otherwise.

    ``positives`` and ``given`` are positions among the candidates: the row's positives and given negatives, in its
    order.
    """

    first: int  # where its candidates begin among those of all rows
    positives: Codes
    given: Codes
    texts: memoryview  # the candidates' text hashes, 16 bytes each
    scores: Codes
    clusters: Codes  # -1: none
    listed: Mask  # within top_k
    is_query: Mask  # the query's own text
    relevant: Mask  # a positive of this row, or of another with the same query
    near: Mask  # a near-duplicate of the query or of a relevant text
    same_class: Mask  # the same first label, and not the query's own text
    shares_label: Mask  # any label in common

    def hashes(self, places: Codes) -> list[bytes]:
        """The text hashes of the candidates at some places."""
        return [bytes(self.texts[16 * place : 16 * place + 16]) for place in places.tolist()]


@dataclass(frozen=True, kw_only=True)
class CodedCandidates:
    """All rows' candidates, those of row i from ``bounds[i]`` to ``bounds[i + 1]``; other arrays as in ``Example``."""

    candidates: pa.Table
    texts: memoryview
    bounds: Codes
    positives: Codes
    positive_bounds: Codes
    given: Codes
    given_bounds: Codes
    masks: dict[str, Mask]
    scores: Codes
    clusters: Codes

    def example(self, row: int) -> Example:
        """The view of one row."""
        first, last = (int(bound) for bound in self.bounds[row : row + 2])
        here = slice(first, last)
        return Example(
            first=first,
            positives=self.positives[slice(*self.positive_bounds[row : row + 2])] - first,
            given=self.given[slice(*self.given_bounds[row : row + 2])] - first,
            texts=self.texts[16 * first : 16 * last],
            scores=self.scores[here],
            clusters=self.clusters[here],
            **{name: mask[here] for name, mask in self.masks.items()},
        )


def code_candidates(queries: pa.Table, candidates: pa.Table) -> CodedCandidates:
    """Codes of ``QUERIES`` and all their ``RANKED`` candidates.

    Raises ValueError for ids that repeat, for candidates of other queries, and for texts that a query names as positive
    or given negative and that are not among its candidates.
    """
    candidates, rows = _ordered(candidates, _query_rows(queries, candidates))
    parents, named = zip(*(_flat(queries[name]) for name in NAMED), strict=True)
    texts, own, *codes = _codes(candidates["text_hash"], queries["query_hash"], *named)
    positives, given, known = zip(parents, codes, strict=True)
    is_query = texts == own[rows]
    relevant = _among(rows, texts, *positives) | _among(rows, texts, *known)
    clusters, own_clusters = _codes(candidates["cluster"], queries["cluster"])
    masks = {
        "listed": candidates["rank"].to_numpy() >= 0,
        "is_query": is_query,
        "relevant": relevant,
        "near": _near(rows, clusters, is_query | relevant) | ((clusters >= 0) & (clusters == own_clusters[rows])),
    }
    return CodedCandidates(
        candidates=candidates,
        texts=memoryview(id_words(candidates["text_hash"]).astype(">u8").tobytes()),
        bounds=np.searchsorted(rows, np.arange(len(queries) + 1)),
        positives=_places(rows, texts, *positives, named[0]),
        positive_bounds=_bounds(queries["positives"]),
        given=_places(rows, texts, *given, named[1]),
        given_bounds=_bounds(queries["negatives"]),
        masks=masks | _label_masks(queries, candidates, rows, is_query),
        scores=candidates["score"].to_numpy(),
        clusters=clusters,
    )


def _query_rows(queries: pa.Table, candidates: pa.Table) -> Parents:
    ids = queries["id"].combine_chunks()
    if len(pc.unique(ids)) != len(ids):
        raise ValueError(
            f"{len(ids)} rows have only {len(pc.unique(ids))} distinct ids, but an id names one row; equal rows were "
            "not removed: deduplicate before mining"
        )
    rows = pc.index_in(candidates["query_id"].combine_chunks(), value_set=ids)
    if rows.null_count:
        raise ValueError(
            f"{rows.null_count} of {len(rows)} candidates belong to queries that are not here; queries and "
            "candidates were grouped by different keys: use mining.beam.bucket_of for both"
        )
    places: Parents = rows.to_numpy().astype(np.int64)
    return places


def _ordered(candidates: pa.Table, rows: Parents) -> tuple[pa.Table, Parents]:
    words, scores = id_words(candidates["text_hash"]), candidates["score"].to_numpy()
    order = np.lexsort((words[:, 1], words[:, 0], -scores, rows))
    return candidates.take(pa.array(order)).combine_chunks(), rows[order]


def _near(rows: Parents, clusters: Codes, anchors: Mask) -> Mask:
    """Candidates in the cluster of one of the row's ``anchors``."""
    clustered = clusters >= 0
    anchors = anchors & clustered
    return clustered & _among(rows, clusters, rows[anchors], clusters[anchors])


def _label_masks(queries: pa.Table, candidates: pa.Table, rows: Parents, is_query: Mask) -> dict[str, Mask]:
    """Candidates with the query's first label, and those with any label in common with it."""
    query_parents, query_others = _flat(queries["other_labels"])
    parents, others = _flat(candidates["other_labels"])
    first_of_query, rest_of_query, first, rest = _codes(queries["label"], query_others, candidates["label"], others)
    query_parents = np.append(np.arange(len(queries)), query_parents)
    query_labels = np.append(first_of_query, rest_of_query)
    parents, labels = np.append(np.arange(len(candidates)), parents), np.append(first, rest)
    known = query_labels >= 0
    hit = (labels >= 0) & _among(rows[parents], labels, query_parents[known], query_labels[known])
    shares = np.zeros(len(candidates), dtype=bool)
    shares[parents[hit]] = True
    same_class = (first >= 0) & (first == first_of_query[rows]) & ~is_query
    return {"same_class": same_class, "shares_label": shares}


def _flat(lists: pa.ChunkedArray) -> tuple[Parents, pa.Array]:
    """The elements of a list column, and the row of each."""
    array = lists.combine_chunks()
    return pc.list_parent_indices(array).to_numpy().astype(np.int64), array.flatten()


def _bounds(lists: pa.ChunkedArray) -> Codes:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    bounds: Codes = np.append(0, np.cumsum(lengths))
    return bounds


def _codes(*columns: pa.Array | pa.ChunkedArray) -> list[Codes]:
    """Columns of one type as codes of their common values; null is -1."""
    arrays = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    indices = pa.concat_arrays(arrays).dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    codes: list[Codes] = np.split(indices, np.cumsum([len(array) for array in arrays])[:-1])
    return codes


def _among(rows: Parents, codes: Codes, pair_rows: Parents, pair_codes: Codes) -> Mask:
    """Whether (row, code) is one of the pairs. Codes are -1 or above."""
    width = 2 + max(codes.max(initial=0), pair_codes.max(initial=0))
    return np.isin(rows * width + codes + 1, pair_rows * width + pair_codes + 1)


def _places(rows: Parents, texts: Codes, pair_rows: Parents, pair_texts: Codes, named: pa.Array) -> Codes:
    """Where each (row, text) of the pairs stands among the candidates."""
    width = 1 + max(texts.max(initial=0), pair_texts.max(initial=0))
    keys, wanted = rows * width + texts, pair_rows * width + pair_texts
    sorter = np.argsort(keys, kind="stable")
    found = np.searchsorted(keys, wanted, sorter=sorter)
    places = sorter[np.minimum(found, len(keys) - 1)] if len(keys) else np.zeros(len(wanted), np.int64)
    absent = np.flatnonzero(keys[places] != wanted) if len(keys) else np.arange(len(wanted))
    if absent.size:
        text = named[int(absent[0])].as_py()
        raise ValueError(
            f"text {text.hex()}, which row {pair_rows[absent[0]]} names, is not in the corpus "
            f"({absent.size} such texts); a corpus holds every positive and given negative of its dataset: add the "
            "missing ones"
        )
    return places.astype(np.int64)
