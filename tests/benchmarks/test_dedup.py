"""The benchmark of deduplication: its texts, its truth, and our side of it, whole, on a few texts."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import _corpus, _dedup, dedup, edits


def texts_of(path: Path) -> list[str]:
    """The texts of a corpus."""
    return list(pq.read_table(path).column("text").to_pylist())


def test_the_corpus_is_the_same_each_time_and_holds_what_it_says(tmp_path: Path) -> None:
    for name in "ab":
        _corpus.write(tmp_path / name, 1500)
    texts = texts_of(tmp_path / "a")
    assert texts == texts_of(tmp_path / "b")
    assert len(texts) == 1500
    assert len(set(texts[:1000])) == 1000 - _corpus.EXACT
    assert 350 < np.mean([len(text.encode()) for text in texts]) < 450


def test_truth_is_every_pair_by_brute_force() -> None:
    texts = next(_corpus.blocks(1000, 200, seed=3))[780:]
    sets = [{text[i : i + 5] for i in range(len(text) - 4)} for text in texts]
    near = [
        (a, b) for a, b in combinations(range(len(texts)), 2) if len(sets[a] & sets[b]) >= 0.8 * len(sets[a] | sets[b])
    ]
    assert sorted(map(tuple, dedup.true_pairs(texts).tolist())) == near
    assert len(near) > 5


def test_quality_counts_pairs_and_removed_texts() -> None:
    truth = np.array([[0, 1], [2, 3], [4, 5], [6, 7]])
    recall, precision = dedup.quality(truth, np.array([1, 2, 4, 99, 10**6]))
    assert (recall, precision) == (0.75, 0.75)
    assert dedup.quality(np.empty((0, 2), np.int64), np.array([], np.int64)) == (1.0, 1.0)


@pytest.mark.slow
def test_our_side_finds_the_truth_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "SAMPLE", 1000)
    _corpus.write(tmp_path / "texts.parquet", 1000)
    told = _dedup.whole(tmp_path / "texts.parquet", tmp_path / "out")
    assert told["docs"] == 1000
    truth = dedup.true_pairs(texts_of(tmp_path / "texts.parquet"))
    recall, precision = dedup.quality(truth, np.load(tmp_path / "out" / "removed.npy"))
    assert recall >= 0.98
    assert precision == 1.0


def test_a_peer_that_would_take_too_long_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def run(module: str, *arguments: str, python: str = "") -> dict[str, float]:
        name = arguments[0] if module.endswith("_peers") else "ours"
        ran.append(name)
        Path(arguments[-1]).mkdir()
        np.save(Path(arguments[-1]) / "removed.npy", np.array([], np.int64))
        seconds = 100.0 if name == "datatrove" else 1.0
        return {"docs": 1000, "seconds": seconds, "cpu_seconds": 1.0, "peak_mib": 1}

    monkeypatch.setattr(dedup, "run_module", run)
    monkeypatch.setattr(dedup, "SAMPLE", 1000)
    bench = dedup.Bench(folder=tmp_path, peers_python="python", peer_seconds=150)
    for docs in (1000, 2000):
        dedup.compare(bench, docs)
    assert ran == ["ours", "datasketch", "rensa", "datatrove", "ours", "datasketch", "rensa"]
    assert bench.lines[-1][:3] == ("datatrove", "2,000", "not run: 3 minutes at its rate above")


def test_edited_copies_are_what_they_are_called() -> None:
    own = {"en": [f"{'word ' * 30}{i} and more of the text number {i}" for i in range(6)], "zh": ["长" * 120] * 3}
    texts, pairs = edits.with_copies(own)
    assert len(texts) == 9 + len(pairs) == 12
    assert [pair.first for pair in pairs] == [0, 3, 6]
    assert all(texts[pair.first] != texts[pair.copy] for pair in pairs)
    assert all(edits.jaccard(texts[p.first], texts[p.copy]) == p.jaccard < 1 for p in pairs[:2])
