"""Evaluation sets in BEIR layout, and how much of their questions a training question may share."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from catalog.sample_writer.formats import SourceFile, class_label
from catalog.sample_writer.grammar import Item
from catalog.sample_writer.variety import fold

Files = list[SourceFile]


def containment(question: str, other: str, *, size: int, by_word: bool) -> float:
    """Returns the share of the question's ``size``-grams of words (or characters) that the other text holds."""
    parts = [fold(text).strip("?？. ") for text in (question, other)]
    left, right = ([*part.split()] if by_word else [*part] for part in parts)
    grams = [{tuple(units[i : i + size]) for i in range(len(units) - size + 1)} for units in (left, right)]
    return len(grams[0] & grams[1]) / len(grams[0]) if grams[0] else 0.0


def apart(items: Iterable[Item], questions: Sequence[str], *, by_word: bool, ceiling: float = 0.5) -> list[Item]:
    """Returns the items whose question shares no more than a phrase with any evaluation question."""
    size = 3 if by_word else 4
    return [
        item
        for item in items
        if all(containment(question, item.question, size=size, by_word=by_word) <= ceiling for question in questions)
    ]


def sharing(items: Sequence[Item], questions: Sequence[str], *, by_word: bool) -> int:
    """Returns how many items have a question that shares a phrase with an evaluation question."""
    size = 3 if by_word else 4
    found = (any(containment(q, item.question, size=size, by_word=by_word) > 0.2 for q in questions) for item in items)
    return sum(found)


def evaluation(name: str, items: Sequence[Item], num_queries: int, asking: Sequence[str]) -> Files:
    """Returns an evaluation set in BEIR layout: every item's passage, and ``asking`` for the first items."""
    corpus = [{"_id": f"d{i}", "title": item.title, "text": item.passage} for i, item in enumerate(items)]
    queries = [{"_id": f"q{i}", "text": text} for i, text in enumerate(asking[:num_queries])]
    qrels = [{"query-id": f"q{i}", "corpus-id": f"d{i}", "score": 1} for i in range(num_queries)]
    text = pa.schema([("_id", pa.string()), ("text", pa.string())])
    titled = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
    judged = pa.schema([("query-id", pa.string()), ("corpus-id", pa.string()), ("score", pa.int64())])
    tables = (("corpus", titled, corpus), ("queries", text, queries), ("qrels", judged, qrels))
    return [
        SourceFile(path=f"eval/{name}/{part}.parquet", schema=class_label(schema, {}), rows=rows)
        for part, schema, rows in tables
    ]
