"""Dataflow: what a run must be given, what each job's graph asks for once it is translated, and the Flex Template."""

import base64
import bz2
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import coders
from apache_beam.options.pipeline_options import (
    DebugOptions,
    PipelineOptions,
    SetupOptions,
    WorkerOptions,
)
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines.curate_command import run_command
from pipelines.engines.dataflow import (
    DEFAULTS,
    accelerator_hint,
    check_dataflow,
    dataflow_options,
    main,
    template_metadata,
    template_spec,
)
from pipelines.engines.flex_template import launch, words_of
from pipelines.options import Command, parse
from pipelines.runners import StageDescribed, check_beam_flags, run_pipeline
from schemas.config import RunConfig
from schemas.errors import ConfigError
from tests.pipelines.test_graphs import STAGES, Build, crossings, is_plain

IMAGE = "europe-west4-docker.pkg.dev/project/images/kalm-curation:1"
GIVEN = {
    "--project": "project",
    "--region": "europe-west4",
    "--temp_location": "gs://bucket/tmp",
    "--sdk_container_image": IMAGE,
}
FLAGS = [f"{name}={value}" for name, value in GIVEN.items()]
OURS = ["--runner=dataflow", "--out=gs://bucket/out", "--source=gs://bucket/hub"]
GPU = "type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver"
HINT = "beam:resources:accelerator:v1"


def needs_google() -> None:
    """Skips where Google's client libraries are not installed, by which a graph is translated."""
    pytest.importorskip("google.cloud.dataflow_v1beta3", reason="needs apache-beam[gcp]: the extra gcp")


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ("--project", "give --project (PROJECT=.. of make dataflow)"),
        ("--region", "give --region (REGION=.. of make dataflow)"),
        ("--temp_location", "give --temp_location (BUCKET=.. of make dataflow)"),
        ("--sdk_container_image", "give --sdk_container_image (IMAGE=.. of make dataflow)"),
    ],
)
def test_what_a_job_lacks_is_named_with_what_to_set(left_out: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_dataflow(parse([*OURS, *(flag for flag in FLAGS if not flag.startswith(left_out))]))
    lines = caught.value.message.splitlines()
    assert len(lines) == 2
    assert words in lines[1]


def test_all_that_is_missing_is_said_at_once_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run_command(parse(["--runner=dataflow", f"--out={tmp_path}/out", f"--work={tmp_path}/work"]))
    said = caught.value.message
    assert len(said.splitlines()) == 1 + 4 + 3
    assert f"OUT=gs://bucket/folder, not '{tmp_path}/out'" in said
    assert f"gs://bucket/folder, not '{tmp_path}/work'" in said
    assert "SOURCE=hub or gs://bucket/folder, not 'sample'" in said
    assert list(tmp_path.iterdir()) == []


def test_flags_in_two_words_are_flags_too() -> None:
    flags = [word for name, value in GIVEN.items() for word in (name, value)]
    with pytest.raises(ConfigError) as caught:
        check_dataflow(parse(["--runner=dataflow", "--out=here", "--source=hub", *flags]))
    assert len(caught.value.message.splitlines()) == 2


def test_without_googles_libraries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.engines.dataflow.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'kalm-curation\[gcp\]'"):
        check_dataflow(parse([*OURS, *FLAGS]))


def test_the_flags_of_a_job_are_beams_and_the_users_own_win() -> None:
    flags = [*dataflow_options(), *FLAGS, "--max_num_workers=7", "--experiments=enable_x"]
    check_beam_flags(flags)
    options = PipelineOptions(flags)
    assert options.view_as(WorkerOptions).max_num_workers == 7
    assert options.view_as(WorkerOptions).machine_type == DEFAULTS["--machine_type"]
    assert options.view_as(WorkerOptions).sdk_container_image == IMAGE
    assert options.view_as(DebugOptions).experiments == ["no_use_multiple_sdk_containers", "enable_x"]
    assert not options.view_as(SetupOptions).save_main_session


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (None, None),
        ("nvidia-l4", GPU),
        ("type:nvidia-h100-80gb;count:2;install-nvidia-driver:5xx",) * 2,
    ],
    ids=["none", "name", "hint"],
)
def test_a_gpu_is_named_or_described(given: str | None, hint: str | None) -> None:
    assert accelerator_hint(given) == hint


@pytest.mark.parametrize("given", ["l4", "type:nvidia-l4", "nvidia-l4;count:1"])
def test_a_gpu_that_is_not_known_is_refused_at_once(given: str) -> None:
    with pytest.raises(ConfigError, match="known GPUs are nvidia-l4, "):
        check_dataflow(parse([*OURS, *FLAGS, f"--accelerator={given}"]))


def test_a_gpu_is_asked_for_on_dataflow_alone() -> None:
    with pytest.raises(ConfigError, match="only --runner=dataflow fetches GPUs"):
        parse(["--accelerator=nvidia-l4", "--runner=flink"])


