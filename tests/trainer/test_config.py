import json
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from trainer.config import TrainConfig, build_parser, parse


def test_defaults_are_those_of_the_recipe():
    config = parse([])
    assert (config.student, config.batch_size, config.max_seq_length) == ("tiny", 48, 512)
    assert (config.contrastive_temperature, config.prompts) == (0.01, "auto")
    assert (config.most_negatives, config.epochs, config.warmup_ratio, config.seed) == (7, 1, 0.1, 0)
    assert (config.focal_gamma, config.kl_share, config.kl_temperature, config.mix) == (0.5, 0.7, 0.05, True)
    assert config.masks == {"text", "positives", "label"}


def test_the_learning_rate_suits_the_model_unless_it_is_given():
    assert parse([]).peak_learning_rate == 1e-3
    assert parse(["--model=some/folder"]).peak_learning_rate == 1e-5
    assert parse(["--model=static"]).peak_learning_rate == 5e-3
    assert parse(["--learning_rate=3e-4"]).peak_learning_rate == 3e-4


def test_the_temperature_suits_the_model_unless_it_is_given():
    assert parse(["--model=static"]).contrastive_temperature == 0.1
    assert parse(["--model=static", "--temperature=0.02"]).contrastive_temperature == 0.02
    assert parse(["--model=minilm"]).contrastive_temperature == 0.01


def test_a_folder_with_a_table_of_words_trains_as_static_does(tmp_path):
    for name, kind in (("words", "sentence_transformers.models.StaticEmbedding"), ("layers", "Transformer")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "modules.json").write_text(json.dumps([{"idx": 0, "path": "", "type": kind}]))
    words, layers = (parse([f"--model={tmp_path / name}"]) for name in ("words", "layers"))
    assert (words.peak_learning_rate, words.contrastive_temperature) == (5e-3, 0.1)
    assert (layers.peak_learning_rate, layers.contrastive_temperature) == (1e-5, 0.01)


def test_the_model_goes_beside_the_manifest_unless_a_folder_is_given(tmp_path):
    assert parse(["--manifest=a/manifest.json"]).output_folder == Path("a/model")
    assert parse(["--manifest=a/manifest.json", "--output=b"]).output_folder == Path("b")
    by_folder = parse([f"--manifest={tmp_path}"])
    assert (by_folder.manifest_file, by_folder.output_folder) == (tmp_path / "manifest.json", tmp_path / "model")


def test_each_stage_has_its_folder_its_data_and_its_negatives():
    told = {}
    for stage in ("pretrain", "finetune", "distill"):
        config = parse([f"--stage={stage}", "--manifest=a/manifest.json"])
        told[stage] = (config.output_folder.name, config.data_stage, config.most_negatives)
    assert told == {
        "pretrain": ("model-pretrain", "pretrain", 0),
        "finetune": ("model", "finetune", 7),
        "distill": ("model-distill", "finetune", 7),
    }
    assert parse(["--stage=pretrain", "--num_negatives=2"]).most_negatives == 2


def test_a_stage_begins_with_what_the_one_before_left(tmp_path):
    manifest = f"--manifest={tmp_path}/manifest.json"
    assert parse([manifest]).student == "tiny"
    with pytest.raises(ConfigError, match=r"distill goes on from a fine-tuned model.*STAGE=finetune"):
        _ = parse([manifest, "--stage=distill"]).student
    for folder in ("model", "model-pretrain"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "modules.json").touch()
    assert parse([manifest]).student == str(tmp_path / "model-pretrain")
    assert parse([manifest, "--stage=distill"]).student == str(tmp_path / "model")
    assert parse([manifest, "--stage=pretrain"]).student == "tiny"
    assert parse([manifest, "--stage=distill", "--model=minilm"]).student == "minilm"


def test_lists_are_joined_by_commas():
    config = parse(["--masks=label,text", "--dims=64,32"])
    assert (config.masks, config.dims) == ({"label", "text"}, (64, 32))
    assert parse(["--masks="]).masks == set()


def test_what_changes_no_weight_is_no_part_of_the_effective_configuration():
    plain = parse([]).effective()
    assert parse(["--output=x", "--workers=2", "--checkpoint_steps=5", "--resume=true", "-q"]).effective() == plain
    for flag in ("--seed=1", "--masks=text", "--dims=64", "--tokens_per_pass=9", "--model=minilm", "--epochs=2"):
        assert parse([flag]).effective() != plain, flag


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
        "--max_seq_length=7", "--num_negatives=-1", "--seed=-1", "--seed=4294967296", "--stage=finetuning",
        "--masks=txt", "--dims=64,0", "--dims=64,64", "--kl_share=1.5", "--focal_gamma=-1", "--schedule=steps",
        "--homogeneous_share=2", "--tokens_per_pass=0", "--checkpoint_steps=-1", "--resume=perhaps", "--precision=8",
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
