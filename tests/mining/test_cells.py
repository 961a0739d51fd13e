"""The search in cells: exact in what it looks at, and as much is looked at as the target needs."""

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining.beam import COUNTS_TAG, MiningSpec, SearchShard
from mining.candidates import score_named
from mining.cell_scan import scan_cells
from mining.cells import Cells, make_cells, measure
from mining.encoder import normalise
from mining.fixed_point import Fixed, quantise
from mining.index import FlatIndex, asked_for_all, searched_all
from mining.lists import positions_of
from mining.mine import mine_dataset
from mining.params import MiningParams
from mining.pools import Shard
from mining.relations import relate
from mining.scan import scan
from schemas.manifest import MiningCounts
from tests.mining.tables import make_corpus, make_queries

DIMS, NUM = 32, 3000
PARAMS = MiningParams(rank_range=(5, 20), labelled_rank_range=(0, 20), consistency_rank=20, index="ivf")


def clustered(num: int, seed: int = 0, spread: float = 0.35) -> Fixed:
    """Vectors around forty topics."""
    rng = np.random.default_rng(seed)
    topics = np.random.default_rng(99).normal(size=(40, DIMS))
    return quantise(normalise(topics[rng.integers(0, 40, num)] + spread * rng.normal(size=(num, DIMS))))


@pytest.fixture(scope="module")
def vectors() -> Fixed:
    return clustered(NUM)


@pytest.fixture(scope="module")
def cells(vectors: Fixed) -> Cells:
    return make_cells(vectors, np.arange(NUM), 0)


def searched(cells: Cells, vectors: Fixed, queries: Fixed, nprobe: int, k: int) -> np.ndarray:
    probed = cells.nearest(queries, nprobe)
    everything, everybody = searched_all(np.arange(len(vectors))), asked_for_all(len(queries))
    out, found = scan_cells(queries, vectors, everybody, everything, (cells.bounds, cells.positions), probed, (k, 1))
    return np.array([-np.sort(-np.where(np.arange(k) < found[i, 0], out[0, i, :k], 0)) for i in range(len(queries))])


def test_every_passage_lies_in_the_cell_of_its_nearest_centroid(vectors: Fixed, cells: Cells) -> None:
    assert np.sort(cells.positions).tolist() == list(range(NUM))
    scores = vectors.astype(np.int64) @ cells.centroids.astype(np.int64).T
    for cell in range(len(cells)):
        inside = cells.positions[cells.bounds[cell] : cells.bounds[cell + 1]]
        assert (np.diff(inside) > 0).all()
        assert (scores[inside, cell] == scores[inside].max(axis=1)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 40))
