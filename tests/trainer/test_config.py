import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from trainer.config import TrainConfig, build_parser, parse


def test_defaults_are_those_of_the_recipe():
    config = parse([])
    assert (config.model, config.batch_size, config.temperature, config.max_seq_length) == ("tiny", 48, 0.01, 512)
    assert (config.num_negatives, config.epochs, config.warmup_ratio, config.seed) == (7, 1, 0.1, 0)


def test_the_learning_rate_suits_the_model_unless_it_is_given():
    assert parse([]).peak_learning_rate == 1e-3
    assert parse(["--model=some/folder"]).peak_learning_rate == 1e-5
    assert parse(["--learning_rate=3e-4"]).peak_learning_rate == 3e-4


def test_the_model_goes_beside_the_manifest_unless_a_folder_is_given(tmp_path):
    assert parse(["--manifest=a/manifest.json"]).output_folder == Path("a/model")
    assert parse(["--manifest=a/manifest.json", "--output=b"]).output_folder == Path("b")
    by_folder = parse([f"--manifest={tmp_path}"])
    assert (by_folder.manifest_file, by_folder.output_folder) == (tmp_path / "manifest.json", tmp_path / "model")


def test_flags_are_read():
    flags = ["--epochs=0.5", "--max_steps=3", "--batch_size=4", "--num_negatives=0", "--seed=7", "-q"]
    config = parse(flags)
    assert (config.epochs, config.max_steps, config.batch_size) == (0.5, 3, 4)
    assert (config.num_negatives, config.seed, config.quiet) == (0, 7, True)


@pytest.mark.parametrize(
    "flag",
    [
        "--epochs=0", "--epochs=inf", "--max_steps=0", "--max_steps=1.5", "--batch_size=1", "--batch_size=many",
        "--learning_rate=0", "--learning_rate=nan", "--warmup_ratio=1", "--warmup_ratio=-0.1", "--temperature=0",
        "--max_seq_length=7", "--num_negatives=-1", "--seed=-1", "--seed=4294967296",
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused_by_name(flag):
    name, value = flag[2:].split("=")
    with pytest.raises(ConfigError) as caught:
        parse([flag])
    assert f"command line: {name}: " in caught.value.message
    assert value in caught.value.message


def test_unknown_and_shortened_flags_are_refused(capsys):
    for flag in ("--learning=1", "--batch=3"):
        with pytest.raises(SystemExit) as caught:
            parse([flag])
        assert caught.value.code == 2
        assert flag in capsys.readouterr().err


def test_help_explains_every_flag():
    text = " ".join(build_parser().format_help().split())
    for name, field in TrainConfig.model_fields.items():
        assert f"--{name}" in text
        assert " ".join((field.description or "missing").split()) in text


def test_a_mistyped_flag_needs_no_torch():
    code = "import sys; from trainer.train import main; main(['--seed=-1']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert done.stderr.startswith("error: command line: seed: ")
