#!/usr/bin/env bash
# One would guess: mteb.evaluate(model, task) measures the model that it is given; results that it keeps are found again
# by model.
#
# What happens: a SentenceTransformer from a folder of this machine, or made in memory, has no name, so all of them are
# filed as no_model_name/available, revision no_revision_available. The second local model is not measured at all: it is
# given the kept scores of the first, whatever its weights, without a word. cache=None (or overwrite_strategy="always")
# measures it.
#
# Why it matters: whoever compares checkpoints, or a model before and after a change of its data, sees no difference.
# The product passes cache=None: `_measure` in trainer/mteb_tasks.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" mteb==2.26.24 sentence-transformers==6.2.0
export MTEB_CACHE="$folder/cache"
cd "$folder"
"$folder/venv/bin/python" -W ignore - 2> errors.txt <<'PYTHON' || { cat errors.txt >&2; exit 1; }
import sys
from importlib.metadata import version

import mteb
import numpy as np
from datasets import Dataset, DatasetDict
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

PAIRS = {"sentence1": ["red", "green", "blue"], "sentence2": ["apple", "leaf", "stone"], "score": [5.0, 3.0, 1.0]}
print("mteb", version("mteb"), "sentence-transformers", version("sentence-transformers"))


class Colours(AbsTaskSTS):
    metadata = TaskMetadata(
        name="Colours", dataset={"path": "local/colours", "revision": "1"}, description="Colours of things.",
        reference=None, type="STS", category="t2t", modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"],
        main_score="cosine_spearman", date=None, domains=[], task_subtypes=[], license=None, annotations_creators=None,
        dialect=[], sample_creation=None, bibtex_citation="",
    )
    min_score, max_score = 0, 5

    def load_data(self, **_):
        self.dataset, self.data_loaded = DatasetDict(test=Dataset.from_dict(PAIRS)), True


def saved(seed):
    """A folder with a table of random vectors, one for each word."""
    words = [*PAIRS["sentence1"], *PAIRS["sentence2"]]
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="red"))
    tokenizer.pre_tokenizer = Whitespace()
    table = np.random.default_rng(seed).normal(size=(len(words), 8)).astype("float32")
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)]).save_pretrained(f"model-{seed}")
    return f"model-{seed}"


def score(folder, **how):
    result = mteb.evaluate(SentenceTransformer(folder), Colours(), show_progress_bar=False, **how)
    return float(result.task_results[0].get_score())


folders = [saved(0), saved(3)]
measured = [score(folder, cache=None) for folder in folders]
told = [score(folder) for folder in folders]
print("measured (cache=None):", dict(zip(folders, measured)))
print("told by default:      ", dict(zip(folders, told)))
if measured[0] == measured[1]:
    sys.exit("changed: the two models have the same score even when they are measured")
if told != [measured[0]] * 2:
    sys.exit("changed: the second model is no longer given the score of the first")
PYTHON