def translated(build: Build) -> tuple[beam_runner_api_pb2.Pipeline, Any]:
    """A stage as Dataflow would get it, and what makes coders of their ids; no network, no credentials."""
    needs_google()
    flags = [*dataflow_options(), *FLAGS, "--dry_run=True", "--job_name=kalm"]
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    build(pipeline)
    pipeline.run().wait_until_finish()
    runner = pipeline.runner
    return runner.proto_pipeline, runner.proto_context  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=STAGES)
def stage(request: pytest.FixtureRequest) -> tuple[str, beam_runner_api_pb2.Pipeline, Any]:
    """A stage's name, its translated graph with a GPU for what runs a model, and what makes coders of ids."""
    name: str = request.param
    gpu = {"accelerator": GPU} if name in ("embed", "mine") else {}
    return (name, *translated(STAGES[name](3, **gpu)))


def steps(pipeline: beam_runner_api_pb2.Pipeline) -> Iterator[tuple[str, Any, beam_runner_api_pb2.ParDoPayload]]:
    """``(label, transform, payload)`` of each step that runs code of a worker."""
    for transform in pipeline.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            yield transform.unique_name, transform, payload


Stage = tuple[str, beam_runner_api_pb2.Pipeline, Any]


def test_every_environment_is_the_image(stage: Stage) -> None:
    images = set()
    for environment in stage[1].components.environments.values():
        assert environment.urn == "beam:env:docker:v1"
        images.add(beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image)
    assert images == {IMAGE}


def test_only_what_runs_a_model_asks_for_a_gpu(stage: Stage) -> None:
    name, pipeline, _ = stage
    environments = pipeline.components.environments
    hints = {label: environments[t.environment_id].resource_hints.get(HINT) for label, t, _ in steps(pipeline)}
    assert len(hints) > 5
    asking = {label: hint for label, hint in hints.items() if hint is not None}
    expected = {"embed": {"Encode"}, "mine": {"Choose"}}.get(name, set())
    assert {label.split("/")[0] for label in asking} == expected
    assert set(asking.values()) <= {GPU.encode()}


def test_no_step_asks_for_a_gpu_unless_told_to() -> None:
    pipeline, _ = translated(STAGES["embed"](3))
    assert {str(env.resource_hints) for env in pipeline.components.environments.values()} == {"{}"}
    assert len(pipeline.components.environments) == 1


#: What workers are sent whole, and why it stays small. Dataflow has side inputs written by Beam's coder for primitives,
#: which takes numbers and texts as they are.
SIDE_INPUTS = {
    "Threshold": "a number for each dataset with a limit",
    "Cap/Sum ranges": "a number for each dataset and range of ids",
    "Near duplicates/Components/Sum": "a number for each round",
    "Sum": "a number for each dataset, stage and reason",
    "Files": "a line for each file, which holds 65,536 rows or is a shard",
}
TAKEN_BY = {
    "embed": ["Files", "Sum"],
    "embed by several teachers": ["Files", "Sum"],
    "mine": ["Files", "Sum"],
    "mine by several teachers": ["Files", "Sum"],
    "pack": ["Files", "Sum"],
    "pack in pieces": ["Files", "Sum"],
    "prepare": ["Cap/Sum ranges", "Files", "Sum", "Threshold"],
    "prepare beside published rows": ["Cap/Sum ranges", "Files", "Sum", "Threshold"],
    "prepare in rounds": ["Cap/Sum ranges", "Files", "Near duplicates/Components/Sum", "Sum", "Threshold"],
}


def side_inputs(pipeline: beam_runner_api_pb2.Pipeline) -> dict[str, str]:
    """The PCollections that workers are sent whole, each with the label of the step that makes it."""
    taken = {t.inputs[side] for _, t, payload in steps(pipeline) for side in payload.side_inputs}
    labels = {
        pcollection: transform.unique_name.partition("/CombinePerKey")[0]
        for transform in pipeline.components.transforms.values()
        for pcollection in transform.outputs.values()
        if not transform.subtransforms
    }
    return {pcollection: labels[pcollection] for pcollection in taken}


def test_no_side_input_grows_with_rows(stage: Stage) -> None:
    name, pipeline, context = stage
    taken = side_inputs(pipeline)
    assert sorted(taken.values()) == TAKEN_BY[name]
    assert set(taken.values()) <= set(SIDE_INPUTS)
    coded = [pipeline.components.pcollections[pcollection].coder_id for pcollection in taken]
    assert {type(context.coders.get_by_id(coder)) for coder in coded} == {coders.FastPrimitivesCoder}


def test_no_batch_is_pickled_on_its_way(stage: Stage) -> None:
    _, pipeline, context = stage
    components, small = pipeline.components, side_inputs(pipeline)
    crossing = [
        (label, components.pcollections[name].coder_id) for label, name in crossings(components) if name not in small
    ]
    decoded = [(label, context.coders.get_by_id(coder)) for label, coder in crossing]
    assert decoded
    assert [f"{label}: {coder}" for label, coder in decoded if not is_plain(coder)] == []


