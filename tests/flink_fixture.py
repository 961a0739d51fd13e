"""The fixture of tests that run on a real Flink cluster; a conftest imports it to make it known to its folder."""

from collections.abc import Iterator

import pytest

from pipelines.engines import flink
from pipelines.engines.errors import MissingToolError
from pipelines.engines.flink_params import FlinkParams, FlinkPorts

ANY_PORTS = FlinkPorts(rest=0, rpc=0, job=0, artifact=0, expansion=0, pool=0)


@pytest.fixture(scope="session")
def flink_cluster() -> Iterator[FlinkParams]:
    """The local cluster: the one that runs, which stays, else one of our own on free ports, stopped at the end."""
    running = flink.running()
    if running:
        yield running
        return
    try:
        started = flink.up(FlinkParams(ports=ANY_PORTS))
    except MissingToolError as error:
        pytest.skip(error.message)
    yield started
    flink.down()
