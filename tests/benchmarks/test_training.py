"""The comparison of training steps: which rows, that the peer's loss is the plain one, and what the ratio says."""

import argparse

import pytest
import torch

from benchmarks.training import MIXED, OURS, PEER, SIDES, full_batches, lines, loss_ratio, rounds
from tests.trainer.curated import curate, row
from trainer.models import open_model
from trainer.rows import Rows
from trainer.shards import open_rows, read_manifest


@pytest.fixture
def examples(tmp_path) -> Rows:
    rows = {name: [row(f"{name} {i}", 3 - i % 2) for i in range(size)] for name, size in (("a", 9), ("b", 4), ("c", 1))}
    path = curate(tmp_path, rows)
    return open_rows(read_manifest(path), tmp_path, tmp_path)


def test_batches_are_of_one_dataset_and_of_rows_with_enough_negatives(examples):
    assert list(full_batches(examples, 2, 3)) == [[0, 2], [9, 11], [4, 6]]
    assert list(full_batches(examples, 20, 3)) == []


def test_all_sides_have_a_loss_with_gradients_on_the_same_rows(examples):
    model = open_model("tiny", examples.sample_texts(20), 32, 0)
    arguments = argparse.Namespace(batch_size=2, negatives=3, tokens_per_pass=4096)
    losses = {}
    for name, side in SIDES.items():
        model.zero_grad()
        loss = side(model, examples, arguments)([0, 2])
        loss.backward()
        losses[name] = loss.item()
        assert loss.item() > 0
        assert torch.stack([weight.grad.abs().sum() for weight in model.parameters()]).sum() > 0

    # One loss of the same vectors, though one side pads each column and the other passes of distinct texts.
    assert losses[MIXED] == pytest.approx(losses[PEER], rel=1e-4)


def test_sides_take_turns_and_the_ratio_is_that_of_the_means():
    asked = []

    def run(side: str) -> dict[str, float]:
        asked.append(side)
        slow = 2.0 if side == PEER else 1.0
        return {"cpu": slow * len(asked), "wall": slow, "peak_mib": 1000 + len(asked)}

    told = rounds(run, 2)
    assert asked == 2 * [PEER, OURS, MIXED]
    peer, ours, _ = lines(told)
    assert peer == (PEER, "5.00", "2.00", "1.00", "1.00", "1,004")
    assert ours == (OURS, "3.50", "1.00", "0.70", "0.50", "1,005")
    assert loss_ratio(told) == pytest.approx(7 / 9)
