"""The sides of ``benchmarks.mining``: from given vectors to seven negatives for each query, as each of them does it."""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import datasets
import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from sentence_transformers.util import mine_hard_negatives

from mining.beam import ChooseExamples, KeyedBatch, MiningSpec, SearchShard, small_batches
from mining.candidates import score_named
from mining.fixed_point import pack_vectors, quantise, unpack_vectors
from mining.index import FlatIndex
from mining.mine import mine_dataset
from mining.params import MiningParams
from schemas.rows import ID, text_hash
from transforms.flow import batches as _coder  # noqa: F401  (registers the coder of batches)

Vectors = npt.NDArray[np.float32]

#: What all of them take: negatives, from ranks [START, END) of the list.
NEGATIVES, START, END = 7, 50, 100


def given(num_queries: int, num_passages: int, dims: int) -> tuple[Vectors, Vectors]:
    """Vectors of passages around some hundred topics, and of queries near the passage that answers each."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(500, dims)).astype(np.float32)
    noise = rng.normal(size=(num_passages, dims)).astype(np.float32)
    passages = topics[rng.integers(0, 500, num_passages)] + 1.2 * noise
    queries = passages[:num_queries] + 0.9 * rng.normal(size=(num_queries, dims)).astype(np.float32)
    return _normalised(queries), _normalised(passages)


def _normalised(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def tables(queries: Vectors, passages: Vectors) -> tuple[pa.Table, pa.Table]:
    """The same as tables: what the mine stage gets."""
    hashes = [text_hash(f"passage {number}") for number in range(len(passages))]
    names = [text_hash(f"query {number}") for number in range(len(queries))]
    lists = pa.list_(ID)
    asking = {
        "id": pa.array(names, ID),
        "query_hash": pa.array(names, ID),
        "positives": pa.array([[hash_] for hash_ in hashes[: len(queries)]], lists),
        "negatives": pa.array([[]] * len(queries), lists),
        "vector": pack_vectors(quantise(queries)),
    }
    corpus = {
        "text_hash": pa.array(hashes, ID),
        "part": pa.array([1] * len(passages), pa.int64()),
        "row": pa.array(range(len(passages)), pa.int32()),
        "field": pa.array(["positives"] * len(passages)),
        "element": pa.array([0] * len(passages), pa.int32()),
        "vector": pack_vectors(quantise(passages)),
    }
    return pa.table(asking), pa.table(corpus)


def ours(queries: Vectors, passages: Vectors) -> Callable[[], str]:
    """From tables to chosen negatives with all rules of the default parameters."""
    asking, corpus = tables(queries, passages)

    def work() -> str:
        return digest_of(mine_dataset(asking, corpus, MiningParams()))

    return work


def digest_of(mined: pa.Table) -> str:
    """What tells one result from another, whatever the order of its rows."""
    mined = mined.sort_by("id")
    ranks = np.array(mined["negative_ranks"].combine_chunks().flatten())
    scores = mined["negative_scores"].combine_chunks().flatten().to_numpy()
    return hashlib.sha256(ranks.tobytes() + scores.tobytes()).hexdigest()


#: Tables of the side on Beam: its first step makes elements of them, so that they are no part of the graph.
_TABLES: list[tuple[pa.Table, pa.Table]] = []
#: What its last step was given.
_MINED: list[pa.RecordBatch] = []


def on_beam(queries: Vectors, passages: Vectors) -> Callable[[], str]:
    """The same by the DoFns of the mine stage, through Beam's in-process runner, in one shard and one range."""
    _TABLES[:] = [tables(queries, passages)]
    spec = MiningSpec(num_ranges={"given": 1})

    def work() -> str:
        _MINED.clear()
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            chosen = (
                pipeline
                | beam.Create([0], reshuffle=False)
                | "Given" >> beam.FlatMap(_elements).with_output_types(KeyedBatch)
                | "By shard" >> beam.GroupByKey()
                | "Search" >> beam.ParDo(SearchShard(spec)).with_output_types(KeyedBatch)
                | "By range" >> beam.GroupByKey()
                | "Choose" >> beam.ParDo(ChooseExamples(spec)).with_output_types(KeyedBatch)
            )
            chosen | "Keep" >> beam.Map(_keep)
        return digest_of(pa.Table.from_batches(_MINED))

    return work


def _keep(element: KeyedBatch) -> None:
    _MINED.append(element[1])


def _elements(_: int) -> Iterator[KeyedBatch]:
    asking, corpus = _TABLES[0]
    for rows in (score_named(asking, corpus), corpus):
        for batch in small_batches(rows):
            yield "given\t0", batch


