"""The command from manifest to a folder that anybody opens."""

import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense

from mining.encoder import load_encoder
from schemas.prompt import format_query
from tests.trainer.curated import (
    INSTRUCTION,
    PROMPT,
    STORE,
    curate,
    embed,
    manifest_of,
    mixed,
    record,
    row,
    write_shard,
)
from trainer import train as train_module
from trainer.models import open_model
from trainer.shards import open_rows, read_manifest
from trainer.train import main

SMALL = ["--max_steps=2", "--batch_size=4", "--max_seq_length=32"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever opens a connection fails the test; loaders' processes of this machine hand over batches by sockets."""
    connect = socket.socket.connect

    def refuse(*args: object) -> None:
        if isinstance(args[0], socket.socket) and args[0].family == socket.AF_UNIX:
            return connect(*args)
        pytest.fail(f"a connection was opened: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def opened(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a tiny model after two steps."""
    path = mixed(tmp_path_factory.mktemp("out"))
    assert main([f"--manifest={path}", "-q", *SMALL]) == 0
    return path.parent / "model"


def test_plain_sentence_transformers_opens_it(trained):
    vectors = opened(trained).encode(["a text", "another", "一つの文"])
    assert vectors.shape == (3, 64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert opened(trained).max_seq_length == 32


def test_it_puts_the_prompt_before_queries_as_in_training(trained):
    model = opened(trained)
    assert model.prompts == {"Retrieval-query": PROMPT, "query": PROMPT, "document": ""}
    expected = model.encode([format_query(INSTRUCTION, "a text")])
    assert np.array_equal(model.encode(["a text"], prompt_name="Retrieval-query"), expected)
    assert np.array_equal(model.encode_query(["a text"]), expected)
    assert np.array_equal(model.encode_document(["a text"]), model.encode(["a text"]))


def test_it_says_what_mteb_asks(trained):
    told = json.loads((trained / "model_meta.json").read_text())
    weights = sum(weight.numel() for weight in opened(trained).parameters())
    assert (told["embed_dim"], told["max_tokens"], told["n_parameters"]) == (64, 32, weights)
    assert (told["training_datasets"], told["use_instructions"], told["adapted_from"]) == ([], True, None)


def test_it_serves_as_a_teacher_with_the_same_prompt(trained):
    encoder = load_encoder(str(trained))
    expected = opened(trained).encode([format_query("Find a duplicate", "a text")])
    assert np.allclose(encoder.encode_queries(["a text"], "Find a duplicate"), expected, atol=1e-6)
    assert np.allclose(encoder.encode_passages(["a text"]), opened(trained).encode(["a text"]), atol=1e-6)


def test_the_same_seed_gives_the_same_files_another_seed_other_weights(trained, tmp_path):
    path = mixed(tmp_path)
    for name, seed in (("again", 0), ("other", 1)):
        assert main([f"--manifest={path}", f"--output={tmp_path / name}", f"--seed={seed}", "-q", *SMALL]) == 0
    assert digests(tmp_path / "again") == digests(trained)
    other = digests(tmp_path / "other")
    assert {name for name, digest in digests(trained).items() if digest != other[name]} == {
        "model.safetensors", "README.md", "loss.svg",
    }  # fmt: skip


def test_training_on_a_trained_model_goes_on_from_its_weights(trained, tmp_path):
    path = mixed(tmp_path)
    flags = [f"--manifest={path}", f"--model={trained}", "--max_steps=1", "--batch_size=4", "-q"]
    assert main([*flags, "--learning_rate=1e-12"]) == 0
    texts = ["a text", "another"]
    assert np.allclose(opened(tmp_path / "model").encode(texts), opened(trained).encode(texts), atol=1e-6)


@pytest.mark.parametrize(("flags", "prompt"), [([], ""), (["--prompts=always"], PROMPT)])
def test_a_table_of_words_is_trained_and_saved_without_prompts_unless_told(tmp_path, flags, prompt):
    path = curate(tmp_path, {"a": [row(f"x{i}", 1) for i in range(4)]})
    assert main([f"--manifest={path}", "--model=static", "-q", *SMALL, *flags]) == 0
    model = opened(tmp_path / "model")
    assert model.prompts["query"] == prompt
    # What was trained on has moved: only rows of the table whose words stood in a batch.
    moved = model[0].embedding.weight != open_model("static", [], 32, 0)[0].embedding.weight
    word = model.tokenizer.token_to_id("query")
    assert moved.any()
    assert bool(moved[word].any()) == bool(prompt)


def test_the_bundled_model_can_be_a_start(tmp_path):
    path = curate(tmp_path, {"a": [row("x", 1), row("y", 1)]})
    start = load_encoder("minilm").teacher.path
    assert main([f"--manifest={path}", f"--model={start}", "--learning_rate=1e-3", "-q", *SMALL]) == 0
    vectors = opened(tmp_path / "model").encode(["x q"])
    assert vectors.shape == (1, 384)
    assert 0.5 < (vectors @ load_encoder("minilm").encode(["x q"]).T).item() < 0.9999


def test_it_says_what_was_saved_where_and_what_to_try_next(tmp_path, capfd):
    mixed(tmp_path)
    assert main([f"--manifest={tmp_path}", *SMALL]) == 0
    out, err = capfd.readouterr()
    folder = tmp_path / "model"
    lines = err.splitlines()
    assert out == ""
    assert [line.split(",")[0] for line in lines[:2]] == ["step 1/2", "step 2/2"]
    assert lines[2].startswith("trained tiny on 20 examples of 3 datasets, loss ")
    assert lines[3:] == [
        f"saved in {folder}",
        f"use:  SentenceTransformer('{folder}').encode_query(['...'])",
        f"next: make curate TEACHER={folder} OUT=<folder>   # mine again, with this model as the teacher",
    ]


def test_quiet_says_nothing(tmp_path, capfd):
    assert main([f"--manifest={mixed(tmp_path)}", "-q", *SMALL]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--manifest=no/manifest.json"], 4, "error: no manifest at no/manifest.json"),
        (["--manifest=s3://b/out/manifest.json"], 4, "error: s3://b/out/manifest.json lies in an object store"),
        (["--batch_size=1"], 2, "error: command line: batch_size: "),
        (["--model=no/such"], 2, "error: model 'no/such' is neither tiny, static"),
        (["--stage=pretrain"], 4, "error: the manifest in "),
        (["--stage=distill"], 2, "error: distill goes on from a fine-tuned model"),
        (["--dims=65"], 2, "error: dims: dimension 65 is larger than the 64 "),
        (["--model=static", "--gradient_checkpointing=true"], 2, "error: gradient_checkpointing=true: static is a "),
        (["--resume=true"], 2, "error: resume=true: there is no whole checkpoint in "),
        (["--output=."], 5, "error: cannot save a model in "),
    ],
)
def test_errors_are_one_message_and_an_exit_code(tmp_path, capfd, monkeypatch, flags, code, words):
    path = mixed(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = digests(tmp_path)
    assert main([f"--manifest={path}", *SMALL, *flags]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(words)
    assert digests(tmp_path) == before


def test_an_older_model_stays_where_training_fails(tmp_path, capfd):
    path = mixed(tmp_path)
    assert main([f"--manifest={path}", "-q", *SMALL]) == 0
    before = digests(tmp_path / "model")
    assert main([f"--manifest={path}", "-q", *SMALL, "--learning_rate=1e30", "--max_steps=3"]) == 2
    assert "diverged" in capfd.readouterr().err
    assert digests(tmp_path / "model") == before


@pytest.mark.parametrize("model", ["static", "static saved", "static with Dense"])
def test_a_table_of_words_works_in_every_stage(tmp_path, model):
    path = staged_data(tmp_path)
    start = "static"
    if model != "static":
        student = open_model("static", [], 32, 0)
        if "Dense" in model:
            student.insert(1, Dense(384, 64))
        start = str(tmp_path / "start")
        student.save_pretrained(start, create_model_card=False)
    flags = [f"--manifest={path}", "-q", "--batch_size=4", "--max_steps=2"]
    assert main([*flags, "--stage=pretrain", f"--model={start}"]) == 0
    assert main([*flags, "--stage=finetune"]) == 0
    assert main([*flags, "--stage=distill"]) == 0
    vectors = [opened(tmp_path / name).encode(["moon 1 q"])[0] for name in ("model-pretrain", "model", "model-distill")]
    assert all(np.isclose(np.linalg.norm(vector), 1) for vector in vectors)
    assert not np.allclose(vectors[0], vectors[1])
    assert not np.allclose(vectors[1], vectors[2])
    assert load_encoder(str(tmp_path / "model-distill")).encode(["moon 1 q"]) == pytest.approx(
        vectors[2][None], abs=1e-5
    )


def staged_data(folder: Path) -> Path:
    """A manifest with one dataset of each stage."""
    rows = [row(f"moon {i}", 3) for i in range(9)]
    records = [
        record(stage, [write_shard(folder, f"{stage}.parquet", rows)], stage=stage)
        for stage in ("pretrain", "finetune")
    ]
    path = folder / "manifest.json"
    path.write_text(manifest_of(*records).model_dump_json())
    return path


def test_a_killed_run_goes_on_in_mid_epoch_and_ends_with_the_same_weights(tmp_path):
    path = mixed(tmp_path)
    flags = [f"--manifest={path}", "-q", "--batch_size=4", "--max_seq_length=32", "--epochs=3"]
    assert main([*flags, f"--output={tmp_path / 'undisturbed'}"]) == 0
    killed = [*flags, "--checkpoint_steps=4"]
    code = (
        "import os, signal, sys\n"
        "from trainer import checkpoints\n"
        "on_save = checkpoints.Checkpoints.on_save\n"
        "def kill(self, args, state, control, **kwargs):\n"
        "    if state.global_step == 8:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)  # the second checkpoint is not whole\n"
        "    on_save(self, args, state, control, **kwargs)\n"
        "checkpoints.Checkpoints.on_save = kill\n"
        "from trainer.train import main\n"
        "import torch; torch.set_num_threads(1)\n"
        "main(sys.argv[1:])\n"
    )
    assert subprocess.run([sys.executable, "-c", code, *killed], check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    assert main([*killed, "--resume=true"]) == 0
    names = ("model.safetensors", "loss.svg")
    assert [digests(tmp_path / "model")[name] for name in names] == [
        digests(tmp_path / "undisturbed")[name] for name in names
    ]


def distilling(folder: Path) -> list[str]:
    """A curated folder with its vector store, and the flags that distil on it with a small start."""
    path = mixed(folder)
    embed(path)
    rows = open_rows(read_manifest(path), folder, folder)
    open_model("tiny", rows.sample_texts(20), 32, 0).save_pretrained(str(folder / "start"), create_model_card=False)
    return [f"--manifest={path}", "--stage=distill", f"--model={folder / 'start'}", "--learning_rate=1e-3", *SMALL]


def test_distillation_takes_soft_labels_for_the_batch_where_the_vectors_are_and_says_where_not(tmp_path, capfd):
    flags = distilling(tmp_path)
    for name, own in (("auto", []), ("batch", ["--soft_labels=batch"]), ("row", ["--soft_labels=row"])):
        assert main([*flags, *own, f"--output={tmp_path / name}"]) == 0
        assert "soft labels" not in capfd.readouterr().err
    shutil.rmtree(tmp_path / ".work")
    assert main([*flags, f"--output={tmp_path / 'none'}"]) == 0
    told = [line for line in capfd.readouterr().err.splitlines() if "soft labels" in line]
    assert len(told) == 1
    assert told[0].startswith("soft labels are over a row's own candidates alone, since the teacher's vectors are not")
    weights = {name: digests(tmp_path / name)["model.safetensors"] for name in ("auto", "batch", "row", "none")}
    assert weights["auto"] == weights["batch"] != weights["row"] == weights["none"]
    for name in ("batch", "row"):
        assert f'"soft_labels": "{name}"' in (tmp_path / name / "README.md").read_text()
    assert main([*flags, f"--output={tmp_path / 'none'}", "-q"]) == 0
    assert capfd.readouterr().err == ""
    assert main([*flags, "--soft_labels=batch", f"--output={tmp_path / 'gone'}"]) == 4
    assert capfd.readouterr().err.startswith("error: the teacher's vectors are not in ")
    assert not (tmp_path / "gone").exists()


def test_no_share_of_the_teacher_wants_no_vectors(tmp_path, capfd):
    flags = distilling(tmp_path)
    shutil.rmtree(tmp_path / ".work")
    assert main([*flags, "--kl_share=0"]) == 0
    assert "soft labels" not in capfd.readouterr().err


@pytest.mark.parametrize("workers", [0, 2])
def test_distillation_on_soft_labels_goes_on_with_the_same_weights(tmp_path, capfd, workers):
    flags = [*distilling(tmp_path), "-q", "--max_steps=6", f"--workers={workers}"]
    assert main([*flags, f"--output={tmp_path / 'undisturbed'}"]) == 0
    stopped = [*flags, "--checkpoint_steps=4", f"--output={tmp_path / 'model'}"]
    code = (
        "import sys, torch\n"
        "from trainer.fit import StepTrainer\n"
        "step = StepTrainer.training_step\n"
        "def stop(self, *args, **kwargs):\n"
        "    if self.state.global_step == 5:\n"
        "        raise KeyboardInterrupt\n"
        "    return step(self, *args, **kwargs)\n"
        "StepTrainer.training_step = stop\n"
        "torch.set_num_threads(1)\n"
        "from trainer.train import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, *stopped], check=False).returncode == 130
    (tmp_path / ".work").rename(tmp_path / "aside")
    assert main([*stopped, "--resume=true"]) == 2
    told = capfd.readouterr().err
    assert "soft_labels=batch (now row)" in told
    assert f"vectors={STORE} (now None)" in told
    (tmp_path / "aside").rename(tmp_path / ".work")
    assert main([*stopped, "--resume=true"]) == 0
    weights = [digests(tmp_path / name)["model.safetensors"] for name in ("undisturbed", "model")]
    assert weights[0] == weights[1]


def test_the_card_says_what_the_model_was_trained_on(trained):
    text = (trained / "README.md").read_text()
    assert "trained from `tiny` on 20 examples of 3 datasets" in text
    assert "| moons | retrieval | 8 | unknown | sample | - |" in text
    assert '"temperature": 0.01' in text
    assert "![Loss over steps](loss.svg)" in text
    assert (trained / "loss.svg").read_text().startswith("<svg ")


def test_missing_libraries_are_named(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(train_module, "find_spec", lambda name: None)
    assert main([f"--manifest={mixed(tmp_path)}"]) == 2
    assert "accelerate and datasets" in capfd.readouterr().err


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    """What TensorBoard shows of a folder."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_shows_losses_also_of_a_run_that_goes_on(tmp_path):
    command = [f"--manifest={mixed(tmp_path)}", "-q", *SMALL, f"--log_folder={tmp_path / 'logs'}", "--max_steps=4"]
    checkpoints = ["--checkpoint_steps=2", f"--output={tmp_path / 'other'}"]
    code = (
        "import os, signal, sys\n"
        "from trainer.fit import StepTrainer\n"
        "step = StepTrainer.training_step\n"
        "def stop(self, *args, **kwargs):\n"
        "    if self.state.global_step == 3:\n"
        "        raise KeyboardInterrupt\n"
        "    return step(self, *args, **kwargs)\n"
        "StepTrainer.training_step = stop\n"
        "from trainer.train import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    stopped = subprocess.run([sys.executable, "-c", code, *command, *checkpoints], check=False)
    assert stopped.returncode == 130
    assert [step for step, _ in scalars(tmp_path / "logs", "train/loss")] == [1, 2, 3]
    assert main([*command, *checkpoints, "--resume=true"]) == 0
    losses = scalars(tmp_path / "logs", "train/loss")
    assert [step for step, _ in losses] == [1, 2, 3, 4]
    assert all(loss > 0 for _, loss in losses)
    assert scalars(tmp_path / "logs", "train/learning_rate")


def test_tensorboard_that_is_missing_is_named_before_anything_is_written(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(train_module, "find_spec", lambda name: None if name == "tensorboard" else name)
    assert main([f"--manifest={mixed(tmp_path)}", f"--log_folder={tmp_path / 'logs'}"]) == 2
    assert "pip install 'kalm-curation[tensorboard]'" in capfd.readouterr().err
    assert not (tmp_path / "logs").exists()


def test_an_interrupt_saves_nothing(tmp_path, capfd, monkeypatch):
    def interrupt(config: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "train", interrupt)
    assert main([f"--manifest={mixed(tmp_path)}"]) == 130
    assert capfd.readouterr().err == "stopped; nothing was saved but checkpoints, if there were to be any\n"
