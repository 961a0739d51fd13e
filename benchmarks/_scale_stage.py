"""A stage of a run, with the bytes that it shuffled: ``python -m benchmarks._scale_stage STAGE [flags of curate]``."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import _stage
from benchmarks._measure import tell
from benchmarks.shuffle import counted


def main(argv: Sequence[str]) -> dict[str, Any]:
    """Run a stage on the direct runner; gives what ``_stage`` tells and the bytes ``shuffled``."""
    with counted() as found:
        told = _stage.main(argv)
    return told | {"shuffled": found.noted.total()}


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, force=True)
    tell(**main(sys.argv[1:]))
