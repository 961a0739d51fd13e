#!/usr/bin/env bash
# One would guess: in fsspec's listings a symbolic link to a file has the type 'file' (its info() says so, and
# isfile() does), or else is left out.
#
# What happens: find(detail=True) and ls(detail=True) of the local filesystem call it 'other', while info() of
# the same path says 'file'. A link to a folder is listed by find() among the files and never entered, though
# info() calls it a directory.
#
# Why it matters: a filter by type == 'file' drops every file of a hub cache, which consists of links into a
# folder of blobs, and the data set is empty without an error. The product asks isfile() where the type is
# another: `_kind` in transforms/sources/opening.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

import fsspec

print("fsspec", fsspec.__version__)
os.makedirs("snapshot")
os.makedirs("blobs/shelf")
for blob in ("blobs/1", "blobs/shelf/2"):
    with open(blob, "w", encoding="utf-8") as file:
        file.write("a row\n")
os.symlink("../blobs/1", "snapshot/linked.jsonl")
os.symlink("../blobs/shelf", "snapshot/folder")
local = fsspec.filesystem("file")
root = os.path.abspath("snapshot")
listed = {os.path.basename(path): item["type"] for path, item in local.find(root, detail=True).items()}
named = {name: local.info(f"{root}/{name}")["type"] for name in ("linked.jsonl", "folder")}
print("find:", listed)
print("ls:  ", {os.path.basename(item["name"]): item["type"] for item in local.ls(root, detail=True)})
print("info:", named, "isfile:", local.isfile(f"{root}/linked.jsonl"))
if listed != {"linked.jsonl": "other", "folder": "other"}:
    sys.exit("changed: find() gives other types, or other paths")
if named != {"linked.jsonl": "file", "folder": "directory"}:
    sys.exit("changed: info() gives other types")
PYTHON
