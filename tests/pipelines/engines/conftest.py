"""Makes the Flink cluster known to the tests of this folder."""

from tests.flink_fixture import flink_cluster

__all__ = ["flink_cluster"]
