#!/usr/bin/env bash
# One would guess: torch.set_num_threads, called in a thread, holds for the whole process, as its documentation has it ("the
# number of threads used for intraop parallelism on CPU"), or else for that thread alone.
#
# What happens: neither. The caller's thread and every thread that is begun later have the new number; threads that were
# there already, the main thread among them, keep theirs. So where one worker of a pool is held to one thread, the main
# thread still says four, while all that a server or pipeline begins afterwards multiplies on one core.
#
# Why it matters: the encoder runs passes side by side, each on one thread. What was loaded later in another thread would
# have taken that number for the machine's and encoded on one core, at half speed or less, with the same vectors.
# The product asks for the number before its first pass and sets it again after each: `_ask` in mining/forward.py,
# `_threads_of_torch` in mining/encoder.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
import threading

import torch


def asked(before=lambda: None):
    """What a thread of its own is told, after it did something."""
    told = []

    def ask():
        before()
        told.append(torch.get_num_threads())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return told[0]


torch.set_num_threads(4)
seen = {
    "a thread before": asked(),
    "one that sets 1": asked(lambda: torch.set_num_threads(1)),
    "the main thread": torch.get_num_threads(),
    "a later thread ": asked(),
}
print("torch", torch.__version__)
for who, number in seen.items():
    print(f"{who}: {number} threads")
if list(seen.values()) != [4, 1, 4, 1]:
    print("changed: a number set in a thread no longer holds for that thread and later ones alone")
    sys.exit(1)
PYTHON
