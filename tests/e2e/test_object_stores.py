"""Whole runs with source, OUT and work folder in object stores: the bytes of a run on this machine."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.curate_command import main
from pipelines.verify import verify
from schemas.manifest import Manifest
from tests.e2e.running import SAMPLE, curate, flags, manifest_of, shard_digests, start
from tests.fault_proxy import CUT, LOST, Fault
from tests.stores import NAMES, Store, copy_in, running_store

pytestmark = pytest.mark.slow

#: Triplets, and a corpus with judgments.
CATEGORY = "nli-zh,scifact"


@pytest.fixture(scope="module", params=NAMES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with running_store(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """OUT of the same run on this machine."""
    out = tmp_path_factory.mktemp("here") / "out"
    curate(out, teacher, CATEGORY)
    return out


def _there(store: Store, folder: str) -> tuple[Manifest, dict[str, str]]:
    """The manifest and the digests of all shards below a folder of the bucket, whatever the manifest says."""
    files = store.files(folder)
    shards = {path: data for path, data in files.items() if path.partition("/")[0] in ("pretrain", "finetune")}
    manifest = Manifest.model_validate(json.loads(files["manifest.json"]))
    return manifest, {path: hashlib.sha256(data).hexdigest() for path, data in shards.items()}


def _source(store: Store, here: Path) -> str:
    """The sample's files of the two datasets, in the bucket."""
    for record in manifest_of(here).datasets:
        path = f"datasets/{record.source.partition('/datasets/')[2]}"
        copy_in(store, SAMPLE / path, f"mirror/{path}")
    return store.place("mirror")


def _arguments(store: Store, folder: str, teacher: Path, source: str) -> list[str]:
    category = flags(Path("unused"), teacher, CATEGORY, source=source, evaluation=SAMPLE / "eval")
    return [*(flag for flag in category if not flag.startswith("--out=")), f"--out={store.place(folder)}", "--quiet"]


def test_a_run_in_a_store_that_fails_gives_the_bytes_of_a_local_one(store: Store, teacher: Path, here: Path) -> None:
    arguments = _arguments(store, "failing", teacher, _source(store, here))
    store.proxy.faults = [Fault(kind, every=23 + 2 * n) for n, kind in enumerate((500, 503, 429))]
    store.proxy.faults += [Fault(CUT, methods="GET", every=29), Fault(LOST, methods="PUT", every=31)]
    assert main(arguments) == 0
    store.proxy.faults = []
    met = dict(store.proxy.met)
    assert all(met.get(kind, 0) > 0 for kind in (500, 503, 429, CUT)), met
    manifest, digests = _there(store, "failing")
    assert digests == shard_digests(here)
    assert {r.name: r.stages for r in manifest.datasets} == {r.name: r.stages for r in manifest_of(here).datasets}
    assert verify(store.place("failing")) == []
    assert main(arguments) == 0, "a second run finds everything there"


def test_several_processes_see_what_each_other_wrote(store: Store, teacher: Path, here: Path) -> None:
    arguments = _arguments(store, "processes", teacher, "sample")
    run = start([*arguments, "--workers=2"])
    _, errors = run.communicate(timeout=600)
    assert run.returncode == 0, errors
    assert _there(store, "processes")[1] == shard_digests(here)
