"""The forms in which trainers read examples: where an example goes, and what is written of it.

``tuples``: sentence-transformers (columns in the order in which its losses take them). ``flagembedding``: its data for
fine-tuning (``query, pos, neg, pos_scores, neg_scores, prompt, type``). ``tevatron``: its passages beside the query.
``kalm``: the columns of KaLM-Embedding's released data.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import pyarrow as pa

from schemas.catalog import TaskType
from schemas.manifest import DatasetRecord
from schemas.prompt import format_prompt


class ExportFormat(StrEnum):
    """Names of the forms."""

    TUPLES = "tuples"
    FLAGEMBEDDING = "flagembedding"
    TEVATRON = "tevatron"
    KALM = "kalm"


@dataclass(frozen=True, kw_only=True)
class ExportParams:
    """How examples are written.

    ``num_negatives``: of each row at most so many (None: all of them), the first first. ``prompts``: put the prompt
    before queries, and before passages of symmetric datasets, as training does; FlagEmbedding has a field for it.
    ``scores``: tuples with the teacher's scores, for MarginMSE and KL losses.
    """

    format: ExportFormat
    num_negatives: int | None = None
    prompts: bool = True
    scores: bool = False

    def __post_init__(self) -> None:
        if self.num_negatives is not None and self.num_negatives < 0:
            raise ValueError(f"num_negatives must be 0 or more, not {self.num_negatives}")
        if self.scores and self.format is not ExportFormat.TUPLES:
            raise ValueError(f"scores is for tuples: {self.format} has the scores in fields of its own, or none")


class Passage(NamedTuple):
    """A positive or negative; the score is the teacher's cosine with the query, None where it was not asked."""

    id: str
    text: str
    score: float | None


class Example(NamedTuple):
    """A row as it is exported; texts are bare, ``passage_prompt`` is empty where only queries carry a prompt."""

    id: str
    kind: str
    prompt: str
    passage_prompt: str
    query: str
    positives: list[Passage]
    negatives: list[Passage]

    @property
    def scores(self) -> list[float] | None:
        """Of the first positive and the negatives; None unless all are known."""
        found = [passage.score for passage in (self.positives[0], *self.negatives)]
        return [score for score in found if score is not None] if None not in found else None


def examples(record: DatasetRecord, batch: pa.RecordBatch, params: ExportParams) -> Iterator[Example]:
    """The rows of a batch of a shard (``schemas.rows.SHARD``)."""
    for row in batch.to_pylist():
        prompt = format_prompt(row["instruction"]) if params.prompts else ""
        yield Example(
            id=row["id"],
            kind=_kind(record),
            prompt=prompt,
            passage_prompt=prompt if record.symmetric else "",
            query=row["query"],
            positives=_passages(row, "positive"),
            negatives=_passages(row, "negative")[: params.num_negatives],
        )


def _passages(row: Mapping[str, Any], what: str) -> list[Passage]:
    parts = zip(row[f"{what}_ids"], row[f"{what}s"], row[f"{what}_scores"], strict=True)
    return [Passage(id_, text, None if math.isnan(score) else score) for id_, text, score in parts]


def _kind(record: DatasetRecord) -> str:
    """FlagEmbedding's ``type``: which texts are alike, and so what else of a batch may serve as a negative."""
    kinds = {TaskType.CLASSIFICATION: "symmetric_class", TaskType.CLUSTERING: "symmetric_clustering"}
    return kinds.get(TaskType(record.task_type), "symmetric_sts" if record.symmetric else "normal")


class Form(NamedTuple):
    """``place``: the file of an example below the dataset's name, or None where its readers could not use it.
    ``record``: what is written. ``schema``: columns of a Parquet file; None for lines of JSON.
    """

    place: Callable[[str, Example], str | None]
    record: Callable[[Example], dict[str, Any]]
    schema: Callable[[Example], pa.Schema] | None = None


def form_of(params: ExportParams) -> Form:
    """The form that was asked for."""
    if params.format is ExportFormat.TUPLES:
        record, schema = (_scored, _scored_schema) if params.scores else (_tuple, _tuple_schema)
        return Form(_by_number_scored if params.scores else _by_number, record, schema)
    if params.format is ExportFormat.KALM:
        return Form(lambda name, _: f"{name}/train.parquet", _kalm, lambda _: _KALM)
    record = _flagembedding if params.format is ExportFormat.FLAGEMBEDDING else _tevatron
    return Form(lambda name, example: f"{name}.jsonl" if example.negatives else None, record)


def _by_number(name: str, example: Example) -> str:
    """Columns are not null, so rows with another number of negatives are another table."""
    return f"{name}/negatives-{len(example.negatives)}.parquet"


def _by_number_scored(name: str, example: Example) -> str | None:
    return _by_number(name, example) if example.scores is not None else None


def _tuple(example: Example) -> dict[str, Any]:
    texts = [example.passage_prompt + passage.text for passage in example.negatives]
    return {
        "anchor": example.prompt + example.query,
        "positive": example.passage_prompt + example.positives[0].text,
        **{f"negative_{number}": text for number, text in enumerate(texts, 1)},
    }


def _scored(example: Example) -> dict[str, Any]:
    """``scores``: of the positive, then of the negatives; a name that sentence-transformers takes for the labels."""
    return _tuple(example) | {"scores": example.scores}


def _tuple_schema(example: Example) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in _tuple(example)])


def _scored_schema(example: Example) -> pa.Schema:
    return _tuple_schema(example).append(pa.field("scores", pa.list_(pa.float32()), nullable=False))


def _flagembedding(example: Example) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "query": example.query,
        "pos": [passage.text for passage in example.positives],
        "neg": [passage.text for passage in example.negatives],
    }
    scores = [[passage.score for passage in side] for side in (example.positives, example.negatives)]
    if not any(None in side for side in scores):
        facts |= dict(zip(("pos_scores", "neg_scores"), scores, strict=True))
    return facts | {"prompt": example.prompt, "type": example.kind}


def _tevatron(example: Example) -> dict[str, Any]:
    return {
        "query_id": example.id,
        "query": example.prompt + example.query,
        "positive_passages": _documents(example, example.positives),
        "negative_passages": _documents(example, example.negatives),
    }


def _documents(example: Example, passages: Sequence[Passage]) -> list[dict[str, str]]:
    """Without a title: Tevatron puts one, and a blank, before the text also where it is empty."""
    return [{"docid": passage.id, "text": example.passage_prompt + passage.text} for passage in passages]


_KALM = pa.schema(
    [
        pa.field("query", pa.string(), nullable=False),
        pa.field("pos", pa.list_(pa.string()), nullable=False),
        pa.field("neg", pa.list_(pa.string()), nullable=False),
    ]
)


def _kalm(example: Example) -> dict[str, Any]:
    return {
        "query": example.prompt + example.query,
        "pos": [example.passage_prompt + passage.text for passage in example.positives],
        "neg": [example.passage_prompt + passage.text for passage in example.negatives],
    }
