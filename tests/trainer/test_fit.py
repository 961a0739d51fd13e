"""Training lowers the loss, stops where it diverges, and goes on from a checkpoint as if nothing had happened."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from schemas.errors import ConfigError
from tests.trainer.curated import curate, mixed, row
from trainer.checkpoints import MARK, whole_checkpoints
from trainer.config import TrainConfig
from trainer.fit import arguments, check_memory_options, fit, keep_no_activations, loss_params
from trainer.models import open_model
from trainer.progress import ShowProgress
from trainer.shards import open_rows, read_manifest


class Stop(TrainerCallback):
    """Ends a run as a signal would, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run(path: Path, callback: TrainerCallback | None = None, **settings: Any):
    """Train a tiny model; gives it and the losses."""
    config = TrainConfig(**({"manifest": path, "model": "tiny", "batch_size": 4, "max_seq_length": 32} | settings))
    rows = open_rows(read_manifest(path), path.parent, path.parent)
    model = open_model(config.student, rows.sample_texts(100), 32, config.seed)
    with ShowProgress(quiet=True) as progress:
        losses = fit(model, rows, config, path.parent / "t", callback or progress)
    return model, losses


def weights(model: SentenceTransformer) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def same(one: SentenceTransformer, other: SentenceTransformer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_training_lowers_the_loss(tmp_path):
    path = curate(tmp_path, {"a": [row(f"topic{i}", 2) for i in range(12)]})
    _, losses = run(path, epochs=10, batch_size=6)
    assert [step for step, _ in losses] == list(range(1, 21))
    values = [loss for _, loss in losses]
    assert np.mean(values[-4:]) < 0.5 * np.mean(values[:4])


@pytest.mark.parametrize("option", ["gradient_caching", "gradient_checkpointing"])
def test_options_that_save_memory_change_no_weight_but_for_rounding(tmp_path, option):
    path = mixed(tmp_path)
    plain, _ = run(path, max_steps=3, tokens_per_pass=40, learning_rate=1e-4)
    saving, _ = run(path, max_steps=3, tokens_per_pass=40, learning_rate=1e-4, **{option: True})
    texts = ["moon 1 q", "river"]
    assert np.allclose(plain.encode(texts), saving.encode(texts), atol=1e-3)


def test_layers_are_computed_anew_where_activations_are_not_kept(tmp_path):
    rows = open_rows(read_manifest(mixed(tmp_path)), tmp_path, tmp_path)
    model = open_model("tiny", rows.sample_texts(100), 32, 0)
    calls = []
    model[0].model.layers[0].mlp.register_forward_pre_hook(lambda *args: calls.append(1))
    numbers = []
    for _ in range(2):
        calls.clear()
        model.train()(model.preprocess(["a text"]))["sentence_embedding"].sum().backward()
        numbers.append(len(calls))
        keep_no_activations(model)
    assert numbers == [1, 2]


def test_bfloat16_trains_weights_that_stay_float32(tmp_path):
    model, losses = run(mixed(tmp_path), max_steps=2, precision="bf16")
    assert {weight.dtype for weight in weights(model)} == {torch.float32}
    assert len(losses) == 2


def test_a_run_that_diverges_is_stopped(tmp_path):
    with pytest.raises(ConfigError, match=r"diverged.*learning_rate=1e\+30"):
        run(mixed(tmp_path), learning_rate=1e30, max_steps=3, warmup_ratio=0)


class Spoil(TrainerCallback):
    """Makes a weight NaN before a step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 1:
            with torch.no_grad():
                next(model.parameters()).fill_(torch.nan)


def test_a_loss_that_is_not_a_number_is_told_and_not_hidden(tmp_path):
    with pytest.raises(ConfigError, match=r"diverged: the loss of step 2 is nan with learning_rate=0\.001"):
        run(mixed(tmp_path), Spoil(), max_steps=5)


def test_dimensions_above_the_models_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"dims: dimension 128 is larger than the 64.*tiny.*--dims=64"):
        run(mixed(tmp_path), dims=(128, 64))


def test_a_table_of_words_has_nothing_to_cache():
    model = open_model("static", [], 32, 0)
    check_memory_options(model, TrainConfig(model="static"))
    with pytest.raises(ConfigError, match="gradient_caching=true: static is a table of words"):
        check_memory_options(model, TrainConfig(model="static", gradient_caching=True))


def test_only_distillation_takes_the_teachers_scores():
    model = open_model("static", [], 32, 0)
    shares = [
        loss_params(model, TrainConfig(model="static", stage=stage)).kl_share for stage in ("finetune", "distill")
    ]
    assert shares == [0.0, 0.7]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_goes_on_ends_with_the_weights_of_an_undisturbed_one(tmp_path, workers):
    path = mixed(tmp_path)
    settings = {"epochs": 3, "workers": workers}  # five steps to an epoch
    undisturbed, losses = run(path, **settings)
    settings |= {"checkpoint_steps": 4}
    with pytest.raises(KeyboardInterrupt):
        run(path, Stop(7), **settings)
    model, again = run(path, resume=True, **settings)
    assert same(model, undisturbed)
    assert again == losses
    assert not same(run(path, resume=False, seed=1, **settings)[0], undisturbed)


def test_a_stopped_run_is_neither_lost_nor_mixed_with_another(tmp_path):
    path = mixed(tmp_path)
    with pytest.raises(ConfigError, match=r"resume=true: there is no whole checkpoint in .*model-checkpoints"):
        run(path, resume=True)
    with pytest.raises(KeyboardInterrupt):
        run(path, Stop(3), checkpoint_steps=2)
    folder = tmp_path / "model-checkpoints"
    assert [each.step for each in whole_checkpoints(folder)] == [2]
    with pytest.raises(ConfigError, match=r"stopped after step 2.*--resume=true.*--resume=false"):
        run(path, checkpoint_steps=2)
    with pytest.raises(
        ConfigError, match=r"is of another run, with batch_size=4 \(now 5\), temperature=0\.01 \(now 0\.1\)"
    ):
        run(path, resume=True, batch_size=5, temperature=0.1)
    other = curate(tmp_path, {"a": [row(f"x {i}", 1) for i in range(9)]})
    with pytest.raises(ConfigError, match="is of another run, with shards="):
        run(other, resume=True)
    assert [each.step for each in whole_checkpoints(folder)] == [2]


def test_a_finished_run_may_be_replaced_by_the_next(tmp_path):
    path = mixed(tmp_path)
    run(path, checkpoint_steps=2)
    assert [each.step for each in whole_checkpoints(tmp_path / "model-checkpoints")] == [2, 4, 5]
    run(path, max_steps=2, checkpoint_steps=1)
    assert [each.step for each in whole_checkpoints(tmp_path / "model-checkpoints")] == [1, 2]


def test_a_checkpoint_that_was_cut_off_does_not_count(tmp_path):
    path = mixed(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(path, Stop(5), checkpoint_steps=2)
    folder = tmp_path / "model-checkpoints"
    (folder / "checkpoint-4" / MARK).unlink()
    undisturbed, _ = run(path, output=tmp_path / "other")
    assert [each.step for each in whole_checkpoints(folder)] == [2]
    assert same(run(path, checkpoint_steps=2, resume=True)[0], undisturbed)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (MARK, b"{", f"{MARK} cannot be read"),
        (MARK, b"[]", f"{MARK} is not as it was written"),
        ("model.safetensors", b"cut", "model.safetensors is not as it was written"),
        ("optimizer.pt", None, "optimizer.pt is not as it was written"),
        ("trainer_state.json", b"", "trainer_state.json is not as it was written"),
        ("rng_state.pth", None, "rng_state.pth is not as it was written"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(tmp_path, name, content, words):
    path = mixed(tmp_path)
    undisturbed, _ = run(path, output=tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        run(path, Stop(5), checkpoint_steps=2)
    last = tmp_path / "model-checkpoints" / "checkpoint-4"
    if content is None:
        (last / name).unlink()
    else:
        (last / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"checkpoint-4 is damaged: {words}.*--resume=false"):
        run(path, checkpoint_steps=2, resume=True)
    shutil.rmtree(last)
    assert same(run(path, checkpoint_steps=2, resume=True)[0], undisturbed)


def test_folders_of_other_names_are_no_checkpoints(tmp_path):
    run(mixed(tmp_path), checkpoint_steps=5)
    folder = tmp_path / "model-checkpoints"
    shutil.copytree(folder / "checkpoint-5", folder / "checkpoint-best")
    assert [each.step for each in whole_checkpoints(folder)] == [5]


def test_checkpoints_hold_a_model_that_opens_and_no_pickled_arguments(tmp_path):
    run(mixed(tmp_path), checkpoint_steps=5)
    folder = tmp_path / "model-checkpoints" / "checkpoint-5"
    assert SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(["a"]).shape == (1, 64)
    assert not (folder / "training_args.bin").exists()
    assert json.loads((folder / MARK).read_text())["batch_size"] == 4
    shutil.rmtree(folder)


def test_the_trainer_is_told_what_the_configuration_says(tmp_path):
    config = TrainConfig(learning_rate=3e-4, batch_size=8, warmup_ratio=0.25, seed=5, schedule="cosine", workers=1)
    told = arguments(config, tmp_path / "t", 40)
    assert (told.learning_rate, told.max_steps, told.lr_scheduler_type) == (3e-4, 40, "cosine")
    assert (told.per_device_train_batch_size, told.seed, told.get_warmup_steps(40)) == (8, 5, 10)
    assert (told.dataloader_num_workers, told.logging_nan_inf_filter, told.save_strategy) == (1, False, "no")
