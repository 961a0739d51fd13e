"""The command from manifest to a folder that anybody opens."""

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from mining.encoder import load_encoder
from schemas.prompt import format_query
from tests.trainer.curated import INSTRUCTION, PROMPT, curate, mixed, row
from trainer import train as train_module
from trainer.train import main

SMALL = ["--max_steps=2", "--batch_size=4", "--max_seq_length=32"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever opens a connection fails the test."""

    def refuse(*args: object) -> None:
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
    assert model.prompts == {"moons": PROMPT, "rivers": PROMPT, "stones": PROMPT, "query": PROMPT, "document": ""}
    expected = model.encode([format_query(INSTRUCTION, "a text")])
    assert np.array_equal(model.encode(["a text"], prompt_name="moons"), expected)
    assert np.array_equal(model.encode_query(["a text"]), expected)
    assert np.array_equal(model.encode_document(["a text"]), model.encode(["a text"]))


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
    assert {name for name, digest in digests(trained).items() if digest != other[name]} == {"model.safetensors"}


def test_training_on_a_trained_model_goes_on_from_its_weights(trained, tmp_path):
    path = mixed(tmp_path)
    flags = [f"--manifest={path}", f"--model={trained}", "--max_steps=1", "--batch_size=4", "-q"]
    assert main([*flags, "--learning_rate=1e-12"]) == 0
    texts = ["a text", "another"]
    assert np.allclose(opened(tmp_path / "model").encode(texts), opened(trained).encode(texts), atol=1e-6)


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
        (["--batch_size=1"], 2, "error: command line: batch_size: "),
        (["--model=no/such"], 2, "error: model 'no/such' is neither 'tiny'"),
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


def test_missing_libraries_are_named(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(train_module, "find_spec", lambda name: None)
    assert main([f"--manifest={mixed(tmp_path)}"]) == 2
    assert "accelerate and datasets" in capfd.readouterr().err


def test_an_interrupt_saves_nothing(tmp_path, capfd, monkeypatch):
    def interrupt(config: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "train", interrupt)
    assert main([f"--manifest={mixed(tmp_path)}"]) == 130
    assert capfd.readouterr().err == "stopped; nothing was saved\n"
