"""What is compared with what, and which of several duplicates survives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalog import Compare, TaskType
from schemas.rows import ID, TEXTS, fields_hash

Words = npt.NDArray[np.uint64]

#: What a row's survival depends on.
RANKS = [
    pa.field("priority", pa.int32(), nullable=False),
    pa.field("texts", pa.int32(), nullable=False),
    pa.field("length", pa.int64(), nullable=False),
    pa.field("id", ID, nullable=False),
]
#: The order of survival, for ``Table.sort_by``; ties are copies in every byte and fall to the address.
SURVIVAL = [
    ("priority", "ascending"),
    ("texts", "descending"),
    ("length", "descending"),
    ("id", "ascending"),
    ("part", "ascending"),
    ("row", "ascending"),
]
#: What ``rank_columns`` reads of a row.
RANKED = ["dataset", "id", "query", "positives", "negatives", "other_labels"]


@dataclass(frozen=True, kw_only=True)
class DedupScope:
    """What makes two rows duplicates, and with whom a dataset's rows are compared.

    ``compare``: the query, the positives, or both. With both, the same question with another answer is another row, and
    so is a sentence with its translation into another language. Rows with different labels are never duplicates.
    ``across``: compare with the other datasets of the run too, if they are of the same ``pool`` (a training stage: what
    is pre-trained on may be fine-tuned on). ``priority``: of several duplicates the row of the dataset with the lowest
    number survives.
    """

    compare: Compare = "both"
    across: bool = True
    pool: str = ""
    priority: int = 0

    @classmethod
    def of(
        cls, task_type: TaskType | str, priority: int = 0, pool: str = "", compare: Compare | None = None
    ) -> "DedupScope":
        """The default of a task type: query and positives, across datasets; labelled texts within their dataset.

        ``compare``: what an entry says in place of the default. Only datasets that compare the same are compared.
        A label means something in its own dataset only ("1" is a number of stars here and a topic there), so the same
        text is another example in another dataset.
        """
        labelled = TaskType(task_type) in (TaskType.CLASSIFICATION, TaskType.CLUSTERING)
        return cls(compare=compare or "both", across=not labelled, pool=pool, priority=priority)


#: The scope of each dataset by name; a dataset that is not named has the default one.
Scopes = Mapping[str, DedupScope]


def scope_of(scopes: Scopes, dataset: str) -> DedupScope:
    """The scope of a dataset."""
    return scopes.get(dataset, DedupScope())


def mixed(words: Words) -> Words:
    """Finalizer of MurmurHash3 for 64 bits, on arrays: a bijection in which every bit reaches every bit."""
    words = (words ^ words >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    words = (words ^ words >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
    return words ^ words >> np.uint64(33)


def _word(*fields: str | None) -> int:
    return int.from_bytes(fields_hash(fields)[:8], "big")


def _by_value(column: pa.ChunkedArray, value: Any, dtype: type) -> npt.NDArray[Any]:
    """``value(item)`` for each item of a column, computed once for each distinct one."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    values: npt.NDArray[Any] = np.array([value(item) for item in encoded.dictionary.to_pylist()], dtype)
    by_row: npt.NDArray[Any] = values[np.asarray(encoded.indices)]
    return by_row


def scope_tags(rows: pa.Table, scopes: Scopes) -> Words:
    """A word for each row; only rows with the same one are compared."""

    def tag(dataset: str) -> int:
        scope = scope_of(scopes, dataset)
        return _word(scope.compare, scope.pool, None if scope.across else dataset)

    return _by_value(rows.column("dataset"), tag, np.uint64)


def is_compared(rows: pa.Table, scopes: Scopes, field: Literal["query", "positives"]) -> npt.NDArray[np.bool_]:
    """Whether this field of each row is compared."""
    return _by_value(rows.column("dataset"), lambda name: scope_of(scopes, name).compare in (field, "both"), np.bool_)


def label_words(rows: pa.Table) -> Words:
    """A hash of each row's labels, which are a set: in which order they stand says nothing. No label is a value of its
    own.
    """
    words = _by_value(rows.column("label"), _word, np.uint64)
    for row, labels in several_labels(rows).items():
        words[row] = _word(*labels)
    return words


def label_word(label: str | None) -> int:
    """A hash of a label, as ``label_words`` gives it for one alone, and for none."""
    return _word(label)


def labels_where_several(rows: pa.Table) -> pa.ListArray:
    """The labels of each row that has more than one; null elsewhere."""
    several = several_labels(rows)
    if not several:
        return pa.nulls(rows.num_rows, TEXTS)
    return pa.array([several.get(row) for row in range(rows.num_rows)], TEXTS)


def several_labels(rows: pa.Table) -> dict[int, list[str]]:
    """The distinct labels, in order, of the rows that have more than one, by the row's number."""
    lists = rows.column("other_labels").combine_chunks()
    numbers = np.flatnonzero(pc.list_value_length(lists).to_numpy(zero_copy_only=False) > 0)
    chosen = rows.select(["label", "other_labels"]).take(pa.array(numbers)).to_pylist()
    sets = (sorted({row["label"], *row["other_labels"]}) for row in chosen)
    return {int(number): labels for number, labels in zip(numbers, sets, strict=True) if len(labels) > 1}


def statement_words(rows: pa.Table) -> Words:
    """A hash of what each row says about its texts: its label and its score."""
    return mixed(label_words(rows) ^ _by_value(rows.column("score"), lambda score: _word(repr(score)), np.uint64))


def rank_columns(rows: pa.Table, scopes: Scopes) -> list[pa.Array]:
    """Columns of RANKS for rows that have the columns RANKED. ``texts`` counts texts, ``length`` characters.

    A row that says more is worth more: it comes with more positives, given negatives and labels, or with longer texts
    (of two copies, one of them cut off, the whole one survives).
    """
    priorities = _by_value(rows.column("dataset"), lambda name: scope_of(scopes, name).priority, np.int32)
    texts, lengths = np.ones(rows.num_rows, np.int64), pc.utf8_length(rows.column("query")).to_numpy().astype(np.int64)
    for name in ("positives", "negatives"):
        lists = rows.column(name).combine_chunks()
        counts = pc.list_value_length(lists).to_numpy().astype(np.int64)
        texts = texts + counts
        lengths = lengths + sums_by_row(pc.utf8_length(lists.flatten()).to_numpy().astype(np.int64), counts)
    texts = texts + pc.list_value_length(rows.column("other_labels").combine_chunks()).to_numpy().astype(np.int64)
    ids = rows.column("id").combine_chunks()
    return [pa.array(priorities, pa.int32()), pa.array(texts, pa.int32()), pa.array(lengths, pa.int64()), ids]


def sums_by_row(values: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The sum of each row's values, ``counts[i]`` of them belonging to row i; modulo 2^64 for words."""
    ends = np.cumsum(counts)
    sums = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values, dtype=values.dtype)])
    found: npt.NDArray[Any] = sums[ends] - sums[ends - counts]
    return found
