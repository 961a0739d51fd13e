"""The options without a cluster, and (marker ``flink``) real jobs on a real one."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

from pipelines.engines import flink
from pipelines.engines import flink_cluster as cluster
from pipelines.engines.errors import CheckFailedError, EngineError, MissingToolError, PortInUseError
from pipelines.engines.flink_params import FlinkParams, FlinkPorts
from pipelines.engines.home import HOME_VARIABLE, engines_home
from pipelines.engines.ports import wait_until
from pipelines.engines.processes import is_alive
from schemas.errors import find_message
from tests.flink_fixture import ANY_PORTS
from tests.pipelines.engines.jobs import BROKEN, run_digest_job, run_failing_job

DIRECT = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"]


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "engines"))
    return tmp_path / "engines"


def test_local_options_are_understood_by_beam() -> None:
    options = PipelineOptions(flink.local_options(FlinkParams(ports=FlinkPorts(job=1234, pool=4321))))
    portable = options.view_as(PortableOptions)
    assert options.view_as(StandardOptions).runner == "PortableRunner"
    assert portable.job_endpoint == "localhost:1234"
    assert (portable.environment_type, portable.environment_config) == ("EXTERNAL", "localhost:4321")


def test_parallelism_beyond_the_slots_is_refused() -> None:
    params = FlinkParams(num_taskmanagers=2, slots=2)
    assert "--parallelism=4" in flink.local_options(params, 4)
    with pytest.raises(EngineError, match="5 needs as many slots, but the local cluster has 4"):
        flink.local_options(params, 5)


def test_options_without_a_cluster_name_the_remedy(empty_home: Path) -> None:
    with pytest.raises(EngineError, match="make flink-up"):
        flink.flink_options()
    with pytest.raises(EngineError, match="make flink-up"):
        flink.start_taskmanager(0)
    with pytest.raises(EngineError, match="TaskManager 1 is not alive"):
        flink.kill_taskmanager(1)


def test_status_and_down_without_a_cluster(empty_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert flink.main(["status"]) == 1
    assert f"No Flink cluster is up in {empty_home}" in capsys.readouterr().out
    assert flink.main(["down"]) == 0
    assert "Stopped 0 processes" in capsys.readouterr().out


def test_up_without_java_says_what_to_install(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(empty_home))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert flink.main(["up"]) == MissingToolError.exit_code
    assert "no `java` on PATH. Install a Java 17 runtime" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ["--rest-port=70000"],
        ["--rest-port=8099"],
        ["--parallelism=9"],
        ["--taskmanagers=0"],
        ["--slots=-3"],
        ["--memory=much"],
        ["--memory=700m"],
        ["--memory=900000000m"],
    ],
)
def test_up_refuses_parameters_that_cannot_work(
    empty_home: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flink.main(["up", *flags]) == EngineError.exit_code
    assert flags[0].split("=")[1].removesuffix("m") in capsys.readouterr().err


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digests that Beam's in-process runner computes."""
    return run_digest_job(DIRECT, tmp_path_factory.mktemp("direct") / "digests")


@pytest.mark.flink
def test_digests_equal_the_direct_runners(flink_cluster: FlinkParams, expected: str, tmp_path: Path) -> None:
    assert run_digest_job(flink.flink_options(), tmp_path / "digests") == expected


@pytest.mark.flink
def test_a_cluster_named_by_its_address_gives_the_same_digests(
    flink_cluster: FlinkParams, expected: str, tmp_path: Path
) -> None:
    """As a user's own would be: a job server is found on this machine, workers come from where the flags say."""
    ports = flink_cluster.ports
    given = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{ports.pool}"]
    flags = flink.master_options(f"localhost:{ports.rest}", given, parallelism=2)
    assert run_digest_job([*flags, *given], tmp_path / "digests") == expected


