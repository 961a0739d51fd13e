"""Benchmarks and tasks of the mteb package by name, with a model's own prompts; their data come from the hub.

mteb is no part of what is installed for curating and training: ``pip install 'kalm-curation[evaluate]'``.
"""

import copy
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    need_mteb("--mteb", "evaluate on folders of this machine")
    found = {task.metadata.name: task for name in names for task in _tasks(name)}
    return list(found.values())


def need_mteb(flag: str, instead: str) -> None:
    """Raise ConfigError where mteb, which a flag asks for, is not installed."""
    if find_spec("mteb") is None:
        raise ConfigError(
            f"{flag} needs the Python package mteb, which curating and training do not; install it with "
            f"`pip install 'kalm-curation[evaluate]'`, or {instead}"
        )


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
    """Measure tasks of the hub, each at so many first components, by the measure that mteb ranks by: the mean over a
    task's splits and languages. The rest is as ``measure_each`` has it.
    """

    def measure(task: Any) -> Measured:
        return {str(dim): _main_score(encoder, task, dim) for dim in dims}

    def advice(task: Any) -> str:
        return (
            f"its data ({task.metadata.dataset.get('path')}) come from the hub: is that reached, and may you read "
            "them? Folders of this machine need no hub"
        )

    return measure_each(tasks, measure, advice, on_measured)


def measure_each(
    tasks: Sequence[Any],
    measure: Callable[[Any], Measured],
    advice: Callable[[Any], str],
    on_measured: Callable[[str, Measured], None],
) -> list[str]:
    """Measure tasks one after the other; ``on_measured`` hears each result.

    Gives a line for each task that could not be measured. Raises SourceError, with ``advice``, where that is so of the
    first one already: something is wrong with all, as a rule.
    """
    faults: list[str] = []
    for number, task in enumerate(tasks, 1):
        name = task.metadata.name
        print(f"{number} of {len(tasks)}: {name}", file=sys.stderr)
        try:
            with _quiet():
                measured = measure(task)
        except Exception as error:  # of a stranger's data, of the network, of 131 kinds of task
            line = f"{name}: {type(error).__name__}: {_first_line(error)}"
            if number == 1:
                raise SourceError(f"mteb cannot measure the first task, {line}; {advice(task)}") from error
            print(f"cannot be measured: {line}", file=sys.stderr)
            faults.append(line)
        else:
            on_measured(name, measured)
    return faults


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def _main_score(encoder: "Encoder", task: Any, dim: int) -> dict[str, float]:
    model, before = encoder.model, encoder.model.truncate_dim
    model.truncate_dim = dim
    try:
        return {task.metadata.main_score: float(run_task(model, task).get_score())}
    finally:
        model.truncate_dim = before


def run_task(model: Any, task: Any) -> Any:
    """mteb's result of a task, whatever was measured before.

    Results are not kept: mteb files those of every local model under one name
    (``findings/mteb_scores_of_another_model.sh``). The task is a copy: one that has been measured goes on with its
    random numbers, so a second model or dimension would be measured on other draws
    (``findings/mteb_task_draws_on.sh``).
    """
    import mteb

    result = mteb.evaluate(model, copy.deepcopy(task), cache=None, co2_tracker=False, show_progress_bar=False)
    return result.task_results[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars that no terminal shows, and nothing that is said to mteb's authors or of measures that are not shown.

    What mteb warns of it also logs: once is enough.
    """
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from scipy.stats import DegenerateDataWarning
    from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning

    shown = not are_progress_bars_disabled()
    if shown and not sys.stderr.isatty():
        disable_progress_bars()
    log = logging.getLogger("mteb")
    level = log.level
    log.setLevel(logging.ERROR)
    said = (DeprecationWarning, FutureWarning, ConvergenceWarning, UndefinedMetricWarning, DegenerateDataWarning)
    try:
        with warnings.catch_warnings():
            for category in said:
                warnings.simplefilter("ignore", category)
            yield
    finally:
        log.setLevel(level)
        if shown:
            enable_progress_bars()


def zero_shot_percentage(folder: Path, tasks: Sequence[Any]) -> int | None:
    """mteb's own share of tasks in percent that a model saw nothing like, by the folder's ``model_meta.json``.

    ``tasks``: mteb's, or their names. None where nothing is known of what it was trained on.
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
