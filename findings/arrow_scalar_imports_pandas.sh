#!/usr/bin/env bash
# One would guess: pyarrow needs pandas for to_pandas() and the like, and leaves it alone where no pandas object is
# handed over; the handbook calls it an optional dependency for conversions.
#
# What happens: the first Python value that becomes an Arrow scalar or array imports the whole of pandas, where it is
# installed: pa.array([1]), pa.scalar("x"), an empty table of a schema, pq.read_table(path), and pc.equal(column, "x"),
# where nothing names pandas at all. ParquetFile(path).read(), slices of it and to_pylist() do without.
#
# Why it matters: a command that only looks through small files pays the larger part of its time for a library that it
# does not use, as soon as some other package in the environment has brought pandas along. The product chooses rows
# for its summary in Python: transforms/keeping/alarm_examples.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

READ = """
import sys, time
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
started, before = time.process_time(), len(sys.modules)
{}
print("pandas" in sys.modules, len(sys.modules) - before, f"{{time.process_time() - started:.2f}}")
"""
CASES = {
    'pq.ParquetFile("toy.parquet").read().slice(1, 1).to_pylist()': False,
    'pq.read_table("toy.parquet")': True,
    'pc.equal(pq.ParquetFile("toy.parquet").read()["word"], "tea")': True,
    'pa.scalar("tea")': True,
    "pa.array([1])": True,
    'pa.schema([("word", pa.string())]).empty_table()': True,
}

make = 'import pyarrow as pa, pyarrow.parquet as pq; pq.write_table(pa.table({"word": ["tea", "milk"]}), "toy.parquet")'
subprocess.run([sys.executable, "-c", make], check=True)
versions = "import pandas, pyarrow; print('pyarrow', pyarrow.__version__, 'pandas', pandas.__version__)"
subprocess.run([sys.executable, "-c", versions], check=True)
for statement, expected in CASES.items():
    run = subprocess.run([sys.executable, "-c", READ.format(statement)], check=True, capture_output=True, text=True)
    found, modules, seconds = run.stdout.split()
    print(f"{statement}: pandas imported: {found}, {modules} modules, {seconds} CPU seconds")
    if (found == "True") != expected:
        sys.exit(f"changed: {statement}: pandas imported: {found}")
PYTHON