@pytest.mark.flink
def test_digests_survive_a_killed_taskmanager(flink_cluster: FlinkParams, expected: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    with ThreadPoolExecutor(1) as thread:
        digests = thread.submit(run_digest_job, flink.flink_options(), tmp_path / "digests", gate=gate)
        try:
            wait_for(gate / "waiting")
            killed = flink.kill_taskmanager(0)
            assert 0 not in flink.taskmanager_pids()
            assert flink.start_taskmanager(0) != killed
        finally:
            (gate / "go").touch()
        assert digests.result(timeout=300) == expected
    assert sorted(flink.taskmanager_pids()) == [0, 1]
    assert num_failures(flink_cluster) >= 1


@pytest.mark.flink
def test_digests_survive_a_killed_worker(flink_cluster: FlinkParams, expected: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    with ThreadPoolExecutor(1) as thread:
        digests = thread.submit(run_digest_job, flink.flink_options(), tmp_path / "digests", gate=gate)
        try:
            wait_for(gate / "waiting")
            psutil.Process(int((gate / "waiting").read_text())).kill()
        finally:
            (gate / "go").touch()
        assert digests.result(timeout=300) == expected
    assert num_failures(flink_cluster) >= 1


@pytest.mark.flink
def test_a_workers_error_arrives_in_its_own_words(flink_cluster: FlinkParams) -> None:
    with pytest.raises(RuntimeError) as caught:
        run_failing_job(flink.flink_options())
    message, code = find_message(str(caught.value)) or ("", 0)
    assert message.startswith(BROKEN)
    assert code == 4


def wait_for(path: Path, limit_s: float = 180) -> None:
    deadline = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def num_failures(params: FlinkParams) -> int:
    """How often the job that was submitted last failed and was started again."""
    jobs = cluster.rest_get(params, "/jobs/overview")["jobs"]
    latest = max(jobs, key=lambda job: job["start-time"])["jid"]
    return len(cluster.rest_get(params, f"/jobs/{latest}/exceptions")["exceptionHistory"]["entries"])


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second engines folder that shares the downloads of the first; what runs in it is stopped at the end."""
    dist = engines_home().dist
    home = tmp_path / "engines"
    home.mkdir()
    (home / "dist").symlink_to(dist)
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    yield home
    flink.down()


@pytest.mark.flink
def test_the_life_of_a_cluster(flink_cluster: FlinkParams, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = FlinkParams.of_size(ports=ANY_PORTS, num_taskmanagers=1, slots=1, memory=1600)
    params = cluster.start_cluster(small, engines_home())
    (shown,) = cluster.rest_get(params, "/taskmanagers")["taskmanagers"]
    assert (shown["slotsNumber"], shown["totalResource"]["managedMemory"]) == (1, 256)
    assert shown["memoryConfiguration"]["totalProcessMemory"] == 1600 << 20
    pids = cluster.running_pids(engines_home())
    assert flink.main(["status"]) == 0
    with pytest.raises(EngineError, match="other settings runs"):
        flink.up(FlinkParams(ports=FlinkPorts(rest=1)))

    pool = psutil.Process(pids["worker-pool"])
    pool.kill()
    pool.wait(timeout=10)
    assert flink.main(["status"]) == 1
    monkeypatch.setattr(flink, "_CHECK_LIMIT_S", 15)
    with pytest.raises(CheckFailedError, match="did not end within 15 s"):
        flink.check(params, engines_home())
    # A job that was given up gives the only slot back.
    assert wait_until(lambda: not cluster.running_jobs(params), timeout_s=60)
    monkeypatch.undo()
    monkeypatch.setenv(HOME_VARIABLE, str(own_home))

    assert flink.up(params) == params
    again = cluster.running_pids(engines_home())
    assert {name for name in pids if pids[name] != again[name]} == {"worker-pool"}
    family = [psutil.Process(pid) for pid in again.values()]
    family += [child for process in family for child in process.children(recursive=True)]
    assert flink.main(["down"]) == 0
    assert [process for process in family if is_alive(process)] == []
    assert flink.running() is None


@pytest.mark.flink
def test_a_taken_port_is_reported(flink_cluster: FlinkParams, own_home: Path) -> None:
    ports = FlinkPorts(rest=flink_cluster.ports.rest, rpc=0, job=0, artifact=0, expansion=0, pool=0)
    with pytest.raises(PortInUseError, match=rf"{ports.rest} \(rest\).*--rest-port") as caught:
        flink.up(FlinkParams(ports=ports))
    assert caught.value.exit_code == 12
    assert cluster.running_pids(engines_home()) == {}
