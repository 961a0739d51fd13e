#!/usr/bin/env bash
# One would guess: an exception of a step leaves the pipeline of Beam's in-process runner as it was raised, or
# wrapped with the original as its cause.
#
# What happens: Beam calls its class with args[0] + the step's name and the rest of args, and where that fails
# it raises a RuntimeError without a cause. So FileNotFoundError arrives as RuntimeError, and so do
# KeyboardInterrupt and SystemExit; and an exception whose __init__ makes its message of one value arrives
# with the right class, and with that message where the value was.
#
# Why it matters: `except OSError` around a pipeline, exit codes in exceptions, and Ctrl-C do not work as they
# do elsewhere. The product's own errors are one text each, whose step is cut off again
# (pipelines/reporting.py), and signals are remembered where they come in (pipelines/interruption.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check apache-beam==2.77.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

logging.disable()
print("apache-beam", beam.__version__)


class Stop(Exception):
    def __init__(self, code: object) -> None:
        super().__init__(f"stop with code {code}")
        self.code = code


def fail(how: str) -> None:
    if how == "missing file":
        open("missing.txt", encoding="utf-8")
    if how == "exit":
        sys.exit(3)
    raise Stop(7)


def leaves(how: str) -> BaseException | None:
    try:
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            _ = pipeline | beam.Create([how]) | beam.Map(fail)
    except BaseException as error:
        print(f"{how}: {error!r}, cause {error.__cause__!r}")
        return error
    return None


for how in ("missing file", "exit"):
    error = leaves(how)
    if type(error) is not RuntimeError or error.__cause__ is not None:
        sys.exit(f"changed: {how} gives no RuntimeError without a cause")
stop = leaves("own exception")
if type(stop) is not Stop or stop.code == 7 or "while running" not in str(stop.code):
    sys.exit("changed: the attribute of an exception is kept")
print("its code is now:", repr(stop.code))
PYTHON
