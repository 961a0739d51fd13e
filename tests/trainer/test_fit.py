"""The loss against plain NumPy, the batches against the rows, and that training lowers the loss."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from schemas.errors import ConfigError
from tests.trainer.curated import curate, mixed, row
from trainer.config import TrainConfig
from trainer.fit import PlainTrainer, arguments, contrastive_loss, cosine, fit
from trainer.models import open_model
from trainer.progress import ShowProgress
from trainer.shards import read_manifest, sample_texts, training_datasets


def opened(path: Path, **settings):
    """A configuration, its training datasets and a tiny model for them."""
    settings = {"manifest": path, "batch_size": 4, "max_seq_length": 32} | settings
    config = TrainConfig(**settings)
    datasets = training_datasets(read_manifest(path), path.parent, config.num_negatives)
    return config, datasets, open_model("tiny", sample_texts(datasets.values(), 100), 32, config.seed)


def trainer_of(path: Path, **settings) -> PlainTrainer:
    config, datasets, model = opened(path, **settings)
    loss = contrastive_loss(model, config.temperature)
    return PlainTrainer(model=model, args=arguments(config, path.parent / "t"), train_dataset=datasets, loss=loss)


def info_nce(queries: np.ndarray, positives: np.ndarray, negatives: np.ndarray, temperature: float) -> float:
    """The recipe's loss by its formula. Unit vectors: queries ``[Q, D]``, positives ``[Q, D]``, negatives
    ``[Q, N, D]``.
    """
    losses = []
    for i, query in enumerate(queries):
        own = np.exp(query @ positives[i] / temperature)
        others = sum(np.exp(query @ positives[j] / temperature) for j in range(len(queries)) if j != i)
        hard = sum(np.exp(query @ negative / temperature) for row in negatives for negative in row)
        losses.append(-np.log(own / (own + others + hard)))
    return float(np.mean(losses))


def encode(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    return model.encode(texts).astype(np.float64)


@pytest.mark.parametrize(("num_negatives", "temperature"), [(3, 0.01), (3, 0.5), (1, 0.05), (0, 0.05)])
def test_the_loss_is_info_nce_over_all_positives_and_all_negatives_of_the_batch(tmp_path, num_negatives, temperature):
    path = curate(tmp_path, {"a": [row(f"moon {i}", num_negatives) for i in range(4)]})
    trainer = trainer_of(path, temperature=temperature)
    (batch,) = trainer.get_train_dataloader()
    texts = {
        name: trainer.model.tokenizer.batch_decode(batch[f"{name}_input_ids"], skip_special_tokens=True)
        for name in ("anchor", "positive", *(f"negative_{i + 1}" for i in range(num_negatives)))
    }
    queries, positives, *negatives = (encode(trainer.model, column) for column in texts.values())
    stacked = np.stack(negatives, axis=1) if negatives else np.empty((4, 0, 64))
    trainer.model.eval()
    with torch.inference_mode():
        loss = trainer.compute_loss(trainer.model, batch)
    assert loss.item() == pytest.approx(info_nce(queries, positives, stacked, temperature), rel=1e-3)


def test_the_loss_compares_in_float32_under_autocast():
    vectors = torch.nn.functional.normalize(torch.randn(9, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    queries, passages = vectors[:4], vectors[4:]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = cosine(queries, passages)
        coarse = queries @ passages.T
    assert torch.allclose(found, queries @ passages.T, atol=1e-6)
    assert not torch.allclose(coarse.float(), found, atol=1e-4)


def test_an_epoch_holds_every_row_once_each_batch_from_one_dataset(tmp_path):
    trainer = trainer_of(mixed(tmp_path))
    seen: Counter[str] = Counter()
    for batch in trainer.get_train_dataloader():
        queries = trainer.model.tokenizer.batch_decode(batch["anchor_input_ids"], skip_special_tokens=True)
        assert len(queries) <= 4
        assert len({query.split(" ")[-3] for query in queries}) == 1
        seen.update(query.split("Query: ")[-1] for query in queries)
    names = [f"{name} {i} q" for name, size in (("moon", 8), ("river", 5), ("stone", 7)) for i in range(size)]
    assert seen == Counter(names)


def test_training_lowers_the_loss(tmp_path):
    path = curate(tmp_path, {"a": [row(f"topic{i}", 2) for i in range(12)]})
    config, datasets, model = opened(path, epochs=10, batch_size=6)
    with ShowProgress(quiet=True) as progress:
        fit(model, datasets, config, tmp_path / "t", progress)
    assert len(progress.losses) == 20
    assert np.mean(progress.losses[-4:]) < 0.5 * np.mean(progress.losses[:4])


def test_a_run_whose_weights_do_not_stay_finite_is_refused(tmp_path):
    config, datasets, model = opened(mixed(tmp_path), learning_rate=1e30, max_steps=3)
    with ShowProgress(quiet=True) as progress, pytest.raises(ConfigError, match=r"diverged.*learning_rate=1e\+30"):
        fit(model, datasets, config, tmp_path / "t", progress)


def test_the_trainer_is_told_what_the_configuration_says(tmp_path):
    config = TrainConfig(learning_rate=3e-4, epochs=2, batch_size=8, warmup_ratio=0.25, seed=5)
    told = arguments(config, tmp_path / "t")
    assert (told.learning_rate, told.num_train_epochs, told.max_steps) == (3e-4, 2, -1)
    assert (told.per_device_train_batch_size, told.seed, told.get_warmup_steps(40)) == (8, 5, 10)
