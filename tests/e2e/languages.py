"""A made source of rows in several languages, with a dataset of each, one of three with a corpus, and labelled rows.

Texts are a word and numbers: too few letters for the language check, and enough tokens for a table of words.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: How rows of ``mixed`` carry their language, and a word of each.
TAGS = {"en": "en-GB", "zh": "zho_Hans", "de": "de"}
WORDS = {"en": "the", "zh": "企鹅", "de": "der"}
ENGLISH, CHINESE, GERMAN, MIXED, LABELLED, PAIRS = "english", "chinese", "german", "mixed", "labelled", "chinese-pairs"
ALL = (ENGLISH, CHINESE, GERMAN, MIXED, LABELLED, PAIRS)
_PAIR = "adapter: pair\ncolumns: {query: question, positive: answer}\n"
_MIXED = """adapter: beir
columns:
  language: tag
  corpus: {config: corpus, split: corpus, id: _id, text: text}
  queries: {config: queries, split: queries, id: _id, text: text}
  qrels: {config: default, split: train, query_id: query-id, corpus_id: corpus-id, score: score}
options: {min_score: 1}
instruction: Find what answers
"""
_LABELLED = "adapter: labeled\ncolumns: {text: text, label: label}\nconfig_languages: {one: en, two: zh-CN}\n"


def write_languages(root: Path, queries: Sequence[str] = tuple(TAGS)) -> list[str]:
    """Write the source and its entries; gives the flags to read them. ``queries``: the languages of ``mixed``'s."""
    source = root / "hub" / "datasets" / "tests"
    for name, language in ((ENGLISH, "en"), (CHINESE, "zh"), (GERMAN, "de"), (PAIRS, "zh")):
        _write(source / name / "default" / "train-00000-of-00001.parquet", _pairs(name, language, 60))
        stage = "pretrain" if name == PAIRS else "finetune"
        _entry(root, name, f"stage: {stage}\ntask_type: retrieval\nlanguages: [{language}]\n", _PAIR)
    _write_mixed(source / MIXED, queries)
    _entry(root, MIXED, "stage: finetune\ntask_type: retrieval\nlanguages: [en, zh, de]\n", _MIXED)
    for config, language in (("one", "en"), ("two", "zh")):
        _write(source / LABELLED / config / "train-00000-of-00001.parquet", _labels(language, 60))
    head = "stage: finetune\ntask_type: classification\nlanguages: [en, zh-CN]\n"
    _entry(root, LABELLED, head, _LABELLED, "\n  configs: [one, two]")
    flags = [f"--category={','.join(ALL)}", f"--source={root / 'hub'}", f"--catalog={root / 'catalog'}"]
    return [*flags, "--evaluation=none", "--allow_alarms"]


def text_of(language: str, of: str, number: int) -> str:
    """A text that is like no other, and the same each time."""
    drawn = random.Random(f"{language} {of} {number}")
    return f"{WORDS[language]} {' '.join(str(drawn.randrange(10**5)) for _ in range(6))}"


def _entry(root: Path, name: str, head: str, rest: str, configs: str = "") -> None:
    (root / "catalog").mkdir(parents=True, exist_ok=True)
    text = (
        f"name: {name}\ntitle: {name}\n{head}source:\n  hub: tests/{name}{configs}\n{rest}licence_class: permissive\n"
    )
    (root / "catalog" / f"{name}.yaml").write_text(text, "utf-8")


def _write(path: Path, columns: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _pairs(name: str, language: str, rows: int) -> dict[str, list[Any]]:
    questions = [text_of(language, f"{name} q", number) for number in range(rows)]
    return {"question": questions, "answer": [f"{text} {number}" for number, text in enumerate(questions)]}


def _labels(language: str, rows: int) -> dict[str, list[Any]]:
    texts = [text_of(language, "label", number) for number in range(rows)]
    return {"text": texts, "label": [f"class {number % 3}" for number in range(rows)]}


def _write_mixed(folder: Path, languages: Sequence[str]) -> None:
    asked = [(language, number) for number in range(30) for language in TAGS]
    passages = [f"{text_of(language, 'mixed', number)} {number}" for language, number in asked]
    passages += [text_of(language, "nobody's", number) for number in range(40) for language in TAGS]
    ids = [f"p{number}" for number in range(len(passages))]
    _write(folder / "corpus" / "corpus-00000-of-00001.parquet", {"_id": ids, "text": passages})
    own = [(place, *each) for place, each in enumerate(asked) if each[0] in languages]
    queries = {
        "_id": [f"q{place}" for place, _, _ in own],
        "text": [text_of(language, "mixed", number) for _, language, number in own],
        "tag": [TAGS[language] for _, language, _ in own],
    }
    _write(folder / "queries" / "queries-00000-of-00001.parquet", queries)
    qrels = {"query-id": queries["_id"], "corpus-id": [f"p{place}" for place, _, _ in own], "score": [1] * len(own)}
    _write(folder / "default" / "train-00000-of-00001.parquet", qrels)
