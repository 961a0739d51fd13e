"""One stage of a run in this process: ``python -m benchmarks._stage STAGE [flags of curate]``.

The stages before it must be there already, in the same work folder. prepare counts the look at the source (listing,
Parquet footers, digests of all files) as well as its pipeline; the others count their pipeline alone.
"""

import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks._measure import cpu_seconds, tell
from pipelines.curate import plan
from pipelines.jobs import Run, StageJob, embed_job, mine_job, pack_job, prepare_job
from pipelines.options import parse
from pipelines.runners import run_pipeline
from pipelines.workplace import Workplace


def job_of(run: Run, stage: str) -> StageJob:
    """The job of a stage, from the manifests of the stages before it."""
    prepared = prepare_job(run)
    if stage == "prepare":
        return prepared
    manifest = completed(prepared)
    if stage == "embed":
        return embed_job(run, prepared, manifest)
    mined = mine_job(run, prepared, manifest)
    return mined if stage == "mine" else pack_job(run, prepared, mined, completed(mined))


def completed(job: StageJob) -> dict[str, Any]:
    """The manifest of a stage. Raises RuntimeError while it has none."""
    manifest = job.folder.manifest()
    if manifest is None:
        raise RuntimeError(f"stage {job.folder.name} has no manifest in {job.folder.path}; run it first")
    return manifest


def main(argv: Sequence[str]) -> dict[str, Any]:
    """Run a stage; gives ``rows`` read, distinct ``texts`` (embed), ``seconds``, and the process's ``cpu_seconds``, of
    which ``cpu_before`` were over before its pipeline was built.
    """
    stage, command = argv[0], parse(argv[1:])
    workplace = Workplace(command.config.out, command.config.work)
    with workplace.locked():
        started = time.perf_counter()
        run, _ = plan(command, workplace)
        job = job_of(run, stage)
        if stage != "prepare":
            started = time.perf_counter()
        before = cpu_seconds()
        run_pipeline(job.build, command)
        seconds = time.perf_counter() - started
        counts = completed(job)["counts"].values()
    texts = sum(count.get("distinct_texts") or 0 for count in counts)
    rows = sum(count["read"] for count in counts)
    return {"rows": rows, "texts": texts, "seconds": seconds, "cpu_seconds": cpu_seconds(), "cpu_before": before}


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, force=True)
    tell(**main(sys.argv[1:]))
