#!/usr/bin/env bash
# One would guess: an Arrow file is the magic ARROW1, two bytes of padding, and then an Arrow stream, so that
# whoever cannot seek (a pipe, a decompressor) may skip eight bytes and read the rest as a stream. It is so
# for files that pyarrow writes.
#
# What happens: polars writes its record batches behind the magic without a schema in front of them. Its files
# are sound by their footer and are no stream: open_stream raises OSError ('Invalid flatbuffers message').
#
# Why it matters: a reader that streams Arrow files passes all tests with pyarrow's files and fails on the
# first from polars. The product reads every Arrow file by its footer, a compressed one in memory: `_file` in
# transforms/sources/readers/arrow.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1 polars==2.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa

print("pyarrow", pa.__version__, "polars", pl.__version__)
words = {"word": ["kettle", "spoon"]}
with pa.OSFile("pyarrow.arrow", "wb") as sink, pa.ipc.new_file(sink, pa.table(words).schema) as writer:
    writer.write_table(pa.table(words))
pl.DataFrame(words).write_ipc("polars.arrow", compression="uncompressed")


def as_stream(data: bytes) -> str:
    try:
        return f"{pa.ipc.open_stream(pa.BufferReader(data[8:])).read_all().num_rows} rows"
    except OSError as error:
        return f"OSError: {error}"


found = {}
for name in ("pyarrow", "polars"):
    data = Path(f"{name}.arrow").read_bytes()
    rows = pa.ipc.open_file(pa.BufferReader(data)).read_all().num_rows
    found[name] = as_stream(data)
    print(f"{name}: as a file {rows} rows, as a stream {found[name]}")
    if rows != 2:
        sys.exit(f"changed: the file of {name} is not read by its footer")
if found["pyarrow"] != "2 rows" or not found["polars"].startswith("OSError"):
    sys.exit("changed: what can be read as a stream is another")
PYTHON
