"""Numbers that follow from the number of rows."""

import pytest

from pipelines.ranges import num_partitions


@pytest.mark.parametrize(
    ("rows", "partitions"),
    [(0, 4), (2_450, 4), (40_000, 4), (150_000, 9), (1_000_000, 60), (2_200_000, 128), (7_000_000, 140)],
)
def test_ranges_follow_the_rows(rows: int, partitions: int) -> None:
    assert num_partitions(rows, 50_000) == partitions
    assert num_partitions(rows + 1, 50_000) >= partitions
