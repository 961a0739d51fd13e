"""Small tables of queries and passages for the tests of mining; a text's vector follows from the text alone."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import xxhash

from mining.encoder import normalise
from mining.fixed_point import Fixed, pack_vectors, quantise
from schemas.rows import text_hash

DIMS = 16
HASH = pa.binary(16)


def vectors_of(texts: Sequence[str], dims: int = DIMS) -> Fixed:
    """A fixed-point unit vector per text, drawn from a generator seeded by the text."""
    drawn = [np.random.default_rng(xxhash.xxh3_64_intdigest(text.encode())).normal(size=dims) for text in texts]
    return quantise(normalise(np.array(drawn).reshape(len(texts), dims)))


def at_cosines(cosines: Sequence[float]) -> tuple[Fixed, Fixed]:
    """A query's vector, and vectors with these cosines to it, all of them different."""
    vectors = np.zeros((len(cosines), len(cosines) + 2))
    vectors[:, 0] = cosines
    vectors[np.arange(len(cosines)), 2 + np.arange(len(cosines))] = np.sqrt(1 - np.square(cosines))
    query = np.zeros((1, len(cosines) + 2))
    query[0, 0] = 1
    return quantise(query.astype(np.float32)), quantise(vectors.astype(np.float32))


def hashes(texts: Sequence[str]) -> list[bytes]:
    return [text_hash(text) for text in texts]


def make_corpus(
    texts: Sequence[str],
    labels: Sequence[str | None] | None = None,
    clusters: Sequence[str | None] | None = None,
    other_labels: Sequence[list[str]] | None = None,
    languages: Sequence[str | None] | None = None,
    vectors: Fixed | None = None,
    nears: Sequence[str | None] | None = None,
) -> pa.Table:
    num = len(texts)
    return pa.table(
        {
            "text_hash": pa.array(hashes(texts), HASH),
            "vector": pack_vectors(vectors_of(texts) if vectors is None else vectors),
            "language": pa.array(languages or [None] * num, pa.string()),
            "label": pa.array(labels or [None] * num, pa.string()),
            "other_labels": pa.array(other_labels or [[]] * num, pa.list_(pa.string())),
            "cluster": pa.array([name and text_hash(name) for name in clusters or [None] * num], HASH),
            "near": pa.array([name and text_hash(name) for name in nears or [None] * num], HASH),
            "part": pa.array([7] * num, pa.int64()),
            "row": pa.array(range(num), pa.int32()),
            "field": pa.array(["positives"] * num),
            "element": pa.array([0] * num, pa.int32()),
        }
    )


def make_queries(
    texts: Sequence[str],
    positives: Sequence[list[str]] | None = None,
    negatives: Sequence[list[str]] | None = None,
    labels: Sequence[str | None] | None = None,
    other_labels: Sequence[list[str]] | None = None,
    clusters: Sequence[str | None] | None = None,
    languages: Sequence[str | None] | None = None,
    vectors: Fixed | None = None,
) -> pa.Table:
    num = len(texts)
    return pa.table(
        {
            "cluster": pa.array([name and text_hash(name) for name in clusters or [None] * num], HASH),
            "language": pa.array(languages or [None] * num, pa.string()),
            "id": pa.array(hashes([f"row {number} {text}" for number, text in enumerate(texts)]), HASH),
            "query_hash": pa.array(hashes(texts), HASH),
            "vector": pack_vectors(vectors_of(texts) if vectors is None else vectors),
            "positives": pa.array([hashes(row) for row in positives or [[]] * num], pa.list_(HASH)),
            "negatives": pa.array([hashes(row) for row in negatives or [[]] * num], pa.list_(HASH)),
            "label": pa.array(labels or [None] * num, pa.string()),
            "other_labels": pa.array(other_labels or [[]] * num, pa.list_(pa.string())),
            "part": pa.array([3] * num, pa.int64()),
            "row": pa.array(range(num), pa.int32()),
        }
    )
