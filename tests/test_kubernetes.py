"""The manifests for Kubernetes: what they start fits together, and fits what is run and measured on one machine.

KALM_FLINK_CRD names the file of the Flink Kubernetes Operator's definition of FlinkDeployment
(``helm/flink-kubernetes-operator/crds/flinkdeployments.flink.apache.org-v1.yml`` of its repository), by which the
manifests are checked too where it is given.
"""

import copy
import os
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

from pipelines.engines.flink_config import cluster_settings
from pipelines.engines.flink_install import FLINK_LINE, JOB_SERVER_VERSION
from pipelines.engines.flink_params import FlinkParams
from pipelines.engines.home import EnginesHome
from pipelines.options import parse
from pipelines.runners import flags_of

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"
POOLS = ("cpu", "gpu")
_CRD = "KALM_FLINK_CRD"

Document = dict[str, Any]


def documents(name: str) -> list[Document]:
    return list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text("utf-8")))


def document(name: str, kind: str) -> Document:
    (found,) = (document for document in documents(name) if document["kind"] == kind)
    return found


def container(pod: Document, name: str) -> Document:
    """A container of a pod template by name."""
    (found,) = (container for container in pod["spec"]["containers"] if container["name"] == name)
    return dict(found)


def pool_of(name: str) -> Document:
    """The worker pool beside the TaskManagers of a cluster."""
    return container(document(name, "FlinkDeployment")["spec"]["taskManager"]["podTemplate"], "worker-pool")


def commands() -> list[list[str]]:
    """The command lines of ``kalm`` that the Job runs, in order."""
    job = document("curate", "Job")["spec"]["template"]
    curate = container(job, "curate")
    script = curate["args"][0]
    for variable in curate["env"]:
        script = script.replace(f'"${variable["name"]}"', variable["value"])
    common = shlex.split(re.findall(r'kalm curate (.+) "\$@"', script)[0])
    return [[*common, *shlex.split(line)] for line in re.findall(r"^curate (--.+)$", script, re.MULTILINE)]


@pytest.mark.parametrize("name", POOLS)
def test_every_taskmanager_has_a_pool_of_the_image_beside_it_that_is_not_root(name: str) -> None:
    spec, pool = document(name, "FlinkDeployment")["spec"], pool_of(name)
    assert pool["image"] == f"kalm-curation:{name}"
    assert pool["args"] == ["--worker_pool"]
    assert pool["securityContext"]["runAsNonRoot"]
    assert pool["securityContext"]["runAsUser"] == 1000  # as the Dockerfile has it
    assert "USER 1000" in (FOLDER.parents[1] / "Dockerfile").read_text("utf-8")
    assert {c["name"] for c in spec["podTemplate"]["spec"]["containers"]} == {"flink-main-container"}


