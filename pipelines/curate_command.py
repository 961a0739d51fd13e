"""The verb ``curate``: its command line is read before anything is imported that only a run needs."""

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
        from pipelines.curate import curate

        curate(command)
