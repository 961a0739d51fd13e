import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from trainer.models import open_model
from trainer.soup import main

TEXTS = ["the cat sat", "a dog ran"] * 5


def saved(folder: Path, seed: int, texts: list[str] = TEXTS) -> SentenceTransformer:
    model = open_model("tiny", texts, 32, seed)
    model.prompts = {"query": f"{seed}: ", "document": ""}
    model.save_pretrained(str(folder), create_model_card=False)
    return model


def opened(folder: Path) -> dict[str, torch.Tensor]:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True).state_dict()


@pytest.mark.parametrize(
    ("flags", "shares"), [([], (1 / 3, 1 / 3, 1 / 3)), (["--weights=0.5,0.2,0.3"], (0.5, 0.2, 0.3))]
)
def test_weights_are_the_mean_of_the_models(tmp_path, flags, shares):
    models = [saved(tmp_path / str(seed), seed).state_dict() for seed in range(3)]
    assert main([str(tmp_path / "soup"), *(str(tmp_path / str(seed)) for seed in range(3)), *flags]) == 0
    found = opened(tmp_path / "soup")
    assert len(found) > 10
    for name, value in found.items():
        expected = sum(share * model[name].double() for share, model in zip(shares, models, strict=True))
        assert torch.allclose(value.double(), expected, atol=1e-7), name
    assert not torch.equal(found["0.model.norm.weight"], models[0]["0.model.embed_tokens.weight"])
    told = json.loads((tmp_path / "soup" / "soup.json").read_text())
    assert [each["weight"] for each in told] == pytest.approx(shares)


def test_the_command_says_one_line(tmp_path):
    folders = [str(tmp_path / str(seed)) for seed in range(2)]
    for seed, folder in enumerate(folders):
        saved(Path(folder), seed)
    command = [sys.executable, "-m", "pipelines", "soup", str(tmp_path / "soup"), *folders]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == f"saved the mean of 2 models in {tmp_path / 'soup'}\n"


def test_the_rest_is_the_first_models(tmp_path):
    for seed in range(2):
        saved(tmp_path / str(seed), seed)
    assert main([str(tmp_path / "soup"), str(tmp_path / "1"), str(tmp_path / "0")]) == 0
    model = SentenceTransformer(str(tmp_path / "soup"), device="cpu", local_files_only=True)
    assert model.prompts == {"query": "1: ", "document": ""}
    assert model.encode(["a dog"]).shape == (1, 64)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0"], "two models or more, and 1 was given"),
        (["0", "missing"], "missing holds no sentence-transformers model"),
        (["0", "other"], "no model of the shape of"),
        (["0", "1", "--weights=0.5"], "2 models need as many weights"),
        (["0", "1", "--weights=0.9,0.3"], "with the sum 1"),
        (["0", "1", "--weights=half,half"], "numbers, joined by commas"),
    ],
)
def test_what_cannot_be_averaged_is_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        saved(tmp_path / str(seed), seed)
    saved(tmp_path / "other", 0, ["quite other words are learnt here and more of them"])
    assert main(["soup", *words]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "other"]
