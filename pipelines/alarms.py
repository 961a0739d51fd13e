"""Alarms of a stage: found in its counts, told with one of the rejected rows, and fatal unless they were allowed."""

from collections.abc import Mapping
from typing import Any

from pipelines.jobs import Run, StageJob
from schemas.manifest import AlarmRecord
from transforms.keeping.alarm_words import check_alarms
from transforms.keeping.alarms import find_alarms

Alarms = dict[str, list[AlarmRecord]]


def stage_alarms(run: Run, job: StageJob, manifest: Mapping[str, Any], *, allowed: bool) -> Alarms:
    """The alarms of a stage that is done, by dataset. Raises AlarmError where there are any that were not allowed."""
    rejections = f"{job.folder.path}/rejections"
    found = find_alarms(job.folder.name, manifest["counts"], lambda name: run.datasets[name].alarms)
    alarms = _with_examples(found, rejections) if found else {}
    check_alarms(alarms, len(run.entries), rejections, allowed=allowed)
    return alarms


def _with_examples(found: Alarms, rejections: str) -> Alarms:
    from transforms.keeping.alarm_examples import with_examples  # and with it what guesses encodings

    return with_examples(found, rejections)


def merged_alarms(*stages: Alarms) -> Alarms:
    """The alarms of several stages, by dataset in the order of the stages."""
    names = sorted({name for stage in stages for name in stage})
    return {name: [alarm for stage in stages for alarm in stage.get(name, [])] for name in names}
