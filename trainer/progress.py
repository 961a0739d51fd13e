"""What a person sees of training: a bar on a terminal, a line now and then without one."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ShowProgress(TrainerCallback):
    """Shows steps and loss on standard error while it is entered; keeps the losses that the trainer logs."""

    def __init__(self, quiet: bool) -> None:
        console = Console(stderr=True)
        self.losses: list[float] = []
        self._began, self._first = time.monotonic(), 0
        self._lines = not quiet and not console.is_terminal
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or self._lines,
        )
        self._task = self._bar.add_task("training", total=None, loss="-")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Note when steps begin, and with which: a run that goes on has done some before."""
        self._began, self._first = time.monotonic(), state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=state.global_step, total=state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: object,
    ) -> None:
        """Take the mean loss since the last log; the trainer's last log has none."""
        if logs is None or "loss" not in logs:
            return
        self.losses.append(float(logs["loss"]))
        self._bar.update(self._task, loss=f"{self.losses[-1]:.3f}")
        if self._lines:
            told = f"step {state.global_step}/{state.max_steps}, loss {self.losses[-1]:.3f}"
            print(f"{told}{self._left(state)}", file=sys.stderr)

    def _left(self, state: TrainerState) -> str:
        """The time that is left at the mean pace so far; nothing where no step is left, or none is done."""
        done, left = state.global_step - self._first, state.max_steps - state.global_step
        if done < 1 or left < 1:
            return ""
        seconds = (time.monotonic() - self._began) / done * left
        return f", about {timedelta(seconds=round(seconds))} left"


@contextmanager
def tensorboard(folder: Path | None, start: int) -> Iterator[list[TrainerCallback]]:
    """The trainer's callback that writes for TensorBoard; none where no folder is given.

    ``start``: the step that a run goes on from; what an earlier one wrote of later steps is no longer shown. What was
    written stays readable where training fails.
    """
    if folder is None:
        yield []
        return
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    with SummaryWriter(str(folder), purge_step=start + 1 if start else None) as writer:
        yield [TensorBoardCallback(writer)]
