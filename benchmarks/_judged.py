"""Judged collections as mining gets them: one row for each judgment, whose other relevant passages nobody names.

What is known of passages beside their texts (spellings, near-duplicates) is found by the functions of the mine stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from benchmarks.edits import jaccard
from mining.accounting import account
from mining.encoder import Encoder
from mining.fixed_point import Fixed, pack_vectors, quantise
from mining.mine import mine_dataset
from mining.params import MiningParams
from schemas.rows import ID, text_hash
from trainer.evaluation_sets import Retrieval
from transforms.duplicates.components import smallest_labels, star_edges
from transforms.duplicates.minhash import band_hashes
from transforms.duplicates.near import numbers_in
from transforms.duplicates.params import NearDuplicateParams
from transforms.text.matching import matching_form, matching_forms, text_hashes
from transforms.text.part_texts import POSITIVES, cluster_hashes
from transforms.vectors.near_passages import CANDIDATES, verify_passages

#: The exact Jaccard from which a negative is an edited copy of the positive, as judged here.
COPY = 0.8


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Tables for ``mine_dataset`` and what is true of them.

    ``relevant``: for each row the hashes of all that is judged relevant to its question; ``positives``: the text of its
    positive; ``texts``: those of passages by hash.
    """

    queries: pa.Table
    corpus: pa.Table
    relevant: Sequence[frozenset[bytes]]
    positives: Sequence[str]
    texts: dict[bytes, str]


def vectors_of(encoder: Encoder, texts: Sequence[str], prompt: str, kept: Path | None) -> Fixed:
    """The fixed-point vectors of texts, int16 ``[texts, dims]``; those in the folder ``kept`` are not made again."""
    said = xxhash.xxh3_128_hexdigest("\0".join([encoder.teacher.key, prompt, *texts]).encode())
    path = None if kept is None else kept / f"{said}.npy"
    if path is not None and path.is_file():
        stored: Fixed = np.load(path)
        return stored
    vectors = quantise(encoder.encode(texts, prompt))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, vectors)
    return vectors


def judged_rows(collection: Retrieval, queries: Fixed, passages: Fixed, near: NearDuplicateParams) -> Judged:
    """One row for each passage that is judged relevant to a query, as if nobody knew the query's others."""
    hashes = [text_hash(text) for text in collection.passages]
    relevant = _relevant(collection, hashes)
    distinct = {
        text_hash(f"{collection.queries[row]}\t{hashes[at].hex()}"): (row, at)
        for row, judged in enumerate(collection.judged)
        for at, score in judged.items()
        if score > 0
    }
    ids, pairs = list(distinct), list(distinct.values())
    asking = {
        "id": pa.array(ids, ID),
        "query_hash": pa.array([text_hash(collection.queries[row]) for row, _ in pairs], ID),
        "cluster": pa.array(ids, ID),  # one of its own: rows that ask the same do not know each other's passages
        "positives": pa.array([[hashes[at]] for _, at in pairs], pa.list_(ID)),
        "negatives": pa.array([[]] * len(pairs), pa.list_(ID)),
        "vector": pack_vectors(queries[[row for row, _ in pairs]]),
    }
    return Judged(
        queries=pa.table(asking),
        corpus=corpus_of(collection, hashes, passages, near),
        relevant=[relevant[matching_form(collection.queries[row])] for row, _ in pairs],
        positives=[collection.passages[at] for _, at in pairs],
        texts=dict(zip(hashes, collection.passages, strict=True)),
    )


