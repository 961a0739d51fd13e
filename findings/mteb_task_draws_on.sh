#!/usr/bin/env bash
# One would guess: a task has a seed (42), so the same model has the same score whenever it is measured on that task, and
# `for model in models: mteb.evaluate(model, tasks)` measures all models on the same draws.
#
# What happens: a clustering task draws its documents from random numbers that begin when the task object is made and go
# on with each evaluation. The same model, measured again on the same object, has another score; the second of two models
# is measured on other documents than the first. A task object made anew gives the first score again.
#
# Why it matters: small differences between checkpoints, or between the dimensions of one model, are partly those of the
# draw, and an order of measuring decides who gets which. The product measures a copy: `run_task` in trainer/mteb_tasks.py.
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
from mteb.abstasks.clustering import AbsTaskClustering
from mteb.abstasks.task_metadata import TaskMetadata
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

WORDS = [f"word{number}" for number in range(400)]
print("mteb", version("mteb"), "sentence-transformers", version("sentence-transformers"))


class Words(AbsTaskClustering):
    metadata = TaskMetadata(
        name="Words", dataset={"path": "local/words", "revision": "1"}, description="Words of four kinds.",
        reference=None, type="Clustering", category="t2t", modalities=["text"], eval_splits=["test"],
        eval_langs=["eng-Latn"], main_score="v_measure", date=None, domains=[], task_subtypes=[], license=None,
        annotations_creators=None, dialect=[], sample_creation=None, bibtex_citation="",
    )

    def load_data(self, **_):
        labels = [place % 4 for place in range(len(WORDS))]
        self.dataset = DatasetDict(test=Dataset.from_dict({"sentences": WORDS, "labels": labels}))
        self.data_loaded = True


# A table of vectors, one for each word: those of one kind lie around a centre.
tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="word0"))
tokenizer.pre_tokenizer = Whitespace()
random = np.random.default_rng(0)
centres = random.normal(size=(4, 8))
table = np.stack([centres[place % 4] for place in range(len(WORDS))]) + random.normal(size=(len(WORDS), 8))
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table.astype("float32"))])


def score(task):
    result = mteb.evaluate(model, task, cache=None, show_progress_bar=False)
    return round(float(result.task_results[0].get_score()), 4)


task = Words(seed=42)
same = [score(task) for _ in range(3)]
anew = [score(Words(seed=42)) for _ in range(3)]
print("one model, one task object, three times:", same)
print("one model, a task object each, three times:", anew)
if len(set(anew)) != 1 or anew[0] != same[0]:
    sys.exit("changed: a task object made anew does not give the score of the first evaluation")
if len(set(same)) == 1:
    sys.exit("changed: a task object that has been evaluated gives the same score again")
PYTHON
