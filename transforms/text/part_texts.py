"""The texts of a part: who says them, under which hash they are known, and what the teacher sees of them.

A text's address is (part, row, field, element): ``query``, ``positives`` and ``negatives`` of a kept part, ``text`` of
a corpus part. Two hashes belong to it: of the bare text (its identity among passages), and of what the encoder sees
(text with prompt, its key in the vector store).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import ID, text_hash
from transforms.flow.lists import element_of_each
from transforms.text.matching import matching_forms

QUERY, POSITIVES, NEGATIVES, TEXT = "query", "positives", "negatives", "text"
#: How a text is encoded: as what is asked, or as what is found.
AS_QUERY, AS_PASSAGE = "query", "passage"

#: Texts of one part with their addresses and hashes. ``cluster`` is the hash of the text's form for matching.
TEXT_ROWS = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("element", pa.int32(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("hash", ID, nullable=False),
        pa.field("key", ID, nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What is put before a text of each dataset: ``queries`` before queries, ``passages`` before all other texts."""

    queries: Mapping[str, str]
    passages: Mapping[str, str]

    def of(self, dataset: str, role: str) -> str:
        """The prompt of a dataset's texts in a role."""
        return (self.queries if role == AS_QUERY else self.passages).get(dataset, "")


def texts_of_rows(rows: pa.Table, part: int, prompts: Prompts) -> pa.Table:
    """All texts of a kept part (TEXT_ROWS schema): queries, positives and given negatives.

    The text of a labelled row, which has no positive of its own, is a passage too: it is what others of its class find.
    """
    numbers = np.arange(rows.num_rows)
    asked = _Texts(rows.column("dataset"), rows.column("query"), numbers, np.zeros(len(numbers)))
    labelled = pa.array(np.flatnonzero(pc.equal(pc.list_value_length(rows.column(POSITIVES)), 0).to_numpy()))
    found = _Texts(
        asked.datasets.take(labelled), asked.texts.take(labelled), labelled.to_numpy(), np.zeros(len(labelled))
    )
    tables = [_text_rows(asked, QUERY, AS_QUERY, part, prompts), _text_rows(found, QUERY, AS_PASSAGE, part, prompts)]
    for field in (POSITIVES, NEGATIVES):
        tables.append(_text_rows(_listed(rows, field), field, AS_PASSAGE, part, prompts))
    return pa.concat_tables(tables)


def texts_of_corpus(passages: pa.Table, part: int, prompts: Prompts) -> pa.Table:
    """The passages of a corpus part that mining may draw on (TEXT_ROWS schema); empty ones are left out."""
    wanted = pc.and_(passages.column("sampled"), pc.not_equal(passages.column("text"), ""))
    rows = np.flatnonzero(wanted.to_numpy())
    chosen = passages.take(pa.array(rows))
    texts = _Texts(chosen.column("dataset"), chosen.column("text"), rows, np.zeros(len(rows)))
    return _text_rows(texts, TEXT, AS_PASSAGE, part, prompts)


@dataclass(frozen=True)
class _Texts:
    """Texts of one field with the row and the place in the row's list that each stands at."""

    datasets: pa.ChunkedArray
    texts: pa.Array | pa.ChunkedArray
    rows: Any
    elements: Any


def _listed(rows: pa.Table, field: str) -> _Texts:
    lists = rows.column(field).combine_chunks()
    parents = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    starts = np.asarray(lists.offsets)[:-1] - lists.offsets[0].as_py()
    elements = np.arange(len(parents)) - starts[parents]
    return _Texts(rows.column("dataset").take(pa.array(parents)), lists.flatten(), parents, elements)


def first_texts(lists: pa.ListArray) -> pa.StringArray:
    """The first text of each list; null where the list is empty or null."""
    return element_of_each(lists, 0)


def _text_rows(texts: _Texts, field: str, role: str, part: int, prompts: Prompts) -> pa.Table:
    size = len(texts.rows)
    values = texts.texts.to_pylist()
    before = [prompts.of(dataset, role) for dataset in texts.datasets.to_pylist()]
    hashes = [text_hash(value) for value in values]
    keys = [text_hash(p + value) if p else h for p, value, h in zip(before, values, hashes, strict=True)]
    columns = [
        texts.datasets,
        pa.array(np.full(size, part)),
        pa.array(texts.rows, pa.int32()),
        pa.array([field] * size, pa.string()),
        pa.array(texts.elements, pa.int32()),
        pa.array([role] * size, pa.string()),
        texts.texts,
        pa.array(hashes, ID),
        pa.array(keys, ID),
        pa.array(before, pa.string()),
    ]
    return pa.table(columns, schema=TEXT_ROWS)


def cluster_hashes(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Hash of each text's form for matching: texts that differ in case, spacing or punctuation alone share it."""
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return pa.array([text_hash(text) for text in matching_forms(array).to_pylist()], ID)
