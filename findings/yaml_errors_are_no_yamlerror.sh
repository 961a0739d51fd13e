#!/usr/bin/env bash
# One would guess: `except yaml.YAMLError` around yaml.safe_load catches whatever is wrong with a document.
#
# What happens: a scalar that looks like a date and is none (2024-02-30, a time of 25:00), or whose tag does
# not fit its text (`!!int ''`, `!!bool maybe`), leaves safe_load as ValueError, IndexError, KeyError or
# AttributeError, none of them a YAMLError, without file, line or column. The documents are well-formed;
# `version: 2024-13-45` needs no tag at all.
#
# Why it matters: a typo in a configuration shows as a traceback out of the library, or is taken for a fault
# of the program. The product catches these beside YAMLError and names the file: `_NO_VALUE` in
# catalog/loading.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyyaml==6.0.3
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import yaml

print("PyYAML", yaml.__version__)
WANTED = {
    "version: 2024-13-45": ValueError,
    "due: 2024-02-30": ValueError,
    "start: 2024-01-01 25:00:00": ValueError,
    "size: !!int ''": IndexError,
    "strict: !!bool maybe": KeyError,
    "day: !!timestamp tomorrow": AttributeError,
}
for text, kind in WANTED.items():
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        sys.exit(f"changed: {text!r} raises a YAMLError: {error}")
    except Exception as error:
        print(f"{text!r}: {type(error).__name__}: {error}")
        if type(error) is not kind:
            sys.exit(f"changed: {text!r} raises {type(error).__name__}, not {kind.__name__}")
    else:
        sys.exit(f"changed: {text!r} is {value!r}")
PYTHON
