"""What a batch holds, against what a plain reading of its rows says."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.errors import SourceError
from tests.trainer.curated import PROMPT, curate, mixed, row
from trainer.batches import Batches, BatchParams, Layout, lay_out, passes_of, shared_out
from trainer.order import OrderParams
from trainer.rows import Rows
from trainer.shards import open_rows, read_manifest

NONE: frozenset[str] = frozenset()


def rows_of(path: Path) -> Rows:
    return open_rows(read_manifest(path), path.parent, path.parent)


def laid_out(tmp_path: Path, rows: list[dict[str, Any]], symmetric: bool = False, **settings: Any):
    """The texts of one batch, its layout, and the columns by the text that stands in them."""
    opened = rows_of(curate(tmp_path, {"a": rows}, symmetric=["a"] if symmetric else []))
    taken = opened.take(range(len(rows)))
    params = BatchParams(**({"num_negatives": 7} | settings))
    texts, layout = lay_out(opened, taken, [0] * len(rows), params, np.random.default_rng(0))
    columns = {texts[text]: column for column, text in enumerate(layout.passages_P.tolist())}
    return texts, layout, columns


def counts(layout: Layout) -> np.ndarray:
    """How many times each passage stands in each query's denominator."""
    return layout.candidates.log_counts_QP.exp().round(decimals=3).numpy()


def test_each_text_is_encoded_once_and_found_where_it_stands(tmp_path):
    shared = row("x", 2) | {"negatives": ["y p0", "x n0"]}
    texts, layout, columns = laid_out(tmp_path, [shared, row("y", 1)])
    assert texts == [PROMPT + "x q", PROMPT + "y q", "x p0", "y p0", "x n0", "y n0"]
    assert layout.queries_Q.tolist() == [0, 1]
    assert [texts[text] for text in layout.passages_P] == list(columns)
    assert layout.candidates.positive_Q.tolist() == [columns["x p0"], columns["y p0"]]
    assert layout.candidates.negatives_QN.tolist() == [[columns["y p0"], columns["x n0"]], [columns["y n0"], -1]]


def test_every_text_of_a_symmetric_dataset_carries_the_prompt(tmp_path):
    texts, _, _ = laid_out(tmp_path, [row("x", 1)], symmetric=True)
    assert texts == [PROMPT + "x q", PROMPT + "x p0", PROMPT + "x n0"]


def test_without_masks_each_column_counts_as_in_the_published_code(tmp_path):
    one = row("x", 2) | {"negatives": ["y p0", "z"]}
    other = row("y", 2) | {"negatives": ["z", "z2"]}
    _, layout, columns = laid_out(tmp_path, [one, other], masks=NONE)
    found = {text: counts(layout)[:, column].tolist() for text, column in columns.items()}
    assert found == {"x p0": [1, 1], "y p0": [2, 2], "z": [2, 2], "z2": [1, 1]}


def test_a_copy_of_a_text_counts_once_and_the_querys_own_text_never(tmp_path):
    one = row("x", 1, instruction=None) | {"negatives": ["z"]}
    other = row("y", 2, instruction=None) | {"negatives": ["z", "x q"]}
    _, layout, columns = laid_out(tmp_path, [one, other], masks=frozenset({"text"}))
    found = {text: counts(layout)[:, column].tolist() for text, column in columns.items()}
    assert found == {"x p0": [1, 1], "y p0": [1, 1], "z": [1, 1], "x q": [0, 1]}


@pytest.mark.parametrize(("masks", "count"), [({"positives"}, 0), (NONE, 1)])
def test_known_positives_of_the_query_and_of_its_cluster_are_no_negatives(tmp_path, masks, count):
    rows = [
        row("x", 0, num_positives=2),
        row("y", 1) | {"negatives": ["x p1"]},  # of x, and not drawn
        row("z", 0) | {"query": "x q"},  # the same query
        row("v", 0) | {"cluster_id": "c"},
        row("w", 0) | {"cluster_id": "c"},
        row("u", 0) | {"cluster_id": "d"},
    ]
    _, layout, columns = laid_out(tmp_path, rows, masks=frozenset(masks))
    found = counts(layout)
    for query, text in ((0, "x p1"), (0, "z p0"), (2, "x p0"), (2, "x p1"), (3, "w p0"), (4, "v p0")):
        assert found[query, columns[text]] == count, (query, text)
    for query, text in ((0, "x p0"), (1, "x p1"), (1, "x p0"), (3, "v p0"), (5, "v p0"), (3, "u p0")):
        assert found[query, columns[text]] == 1, (query, text)


