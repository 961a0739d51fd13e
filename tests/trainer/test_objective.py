"""One batch through a real model: passes, caching and column-by-column encoding give one loss and one gradient."""

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.trainer.curated import curate, embed, row
from tests.trainer.test_losses import brute
from trainer.batches import Batches, BatchParams, Layout
from trainer.config import MASKS
from trainer.losses import LossParams
from trainer.models import open_model
from trainer.objective import Objective
from trainer.order import OrderParams
from trainer.rows import Rows
from trainer.shards import open_rows, read_manifest
from trainer.teacher_vectors import TeacherVectors, open_teacher

PARAMS = LossParams(dims={64: 1.0, 32: 0.3, 16: 0.1}, temperature=0.05, kl_share=0.7)


def examples(folder: Path) -> Rows:
    """Rows of different lengths; some lack negatives or scores, some share texts, labels and clusters."""
    rows = [row(f"topic {i} " + "word " * (i % 5), 3 - i % 3, num_positives=1 + i % 2) for i in range(8)]
    rows[1]["negatives"][0] = rows[2]["positives"][0]
    rows[3]["label"] = rows[4]["label"] = "same"
    rows[5]["cluster_id"] = rows[6]["cluster_id"] = "c"
    rows[7]["negative_scores"] = []
    path = curate(folder, {"a": rows})
    embed(path)
    return open_rows(read_manifest(path), folder, folder)


def batch_of(rows: Rows, model: SentenceTransformer, tokens_per_pass: int, teacher: TeacherVectors | None = None):
    params = BatchParams(num_negatives=3, masks=frozenset(MASKS), tokens_per_pass=tokens_per_pass)
    batch = Batches(rows, model.preprocess, OrderParams(batch_size=8), params, teacher=teacher)[0]
    return batch["passes"], batch["layout"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def student(shards) -> tuple[SentenceTransformer, Rows]:
    rows = examples(shards)
    return open_model("tiny", rows.sample_texts(100), 32, 0), rows


@pytest.fixture(scope="module", params=["row", "batch"])
def teacher(request, shards, student) -> TeacherVectors | None:
    """What soft labels come from: the shards' scores of a row's own candidates, or vectors of all texts."""
    if request.param == "row":
        return None
    return open_teacher(read_manifest(shards / "manifest.json"), shards, shards, student[1], 3)


def gradients(model: SentenceTransformer, passes, layout, params: LossParams = PARAMS, cached: bool = False):
    """The loss and the gradient of every weight; dropout draws the same in each call."""
    torch.manual_seed(3)
    model.zero_grad()
    loss = Objective(model, params, cached)([dict(features) for features in passes], layout)
    loss = loss if cached else sum(loss.values())
    loss.backward()
    return loss.item(), [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


def with_dropout(model: SentenceTransformer, rate: float) -> SentenceTransformer:
    for layer in model[0].model.layers:
        layer.self_attn.attention_dropout = rate
    return model.train()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_caching_gives_the_same_gradients(student, teacher, dropout):
    model, rows = student
    with_dropout(model, dropout)
    passes, layout = batch_of(rows, model, 60, teacher)
    assert len(passes) > 3
    plain_loss, plain = gradients(model, passes, layout)
    cached_loss, cached = gradients(model, passes, layout, cached=True)
    assert cached_loss == pytest.approx(plain_loss, rel=1e-5)
    assert len(cached) == len(plain) > 10
    for one, other in zip(plain, cached, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5 * float(one.abs().max()) + 1e-9)
    without, _ = gradients(with_dropout(model, 0.0), passes, layout)
    assert (without != pytest.approx(plain_loss, rel=1e-5)) == bool(dropout)


def test_the_size_of_passes_changes_neither_loss_nor_gradients(student, teacher):
    model, rows = student
    with_dropout(model, 0.0)
    few_loss, few = gradients(model, *batch_of(rows, model, 10_000, teacher))
    many_loss, many = gradients(model, *batch_of(rows, model, 30, teacher))
    assert few_loss == pytest.approx(many_loss, rel=1e-4)
    for one, other in zip(few, many, strict=True):
        assert torch.allclose(one, other, rtol=1e-2, atol=1e-4 * float(one.abs().max()) + 1e-8)


def test_the_loss_is_that_of_loops_over_what_the_saved_model_gives_for_the_texts(student, teacher):
    model, rows = student
    model.eval()
    passes, tensors = batch_of(rows, model, 60, teacher)
    layout = Layout.from_tensors(tensors)
    assert (layout.candidates.teacher_QP is None) == (teacher is None)
    numbers = Batches(rows, model.preprocess, OrderParams(batch_size=8), BatchParams(num_negatives=3)).numbers(0)
    queries = [rows.query_text(found) for found in rows.take(numbers)]
    assert torch.allclose(
        torch.cat([model(dict(each))["sentence_embedding"] for each in passes])[layout.queries_Q],
        torch.tensor(model.encode(queries)),
        atol=1e-5,
    )
    with torch.inference_mode():
        vectors = torch.cat([model(dict(each))["sentence_embedding"] for each in passes])
        parts = Objective(model, PARAMS)([dict(each) for each in passes], tensors)
    assert set(parts) == {"contrastive", "distilled"}
    expected = brute(vectors[layout.queries_Q].double(), vectors[layout.passages_P].double(), layout.candidates, PARAMS)
    assert sum(parts.values()).item() == pytest.approx(expected, rel=1e-3)


def test_without_masks_and_parts_of_its_own_it_is_sentence_transformers_loss(student):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model, rows = student
    model.eval()
    full = [number for number in range(8) if len(rows.take([number])[0].negatives) == 3]
    batches = Batches(
        rows, model.preprocess, OrderParams(batch_size=8), BatchParams(num_negatives=3, masks=frozenset())
    )
    batches.numbers = lambda step: full  # the library's loss wants equally many negatives in all rows
    batch = batches[0]
    taken = rows.take(full)
    drawn = Layout.from_tensors(batch["layout"]).candidates.positive_Q
    assert len(drawn) == len(full)
    columns = [[rows.query_text(each) for each in taken], [each.positives[0] for each in taken]]
    columns += [[each.negatives[i] for each in taken] for i in range(3)]
    if any(len(each.positives) > 1 for each in taken):
        texts = [each.positives for each in taken]
        places = (rows.keys.offsets[full], np_drawn(rows, full))
        columns[1] = [each[int(p - o)] for each, o, p in zip(texts, *places, strict=True)]
    with torch.inference_mode():
        plain = LossParams(dims={64: 1.0}, temperature=0.05, gamma=0.0, mix=False)
        ours = sum(Objective(model, plain)(batch["passes"], batch["layout"]).values())
        theirs = MultipleNegativesRankingLoss(model, scale=20.0)([model.preprocess(texts) for texts in columns], None)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4)


def np_drawn(rows: Rows, numbers: list[int]):
    import numpy as np

    from trainer.order import drawn_positives

    return drawn_positives(rows.keys.offsets, 0, 0, np.asarray(numbers))


def test_a_table_of_words_is_one_pass(tmp_path):
    rows = examples(tmp_path)
    model = open_model("static", [], 32, 0)
    passes, layout = batch_of(rows, model, 30)
    assert len(passes) == 1
    params = LossParams(dims={384: 1.0, 64: 0.1})
    _, (gradient,) = gradients(model, passes, layout, params)
    assert 0 < int((gradient.abs().sum(1) > 0).sum()) < 100
