"""Weights are looked at before anything runs: damaged, missing, pickled or of another model, each is said."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mining.teacher import TeacherParams, find_teacher
from mining.weights import check_weights
from schemas.errors import ConfigError

CONFIG = {"vocab_size": 5, "hidden_size": 3}


def safetensors(shape: tuple[int, int] = (5, 3), name: str = "bert.embeddings.word_embeddings.weight") -> bytes:
    """A file of one matrix of zeros."""
    size = 4 * shape[0] * shape[1]
    header = {name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}, "__metadata__": {"format": "pt"}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def folder_with(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def test_the_peer_reads_what_these_tests_write(tmp_path: Path) -> None:
    from safetensors.numpy import load

    assert load(safetensors())["bert.embeddings.word_embeddings.weight"].shape == (5, 3)


def test_whole_weights_that_fit_are_taken(tmp_path: Path) -> None:
    check_weights("t", folder_with(tmp_path, model__safetensors=safetensors(), pytorch_model__bin=b"x"), CONFIG)
    check_weights("t", tmp_path, {})
    check_weights("t", tmp_path, CONFIG | {"hidden_size": 9, "embedding_size": 3})


DAMAGES: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: b"", "it is no safetensors file"),
    (lambda data: data[:-1], "its header says"),
    (lambda data: data + b"x", "its header says"),
    (lambda data: data[:40], "a header of"),
    (lambda data: b"\xff" * 8 + data[8:], "a header of"),
    (lambda data: data.replace(b"[5, 3]", b"[5, 4]"), "a tensor of shape"),
    (lambda data: data.replace(b"{", b"[", 1), "it is no safetensors file"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGES)
def test_damaged_weights_are_named_with_the_teacher(tmp_path: Path, damage: Callable[[bytes], bytes], why: str) -> None:
    with pytest.raises(ConfigError, match=rf"teacher 't': .*model\.safetensors is damaged or not whole: .*{why}"):
        check_weights("t", folder_with(tmp_path, model__safetensors=damage(safetensors())), CONFIG)


def test_weights_of_another_model_are_named_with_both_shapes(tmp_path: Path) -> None:
    folder_with(tmp_path, model__safetensors=safetensors((5, 4)))
    with pytest.raises(ConfigError, match=r"do not fit its config\.json: .* has the shape \[5, 4\], but .* \[5, 3\]"):
        check_weights("t", tmp_path, CONFIG)


def test_a_pickle_is_refused_unless_asked_for(tmp_path: Path) -> None:
    folder_with(tmp_path, pytorch_model__bin=b"x", training_args__bin=b"x")
    with pytest.raises(ConfigError, match=r"are pytorch_model\.bin, a pickle, .* teacher\.pickled_weights"):
        check_weights("t", tmp_path, CONFIG)
    check_weights("t", tmp_path, CONFIG, pickled=True)


@pytest.mark.parametrize("pickled", [True, False])
def test_a_folder_without_weights_is_refused(tmp_path: Path, pickled: bool) -> None:
    folder_with(tmp_path, training_args__bin=b"x")
    with pytest.raises(ConfigError, match="holds no weights"):
        check_weights("t", tmp_path, CONFIG, pickled=pickled)


@pytest.mark.parametrize(
    ("index", "why"),
    [('{"weight_map": {"a": "model-1.safetensors"}}', "it names model-1"), ("{", "no index"), ("[]", "no index")],
)
def test_a_shard_that_an_index_names_is_missed(tmp_path: Path, index: str, why: str) -> None:
    folder_with(tmp_path, model__safetensors=safetensors())
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ConfigError, match=why):
        check_weights("t", tmp_path, CONFIG)


def test_a_teacher_is_refused_when_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    folder_with(tmp_path, pytorch_model__bin=b"x")
    with pytest.raises(ConfigError, match="a pickle"):
        find_teacher(str(tmp_path))
    assert find_teacher(str(tmp_path), TeacherParams(pickled_weights=True)).dims == 3
    for name in ("config.json", "modules.json", "config_sentence_transformers.json"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        folder_with(folder, model__safetensors=safetensors())
        (folder / "config.json").write_text(json.dumps(CONFIG))
        (folder / name).write_text("{cut")
        with pytest.raises(ConfigError, match=f"{name} cannot be read"):
            find_teacher(str(folder))