def test_positives_of_the_same_label_are_no_negatives_of_each_other(tmp_path):
    labels = ["a", "a", "b", None, None]
    rows = [row(f"x{i}", 1) | {"label": label} for i, label in enumerate(labels)]
    _, layout, columns = laid_out(tmp_path, rows, masks=frozenset({"label"}))
    expected = np.ones((5, 10))
    expected[0, columns["x1 p0"]] = expected[1, columns["x0 p0"]] = 0
    assert np.array_equal(counts(layout), expected)


def test_labels_of_different_datasets_are_different_labels(tmp_path):
    path = curate(tmp_path, {name: [row(name, 0) | {"label": "1"}] for name in ("a", "b")})
    rows = rows_of(path)
    _, layout = lay_out(rows, rows.take([0, 1]), [0, 0], BatchParams(num_negatives=0), np.random.default_rng(0))
    assert counts(layout).tolist() == [[1, 1], [1, 1]]


def test_no_mask_takes_a_rows_own_hard_negatives(tmp_path):
    one = row("x", 2) | {"label": "a", "negatives": ["y p0", "x n"]}
    _, layout, columns = laid_out(tmp_path, [one, row("y", 0) | {"label": "a"}])
    assert counts(layout)[0, columns["y p0"]] == 1
    assert counts(layout)[1, columns["x p0"]] == 0


def test_scores_stand_beside_their_texts_and_are_not_invented(tmp_path):
    rows = [
        row("x", 2, num_positives=2) | {"positive_scores": [0.5, 0.6], "negative_scores": [0.2, None]},
        row("y", 1) | {"positive_scores": [], "negative_scores": []},
        row("z", 3) | {"negative_scores": [0.25, 0.5, 0.75]},
    ]
    opened = rows_of(curate(tmp_path, {"a": rows}))
    params = BatchParams(num_negatives=2)
    _, layout = lay_out(opened, opened.take(range(3)), [1, 0, 0], params, np.random.default_rng(0))
    expected = [[0.6, 0.2, math.nan], [math.nan] * 3, [0.9, 0.25, 0.5]]
    found = layout.candidates.teacher_QM.numpy()
    assert np.allclose(found, expected, equal_nan=True)


def test_two_different_negatives_are_mixed_evenly_chosen(tmp_path):
    rows = rows_of(curate(tmp_path, {"a": [row("x", 3), row("y", 1), row("z", 0)]}))
    pairs, shares = set(), []
    for seed in range(200):
        random = np.random.default_rng(seed)
        _, layout = lay_out(rows, rows.take(range(3)), [0] * 3, BatchParams(num_negatives=7), random)
        pairs.add(tuple(layout.candidates.pair_Q2[0].tolist()))
        shares.extend(layout.candidates.lambda_Q.tolist())
    assert pairs == {(i, j) for i in range(3) for j in range(3) if i != j}
    # Beta(2, 2): mean 1/2, variance 1/20.
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("left", [False, True])
def test_passes_are_sorted_by_length_and_hold_few_tokens(left):
    lengths = [5, 1, 9, 3, 3, 8, 2]
    ids = torch.zeros(7, 9, dtype=torch.int64)
    mask = torch.zeros(7, 9, dtype=torch.int64)
    for i, length in enumerate(lengths):
        where = slice(9 - length, 9) if left else slice(0, length)
        ids[i, where], mask[i, where] = 100 * i + torch.arange(length), 1
    order, passes = passes_of({"input_ids": ids, "attention_mask": mask, "kind": "text"}, 7, 12)
    assert [lengths[i] for i in order] == sorted(lengths)
    assert [tuple(each["input_ids"].shape) for each in passes] == [(4, 3), (1, 5), (1, 8), (1, 9)]
    texts = [
        each for features in passes for each in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]
    for i, (tokens, there) in zip(order.tolist(), texts, strict=True):
        assert tokens[there.bool()].tolist() == [100 * i + token for token in range(lengths[i])]
    assert {each["kind"] for each in passes} == {"text"}