def test_what_is_found_is_the_best_of_the_cells_that_are_probed(seed: int, nprobe: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    corpus, queries = clustered(int(rng.integers(1, 400)), seed), clustered(int(rng.integers(1, 30)), seed + 1)
    cells = make_cells(corpus, np.arange(len(corpus)), seed)
    found = searched(cells, corpus, queries, nprobe, k)
    scores = queries.astype(np.int64) @ corpus.astype(np.int64).T
    for row, probed in enumerate(cells.nearest(queries, nprobe)):
        inside = np.concatenate([cells.positions[cells.bounds[c] : cells.bounds[c + 1]] for c in probed])
        best = sorted(inside.tolist(), key=lambda at, row=row: (-scores[row, at], at))[:k]
        keys = found[row][found[row] != 0]
        assert positions_of(keys).tolist() == best
        assert (keys >> 32).tolist() == [scores[row, at] for at in best]


def test_all_cells_are_the_exact_search(vectors: Fixed, cells: Cells) -> None:
    queries = clustered(50, 5)
    exact, _ = scan(queries, vectors, asked_for_all(50), searched_all(np.arange(NUM)), (100, 1))
    assert (searched(cells, vectors, queries, len(cells), 100) == -np.sort(-exact[0, :, :100], axis=1)).all()


@pytest.mark.parametrize("target", [0.5, 0.9, 0.98, 1.0])
def test_the_fewest_cells_that_reach_the_target_are_probed(vectors: Fixed, cells: Cells, target: float) -> None:
    queries = clustered(64, 7, spread=0.6)
    probing = measure(cells, vectors, np.arange(NUM), queries, 50, target)
    exact = FlatIndex(pa.array([number.to_bytes(16) for number in range(NUM)], pa.binary(16)), vectors).search(
        queries, 50
    )

    def recall(nprobe: int) -> float:
        found = positions_of(searched(cells, vectors, queries, nprobe, 50))
        return np.mean([len(set(one) & set(other)) / 50 for one, other in zip(found, exact.rows, strict=True)])

    assert recall(probing.nprobe) == pytest.approx(probing.found / probing.wanted)
    assert recall(probing.nprobe) >= target
    assert probing.nprobe == 1 or recall(probing.nprobe - 1) < target
    assert probing.wanted == 64 * 50


def test_threads_and_another_run_change_nothing() -> None:
    made = []
    for threads in (1, 2, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        mined = mine_dataset(*tables(), PARAMS)
        cells = make_cells(clustered(NUM), np.arange(NUM), 0)
        made.append((mined, cells.centroids.tobytes(), cells.positions.tobytes()))
    assert all(each[0].equals(made[0][0]) and each[1:] == made[0][1:] for each in made)


def test_another_seed_makes_other_cells(vectors: Fixed, cells: Cells) -> None:
    assert make_cells(vectors, np.arange(NUM), 1).centroids.tobytes() != cells.centroids.tobytes()


def tables(num: int = 600, asking: int = 60, **more: Any) -> tuple[pa.Table, pa.Table]:
    texts = [f"passage {number}" for number in range(num)]
    corpus = make_corpus(texts, vectors=clustered(num), clusters=[f"c{number % (num - 9)}" for number in range(num)])
    positives = [[texts[number], texts[number + 1]] for number in range(asking)]
    queries = make_queries([f"question {n}" for n in range(asking)], positives, vectors=clustered(asking), **more)
    return queries, corpus


def test_a_target_of_one_gives_what_the_exact_search_gives_for_the_sample() -> None:
    exact, found = (mine_dataset(*tables(), replace(PARAMS, index=index, ivf_recall=1.0)) for index in ("exact", "ivf"))
    same = [one == other for one, other in zip(exact.to_pylist(), found.to_pylist(), strict=True)]
    assert sum(same) >= 0.8 * len(same)


def test_masks_hold_and_no_row_starves_however_few_cells_are_probed() -> None:
    params = replace(PARAMS, ivf_recall=0.01, max_score=0.3, consistency_rank=None)
    queries, corpus = tables()
    exact, found = (mine_dataset(queries, corpus, replace(params, index=index)) for index in ("exact", "ivf"))
    assert sum(found["missing"].to_pylist()) == sum(exact["missing"].to_pylist()) == 0
    names = dict(zip(corpus["text_hash"].to_pylist(), corpus["cluster"].to_pylist(), strict=True))
    for row in found.to_pylist():
        relevant = {names[text] for text in row["positive_hashes"]}
        assert relevant.isdisjoint(names[text] for text in row["negative_hashes"])
        assert max(row["negative_scores"]) <= 0.3


def test_rows_that_lack_negatives_are_filled_up_as_by_the_exact_search() -> None:
    params = replace(PARAMS, ivf_recall=0.01, max_score=-0.9, consistency_rank=None, random_fill=True)
    exact, found = (mine_dataset(*tables(), replace(params, index=index)) for index in ("exact", "ivf"))
    assert found["negative_hashes"] == exact["negative_hashes"]
    ranks = [rank for row in found["negative_ranks"].to_pylist() for rank in row]
    assert (set(ranks), len(ranks)) == ({-2}, 60 * PARAMS.num_negatives)


def test_labelled_rows_find_a_mate_far_away() -> None:
    num = 600
    texts = [f"passage {number}" for number in range(num)]
    labels = ["x" if number in (0, 599) else f"y{number % 3}" for number in range(num)]
    corpus = make_corpus(texts, labels, vectors=clustered(num))
    queries = make_queries([texts[0]], labels=["x"], vectors=clustered(num)[:1])
    found = mine_dataset(queries, corpus, replace(PARAMS, ivf_recall=0.01)).to_pylist()[0]
    assert found["reason"] is None
    assert found["missing"] == 0


@pytest.mark.parametrize(
    ("index", "above", "made"), [("exact", 0, 0), ("auto", 600, 0), ("auto", 500, 1), ("ivf", 999, 1)]
)
def test_cells_are_made_by_configuration_or_size_and_the_manifest_says_how(index: Any, above: int, made: int) -> None:
    params = replace(PARAMS, index=index, ivf_above=above)
    queries, corpus = tables()
    scored = score_named(queries, corpus)
    batches = [*scored.to_batches(max_chunksize=7), *corpus.to_batches()]
    spec = MiningSpec(num_ranges={"a": 1}, params={"a": params})
    found = [each for each in SearchShard(spec).process(("a\t0", batches)) if getattr(each, "tag", "") == COUNTS_TAG]
    assert len(found) == made
    for each in found:
        name, number = each.value
        reason = name.removeprefix("a\tmining\t")
        assert reason.startswith("index:591 passages in 49 cells, ")
        assert reason.endswith("on 60 queries")
        told = MiningCounts().plus(reason, number).index
        assert told == {reason.removeprefix("index:"): 1}
    shard = Shard(corpus, params)
    assert (shard.prepare(scored) is not None) == bool(made)
    assert len(shard.relevant(relate(scored, symmetric=False)).marks.marks)


@pytest.mark.parametrize("num", [0, 1, 2, 20])
def test_small_corpora_are_searched_whole(num: int) -> None:
    cells = make_cells(clustered(num), np.arange(num), 0)
    assert len(cells.positions) == num
    probing = measure(cells, clustered(num), np.arange(num), clustered(3, 4), 100, 0.98)
    assert probing.found == probing.wanted == 3 * num


def test_without_queries_every_cell_is_probed(vectors: Fixed, cells: Cells) -> None:
    assert measure(cells, vectors, np.arange(NUM), vectors[:0], 10, 0.9).nprobe == len(cells)


@pytest.mark.parametrize(
    ("name", "value"), [("index", "hnsw"), ("ivf_recall", 0), ("ivf_sample", 0), ("ivf_above", -1)]
)
def test_numbers_that_mean_nothing_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        MiningParams(**{name: value})
