#!/usr/bin/env bash
# One would guess: pyarrow.compute.utf8_normalize with form='NFC' or 'NFKC' composes letters and their marks,
# as unicodedata does.
#
# What happens: both forms come out decomposed. Text that was composed before the call is taken apart, so that
# NFC is NFD, and NFKC is NFKD; Hangul syllables become single jamo. (Reported as Arrow's issue 51225, and
# mended there for a later version.)
#
# Why it matters: two stages that both normalise to NFKC, one in Arrow and one in Python, never agree on a
# text with accents, and joins, exact duplicates and searches for evaluation queries miss them without an
# error. The product normalises with unicodedata alone: transforms/text/matching.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

print("pyarrow", pa.__version__)
for text in ("crème brûlée", "한국어"):
    for form, other in (("NFC", "NFD"), ("NFKC", "NFKD")):
        ours = unicodedata.normalize(form, text)
        arrow = pc.utf8_normalize(text, form).as_py()
        print(f"{text} in {form}: {len(ours)} characters by unicodedata, {len(arrow)} by Arrow, equal: {ours == arrow}")
        if arrow == ours or arrow != unicodedata.normalize(other, text):
            sys.exit(f"changed: {form} of {text} by Arrow is not {other}")
PYTHON
