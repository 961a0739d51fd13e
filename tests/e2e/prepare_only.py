"""Run only the prepare stage: ``python -m tests.e2e.prepare_only OUT SOURCE CATALOG [flags]``; counts go to a file."""

import json
import sys
from pathlib import Path

from pipelines.curate import plan, run_stage
from pipelines.display import Display
from pipelines.jobs import prepare_job
from pipelines.options import parse
from pipelines.reporting import report_errors
from pipelines.workplace import Workplace
from tests.e2e.generated import SLUG


def prepare(out: str, source: str, catalog: str, *flags: str) -> None:
    """Prepare the generated rows and write the stage's counts to ``<out>/counts.json``."""
    command = parse([f"--out={out}", f"--source={source}", f"--catalog={catalog}", f"--category={SLUG}", *flags])
    workplace = Workplace(command.config.out, command.config.work)
    with workplace.locked():
        run, _ = plan(command, workplace)
        manifest = run_stage(run, prepare_job(run), command, Display(quiet=False))
    Path(out, "counts.json").write_text(json.dumps(manifest["counts"]))


if __name__ == "__main__":
    sys.exit(report_errors(lambda: prepare(*sys.argv[1:])))
