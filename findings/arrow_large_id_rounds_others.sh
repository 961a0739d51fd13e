#!/usr/bin/env bash
# One would guess: a whole number too large for int64 is an error in pyarrow's JSON and CSV readers, or
# becomes uint64 or text; at the worst that one number is rounded.
#
# What happens: the whole column becomes double, so that other ids, which fit int64, are rounded as well, and
# two different ids become one. No error, no warning. pyarrow.array refuses to do the same to the same
# numbers.
#
# Why it matters: one unsigned hash among the ids of a corpus makes its neighbours collide, and a join of
# judgments with passages then finds the wrong ones. The product looks for fractions that may have been whole
# numbers and reads such blocks again with exact integers: `_may_be_rounded` in
# transforms/sources/readers/json_lines.py; CSV fields are never given types.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.json as pj

print("pyarrow", pa.__version__)
IDS = [9007199254740992, 9007199254740993, 18446744073709551615]  # 2^53, 2^53 + 1, 2^64 - 1


def through(reader: str, ids: list[int]) -> pa.ChunkedArray:
    if reader == "json":
        return pj.read_json(pa.BufferReader("".join(f'{{"id": {number}}}\n' for number in ids).encode()))["id"]
    return pv.read_csv(pa.BufferReader("".join(f"{line}\n" for line in ["id", *ids]).encode()))["id"]


for reader in ("json", "csv"):
    alone, beside = through(reader, IDS[:2]), through(reader, IDS)
    print(f"{reader}: two ids {alone.type}, {len(alone.unique())} distinct; "
          f"with a large one {beside.type}, {len(beside.unique())} distinct of 3")
    if alone.to_pylist() != IDS[:2] or alone.type != pa.int64():
        sys.exit(f"changed: {reader} does not read the two ids exactly")
    if beside.type != pa.float64() or len(beside.unique()) != 2:
        sys.exit(f"changed: {reader} does not round ids beside a large one")
try:
    pa.array([IDS[1], 0.5])
    sys.exit("changed: pyarrow.array rounds as well")
except pa.ArrowInvalid as error:
    print("pyarrow.array:", error)
PYTHON
