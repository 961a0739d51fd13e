"""Beam's in-process runner with worker processes that come late."""

import pytest
from apache_beam.runners.portability.fn_api_runner.worker_handlers import BeamFnControlServicer, ControlConnection

from pipelines.engines import watched_runner  # noqa: F401  its import mends what Beam does here

DONE = BeamFnControlServicer._DONE_MARKER


@pytest.mark.parametrize("early", [True, False], ids=["early", "late"])
def test_a_worker_is_told_to_end_whenever_it_connects(early: bool) -> None:
    connection = ControlConnection()
    if early:
        connection.set_input(iter([]))
    connection.close()
    if not early:
        connection.set_input(iter([]))
    assert connection._push_queue.get_nowait() is DONE  # not get_req, which would wait for ever
    assert connection._push_queue.empty()


def test_a_connection_may_be_closed_twice() -> None:
    connection = ControlConnection()
    connection.set_input(iter([]))
    connection.close()
    connection.close()
    assert connection._push_queue.get_nowait() is DONE