def _relevant(collection: Retrieval, hashes: Sequence[bytes]) -> dict[str, frozenset[bytes]]:
    """All that is judged relevant to a question, by its form for matching, with near-duplicates of it: one text of each
    stands for the others.
    """
    near = near_clusters(collection.passages, hashes, NearDuplicateParams())
    groups = pc.coalesce(near, cluster_hashes(pa.array(collection.passages))).to_pylist()
    alike: dict[bytes, set[bytes]] = {}
    for group, text in zip(groups, hashes, strict=True):
        alike.setdefault(group, set()).add(text)
    found: dict[str, frozenset[bytes]] = {}
    for query, judged in zip(collection.queries, collection.judged, strict=True):
        form = matching_form(query)
        there = [alike[groups[at]] for at, score in judged.items() if score > 0]
        found[form] = found.get(form, frozenset()).union(*there)
    return found


def corpus_of(collection: Retrieval, hashes: Sequence[bytes], vectors: Fixed, near: NearDuplicateParams) -> pa.Table:
    """``mining.candidates.PASSAGES`` and ``vector`` of a collection."""
    num = len(hashes)
    clusters = cluster_hashes(pa.array(collection.passages))
    columns = {
        "text_hash": pa.array(hashes, ID),
        "cluster": clusters,
        "near": near_clusters(collection.passages, hashes, near),
        "vector": pack_vectors(vectors),
        "part": pa.array([0] * num, pa.int64()),
        "row": pa.array(range(num), pa.int32()),
        "field": pa.array([POSITIVES] * num),
        "element": pa.array([0] * num, pa.int32()),
    }
    return pa.table(columns)


def near_clusters(texts: Sequence[str], hashes: Sequence[bytes], params: NearDuplicateParams) -> pa.Array:
    """The cluster that each passage is a near-duplicate of, null for none: proposals and proof are the mine stage's."""
    bands, enough = band_hashes(matching_forms(pa.array(texts)), params.minhash)
    rows = np.repeat(np.flatnonzero(enough), bands.shape[1])
    keys = bands[enough].ravel()
    words = np.unique(keys, return_inverse=True)[1].astype(np.uint32)
    labels = smallest_labels(len(texts), *star_edges(words, rows.astype(np.int64)))
    chosen = np.flatnonzero(np.bincount(labels, minlength=len(texts))[labels] > 1)
    if not len(chosen):
        return pa.nulls(len(texts), ID)
    known, forms = pa.array(hashes, ID), matching_forms(pa.array(texts).take(pa.array(chosen)))
    columns = {
        "part": np.zeros(len(chosen), np.int64),
        "row": chosen,
        "component_part": np.zeros(len(chosen), np.int64),
        "component_row": labels[chosen],
        "dataset": pa.array(["judged"] * len(chosen)),
        "key": known.take(pa.array(chosen)),
        "cluster": cluster_hashes(pa.array(texts).take(pa.array(chosen))),
        "must_match": text_hashes(numbers_in(forms))[:, 0],
        "length": pc.utf8_length(forms),
        "form": forms,
        "removed": pa.repeat(False, len(chosen)),
    }
    found = verify_passages(pa.table(columns).select(CANDIDATES.names).cast(CANDIDATES), params)
    return found["near"].combine_chunks().take(pc.index_in(known, value_set=found["key"].combine_chunks()))


@dataclass(frozen=True, kw_only=True)
class Found:
    """What mining made of a collection's rows: ``counts`` of ``mining.accounting``; how many mined negatives are judged
    relevant to their question, and how many are edited copies of their positive.
    """

    counts: dict[str, int]
    judged: int
    copies: int


def mine_judged(rows: Judged, params: MiningParams) -> Found:
    """Mine and count the false negatives."""
    mined = mine_dataset(rows.queries, rows.corpus, params)
    judged = copies = 0
    for relevant, positive, found in zip(
        rows.relevant, rows.positives, mined["negative_hashes"].to_pylist(), strict=True
    ):
        judged += sum(text in relevant for text in found)
        copies += sum(_is_copy(positive, rows.texts[text]) for text in found)
    return Found(counts=account(mined), judged=judged, copies=copies)


@lru_cache(maxsize=1 << 20)
def _is_copy(one: str, other: str) -> bool:
    return matching_form(one) == matching_form(other) or jaccard(one, other) >= COPY
