"""Processes that train one model together, as ``torchrun`` starts them.

Each reads the same batch and encodes its share of the distinct texts; vectors are gathered with their gradients, and
each computes the loss of the whole batch from them. So negatives come from all processes, texts that stand in the rows
of several are encoded once, and the mean of the processes' gradients is the gradient of one process.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.saving import staged


def rank() -> int:
    """The number of this process, from 0; the first one writes and speaks."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """The folder that a process works in: what will be the model for the first, one that goes away for the others."""
    if rank() == 0:
        with staged(output) as folder:
            yield folder
        return
    parent = output.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".tmp-{output.name}-{rank()}-", dir=parent) as scratch:
        yield Path(scratch)