def test_only_the_pool_for_models_is_given_gpus_one_for_each_taskmanager() -> None:
    assert "nvidia.com/gpu" not in pool_of("cpu")["resources"]["limits"]
    assert pool_of("gpu")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert document("gpu", "FlinkDeployment")["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] == "1"


def test_the_clusters_differ_in_their_sizes_and_names_alone() -> None:
    alike = []
    for name in POOLS:
        found = copy.deepcopy(documents(name))
        spec = found[0]["spec"]
        del spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"]
        del spec["taskManager"]["replicas"], spec["taskManager"]["resource"]
        for sidecar in spec["taskManager"]["podTemplate"]["spec"]["containers"]:
            sidecar.pop("resources", None)
        alike.append(yaml.safe_dump(found).replace(f"kalm-{name}", "kalm-NAME").replace(f":{name}", ":NAME"))
    assert alike[0] == alike[1]


@pytest.mark.parametrize("name", POOLS)
def test_a_cluster_is_configured_as_the_local_one_that_the_tests_run_on(name: str, tmp_path: Path) -> None:
    given = document(name, "FlinkDeployment")["spec"]["flinkConfiguration"]
    local = cluster_settings(FlinkParams(), EnginesHome(tmp_path))
    shared = set(given) & set(local) - {"taskmanager.numberOfTaskSlots"}
    assert len(shared) >= 6
    assert {key: given[key] for key in shared} == {key: local[key] for key in shared}


@pytest.mark.parametrize("name", POOLS)
def test_flink_and_job_server_are_of_the_versions_that_the_tests_run(name: str) -> None:
    spec = document(name, "FlinkDeployment")["spec"]
    assert spec["flinkVersion"] == f"v{FLINK_LINE.replace('.', '_')}"
    assert spec["image"].startswith(f"flink:{FLINK_LINE}-")
    server = container(document(name, "Deployment")["spec"]["template"], "job-server")
    assert server["image"] == f"apache/beam_flink{FLINK_LINE}_job_server:{JOB_SERVER_VERSION}"
    assert f"--flink-master={document(name, 'FlinkDeployment')['metadata']['name']}-rest:8081" in server["args"]


def test_whatever_is_shared_is_one_volume_at_one_place() -> None:
    claim = document("common", "PersistentVolumeClaim")["metadata"]["name"]
    mounts, claims = [], []
    for text in (document for name in (*POOLS, "curate") for document in documents(name)):
        mounts += _values(text, "volumeMounts")
        claims += [volume["claimName"] for volume in _values(text, "persistentVolumeClaim")]
    assert set(claims) == {claim}
    assert len(mounts) == 7
    assert all(mount == [{"name": "shared", "mountPath": "/shared"}] for mount in mounts)


def _values(value: Any, key: str) -> list[Any]:
    """All that stands under a key, however deep."""
    if isinstance(value, list):
        return [found for item in value for found in _values(item, key)]
    if not isinstance(value, dict):
        return []
    here = [value[key]] if key in value else []
    return here + [found for item in value.values() for found in _values(item, key)]


def test_the_job_prepares_embeds_with_gpus_and_goes_on_without() -> None:
    parsed = [parse(words) for words in commands()]
    assert [command.until for command in parsed] == ["prepare", "embed", None]
    assert len({(command.config.out, command.config.category, command.config.source) for command in parsed}) == 1
    pools = []
    for command in parsed:
        options = PipelineOptions(flags_of(command)).view_as(PortableOptions)
        assert options.view_as(StandardOptions).runner == "PortableRunner"
        assert options.environment_type == "EXTERNAL"
        host, _, port = options.job_endpoint.partition(":")
        name = host.split("-")[1]
        pools.append(name)
        services = document(name, "Service")
        assert services["metadata"]["name"] == host
        assert {item["port"] for item in services["spec"]["ports"]} == {int(port), 8098}
        assert options.artifact_endpoint == f"{host}:8098"
        assert options.environment_config == f"localhost:{pool_of(name)['ports'][0]['containerPort']}"
    assert pools == ["cpu", "gpu", "cpu"]


def test_no_job_asks_for_more_slots_than_its_cluster_has() -> None:
    for command in map(parse, commands()):
        flags = dict(flag.removeprefix("--").split("=", 1) for flag in command.beam_flags)
        spec = document(flags["job_endpoint"].split("-")[1], "FlinkDeployment")["spec"]
        slots = int(spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"]) * spec["taskManager"]["replicas"]
        assert int(flags["parallelism"]) == slots


def _strict(schema: Any) -> Any:
    """A schema that takes no field that it does not name: Kubernetes itself drops those without a word."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and "type" in schema
    if named and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def spec_schema() -> Document:
    """The operator's own schema of a deployment's ``spec``."""
    if not os.environ.get(_CRD):
        pytest.skip(f"needs the operator's definition of FlinkDeployment, a file that {_CRD} names")
    definition = yaml.safe_load(Path(os.environ[_CRD]).read_text("utf-8"))
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return dict(_strict(schema))


@pytest.mark.parametrize("name", POOLS)
def test_the_operators_own_schema_takes_a_cluster(name: str) -> None:
    schema, spec = spec_schema(), document(name, "FlinkDeployment")["spec"]
    jsonschema.validate(spec, schema)
    wrong = copy.deepcopy(spec)
    wrong["taskManager"]["podTemplate"]["spec"]["containers"][1]["argz"] = ["--worker_pool"]
    with pytest.raises(jsonschema.ValidationError, match="argz"):
        jsonschema.validate(wrong, schema)
