#!/usr/bin/env bash
# One would guess: with an explicit schema pyarrow.json refuses a JSON string where a number is wanted. It
# does for int64 and float64.
#
# What happens: for a decimal column it does not: the string "12.50" and the number 12.50 are both taken,
# mixed in one column, while a schema of int64 or float64 refuses the string with 'changed from number to
# string'.
#
# Why it matters: a schema that is meant to catch a producer who began to quote its numbers catches nothing if
# the column is decimal, and whether a row is sound depends on the type that was chosen, not on the row. The
# product lets no schema decide: what a column holds is learnt from its first rows, and only plain types are
# asked of Arrow (`arrow_type` in transforms/sources/readers/shape.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.json as pj

print("pyarrow", pa.__version__)
LINES = b'{"price": 12.50}\n{"price": "12.50"}\n'


def read(kind: pa.DataType) -> list[object] | str:
    options = pj.ParseOptions(explicit_schema=pa.schema([("price", kind)]))
    try:
        return pj.read_json(pa.BufferReader(LINES), parse_options=options)["price"].to_pylist()
    except pa.ArrowInvalid as error:
        return f"refused: {error}"


as_float, as_decimal = read(pa.float64()), read(pa.decimal128(10, 2))
print("float64:", as_float)
print("decimal128(10, 2):", as_decimal)
if not (isinstance(as_float, str) and "from number to string" in as_float):
    sys.exit("changed: float64 does not refuse the string")
if isinstance(as_decimal, str) or [str(value) for value in as_decimal] != ["12.50", "12.50"]:
    sys.exit("changed: decimal128 does not take the string")
PYTHON
