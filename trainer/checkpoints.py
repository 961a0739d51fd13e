"""Checkpoints: written by the trainer, counted only when they are whole, and gone on from only by the same run."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from schemas.errors import ConfigError, OutputError
from trainer.config import TrainConfig

#: Written into a checkpoint when the rest of it is there.
MARK = "kalm_run.json"
_FINISHED = "finished"
_FILES = "files"  # of the mark: how large the others were when all was written


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A whole checkpoint, and the step after which it was written."""

    folder: Path
    step: int


class Checkpoints(TrainerCallback):
    """The checkpoints of one run, beside its model. ``digest``: of the shards it trains on; ``vectors``: the store that
    soft labels come from, if any.
    """

    def __init__(self, config: TrainConfig, digest: str, vectors: str | None = None) -> None:
        self.folder = config.checkpoints_folder
        self._config = config
        self._run: dict[str, Any] = config.effective() | {"shards": digest, "vectors": vectors}

    def last(self) -> Checkpoint | None:
        """The checkpoint to go on from, or None to begin at the beginning.

        Raises ConfigError where one is there and nobody said what to do with it, where it is damaged or of another
        configuration, and where there is none to resume from.
        """
        found = whole_checkpoints(self.folder)
        if self._config.resume and not found:
            raise ConfigError(
                f"resume=true: there is no whole checkpoint in {self.folder}; leave --resume out to begin, with "
                "--checkpoint_steps=<n> to have some"
            )
        if not found or self._config.resume is False or (self._finished() and not self._config.resume):
            return None
        if self._config.resume is None:
            raise ConfigError(
                f"{self.folder} holds a run that was stopped after step {found[-1].step}: go on from there "
                "(--resume=true), or begin anew and lose it (--resume=false)"
            )
        self._refuse_another(found[-1])
        return found[-1]

    def begin(self) -> None:
        """Clear what an earlier run left, unless it is gone on from. Raises OutputError where this cannot be done."""
        if self._config.resume or not self.folder.exists():
            return
        try:
            for folder in self.folder.glob("checkpoint-*"):
                shutil.rmtree(folder)
            (self.folder / _FINISHED).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot clear {self.folder}: {error}; remove it, or choose another --output") from error

    def finish(self) -> None:
        """Note that the run came to its end: its checkpoints may be averaged, and the next run may replace them."""
        if self.folder.is_dir():
            (self.folder / _FINISHED).touch()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Mark the checkpoint that was just written as whole; of several processes the first one does."""
        if not state.is_world_process_zero:
            return
        folder = self.folder / f"checkpoint-{state.global_step}"
        unfinished = folder / f".{MARK}"
        unfinished.write_text(json.dumps(self._run | {_FILES: _sizes(folder)}, indent=1, sort_keys=True))
        os.rename(unfinished, folder / MARK)

    def _finished(self) -> bool:
        return (self.folder / _FINISHED).is_file()

    def _refuse_another(self, checkpoint: Checkpoint) -> None:
        saved = _read_mark(checkpoint)
        files = saved.pop(_FILES, {})
        differing = sorted(key for key in saved.keys() | self._run.keys() if saved.get(key) != self._run.get(key))
        if differing:
            was = ", ".join(f"{key}={saved.get(key)} (now {self._run.get(key)})" for key in differing)
            raise ConfigError(
                f"{checkpoint.folder} is of another run, with {was}: going on would be neither; give the same flags "
                "and shards, or begin anew (--resume=false)"
            )
        sizes = _sizes(checkpoint.folder)
        if damaged := sorted(name for name, size in files.items() if sizes.get(name) != size):
            raise _damaged(checkpoint, f"{damaged[0]} is not as it was written")


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of a checkpoint's files by name; other processes may still be writing theirs, which bear their number."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.match("rng_state_*.pth"))
    return {str(path.relative_to(folder)): path.stat().st_size for path in files if not path.name.startswith(".")}


def _read_mark(checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        saved = json.loads((checkpoint.folder / MARK).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(checkpoint, f"{MARK} cannot be read ({error})") from error
    if not isinstance(saved, dict):
        raise _damaged(checkpoint, f"{MARK} is not as it was written")
    return saved


def _damaged(checkpoint: Checkpoint, what: str) -> ConfigError:
    return ConfigError(
        f"{checkpoint.folder} is damaged: {what}; remove that folder to go on from the checkpoint before it, or begin "
        "anew (--resume=false)"
    )


def whole_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a folder that were written to their end, earliest first."""
    marks = folder.glob(f"checkpoint-*/{MARK}")
    steps = ((mark.parent, mark.parent.name.removeprefix("checkpoint-")) for mark in marks)
    found = [Checkpoint(folder=place, step=int(step)) for place, step in steps if step.isdecimal()]
    return sorted(found, key=lambda checkpoint: checkpoint.step)
