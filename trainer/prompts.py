"""Prompts that a trained model carries, under the names by which mteb and sentence-transformers look for them."""

from collections.abc import Sequence

from schemas.catalog import TaskType
from schemas.manifest import DatasetRecord
from schemas.prompt import format_prompt

#: mteb's key of each task type. In retrieval and reranking only queries carry the instruction.
_KEYS = {
    TaskType.RETRIEVAL: "Retrieval-query",
    TaskType.RERANKING: "Reranking-query",
    TaskType.STS: "STS",
    TaskType.PAIR_CLASSIFICATION: "PairClassification",
    TaskType.CLASSIFICATION: "Classification",
    TaskType.CLUSTERING: "Clustering",
    TaskType.BITEXT_MINING: "BitextMining",
    TaskType.SUMMARIZATION: "Summarization",
}


def prompts(records: Sequence[DatasetRecord]) -> dict[str, str]:
    """Prompts by the name that ``encode(..., prompt_name=...)`` takes; mteb finds those of a task by its type.

    Each task type has the instruction of its largest dataset. ``query`` is that of the largest retrieval dataset (the
    largest of any kind where there is none), for ``encode_query``; passages (``document``) have none.
    """
    named = {}
    for task_type, key in _KEYS.items():
        own = [record for record in records if record.task_type == task_type]
        if own:
            named[key] = format_prompt(max(own, key=lambda record: record.num_rows).instruction)
    largest = max(records, key=lambda record: (record.task_type == TaskType.RETRIEVAL, record.num_rows))
    return named | {"query": format_prompt(largest.instruction), "document": ""}
