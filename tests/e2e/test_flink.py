"""The same stages on a real Flink cluster: the same bytes, also when a TaskManager is killed, and at a million rows;
the same decisions on near-duplicates where components are found in rounds.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curate import plan, run_stage
from pipelines.curate_command import main
from pipelines.display import Display
from pipelines.engines import flink
from pipelines.engines.flink_params import FlinkParams
from pipelines.jobs import prepare_job
from pipelines.options import parse
from pipelines.publish import read_manifest
from pipelines.workplace import Workplace
from schemas.manifest import Manifest
from tests.e2e.generated import SLUG, num_repeats, write_source
from tests.e2e.teacher import save_tiny_teacher
from tests.flink_fixture import flink_cluster
from transforms.flow.progress import totals

__all__ = ["flink_cluster"]
pytestmark = [pytest.mark.flink, pytest.mark.slow]
CATEGORY = "trecqa,scifact,banking77,webgpt-comparisons"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny teacher, whose vectors cost next to nothing."""
    return str(save_tiny_teacher(tmp_path_factory.mktemp("teacher")))


def curated(out: Path, teacher: str, *flags: str) -> Manifest:
    """Curate into ``out`` in this process and give its manifest."""
    assert main([f"--out={out}", f"--teacher={teacher}", "-q", *flags]) == 0
    manifest = read_manifest(str(out))
    assert manifest is not None
    return manifest


def digests(manifest: Manifest) -> dict[str, str]:
    """sha256 of every shard."""
    return {shard.path: shard.sha256 for record in manifest.datasets for shard in record.shards}


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory, teacher: str) -> Manifest:
    """What the direct runner makes of the same input."""
    return curated(tmp_path_factory.mktemp("direct"), teacher, f"--category={CATEGORY}")


@pytest.mark.usefixtures("flink_cluster")
def test_flink_gives_the_bytes_of_the_direct_runner(tmp_path: Path, teacher: str, direct: Manifest) -> None:
    manifest = curated(tmp_path, teacher, f"--category={CATEGORY}", "--runner=flink")
    assert digests(manifest) == digests(direct)
    assert [r.stages for r in manifest.datasets] == [r.stages for r in direct.datasets]


@pytest.fixture
def both_taskmanagers(flink_cluster: FlinkParams) -> Iterator[FlinkParams]:
    """A cluster whose TaskManager 1 is alive before and after the test."""
    yield flink_cluster
    if 1 not in flink.taskmanager_pids():
        flink.start_taskmanager(1)


@pytest.mark.usefixtures("both_taskmanagers")
def test_a_killed_taskmanager_changes_nothing(tmp_path: Path, teacher: str) -> None:
    source, catalog = write_source(tmp_path, 60_000)
    # The generated rows are words without sense, which a tiny teacher finds odd.
    flags = [f"--category={SLUG}", f"--source={source}", f"--catalog={catalog}", "--limit=2000", "--allow_alarms"]
    undisturbed = curated(tmp_path / "direct", teacher, *flags)
    killed = threading.Event()
    watcher = threading.Thread(target=_kill_when_reading, args=(tmp_path / "flink", killed), daemon=True)
    watcher.start()
    disturbed = curated(tmp_path / "flink", teacher, *flags, "--runner=flink")
    watcher.join(timeout=60)
    assert killed.is_set(), "no stage ran long enough to lose its TaskManager"
    assert digests(disturbed) == digests(undisturbed)
    assert [r.stages for r in disturbed.datasets] == [r.stages for r in undisturbed.datasets]


def _kill_when_reading(out: Path, killed: threading.Event) -> None:
    """Kill TaskManager 1 once prepare has read rows, and start another in its place."""
    for _ in range(1200):
        folders = list((out / ".work").glob("prepare-*/progress"))
        if folders and totals(str(folders[0]))["read"] > 0:
            flink.kill_taskmanager(1)
            killed.set()
            flink.start_taskmanager(1)
            return
        time.sleep(0.1)


@pytest.mark.usefixtures("flink_cluster")
def test_prepare_of_a_million_rows(tmp_path: Path) -> None:
    rows = 1_000_000
    source, catalog = write_source(tmp_path, rows)
    command = [sys.executable, "-m", "tests.e2e.prepare_only", str(tmp_path / "out"), str(source), str(catalog)]
    subprocess.run([*command, "--runner=flink"], check=True, timeout=1200)
    found = json.loads((tmp_path / "out" / "counts.json").read_text())[SLUG]
    expected = {"read": rows, "kept": rows - num_repeats(rows), "rejected": {"EXACT_DUPLICATE": num_repeats(rows)}}
    assert {key: found[key] for key in expected} == expected


def write_near_duplicates(root: Path) -> list[str]:
    """300 rows and three copies of every tenth, each with a word more, in four files; gives the flags to read them."""
    source, catalog = write_source(root, 300)
    (path,) = source.rglob("*.parquet")
    rows = pq.read_table(path)
    copies = [row | {"answer": row["answer"] + " Yes." * n} for row in rows.to_pylist()[::10] for n in (1, 2, 3)]
    every = pa.concat_tables([rows, pa.Table.from_pylist(copies, rows.schema)])
    path.unlink()
    for number in range(4):
        chosen = every.take(pa.array(range(number, every.num_rows, 4)))
        pq.write_table(chosen, path.with_name(f"train-0000{number}-of-00004.parquet"))
    return [f"--category={SLUG}", f"--source={source}", f"--catalog={catalog}", "--evaluation=none"]


def decisions(out: Path, components: str, *flags: str) -> list[tuple[str, ...]]:
    """Which row prepare removes (its provenance), why, how alike it is, and the row it keeps in its place."""
    command = parse([f"--out={out}", f"--set=near.components={components}", "-q", *flags])
    run, _ = plan(command, Workplace(command.config.out, None))
    job = prepare_job(run)
    run_stage(run, job, command, Display(quiet=True))
    names = ("provenance", "reason", "detail", "kept_id")
    paths = Path(job.folder.path, "rejections").rglob("*.parquet")
    return sorted(tuple(row[name] for name in names) for path in paths for row in pq.read_table(path).to_pylist())


@pytest.mark.usefixtures("flink_cluster")
def test_components_in_rounds_lead_to_the_decisions_of_the_direct_runner(tmp_path: Path) -> None:
    flags = write_near_duplicates(tmp_path)
    on_flink = decisions(tmp_path / "flink", "rounds", *flags, "--runner=flink")
    assert on_flink == decisions(tmp_path / "rounds", "rounds", *flags)
    assert on_flink == decisions(tmp_path / "one", "one_worker", *flags)
    assert [reason for _, reason, _, _ in on_flink].count("NEAR_DUPLICATE") == 90
