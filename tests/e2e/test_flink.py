"""The same stages on a real Flink cluster: the same bytes at any parallelism, also when a TaskManager is killed in any
stage or the JobManager, and at a million rows; the same decisions on near-duplicates where components are found in
rounds.

Runs that take minutes more are made by ``make test-flink-kills``.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import runners
from pipelines.curate import plan, run_stage
from pipelines.curate_command import main
from pipelines.display import Display
from pipelines.engines import flink
from pipelines.engines import flink_cluster as cluster
from pipelines.engines.errors import EngineError
from pipelines.engines.flink_params import FlinkParams
from pipelines.engines.home import engines_home
from pipelines.jobs import prepare_job
from pipelines.options import parse
from pipelines.publish import read_manifest
from pipelines.workplace import Workplace
from schemas.manifest import Manifest
from tests.e2e.generated import SLUG, num_repeats, write_source, write_unreadable
from tests.e2e.languages import MIXED, write_languages
from tests.e2e.teacher import forget_unknown_letters, save_table_teacher, save_tiny_teacher
from tests.flink_fixture import flink_cluster
from transforms.flow.progress import totals

__all__ = ["flink_cluster"]
pytestmark = [pytest.mark.flink, pytest.mark.slow]
#: Runs that CI leaves out.
by_name = pytest.mark.skipif(not os.environ.get("KALM_FLINK_KILLS"), reason="takes minutes: make test-flink-kills")
CATEGORY = "trecqa,scifact,banking77,webgpt-comparisons"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny teacher, whose vectors cost next to nothing; its tokenizer raises on letters that are not ASCII's."""
    folder = save_tiny_teacher(tmp_path_factory.mktemp("teacher"))
    forget_unknown_letters(folder)
    return str(folder)


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


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """What the steps of each job counted, in the order of the jobs."""
    found: list[dict[str, int]] = []
    run = runners.run_pipeline

    def recorded(*arguments: Any, **options: Any) -> dict[str, int]:
        found.append(run(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(runners, "run_pipeline", recorded)
    return found


@pytest.mark.parametrize(
    "flags",
    [["--workers=4"], pytest.param(["--parallelism=1"], marks=by_name), pytest.param(["--workers=2"], marks=by_name)],
    ids=["4", "1", "2"],
)
def test_flink_gives_the_bytes_of_the_direct_runner(
    tmp_path: Path,
    teacher: str,
    direct: Manifest,
    flags: list[str],
    flink_cluster: FlinkParams,
    counters: list[dict[str, int]],
) -> None:
    manifest = curated(tmp_path, teacher, f"--category={CATEGORY}", "--runner=flink", *flags)
    assert digests(manifest) == digests(direct)
    assert [r.stages for r in manifest.datasets] == [r.stages for r in direct.datasets]
    # One teacher for the worker process of each TaskManager, however many slots it has; each pool is indexed once.
    prepared, embedded, mined, _ = counters
    assert 1 <= embedded["teachers"] <= flink_cluster.num_taskmanagers
    assert mined["indexes"] == len(CATEGORY.split(","))
    assert prepared["read"] == sum(record.stages["prepare"].read for record in manifest.datasets)
    jobs = cluster.rest_get(flink_cluster, "/jobs/overview")["jobs"]
    names = [job["name"] for job in sorted(jobs, key=lambda job: job["start-time"])][-4:]
    assert [name.split("-")[:4] for name in names] == [
        ["kalm", stage, "4", "datasets"] for stage in ("prepare", "embed", "mine", "pack")
    ]


def test_teachers_by_language_give_the_bytes_of_the_direct_runner(
    tmp_path: Path, flink_cluster: FlinkParams, counters: list[dict[str, int]]
) -> None:
    """Rows that the direct runner prepared are embedded and mined by Flink."""
    one, rest = (str(save_table_teacher(tmp_path / str(dims), dims, seed=dims)) for dims in (16, 8))
    flags = [*write_languages(tmp_path), f"--category={MIXED}", f"--set=teacher.zh={one}"]
    direct = curated(tmp_path / "direct", rest, *flags)
    shutil.copytree(tmp_path / "direct" / ".work", tmp_path / "flink" / ".work")
    for made in ("embed-*", "mine-*", "pack-*", "store"):
        shutil.rmtree(next((tmp_path / "flink" / ".work").glob(made)))
    counters.clear()
    command = [*flags, f"--teacher={rest}", f"--out={tmp_path / 'flink'}", "-q"]
    assert main([*command, "--runner=flink", "--workers=1", "--until=mine"]) == 0
    embedded, mined = counters
    assert 2 <= embedded["teachers"] <= 2 * flink_cluster.num_taskmanagers
    assert mined["indexes"] == 2
    assert main(command) == 0
    assert len(counters) == 3, "what Flink made was taken over"
    manifest = read_manifest(str(tmp_path / "flink"))
    assert manifest is not None
    assert manifest.datasets == direct.datasets
    assert manifest.teachers == direct.teachers
    assert digests(manifest)


@pytest.fixture
def both_taskmanagers(flink_cluster: FlinkParams) -> Iterator[FlinkParams]:
    """A cluster whose TaskManager 1 is alive before and after the test."""
    yield flink_cluster
    if 1 not in flink.taskmanager_pids():
        flink.start_taskmanager(1)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags to curate 2,000 generated rows, two of which hold a text that the teacher's tokenizer refuses."""
    return write_unreadable(tmp_path_factory.mktemp("generated"), 2000)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, teacher: str, generated: list[str]) -> Manifest:
    """What the direct runner makes of them."""
    manifest = curated(tmp_path_factory.mktemp("undisturbed"), teacher, *generated)
    assert manifest.dataset(SLUG).stages["mine"].rejected["UNREADABLE_TEXT"] == 2
    return manifest


@pytest.mark.parametrize(
    "stage", ["prepare", *(pytest.param(stage, marks=by_name) for stage in ("embed", "mine", "pack"))]
)
def test_a_killed_taskmanager_changes_nothing(
    tmp_path: Path,
    teacher: str,
    generated: list[str],
    undisturbed: Manifest,
    stage: str,
    both_taskmanagers: FlinkParams,
) -> None:
    def kill() -> None:
        flink.kill_taskmanager(1)
        flink.start_taskmanager(1)

    with when_reading(tmp_path, stage, kill) as killed:
        disturbed = curated(tmp_path, teacher, *generated, "--runner=flink")
    assert killed.is_set(), f"{stage} read nothing"
    assert restarts(both_taskmanagers, stage) > 0, f"{stage} was over when it lost its TaskManager"
    assert digests(disturbed) == digests(undisturbed)
    assert [r.stages for r in disturbed.datasets] == [r.stages for r in undisturbed.datasets]


@contextmanager
def when_reading(out: Path, stage: str, action: Callable[[], object]) -> Iterator[threading.Event]:
    """Meanwhile do something once a stage has read rows; gives what is set when that is done."""
    done, ended = threading.Event(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            folders = list((out / ".work").glob(f"{stage}-*/progress"))
            if folders and totals(str(folders[0]))["read"] > 0:
                action()
                done.set()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield done
    finally:
        ended.set()
        watcher.join(timeout=60)


def restarts(params: FlinkParams, stage: str) -> int:
    """How often the last job of a stage failed and was started again."""
    jobs = [
        job for job in cluster.rest_get(params, "/jobs/overview")["jobs"] if job["name"].startswith(f"kalm-{stage}-")
    ]
    latest = max(jobs, key=lambda job: job["start-time"])["jid"]
    return len(cluster.rest_get(params, f"/jobs/{latest}/exceptions")["exceptionHistory"]["entries"])


@by_name
@pytest.mark.usefixtures("flink_cluster")
def test_a_killed_jobmanager_is_told_and_a_second_start_resumes(
    tmp_path: Path,
    teacher: str,
    generated: list[str],
    undisturbed: Manifest,
    capsys: pytest.CaptureFixture[str],
    counters: list[dict[str, int]],
) -> None:
    def kill() -> None:
        jobmanager = psutil.Process(cluster.running_pids(engines_home())["jobmanager"])
        jobmanager.kill()
        jobmanager.wait(timeout=10)

    command = [f"--out={tmp_path}", f"--teacher={teacher}", "-q", *generated, "--runner=flink"]
    with when_reading(tmp_path, "embed", kill) as killed:
        assert main(command) == EngineError.exit_code
    assert killed.is_set()
    said = capsys.readouterr().err
    assert "The Flink cluster was lost while a job ran: of the one that was started jobmanager ended" in said
    assert main(command) == EngineError.exit_code
    assert "No Flink cluster is up" in capsys.readouterr().err
    flink.up()
    assert main(command) == 0
    assert len(counters) == 4, "prepare was made once, and the others when there was a cluster again"
    manifest = read_manifest(str(tmp_path))
    assert manifest is not None
    assert digests(manifest) == digests(undisturbed)


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