def search_alone(queries: Vectors, passages: Vectors) -> Callable[[], str]:
    """Our search of so long a list as the rules need, without them."""
    asking, corpus = tables(queries, passages)
    scored = score_named(asking, corpus)
    index = FlatIndex(corpus["text_hash"].combine_chunks(), unpack_vectors(corpus["vector"]))
    vectors = unpack_vectors(scored["vector"])
    return lambda: str(index.search(vectors, END + NEGATIVES).scores.sum())


def faiss_flat(queries: Vectors, passages: Vectors) -> Callable[[], str]:
    """The bare search: ``IndexFlatIP``, the 100 nearest, in batches of 16,384; no negative is chosen."""
    index = faiss.IndexFlatIP(queries.shape[1])
    index.add(passages)

    def work() -> str:
        for start in range(0, len(queries), 16_384):
            index.search(queries[start : start + 16_384], END)
        return ""

    return work


class _Given:
    """A model whose vectors are given: the part of one that ``mine_hard_negatives`` calls."""

    device = torch.device("cpu")

    def __init__(self, queries: Vectors, passages: Vectors) -> None:
        self._queries, self._passages = queries, passages

    def get_embedding_dimension(self) -> int:
        """Dimensions of the vectors."""
        return int(self._queries.shape[1])

    def encode_query(self, texts: list[str], **_: Any) -> Vectors:
        """The vectors of queries, known by their numbers."""
        return self._queries[[int(text.split()[1]) for text in texts]]

    def encode_document(self, texts: list[str], **_: Any) -> Vectors:
        """The vectors of passages, known by their numbers."""
        return self._passages[[int(text.split()[1]) for text in texts]]

    def similarity_pairwise(self, left: Any, right: Any) -> torch.Tensor:
        """Inner products of pairs."""
        return (torch.as_tensor(left) * torch.as_tensor(right)).sum(dim=1)


def sentence_transformers(queries: Vectors, passages: Vectors) -> Callable[[], str]:
    """``mine_hard_negatives(use_faiss=True)`` with the same window, a draw, and a relative margin of 0.05."""
    names = [f"passage {number}" for number in range(len(passages))]
    rows = datasets.Dataset.from_dict(
        {"anchor": [f"query {number}" for number in range(len(queries))], "positive": names[: len(queries)]}
    )
    model: Any = _Given(queries, passages)
    options: dict[str, Any] = {"range_min": START, "range_max": END, "num_negatives": NEGATIVES}

    def work() -> str:
        random.seed(0)
        torch.manual_seed(0)
        mined = mine_hard_negatives(
            rows,
            model,
            corpus=names,
            sampling_strategy="random",
            output_format="n-tuple",
            use_faiss=True,
            relative_margin=0.05,
            verbose=False,
            **options,
        )
        return str(len(mined))

    return work


def batches_of_64(queries: Vectors, passages: Vectors) -> Callable[[], str]:
    """The loop of FlagEmbedding's ``hn_mine`` and of KaLM's code: batches of 64, then Python lists of texts."""
    index = faiss.IndexFlatIP(queries.shape[1])
    index.add(passages)
    names = [f"passage {number}" for number in range(len(passages))]

    def work() -> str:
        random.seed(0)
        found: list[list[int]] = []
        for start in range(0, len(queries), 64):
            _, numbers = index.search(queries[start : start + 64], END)
            found.extend(numbers.tolist())
        total = 0
        for number, numbers in enumerate(found):
            positive, query = {names[number]}, f"query {number}"
            texts = [names[place] for place in numbers[START:END] if place != -1]
            allowed = [text for text in texts if text not in positive and text != query]
            total += len(random.sample(allowed, NEGATIVES) if len(allowed) > NEGATIVES else allowed)
        return str(total)

    return work


#: How many queries are enough of a side whose pace does not depend on their number, and is slow.
FEWER = {"batches of 64 (FlagEmbedding, KaLM)": 2048}
#: Sides that give the same result.
OURS = ("mine_dataset", "the same on Beam")
SIDES: Mapping[str, Callable[[Vectors, Vectors], Callable[[], str]]] = {
    "mine_dataset": ours,
    "the same on Beam": on_beam,
    "its search alone": search_alone,
    "FAISS IndexFlatIP": faiss_flat,
    "sentence-transformers": sentence_transformers,
    "batches of 64 (FlagEmbedding, KaLM)": batches_of_64,
}
