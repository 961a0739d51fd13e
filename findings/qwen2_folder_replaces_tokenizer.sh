#!/usr/bin/env bash
# One would guess: a tokenizer that was saved into a model's folder is the one that AutoTokenizer opens there, as
# tokenizer.json and tokenizer_config.json say; or that it says why not.
#
# What happens: where config.json names the model type qwen2, AutoTokenizer makes a Qwen2Tokenizer, byte-level BPE, of
# the words in tokenizer.json, whatever model, normaliser and pre-tokenizer stand there. A vocabulary of whole words
# then gives no token for any text, and one of pieces with "▁" loses the white space and the pieces that begin words.
# No error, no warning. Of bert, llama, mistral, olmo2 and qwen3 the saved tokenizer is opened.
#
# Why it matters: a small model of Qwen2's shape with a vocabulary of its own (a student, a test's model) reads nothing,
# or reads otherwise than it was made for, and its vectors are still numbers. The product asks a tokenizer for words of
# its own vocabulary before it embeds or trains, and refuses one that makes nothing of them:
# mining/encoder.py (check_tokens), trainer/models.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

print("transformers", transformers.__version__)
TEXT = "rain falls"


def words() -> Tokenizer:
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "rain": 1, "falls": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def pieces() -> Tokenizer:
    letters = ["▁", *"rainfls", "[UNK]"]
    made = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, [], unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return made


def opened(made: Tokenizer, model_type: str) -> tuple[str, list[int]]:
    place = Path(model_type)
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]").save_pretrained(place)
    (place / "config.json").write_text(json.dumps({"model_type": model_type}))
    found = AutoTokenizer.from_pretrained(place)
    return type(found).__name__, found(TEXT)["input_ids"]


for kind, make in (("words", words), ("pieces", pieces)):
    saved = make().encode(TEXT).ids
    print(f"{kind}: saved one gives {saved}")
    for model_type in ("bert", "llama", "mistral", "olmo2", "qwen3", "qwen2"):
        name, ids = opened(make(), model_type)
        print(f"  {model_type}: {name} gives {ids}")
        if (ids == saved) == (model_type == "qwen2"):
            sys.exit(f"changed: a folder of type {model_type} gives {ids}, the saved tokenizer {saved}")
        if model_type == "qwen2" and kind == "words" and ids:
            sys.exit("changed: whole words give tokens")
PYTHON
