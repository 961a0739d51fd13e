#!/usr/bin/env bash
# One would guess: load_dataset opens the folder that one stands in as ".", as it opens the same folder by its path.
#
# What happens: for "." it ends with "ValueError: dataset_name should be specified but got None", whatever lies there;
# "../poems" and the absolute path of the same folder give the rows. The name is taken from the words of the
# path, of which "." has none.
#
# Why it matters: whoever goes into a folder of curated data to look at it meets an error that speaks of an argument
# which load_dataset does not have. Our data card and docs/results.md name the folder by its path.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==25.0.1
mkdir "$folder/poems"
cd "$folder/poems"
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" "$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

datasets.disable_progress_bars()
pq.write_table(pa.table({"line": ["tea is poured", "milk is not"]}), "train.parquet")
print("datasets", datasets.__version__)
for place in ("../poems", os.getcwd(), "."):
    try:
        told = f"{datasets.load_dataset(place, split='train').num_rows} rows"
    except ValueError as error:
        told = f"ValueError: {error}"
    print(f"load_dataset({place!r}): {told}")
    if told != ("2 rows" if place != "." else "ValueError: dataset_name should be specified but got None"):
        sys.exit(f"changed: load_dataset({place!r}): {told}")
PYTHON
