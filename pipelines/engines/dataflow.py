"""Google Cloud Dataflow: what a run there must be given, the flags that each of its jobs takes, and a Flex Template.

    kalm dataflow template [--image=IMAGE]

Each stage of a run is a Dataflow job of its own.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from pipelines.options import Command
from pipelines.verb_parser import verb_parser
from schemas.config import HUB, RunConfig
from schemas.errors import ConfigError

#: The file that a Flex Template's launcher has the job's description written to.
TEMPLATE_FLAG = "--template_location"
#: What must be given: Beam's flag, the variable of ``make dataflow`` that stands for it, and what it is.
_NEEDED = (
    ("--project", "PROJECT", "the Google Cloud project that pays for the run"),
    ("--region", "REGION", "where its workers stand, for example europe-west4; take the bucket's"),
    ("--temp_location", "BUCKET", "a folder gs://bucket/tmp for what Dataflow keeps while it runs"),
    ("--sdk_container_image", "IMAGE", "the worker image in a registry: `make image TARGET=dataflow`, then push it"),
)
#: One Python process a machine: it uses all cores by threads, and holds one teacher and one index.
_THREADS = 4
#: Range partitions of up to six million rows; of more rows there are more.
_FEWEST_RANGES = 128
#: The flags of every job, before the user's own, which win; ``docs/engines.md`` gives the reasons.
DEFAULTS: Mapping[str, str] = {
    "--runner": "DataflowRunner",
    "--sdk_location": "container",
    "--experiments": "no_use_multiple_sdk_containers",
    "--number_of_worker_harness_threads": str(_THREADS),
    "--machine_type": "n2-highmem-4",
    "--max_num_workers": str(_FEWEST_RANGES // _THREADS),
    "--disk_size_gb": "50",
}
#: The machines that a kind of GPU is to be had with.
_MACHINES: Mapping[str, str] = {
    "nvidia-l4": "g2-standard-8",
    "nvidia-tesla-t4": "n1-standard-8",
    "nvidia-tesla-a100": "a2-highgpu-1g",
}
_EXTRA = "apache_beam.runners.dataflow.internal.apiclient"


def dataflow_options() -> list[str]:
    """Beam's flags for a job on Dataflow, before the user's own: of ``--experiments`` all count, of others the last."""
    return [f"{name}={value}" for name, value in DEFAULTS.items()]


def check_dataflow(command: Command) -> None:
    """Refuse a run that Dataflow cannot start or finish, before anything is read. Raises ConfigError with all that is
    missing: project, region, bucket, image, places that workers reach, the extra ``gcp``; or names an unknown GPU.
    """
    accelerator_hint(command.accelerator)
    lacking = [*_lacking_flags(command.beam_flags), *_unreachable(command)]
    if lacking:
        raise ConfigError("--runner=dataflow cannot run this:\n" + "\n".join(f"  {line}" for line in lacking))
    _require_extra()


def _lacking_flags(flags: Sequence[str]) -> list[str]:
    given = {flag.partition("=")[0] for flag in flags}
    lacking = [needed for needed in _NEEDED if needed[0] not in given]
    return [f"give {flag} ({variable}=.. of make dataflow): {what}" for flag, variable, what in lacking]


def _unreachable(command: Command) -> list[str]:
    """Places that the workers, which are other machines, do not see."""
    config, launched = command.config, any(flag.startswith(TEMPLATE_FLAG) for flag in command.beam_flags)
    lines = [
        f"write to Cloud Storage: give OUT=gs://bucket/folder, not {place!r}"
        if name == "out"
        else f"keep --work in Cloud Storage too: gs://bucket/folder, not {place!r}"
        for name, place in (("out", config.out), ("work", config.work))
        if place is not None and not place.startswith("gs://")
    ]
    # The launcher of a template is the workers' own image, so that the bundled sample lies where they look for it.
    if config.source != HUB and "://" not in config.source and not launched:
        lines.append(f"read what workers can reach: SOURCE=hub or gs://bucket/folder, not {config.source!r}")
    return lines


def _require_extra() -> None:
    try:
        found = find_spec(_EXTRA) is not None and find_spec("google.cloud.dataflow_v1beta3") is not None
    except ModuleNotFoundError:
        found = False
    if not found or find_spec("gcsfs") is None:
        raise ConfigError(
            "--runner=dataflow needs Google's client libraries, which are not installed: pip install "
            "'kalm-curation[gcp]', or in a checkout .venv/bin/uv pip install -c constraints.txt -e '.[gcp]'"
        )


def accelerator_hint(accelerator: str | None) -> str | None:
    """The resource hint of steps that run a model, from a GPU's name or a hint of the user's own; None for no GPU.

    Raises ConfigError for a GPU whose machines are not known here.
    """
    if accelerator is None:
        return None
    if re.fullmatch(r"type:[^;]+;count:\d+(;.+)?", accelerator):
        return accelerator
    if accelerator not in _MACHINES:
        raise ConfigError(
            f"--accelerator={accelerator}: known GPUs are {', '.join(_MACHINES)}; any other is given as Dataflow's "
            "resource hint, type:NAME;count:1;machine_type:MACHINE;install-nvidia-driver"
        )
    return f"type:{accelerator};count:1;machine_type:{_MACHINES[accelerator]};install-nvidia-driver"


def template_metadata() -> dict[str, Any]:
    """What a Flex Template says of its parameters, which are the flags of ``kalm curate`` and what a job needs."""
    fields = [_parameter(name, str(f.description), needed=name == "out") for name, f in RunConfig.model_fields.items()]
    image = next(what for name, _, what in _NEEDED if name == "--sdk_container_image")
    rest = [
        _parameter("config", "preset of numbers (kalm, nv-retriever, strict, top)"),
        _parameter("accelerator", f"GPU of the machines that embed: {', '.join(_MACHINES)}; none if not given"),
        _parameter("allow_alarms", "true to go on although a dataset raised an alarm"),
        _parameter("sdk_container_image", image, needed=True),
    ]
    return {
        "name": "kalm-curation",
        "description": "Curates training data for text-embedding models. Each launch runs the first stage of prepare, "
        "embed, mine and pack that is not yet in OUT.",
        "streaming": False,
        "parameters": [*fields, *rest],
    }


def _parameter(name: str, text: str, *, needed: bool = False) -> dict[str, Any]:
    cloud = {"regexes": ["^gs://.+$"]} if name in ("out", "work") else {}
    return {"name": name, "label": name.replace("_", " "), "helpText": text, "isOptional": not needed, **cloud}


def template_spec(image: str) -> dict[str, Any]:
    """The file that makes a Flex Template of an image, once it lies in Cloud Storage."""
    return {"image": image, "metadata": template_metadata(), "sdkInfo": {"language": "PYTHON"}}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = verb_parser("dataflow", __doc__)
    parser.add_argument("command", choices=["template"], help="print a Flex Template's metadata")
    parser.add_argument("--image", help="print the whole template of this image (target dataflow) instead")
    args: argparse.Namespace = parser.parse_args(argv)
    value = template_spec(args.image) if args.image else template_metadata()
    json.dump(value, sys.stdout, indent=2)
    print()
    return 0