def test_bags_of_words_are_one_pass():
    features = {"input_ids": torch.arange(9), "offsets": torch.tensor([0, 4])}
    order, passes = passes_of(features, 2, 3)
    assert order.tolist() == [0, 1]
    assert passes == [features]


def batches_of(path: Path, world: int = 1, rank: int = 0, **settings: Any) -> Batches:
    def preprocess(texts: list[str]) -> dict[str, torch.Tensor]:
        lengths = torch.tensor([len(text) for text in texts])
        return {"attention_mask": (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()}

    order = OrderParams(**({"batch_size": 4} | settings))
    return Batches(rows_of(path), preprocess, order, BatchParams(num_negatives=7), rank, world)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(torch.equal(one.nan_to_num(9.0), other.nan_to_num(9.0)))


def test_a_steps_batch_depends_on_its_number_alone(tmp_path):
    path = mixed(tmp_path)
    straight = batches_of(path)
    seen = [straight[step] for step in range(12)]
    jumping = batches_of(path)
    for step in (11, 3, 7, 0):
        assert same(jumping[step], seen[step])
    assert not same(seen[0], batches_of(path, seed=1)[0])


def test_an_epoch_is_every_row_once_and_the_next_one_has_another_order(tmp_path):
    batches = batches_of(mixed(tmp_path))
    assert batches.per_epoch == 5
    epochs = [[row for step in range(5 * e, 5 * e + 5) for row in batches.numbers(step)] for e in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(20))] * 2
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_texts_of_a_batch_by_length(tmp_path, world):
    texts = ["a" * length for length in (5, 1, 9, 3, 7, 2, 8)]
    shares = [shared_out(texts, rank, world) for rank in range(world)]
    gathered = [text for own, _ in shares for text in own]
    assert len({len(own) for own, _ in shares}) == 1
    for _, place_T in shares:
        assert [gathered[place] for place in place_T.tolist()] == texts
    tokens = [sum(map(len, own)) for own, _ in shares]
    assert max(tokens) - min(tokens) <= max(map(len, texts))


def test_each_process_has_the_layout_of_the_whole_batch(tmp_path):
    path = mixed(tmp_path)
    one = batches_of(path, batch_size=6)[1]["layout"]
    ranks = [batches_of(path, 2, rank, batch_size=6)[1]["layout"] for rank in range(2)]
    assert all(same(ranks[0][name], ranks[1][name]) for name in one)
    assert all(same(ranks[0][name], one[name]) for name in one if name not in ("queries_Q", "passages_P"))
    assert len(ranks[0]["own_T"]) == len(ranks[1]["own_T"])


def test_texts_stay_on_disk_and_no_file_is_left(tmp_path):
    path = mixed(tmp_path)
    before = {each for each in tmp_path.rglob("*") if each.is_file()}
    rows = rows_of(path)
    assert {each for each in tmp_path.rglob("*") if each.is_file()} == before
    assert len(rows) == 20
    first, last = rows.take([0, 19])
    assert (first.query, last.query) == ("moon 0 q", "stone 6 q")
    assert (first.prompt, rows.take([8])[0].prompt) == (PROMPT, "")


def test_a_manifest_with_another_number_of_rows_is_refused(tmp_path):
    path = mixed(tmp_path)
    path.write_text(path.read_text().replace('"rows":8', '"rows":9'))
    with pytest.raises(SourceError, match="hold 20 rows, but the manifest says 21"):
        rows_of(path)
