"""Publishing to the hub, against a server that speaks its upload: what arrives, what is sent again, what is refused."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from datasets import load_dataset

from pipelines.publish import read_manifest, write_manifest
from pipelines.reports.documents import write_documents
from tests.hub_uploads import TOKEN, UploadServer, upload_server
from tests.trainer import curated

ROOT = Path(__file__).parents[3]
REPO = "me/data"


@pytest.fixture
def hub() -> Iterator[UploadServer]:
    with upload_server() as server:
        yield server


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three datasets with all documents, and files that no manifest names."""
    folder = tmp_path / "out"
    folder.mkdir()
    rows = {name: [curated.row(f"{name} {n}", 3) for n in range(20)] for name in ("moons", "rivers", "stones")}
    curated.curate(folder, rows)
    _documented(folder)
    (folder / ".work").mkdir()
    (folder / ".work" / "secret").write_text("never")
    (folder / "notes.txt").write_text("mine")
    return folder


def _documented(folder: Path) -> None:
    manifest = read_manifest(str(folder))
    assert manifest is not None
    write_manifest(str(folder), manifest.model_copy(update={"documents": write_documents(str(folder), manifest)}))


def _publish(
    out: Path, hub: UploadServer, *words: str, environment: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command as a person gives it, in a process of its own: the library reads its settings when it is imported."""
    values: dict[str, str | None] = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(out.parent / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    wanted = {**os.environ, **values, **(environment or {})}
    return subprocess.run(
        [sys.executable, "-m", "pipelines", "publish", str(out), *words],
        cwd=ROOT,
        env={key: value for key, value in wanted.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


def _named(out: Path) -> dict[str, bytes]:
    """Every file that is to arrive, by its path."""
    manifest = read_manifest(str(out))
    assert manifest is not None
    shards = [shard.path for record in manifest.datasets for shard in record.shards]
    paths = [*shards, *(document.path for document in manifest.documents), "manifest.json"]
    return {path: (out / path).read_bytes() for path in paths}


def test_what_the_manifest_names_arrives_in_one_commit_and_is_sent_once(out: Path, hub: UploadServer) -> None:
    run = _publish(out, hub, f"--repo={REPO}")
    assert run.returncode == 0, run.stderr
    wanted = _named(out)
    assert {"README.md", "report.html", "manifest.json"} < wanted.keys()
    assert hub.files(REPO) == wanted | {".gitattributes": b"*.parquet filter=lfs\n"}
    assert len(hub.commits) == 1
    assert f"{REPO}: {len(wanted)} files sent, 0 were there, 0 removed" in run.stdout
    again = _publish(out, hub, f"--repo={REPO}")
    assert again.returncode == 0, again.stderr
    assert f"{REPO} holds all {len(wanted)} files already; nothing was sent" in again.stdout
    assert len(hub.commits) == 1
    assert len(hub.put) == len(set(hub.put))


def test_an_upload_that_was_cut_off_goes_on_and_readers_see_nothing_of_it(out: Path, hub: UploadServer) -> None:
    hub.failing = 2
    run = _publish(out, hub, f"--repo={REPO}")
    assert (run.returncode, "Traceback" in run.stderr) == (5, False)
    assert "Nothing that readers see has changed" in run.stderr
    assert hub.commits == []
    assert set(hub.files(REPO)) == {".gitattributes"}
    assert len(hub.put) == 2
    hub.failing = None
    run = _publish(out, hub, f"--repo={REPO}")
    assert run.returncode == 0, run.stderr
    assert len(hub.put) == len(set(hub.put)), "what was sent before the failure is not sent again"
    assert _named(out).items() <= hub.files(REPO).items()


def test_what_a_run_no_longer_names_is_removed_and_other_files_stay(out: Path, hub: UploadServer) -> None:
    assert _publish(out, hub, f"--repo={REPO}").returncode == 0
    stale, mine = "finetune/retrieval/moons/part-00001-of-00002.parquet", "notes/mine.parquet"
    hub.datasets[REPO].commit(hub.files(REPO) | {stale: b"old", mine: b"mine"})
    run = _publish(out, hub, f"--repo={REPO}")
    assert "0 files sent" in run.stdout
    assert "1 removed" in run.stdout
    assert stale not in hub.files(REPO)
    assert hub.files(REPO)[mine] == b"mine"


def test_a_branch_and_a_private_repository(out: Path, hub: UploadServer) -> None:
    assert _publish(out, hub, f"--repo={REPO}", "--private", "--revision=v2").returncode == 0
    assert hub.datasets[REPO].token == TOKEN
    assert set(hub.files(REPO)) == {".gitattributes"}
    assert _named(out).items() <= hub.files(REPO, "v2").items()


def test_what_arrived_opens_as_the_card_says(
    out: Path, hub: UploadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _publish(out, hub, f"--repo={REPO}").returncode == 0
    folder = tmp_path / "clone"
    for path, data in hub.files(REPO).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    assert load_dataset(str(folder), "moons", split="train", cache_dir=str(tmp_path / "cache")).num_rows == 20


@pytest.mark.parametrize(
    ("environment", "words", "code", "said"),
    [
        ({"HF_TOKEN": None}, [f"--repo={REPO}"], 2, "there is no token"),
        ({"HF_TOKEN": "hf_wrong"}, [f"--repo={REPO}"], 2, "the token is not valid"),
        ({}, ["--repo=somebody/data"], 2, "the token has no right to write there"),
        ({}, ["--repo=a/b/c"], 2, "give user/name"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, [f"--repo={REPO}"], 5, "the same command goes on"),
    ],
)
def test_refusals_say_what_to_do(
    out: Path, hub: UploadServer, environment: dict[str, str | None], words: list[str], code: int, said: str
) -> None:
    run = _publish(out, hub, *words, environment=environment)
    assert (run.returncode, "Traceback" in run.stderr) == (code, False), run.stderr
    assert said in run.stderr
    assert TOKEN not in run.stderr + run.stdout
    assert hub.commits == []


def test_damage_is_found_before_anything_is_sent(out: Path, hub: UploadServer) -> None:
    shard = next((out / "finetune").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    run = _publish(out, hub, f"--repo={REPO}")
    assert run.returncode == 9
    assert "nothing was sent" in run.stderr
    assert hub.datasets == {}
