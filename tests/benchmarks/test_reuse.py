"""The comparison of runs that follow each other: what their lines say, and that each change is one that a run takes."""

import pytest

from benchmarks.reuse import changes, stages_of
from pipelines.options import parse

SAID = """\
curating 2 datasets from sample into /tmp/out
prepare  read       628  kept 369, merged 232, rejected 27  (already there)
embed    read       369  kept 369, rejected 0  (4.7 s, 78 rows/s)
mine     1 of 2 datasets are as an earlier run left them
mine     read       369  kept 369, rejected 0  (2.1 s, 176 rows/s)
"""


def test_what_each_stage_did_is_read_from_what_a_run_says() -> None:
    assert stages_of(SAID) == ("kept", "made", "made, 1 of 2 kept", "")


@pytest.mark.parametrize("flags", changes(["all-nli", "scifact"]).values(), ids=changes(["a", "b"]))
def test_each_change_is_one_that_a_run_takes(flags: tuple[str, ...]) -> None:
    command = parse(["--source=sample", *flags])
    assert command.config.category.startswith("all-nli")
