"""Scopes, ranks and hashes of rows."""

from dataclasses import replace

import numpy as np
import pytest

from schemas.catalog import TaskType
from tests.transforms.rows import canonical_rows
from transforms.duplicates.scopes import (
    DedupScope,
    is_compared,
    label_words,
    rank_columns,
    scope_tags,
    statement_words,
    sums_by_row,
)


@pytest.mark.parametrize("task_type", list(TaskType))
def test_only_labelled_texts_stay_within_their_dataset(task_type: TaskType) -> None:
    scope = DedupScope.of(task_type, priority=3)
    assert scope.across == (task_type not in (TaskType.CLASSIFICATION, TaskType.CLUSTERING))
    assert (scope.compare, scope.priority) == ("both", 3)
    assert DedupScope.of(task_type, compare="query") == replace(DedupScope.of(task_type), compare="query")


def test_tags_are_equal_where_rows_may_meet() -> None:
    rows = canonical_rows([{"dataset": name} for name in "abcdea"])
    within, query = DedupScope(across=False), DedupScope(compare="query")
    tags = scope_tags(rows, {"c": within, "d": within, "e": query}).tolist()
    assert tags[0] == tags[1] == tags[5]
    assert len(set(tags)) == 4


def test_what_is_compared_follows_the_dataset() -> None:
    rows = canonical_rows([{"dataset": name} for name in "abc"])
    scopes = {"a": DedupScope(compare="query"), "b": DedupScope(compare="positives")}
    assert is_compared(rows, scopes, "query").tolist() == [True, False, True]
    assert is_compared(rows, scopes, "positives").tolist() == [False, True, True]


def test_ranks_count_texts_and_characters() -> None:
    rows = canonical_rows(
        [
            {"dataset": "a", "query": "四个字母", "positives": ["ab", ""], "negatives": []},
            {"dataset": "b", "query": "x", "positives": [], "negatives": ["yyy"]},
        ]
    )
    priority, texts, length, ids = rank_columns(rows, {"b": DedupScope(priority=7)})
    assert (priority.to_pylist(), texts.to_pylist(), length.to_pylist()) == ([0, 7], [3, 2], [6, 4])
    assert ids.to_pylist() == rows.column("id").to_pylist()


def test_labels_and_scores_are_told_apart() -> None:
    labels, scores = ["1", None, "1", "1", ""], [None, None, 1.0, 2.0, None]
    rows = canonical_rows([{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)])
    assert len(set(statement_words(rows).tolist())) == 5
    assert len(set(label_words(rows).tolist())) == 3


def test_sums_by_row_wrap_and_know_empty_rows() -> None:
    values = np.array([2**64 - 1, 3, 5], np.uint64)
    assert sums_by_row(values, np.array([0, 2, 0, 1, 0])).tolist() == [0, 2, 0, 5, 0]
