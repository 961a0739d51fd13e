"""The Python worker pool of a local Flink cluster: starts a worker process whenever a TaskManager asks for one.

Beam brings such a pool (``apache_beam.runners.worker.worker_pool_main``), which several TaskManagers on one machine
cannot share: they number their workers alike, it keeps processes by that number, and one TaskManager's request to stop
"1-1" ends the other's worker, whose job then waits for ever. Here a worker ends when its TaskManager hangs up or when
the pool ends, and requests to stop are ignored.

Importing Beam takes three seconds of a core and a job starts several workers at once, so they are forked from a
server that has imported Beam and nothing of this project: a worker starts in a moment and still sees today's code.
Workers run this Python, not whatever ``python`` is first on ``PATH``.
"""

import argparse
import itertools
import logging
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import grpc  # type: ignore[import-untyped]
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.utils import thread_pool_executor

from pipelines.engines.ports import HOST

_PRELOADED = ["apache_beam", "apache_beam.runners.worker.sdk_worker", "pyarrow.parquet"]
_STATE_CACHE_BYTES = 100 << 20  # side inputs are fetched once for a worker, not once for a bundle
_STOP_LIMIT_S = 5
_LOGGER = logging.getLogger(__name__)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Beam's service for external workers; ``logs`` is the folder of the workers' logs."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._numbers = itertools.count(1)
        self._workers: list[BaseProcess] = []
        self._lock = threading.Lock()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)
        forkserver.ensure_running()

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, _context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts a process that takes its work from the control endpoint of the request."""
        try:
            self._start(request.control_endpoint.url, request.worker_id)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"The worker pool cannot start a process: {error}")
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(
        self, _request: beam_fn_api_pb2.StopWorkerRequest, _context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Does nothing: the id may be another TaskManager's worker too. A worker ends when its control stream does."""
        return beam_fn_api_pb2.StopWorkerResponse()

    def _start(self, control_url: str, worker_id: str) -> None:
        with self._lock:
            self._workers = [worker for worker in self._workers if worker.is_alive()]
            # No daemon: a worker may start a process of its own (``mining.apart``); it ends with the pool all the same.
            log = self._logs / f"worker-{next(self._numbers)}.log"
            worker = self._context.Process(target=run_worker, args=(control_url, worker_id, log))
            worker.start()
            self._workers.append(worker)
        _LOGGER.info("Worker %s of %s is process %s, log %s", worker_id, control_url, worker.pid, log)

    def stop_all(self) -> None:
        """Ends every worker; those that do not go within five seconds are killed."""
        with self._lock:
            for worker in self._workers:
                worker.terminate()
            for worker in self._workers:
                worker.join(_STOP_LIMIT_S)
                if worker.is_alive():
                    worker.kill()


def run_pool(port: int, logs: Path) -> None:
    """Serves at ``port`` of this machine until SIGTERM or SIGINT."""
    ended = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: ended.set())
    pool = WorkerPool(logs)
    server = grpc.server(thread_pool_executor.shared_unbounded_instance())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(f"{HOST}:{port}")
    server.start()
    _LOGGER.info("Serving at %s:%d with %s", HOST, port, sys.executable)
    ended.wait()
    server.stop(0)
    pool.stop_all()


def run_worker(control_url: str, worker_id: str, log: Path) -> None:
    """Works for one TaskManager until that ends the control stream, or until the pool has gone."""
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    _write_to(log)
    threading.Thread(target=_exit_with_pool, daemon=True).start()
    SdkHarness(control_url, worker_id=worker_id, state_cache_size=_STATE_CACHE_BYTES).run()


def _write_to(log: Path) -> None:
    with log.open("wb", buffering=0) as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    _log_to_stderr()


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s", force=True)


def _exit_with_pool() -> None:
    pool = multiprocessing.parent_process()
    if pool is not None:
        pool.join()
    os._exit(0)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.engines.worker_pool", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where to serve")
    parser.add_argument("--logs", type=Path, default=Path("."), help="folder for the logs of workers")
    args = parser.parse_args(argv)
    _log_to_stderr()
    run_pool(args.port, args.logs)


if __name__ == "__main__":
    main()
