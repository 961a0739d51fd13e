"""How much of a cluster a job takes: of the local one, of one that tells of itself, of one that does not."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipelines.engines import flink
from pipelines.engines.flink_params import FlinkParams
from pipelines.engines.flink_size import JobSize, asked_parallelism, job_size
from pipelines.options import parse


def size(out: Path, *flags: str) -> JobSize | None:
    return job_size(parse(["--runner=flink", f"--out={out}", *flags]))


@pytest.fixture
def master() -> Iterator[tuple[str, list[bytes]]]:
    """An address that answers as a JobManager does, and what it answers."""
    answers = [json.dumps({"taskmanagers": 4, "slots-total": 8, "slots-available": 8}).encode()]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/overview" else 404)
            self.end_headers()
            self.wfile.write(answers[-1])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("flags", "asked"),
    [([], None), (["--workers=3"], 3), (["--parallelism=5"], 5), (["--workers=3", "--parallelism=5"], 5)],
)
def test_what_is_asked_for(tmp_path: Path, flags: list[str], asked: int | None) -> None:
    assert asked_parallelism(parse(["--runner=flink", f"--out={tmp_path}", *flags])) == asked


@pytest.mark.parametrize(
    ("managers", "slots", "flags", "taken"),
    [(2, 2, [], (2, 1)), (2, 2, ["--parallelism=4"], (2, 2)), (3, 1, ["--workers=2"], (2, 1)), (1, 2, [], (1, 2))],
)
def test_a_job_is_spread_over_the_local_cluster(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    managers: int,
    slots: int,
    flags: list[str],
    taken: tuple[int, int],
) -> None:
    params = replace(FlinkParams(), num_taskmanagers=managers, slots=slots)
    monkeypatch.setattr(flink, "running", lambda: params)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    found = size(tmp_path, *flags)
    assert found is not None
    assert (found.taskmanagers, found.slots) == taken
    assert found.share == min(1.5, 2 / found.parallelism)
    assert found.java_bytes == params.total_memory << 20
    assert str(found).endswith("which share 2 cores")


def test_nothing_is_known_of_a_local_cluster_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALM_ENGINES", str(tmp_path / "engines"))
    assert size(tmp_path / "out") is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--parallelism=5"], "3 TaskManagers of 2 slots, each taken to be a core"),
        (["--parallelism=1"], "1 TaskManager of 1 slot, each taken to be a core"),
        ([], "1 TaskManager of 1 slot, each taken to be a core: Beam asks for 1 unless --parallelism is given"),
    ],
)
def test_a_cluster_that_is_named_is_asked(
    tmp_path: Path, master: tuple[str, list[bytes]], flags: list[str], said: str
) -> None:
    assert str(size(tmp_path, f"--flink_master={master[0]}", *flags)) == said


@pytest.mark.parametrize("answer", [b"{}", b"no JSON", b'{"taskmanagers": 0, "slots-total": 0}'])
def test_where_it_does_not_say_a_slot_in_each_is_assumed(
    tmp_path: Path, master: tuple[str, list[bytes]], answer: bytes
) -> None:
    master[1].append(answer)
    said = str(size(tmp_path, f"--flink_master={master[0]}", "--parallelism=3"))
    assert said == (
        f"3 TaskManagers of 1 slot, assumed, each a core: {master[0]} does not say how many slots a TaskManager has"
    )
    said = str(size(tmp_path, "--job_endpoint=localhost:1", "--parallelism=2"))
    assert said.startswith("2 TaskManagers of 1 slot, assumed, each a core: a job server does not say")
