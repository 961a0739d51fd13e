"""A small pipeline that proves a cluster: it shuffles, and its workers must run the submitter's Python and Beam."""

import sys
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from schemas.errors import CurationError

_NUM_KEYS = 8


def python_of_worker(number: int) -> tuple[int, tuple[str, str]]:
    """A key, and the interpreter and Beam version of the process that this runs in."""
    return number % _NUM_KEYS, (sys.executable, beam.__version__)


def check_worker(group: tuple[int, Iterable[tuple[str, str]]], expected: tuple[str, str]) -> None:
    """Raises ``CurationError`` where a worker runs another Python or another Beam than ``expected``."""
    for found in group[1]:
        if tuple(found) != tuple(expected):
            raise CurationError(
                f"A worker of the cluster runs {found[0]} with Beam {found[1]}, but the pipeline was submitted from "
                f"{expected[0]} with Beam {expected[1]}; start the worker pool with the latter."
            )


def main(argv: list[str]) -> None:
    """Runs the check with Beam's own options; raises where the job fails."""
    expected = (sys.executable, beam.__version__)
    with beam.Pipeline(options=PipelineOptions(argv)) as pipeline:
        (
            pipeline
            | "Numbers" >> beam.Create(range(4 * _NUM_KEYS))
            | "Spread" >> beam.Reshuffle()
            | "Describe" >> beam.Map(python_of_worker).with_output_types(tuple[int, tuple[str, str]])
            | "Group" >> beam.GroupByKey()
            | "Check" >> beam.Map(check_worker, expected)
        )


if __name__ == "__main__":
    # Functions that workers run must belong to an importable module, not to __main__.
    from pipelines.engines import flink_check

    flink_check.main(sys.argv[1:])
