"""Benchmarks and tasks of the mteb package by name, with a model's own prompts; their data come from the hub.

mteb is no part of what is installed for curating and training: ``pip install 'kalm-curation[evaluate]'``.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import ConfigError, SourceError
from trainer.model_meta import NAME

if TYPE_CHECKING:
    from mining.encoder import Encoder

Measured = dict[str, dict[str, float]]


def find_tasks(names: Sequence[str]) -> list[Any]:
    """mteb's tasks of benchmarks (``MTEB(eng, v2)``) and tasks (``SciFact``) by name, each once, in their order.

    Raises ConfigError where mteb is not installed, and for a name that it does not know.
    """
    if find_spec("mteb") is None:
        raise ConfigError(
            "--mteb needs the Python package mteb, which curating and training do not; install it with "
            "`pip install 'kalm-curation[evaluate]'`, or evaluate on folders of this machine"
        )
    found = {task.metadata.name: task for name in names for task in _tasks(name)}
    return list(found.values())


def _tasks(name: str) -> Iterator[Any]:
    import mteb

    try:
        yield from mteb.get_benchmark(name).tasks
        return
    except KeyError as error:
        no_benchmark = error
    try:
        yield mteb.get_task(name)
    except KeyError as no_task:
        raise ConfigError(f"--mteb={name}: {_said(no_benchmark)} (benchmarks) {_said(no_task)} (tasks)") from no_task


def _said(error: KeyError) -> str:
    return str(error.args[0]).removeprefix("KeyError: ")


def measure_tasks(
    encoder: "Encoder", dims: Sequence[int], tasks: Sequence[Any], on_measured: Callable[[str, Measured], None]
) -> list[str]:
    """Measure tasks one after the other, each at so many first components; ``on_measured`` hears each result.

    A task's measure is the one that mteb ranks by, the mean over its splits and languages. Gives a line for each task
    that could not be measured. Raises SourceError where that is so of the first one already: the hub cannot be reached,
    as a rule.
    """
    faults: list[str] = []
    for number, task in enumerate(tasks, 1):
        name = task.metadata.name
        print(f"{number} of {len(tasks)}: {name}", file=sys.stderr)
        try:
            on_measured(name, {str(dim): _measure(encoder, task, dim) for dim in dims})
        except Exception as error:  # of a stranger's data, of the network, of 131 kinds of task
            line = f"{name}: {type(error).__name__}: {_first_line(error)}"
            if number == 1:
                raise SourceError(
                    f"mteb cannot measure the first task, {line}; its data ({task.metadata.dataset.get('path')}) come "
                    "from the hub: is that reached, and may you read them? Folders of this machine need no hub"
                ) from error
            print(f"cannot be measured: {line}", file=sys.stderr)
            faults.append(line)
    return faults


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def _measure(encoder: "Encoder", task: Any, dim: int) -> dict[str, float]:
    import mteb

    model, before = encoder.model, encoder.model.truncate_dim
    model.truncate_dim = dim
    try:
        # Results are not kept: mteb files those of every local model under one name.
        result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    finally:
        model.truncate_dim = before
    return {task.metadata.main_score: float(result.task_results[0].get_score())}


def zero_shot_percentage(folder: Path, tasks: Sequence[Any]) -> int | None:
    """mteb's own share of tasks in percent that a model saw nothing like, by the folder's ``model_meta.json``.

    None where nothing is known of what it was trained on.
    """
    from mteb.models import ModelMeta

    path = folder / NAME
    if not path.is_file():
        return None
    try:
        meta = ModelMeta(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError):
        return None
    share: int | None = meta.zero_shot_percentage(tasks)
    return share
