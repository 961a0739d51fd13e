#!/usr/bin/env bash
# One would guess: a .gz file that Python's gzip module and the gzip program read is read by pyarrow and by
# polars too.
#
# What happens: zeros behind the last member, with which tools fill up a block, are skipped by Python's gzip
# (and by gzip itself), but pyarrow raises OSError ('unknown compression method'), and polars raises
# ComputeError ('invalid gzip header').
#
# Why it matters: a download that passes `gzip -t` ends the run. The product reads gzip's members itself and
# skips the padding: `GzipStream` in transforms/sources/readers/decompression.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1 polars==2.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import gzip
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.json as pj

print("pyarrow", pa.__version__, "polars", pl.__version__)
LINES = b'{"word": "kettle"}\n{"word": "spoon"}\n'
plain, padded = Path("plain.jsonl.gz"), Path("padded.jsonl.gz")
plain.write_bytes(gzip.compress(LINES))
padded.write_bytes(gzip.compress(LINES) + bytes(512))
if gzip.open(padded).read() != LINES:
    sys.exit("changed: Python's gzip does not read the padded file")
print("gzip module: both files read")
READERS = {
    "pyarrow.input_stream": lambda path: len(pa.input_stream(str(path)).read().splitlines()),
    "pyarrow.json": lambda path: pj.read_json(str(path)).num_rows,
    "polars.read_ndjson": lambda path: pl.read_ndjson(path).height,
}
for name, read in READERS.items():
    if read(plain) != 2:
        sys.exit(f"changed: {name} does not read the plain file")
    try:
        read(padded)
    except (OSError, pl.exceptions.ComputeError) as error:
        print(f"{name}: {type(error).__name__}: {error}")
    else:
        sys.exit(f"changed: {name} reads the padded file")
PYTHON
