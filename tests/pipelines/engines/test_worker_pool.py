"""The pool and its workers as real processes, with a control service that plays the TaskManager's part."""

import queue
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipelines.engines.ports import free_ports
from pipelines.engines.processes import find_process, is_alive, start_process, stop_processes

LIMIT_S = 60


class Control(beam_fn_api_pb2_grpc.BeamFnControlServicer):
    """Notes each worker that reports, and keeps its stream open until it is told to let go."""

    def __init__(self) -> None:
        self.reported: queue.Queue[str] = queue.Queue()
        self.release: queue.Queue[None] = queue.Queue()

    def Control(self, _responses: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.reported.put(dict(context.invocation_metadata())["worker_id"])
        self.release.get(timeout=LIMIT_S)
        yield from ()


@pytest.fixture
def control() -> Iterator[tuple[Control, str]]:
    servicer = Control()
    server = grpc.server(ThreadPoolExecutor(8))
    beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(servicer, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield servicer, f"localhost:{port}"
    for _ in range(8):
        servicer.release.put(None)
    server.stop(0).wait()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[tuple[psutil.Process, beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub]]:
    port, pid_file = free_ports(1)[0], tmp_path / "pool.json"
    command = [sys.executable, "-m", "pipelines.engines.worker_pool", "--port", str(port), "--logs", str(tmp_path)]
    start_process(command, pid_file=pid_file, log=tmp_path / "pool.log")
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=LIMIT_S)
        process = find_process(pid_file)
        assert process is not None
        yield process, beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
    stop_processes([pid_file], timeout_s=10)


def start_worker(stub: Any, url: str, worker_id: str) -> None:
    request = beam_fn_api_pb2.StartWorkerRequest(worker_id=worker_id)
    request.control_endpoint.url = url
    assert stub.StartWorker(request, timeout=LIMIT_S).error == ""


def workers_of(pool: psutil.Process) -> list[psutil.Process]:
    """The forked workers: the children of the pool's fork server."""
    return [worker for server in pool.children() for worker in server.children()]


def wait_for_end(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline, f"still alive: {processes}"
        time.sleep(0.05)


@pytest.mark.slow
def test_workers_of_two_taskmanagers_share_an_id_and_end_with_their_streams(pool: Any, control: Any) -> None:
    process, stub = pool
    servicer, url = control
    for _ in range(2):
        start_worker(stub, url, "1-1")
        assert servicer.reported.get(timeout=LIMIT_S) == "1-1"
    workers = workers_of(process)
    assert len(workers) == 2

    stub.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"), timeout=LIMIT_S)
    assert len(workers_of(process)) == 2

    for _ in range(2):
        servicer.release.put(None)
    wait_for_end(workers)
    logs = sorted(Path(process.cmdline()[-1]).glob("worker-*.log"))
    assert [log.name for log in logs] == ["worker-1.log", "worker-2.log"]
    assert all("Done consuming work" in log.read_text() for log in logs)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [True, False])
def test_workers_end_with_the_pool_however_it_ends(pool: Any, control: Any, kill: bool) -> None:
    process, stub = pool
    servicer, url = control
    start_worker(stub, url, "7")
    assert servicer.reported.get(timeout=LIMIT_S) == "7"
    family = process.children(recursive=True)
    assert len(workers_of(process)) == 1
    if kill:
        process.kill()
    else:
        process.terminate()
    wait_for_end([process, *family])
