"""Beam's in-process runner that says which step is in work."""

from collections.abc import Callable, Sequence
from typing import Any

from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers

#: Takes the labels of the transforms that are about to run together.
OnStep = Callable[[Sequence[str]], None]


def _close(connection: worker_handlers.ControlConnection) -> None:
    """Tell a worker process that there is nothing more to do, also one that has not connected yet.

    Beam 2.77 tells those alone that have: where a pipeline fails, or ends, before the last worker is up, that one waits
    for work and the runner for its end, for ever.
    """
    states = worker_handlers.BeamFnControlServicer
    with worker_handlers.ControlConnection._lock:
        connection.push(states._DONE_MARKER)
        if connection._state == states.STARTED_STATE:
            connection._read_thread.join()
        connection._state = states.DONE_STATE


worker_handlers.ControlConnection.close = _close  # type: ignore[assignment,method-assign]


class WatchedRunner(fn_runner.FnApiRunner):
    """Runs what its parent runs, and names each group of transforms before it starts.

    The parent has no public place to listen at. Where a later Beam calls this method otherwise no step is named, and a
    test says so.
    """

    def __init__(self, on_step: OnStep, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._on_step = on_step

    def _execute_bundle(self, context: Any, bundle: Any, *inputs: Any) -> Any:
        self._on_step([transform.unique_name for transform in bundle.stage.transforms])
        return super()._execute_bundle(context, bundle, *inputs)
