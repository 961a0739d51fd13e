"""The command line: every flag means a field, Beam's flags pass through, and a mistyped one is refused."""

import json
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from pipelines.options import BEAM_FLAGS, RUNNERS, build_parser, parse
from pipelines.runners import beam_flags, check_beam_flags
from schemas.config import RunConfig
from schemas.errors import ConfigError

GIVEN = {
    "against": "a,b",
    "category": "sts,csl-*",
    "licenses": "permissive,other",
    "languages": "zh,en",
    "source": "/data/hub",
    "limit": "50",
    "follow_links": "true",
    "out": "/data/out",
    "work": "/data/work",
    "catalog": "/data/catalog",
    "evaluation": "/data/eval",
    "readmit": "/data/out.readmit.txt",
    "teacher": "org/model",
    "teacher_languages": "en,de",
    "seed": "7",
}


def test_without_flags_everything_has_its_default() -> None:
    command = parse([])
    assert command.config == RunConfig()
    assert (command.runner, command.workers) == ("direct", 1)
    assert (command.quiet, command.allow_alarms, command.dry_run) == (False, False, False)
    assert command.beam_flags == ()


def test_each_field_of_the_configuration_has_a_flag() -> None:
    assert set(GIVEN) == set(RunConfig.model_fields)
    config = parse([f"--{name}={value}" for name, value in GIVEN.items()]).config
    assert config.model_dump() == GIVEN | {"limit": 50, "seed": 7, "follow_links": True}


@pytest.mark.parametrize("name", GIVEN)
def test_a_flag_sets_its_field_alone(name: str) -> None:
    config = parse([f"--{name}", GIVEN[name]]).config
    changed = {key for key, value in config.model_dump().items() if value != getattr(RunConfig(), key)}
    assert changed == {name}


def test_help_explains_every_flag_of_ours() -> None:
    text = " ".join(build_parser().format_help().split())
    for name, field in RunConfig.model_fields.items():
        assert f"--{name} {name.upper()}" in text
        assert " ".join(str(field.description).split()) in text
    assert all(runner in text for runner in RUNNERS)
    assert "--workers" in text
    assert "--allow_alarms" in text
    assert "--dry_run" in text
    assert "Every flag of Apache Beam" in text


def test_flags_of_beam_pass_through_in_their_order() -> None:
    flags = ["--direct_num_workers=2", "--parallelism", "4", "--experiments=use_x", "--temp_location=/tmp/x"]
    command = parse(["--category=sts", *flags[:2], "-q", *flags[2:]])
    assert command.beam_flags == tuple(flags)
    assert command.quiet
    assert PipelineOptions(list(command.beam_flags)).view_as(DirectOptions).direct_num_workers == 2


@pytest.mark.parametrize("flags", [["--categroy=sts"], ["--cat=sts"], ["--direct_num_worker=2"], ["retrieval"], ["-x"]])
def test_what_neither_we_nor_beam_know_is_refused(flags: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--source=sample", *flags])
    assert caught.value.message.startswith(f"unknown flag {flags[0]!r}: neither this command nor Beam knows it")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--limit=0", r"--limit: limit: .*greater than 0.*\(got '0'\)"),
        ("--limit=many", r"--limit: limit: .*valid integer.*\(got 'many'\)"),
        ("--seed=x", r"--seed: mining.seed: .*valid integer.*\(got 'x'\)"),
        ("--workers=0", "--workers=0: at least one worker is needed"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_rule(flag: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse([flag])


@pytest.mark.parametrize(
    ("flag", "message"), [("--runner=spark", "invalid choice: 'spark'"), ("--workers=two", "'two'")]
)
def test_what_the_parser_refuses_ends_with_the_code_of_a_wrong_configuration(
    flag: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([flag])
    assert caught.value.code == ConfigError.exit_code
    assert message in capsys.readouterr().err


def test_a_near_flag_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean --category"):
        parse(["--categroy=sts"])


def test_the_list_of_beams_flags_is_that_of_the_installed_beam() -> None:
    listed = json.loads(BEAM_FLAGS.read_text("utf-8"))
    assert listed == beam_flags(), "make pins renews pipelines/beam_flags.json"


def test_beam_itself_is_asked_before_a_pipeline_runs() -> None:
    check_beam_flags(["--direct_num_workers=2", "--parallelism", "4"])
    with pytest.raises(ConfigError, match="did you mean --direct_num_workers"):
        check_beam_flags(["--direct_num_worker=2"])


def test_a_file_is_under_set_and_both_are_under_the_named_flags(tmp_path: Path) -> None:
    path = tmp_path / "curation.yaml"
    path.write_text("category: sts\nlimit: 3\nmining: {num_negatives: 5, seed: 9}\n")
    command = parse([f"--config={path}", "--set", "mining.num_negatives=6", "--set=limit=4", "--limit=5"])
    assert (command.config.category, command.config.limit, command.config.seed) == ("sts", 5, 9)
    assert command.configuration.config.mining.num_negatives == 6
