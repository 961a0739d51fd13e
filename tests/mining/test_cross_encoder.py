"""Cross-encoders: which are accepted, and that a pair's score is a function of the pair."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from mining.cross_encoder import CrossModel, CrossScorer, find_cross_encoder
from schemas.errors import ConfigError
from tests.mining.cross import make_cross_encoder

PAIRS = [("what is a", "a" * (number % 17)) for number in range(60)] + [("b c", "d" * 90)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("cross"))


def scorer(folder: Path, **params: int) -> CrossScorer:
    return CrossScorer(model=find_cross_encoder(str(folder)), **params)


def test_scores_are_the_sigmoid_of_what_sentence_transformers_says(folder: Path) -> None:
    model = CrossEncoder(str(folder), device="cpu")
    expected = model.predict(PAIRS, activation_fn=torch.nn.Sigmoid(), show_progress_bar=False)
    found = scorer(folder)(PAIRS)
    assert found == pytest.approx(expected, abs=1e-6)
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.ptp(found) > 0.1


def test_a_score_depends_on_its_pair_alone(folder: Path) -> None:
    whole = dict(zip(PAIRS, scorer(folder)(PAIRS).tolist(), strict=True))
    shuffled = random.Random(1).sample(PAIRS, len(PAIRS))
    assert dict(zip(shuffled, scorer(folder)(shuffled).tolist(), strict=True)) == whole
    assert {pair: scorer(folder)([pair]).item() for pair in PAIRS} == whole


def test_long_pairs_are_cut(folder: Path) -> None:
    one, other = scorer(folder, max_tokens=16)([("a", "b" * 40), ("a", "b" * 50)]).tolist()
    assert one == other
    whole = scorer(folder)([("a", "b" * 40), ("a", "b" * 50)]).tolist()
    assert whole[0] != whole[1]


def test_no_pairs_give_no_scores(folder: Path) -> None:
    assert scorer(folder)([]).tolist() == []


def test_the_digest_covers_the_weights(tmp_path: Path, folder: Path) -> None:
    other = make_cross_encoder(tmp_path, seed=1)
    assert find_cross_encoder(str(other)).digest != find_cross_encoder(str(folder)).digest


def test_a_worker_with_other_files_is_refused(folder: Path) -> None:
    planned = CrossModel(name="mine", path=str(folder), digest="0" * 64)
    with pytest.raises(ConfigError, match=r"cross-encoder 'mine' has the digest .*planned with 0000"):
        CrossScorer(model=planned)([("a", "b")])


@pytest.mark.parametrize("name", ["/no/such/folder", "nobody/no-such-reranker"])
def test_one_that_is_not_here_is_an_error_with_its_remedy(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_cross_encoder(name)
    for words in (name, "no folder", f"hf download {name}", "mining.cross_encoder to null"):
        assert words in caught.value.message


def test_an_embedding_model_is_refused_since_its_scores_would_be_random(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no cross-encoder.*BertModel.*random weights"):
        find_cross_encoder(str(make_cross_encoder(tmp_path, embedding=True)))


def test_pickled_weights_are_refused_unless_allowed(tmp_path: Path, folder: Path) -> None:
    pickled = make_cross_encoder(tmp_path, pickled=True)
    with pytest.raises(ConfigError, match=r"pytorch_model.bin, a pickle.*mining.cross_pickled_weights"):
        find_cross_encoder(str(pickled))
    allowed = CrossScorer(model=find_cross_encoder(str(pickled), pickled=True), pickled=True)
    assert allowed(PAIRS) == pytest.approx(scorer(folder)(PAIRS), abs=1e-6)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (make_cross_encoder(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="holds no weights"):
        find_cross_encoder(str(tmp_path))


def test_damaged_weights_are_told_before_anything_is_loaded(tmp_path: Path) -> None:
    (make_cross_encoder(tmp_path) / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"cross-encoder .*model.safetensors is damaged or not whole"):
        find_cross_encoder(str(tmp_path))


def test_a_model_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    (make_cross_encoder(tmp_path) / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"cannot load .*CrossEncoder\(path\)"):
        scorer(tmp_path)([("a", "b")])


def test_a_classifier_of_several_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 scores for a pair"):
        scorer(make_cross_encoder(tmp_path, labels=3))([("a", "b")])


@pytest.mark.parametrize("text", ["{", json.dumps([1])])
def test_a_damaged_configuration_is_told(tmp_path: Path, text: str) -> None:
    (make_cross_encoder(tmp_path) / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json .*fetch the model again"):
        find_cross_encoder(str(tmp_path))