def test_nothing_is_pickled_from_the_main_module(stage: Stage) -> None:
    pickles = {label: _pickle(payload.do_fn.payload) for label, _, payload in steps(stage[1])}
    assert any(b"transforms." in pickle for pickle in pickles.values()), "the names of modules must be seen"
    assert [label for label, pickle in pickles.items() if b"__main__" in pickle] == []


def _pickle(payload: bytes) -> bytes:
    """What Beam packs twice on its way to a worker."""
    return bz2.decompress(base64.b64decode(payload))


def unsent(command: Command) -> Command:
    """The same run, translated only: this flag of Beam's is hidden by one of ours, and with it nothing is asked for."""
    return replace(command, beam_flags=(*command.beam_flags, "--dry_run=True"))


def test_values_that_beam_refuses_are_told_as_such() -> None:
    needs_google()
    flags = ["--project=My Project", *FLAGS[1:]]
    with pytest.raises(ConfigError, match=r"(?s)Beam refuses the flags --runner=DataflowRunner .*Invalid Project ID"):
        run_pipeline(STAGES["embed"](3), unsent(parse([*OURS, *flags])))


def test_where_a_template_is_asked_for_a_stage_is_described_and_not_waited_for() -> None:
    needs_google()
    command = parse([*OURS, *FLAGS, "--job_name=kalm", "--template_location=gs://bucket/tmp/job"])
    with pytest.raises(StageDescribed):
        run_pipeline(STAGES["embed"](3), unsent(command))


def test_a_template_names_the_flags_of_the_command() -> None:
    parameters = {parameter["name"]: parameter for parameter in template_metadata()["parameters"]}
    assert set(parameters) == {*RunConfig.model_fields, "config", "accelerator", "allow_alarms", "sdk_container_image"}
    for name, field in RunConfig.model_fields.items():
        assert parameters[name]["helpText"] == field.description
    assert [name for name, told in parameters.items() if not told["isOptional"]] == ["out", "sdk_container_image"]


def test_every_parameter_of_a_template_is_understood_when_it_is_launched() -> None:
    given = {name: f"gs://bucket/{name}" if name in ("out", "work") else "1" for name in RunConfig.model_fields}
    given |= {"config": "kalm", "accelerator": "nvidia-l4", "allow_alarms": "true", "follow_links": "true"}
    given |= {"sdk_container_image": IMAGE}
    assert set(given) == {parameter["name"] for parameter in template_metadata()["parameters"]}
    command = parse(words_of(["--runner=DataflowRunner", *(f"--{name}={value}" for name, value in given.items())]))
    assert command.runner == "dataflow"
    assert command.allow_alarms
    assert command.accelerator == "nvidia-l4"
    assert command.beam_flags == (f"--sdk_container_image={IMAGE}",)
    assert command.config.model_dump() == {
        name: {"limit": 1, "seed": 1, "follow_links": True}.get(name, given[name]) for name in RunConfig.model_fields
    }


def test_a_switch_of_a_template_is_true_or_false() -> None:
    assert words_of(["--allow_alarms=false"]) == ["--runner=dataflow"]
    with pytest.raises(ConfigError, match="allow_alarms is true or false, not 'yes'"):
        words_of(["--allow_alarms=yes"])


def test_googles_own_types_take_the_template() -> None:
    needs_google()
    from google.cloud import dataflow_v1beta3
    from google.protobuf import json_format

    spec = json_format.ParseDict(template_spec(IMAGE), dataflow_v1beta3.ContainerSpec.pb()())
    assert spec.image == IMAGE
    assert len(spec.metadata.parameters) == len(template_metadata()["parameters"])


def test_the_verb_prints_the_metadata_or_the_whole_template(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["template"]) == 0
    assert json.loads(capsys.readouterr().out) == template_metadata()
    assert main(["template", f"--image={IMAGE}"]) == 0
    assert json.loads(capsys.readouterr().out) == template_spec(IMAGE)


def test_a_launch_without_a_launcher_is_refused() -> None:
    with pytest.raises(ConfigError, match="use kalm curate"):
        launch([*OURS[1:], *FLAGS])


@pytest.mark.slow
def test_the_images_launcher_says_what_is_wrong_and_fails() -> None:
    script = Path(__file__).parents[3] / "deploy" / "image" / "launch.py"
    command = [
        sys.executable,
        str(script),
        "--runner=DataflowRunner",
        "--out=here",
        "--template_location=gs://bucket/t",
    ]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(script.parents[2])}, capture_output=True, text=True, check=False
    )
    assert done.returncode == ConfigError.exit_code
    assert "give --sdk_container_image" in done.stderr
