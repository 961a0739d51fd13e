"""The verb ``curate``: its command line is read before anything is imported that only a run needs."""

import sys
from collections.abc import Sequence

from pipelines.options import Command, parse
from pipelines.reporting import report_errors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    return report_errors(lambda: run_command(parse(argv)))


def run_command(command: Command) -> None:
    """Curate, or only say what would be read."""
    if command.dry_run:
        from pipelines.dry_run import dry_run

        dry_run(command)
    else:
        from pipelines.curate import StageReached, curate

        if command.runner == "dataflow":
            from pipelines.engines.dataflow import check_dataflow

            check_dataflow(command)
        try:
            curate(command)
        except StageReached:
            if not command.quiet:
                print(f"{command.until} is there; the same command without --until goes on from it", file=sys.stderr)
