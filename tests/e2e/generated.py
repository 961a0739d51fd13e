"""Generated rows for runs at scale: distinct texts of English words in hub layout, and a known number of repeats."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SLUG = "generated"
ENTRY = """
name: generated
title: Generated pairs
stage: finetune
task_type: retrieval
languages: [en]
source:
  hub: tests/generated
adapter: pair
columns: {query: question, positive: answer}
licence_class: permissive
"""
#: Every so many rows one is written a second time.
REPEAT_EVERY = 100

WORDS = (Path(__file__).parent / "words.txt").read_text().split()


def write_source(root: Path, rows: int, seed: int = 0) -> tuple[Path, Path]:
    """Write ``rows`` rows in hub layout and their entry; gives ``(source, catalog)``. Deterministic."""
    folder = root / "hub" / "datasets" / "tests" / "generated" / "default"
    folder.mkdir(parents=True)
    (root / "catalog").mkdir()
    (root / "catalog" / "generated.yaml").write_text(ENTRY)
    rng, words = np.random.default_rng(seed), np.array(WORDS, dtype=object)
    with pq.ParquetWriter(folder / "train-00000-of-00001.parquet", SCHEMA) as writer:
        for start in range(0, rows, 50_000):
            writer.write_table(_rows(rng, words, start, min(50_000, rows - start)))
    return root / "hub", root / "catalog"


SCHEMA = pa.schema([("question", pa.string()), ("answer", pa.string())])


def _rows(rng: np.random.Generator, words: np.ndarray, start: int, size: int) -> pa.Table:
    chosen = words[rng.integers(0, len(words), (size, 48))]
    questions = [f"What is the {' '.join(row[:8])} of {start + i}?" for i, row in enumerate(chosen)]
    answers = [_in_english(row[8:]) for row in chosen]
    for at in range(REPEAT_EVERY, size, REPEAT_EVERY):
        questions[at], answers[at] = questions[at - 1], answers[at - 1]
    return pa.table([pa.array(questions), pa.array(answers)], schema=SCHEMA)


def _in_english(words: np.ndarray) -> str:
    """The small words leave no doubt about the language, whichever words stand between them."""
    return f"The {' '.join(words[:20])} and the {' '.join(words[20:])} of it."


def write_unreadable(root: Path, rows: int) -> list[str]:
    """Rows of which the tenth asks with a letter that no tokenizer of ``forget_unknown_letters`` reads, and the
    twentieth answers with one; gives the flags to read them. The texts are words without sense, which a tiny teacher
    finds odd: alarms are allowed.
    """
    source, catalog = write_source(root, rows)
    (path,) = source.rglob("*.parquet")
    texts = pq.read_table(path).to_pydict()
    texts["question"][10] += " \u2603"
    texts["answer"][20] += " \u2603"
    pq.write_table(pa.table(texts, SCHEMA), path)
    return [f"--category={SLUG}", f"--source={source}", f"--catalog={catalog}", "--evaluation=none", "--allow_alarms"]


def num_repeats(rows: int) -> int:
    """How many rows ``write_source`` writes a second time."""
    return sum(len(range(REPEAT_EVERY, min(50_000, rows - start), REPEAT_EVERY)) for start in range(0, rows, 50_000))
