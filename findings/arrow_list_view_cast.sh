#!/usr/bin/env bash
# One would guess: casting a column of list_view to list gives the same rows in the other layout.
#
# What happens: after a filter and a slice (`head`, LIMIT) the rows of the cast hold more than they did: each
# gets the elements of the rows that the filter had removed behind it. Nothing is raised, and
# validate(full=True) of the result is content. The cast takes the views' offsets as those of lists and never
# looks at their sizes.
#
# Why it matters: negatives of rejected rows turn up in the rows that were kept. The product makes lists of
# views by their lengths and their flattened values, never by a cast: `_plain_list` in
# transforms/sources/readers/plain_types.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pyarrow as pa

print("pyarrow", pa.__version__)
rows = [["apple", "pear"], ["REMOVED"], ["plum", "fig"], ["REMOVED", "REMOVED"], ["quince"]]
column = pa.array(rows, pa.list_view(pa.string()))
kept = column.filter(pa.array([True, False, True, False, True]))
first = kept.slice(0, 2)
cast = first.cast(pa.list_(pa.string()))
first.validate(full=True)
cast.validate(full=True)
print("before the cast:", first.to_pylist())
print("behind the cast:", cast.to_pylist())
if first.to_pylist() != [["apple", "pear"], ["plum", "fig"]]:
    sys.exit("changed: the filtered and sliced views are other rows than before")
if cast.to_pylist() != [["apple", "pear", "REMOVED"], ["plum", "fig", "REMOVED", "REMOVED"]]:
    sys.exit("changed: the cast does not bring removed elements back")
PYTHON
