"""Members: rows on their way to their group, and the order in which a group looks at them.

The order depends on what the rows say alone: on the hash of their normalised text, then on a hash of everything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from schemas.rows import ID, fields_hash
from transforms.cleaning.normalise import normalise_texts

POSITIVE, NEGATIVE, OTHER, QUERY = "positive", "negative", "other", "query"

#: A row on its way to its group. ``group``: hash of (dataset, normalised text or query id). ``role``: ``query``
#: brings a ``beir`` query's text and is no row of its own. ``reason_if_kept``: why it is rejected in a group that has
#: a positive (null: its text is used). ``reason_if_orphan``: why it is rejected in a group that has none. ``text`` is
#: null, and ``content`` (hash of the normalised text) too, while ``passage``, the hash of (dataset, passage id), is
#: not yet looked up.
MEMBERS = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("group", ID, nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("reason_if_kept", pa.string()),
        pa.field("reason_if_orphan", pa.string()),
        pa.field("query", pa.string()),
        pa.field("text", pa.string()),
        pa.field("passage", ID),
        pa.field("label", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("content", ID),
        pa.field("provenance", pa.string(), nullable=False),
    ]
)

#: The roles in the order in which a group looks at them.
_ROLES = (POSITIVE, NEGATIVE, OTHER, QUERY)

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]


def group_hashes(dataset: str, keys: pa.StringArray) -> pa.Array:
    """Hash of (dataset, key) for each key, ``binary(16)``; equal keys are hashed once."""
    encoded = keys.dictionary_encode()
    hashes = [fields_hash((dataset, key)) for key in encoded.dictionary.to_pylist()]
    return pa.array(hashes, ID).take(encoded.indices)


def content_hashes(texts: pa.StringArray) -> pa.Array:
    """xxh3-128 of each text, ``binary(16)``; nulls stay null."""
    return pa.array([None if text is None else xxhash.xxh3_128_digest(text.encode()) for text in texts.to_pylist()], ID)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Members in order of group, role and text. ``group`` numbers groups; ``text`` is equal where group and text are.

    ``query_row`` is the row that brings the query of each group, -1 where its rows have it themselves.
    """

    members: pa.Table
    role: npt.NDArray[np.int8]
    group: Index
    text: Index
    query_row: Index

    def column(self, name: str) -> pa.Array:
        """A column of the members in one piece."""
        return _chunk(self.members.column(name))

    def has_role(self, role: str) -> Mask:
        """For each row whether it has a role."""
        found: Mask = self.role == _ROLES.index(role)
        return found

    def in_group(self, rows: Mask) -> Mask:
        """For each row whether one of these rows is in its group."""
        found: Mask = (np.bincount(self.group[rows], minlength=len(self.query_row)) > 0)[self.group]
        return found

    def queries(self) -> pa.StringArray:
        """The query of each row: its own, or that of its group; null where the group has none."""
        own = self.column("query").is_valid().to_numpy(zero_copy_only=False) & ~self.has_role(QUERY)
        row = np.where(own, np.arange(len(own)), self.query_row[self.group])
        return self.column("query").take(pa.array(np.maximum(row, 0), mask=row < 0))


def with_content(members: pa.Table) -> pa.Table:
    """Give texts that were looked up the hash of their content."""
    content, text = _chunk(members.column("content")), _chunk(members.column("text"))
    fresh = pc.and_(content.is_null(), text.is_valid())
    found = content_hashes(normalise_texts(text.filter(fresh)))
    filled = pc.replace_with_mask(content, fresh, found)
    return members.set_column(members.schema.get_field_index("content"), MEMBERS.field("content"), filled)


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _words(hashes: pa.ChunkedArray) -> list[npt.NDArray[np.uint64]]:
    """``binary(16)`` as two columns of numbers that sort as the hashes do; null as zeros."""
    array = pc.fill_null(_chunk(hashes), pa.scalar(b"\0" * 16, ID))
    words = np.frombuffer(array.buffers()[1], dtype=">u8").reshape(-1, 2)[array.offset : array.offset + len(array)]
    return [words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64)]


def _changes(keys: Sequence[npt.NDArray[Any]]) -> Mask:
    """Where a row differs from the one before it in any of the keys; true for the first."""
    changes: Mask = np.zeros(len(keys[0]), bool)
    changes[:1] = True
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    return changes


def in_order(members: pa.Table) -> Groups:
    """Members (at least one, every text with its content) sorted by group, role, content, and by what else they say."""
    role = pc.index_in(_chunk(members.column("role")), pa.array(_ROLES)).to_numpy(zero_copy_only=False).astype(np.int8)
    group, content = _words(members.column("group")), _words(members.column("content"))
    keys = [*group, role, *content]
    order = np.lexsort(keys[::-1])
    changes = _changes([key[order] for key in keys])
    if not changes.all():
        order = np.lexsort([*_tie_breakers(members, order[_beside(~changes)]), *keys[::-1]])
    group_number = np.cumsum(_changes([key[order] for key in group])) - 1
    ordered = members.take(pa.array(order))
    return Groups(
        members=ordered,
        role=role[order],
        group=group_number,
        text=_text_numbers(group_number, [key[order] for key in content]),
        query_row=_query_rows(role[order], group_number),
    )


def _beside(repeats: Mask) -> Mask:
    """Rows that equal the row before or after them."""
    beside: Mask = repeats | np.r_[repeats[1:], False]
    return beside


def _tie_breakers(members: pa.Table, rows: Index) -> list[npt.NDArray[np.uint64]]:
    """For rows that are equal so far: a hash of where they stood, and, to be sorted by first, one of all they say.

    Only what a row says may decide what the example says, since files may be renamed.
    """
    chosen = members.take(pa.array(rows))
    names = ("query", "text", "label", "detail", "language", "score")
    said = zip(*(chosen.column(name).to_pylist() for name in names), strict=True)
    keys = [np.zeros(members.num_rows, np.uint64) for _ in range(2)]
    keys[0][rows] = [xxhash.xxh3_64_intdigest(place.encode()) for place in chosen.column("provenance").to_pylist()]
    keys[1][rows] = [xxhash.xxh3_64_intdigest(repr(row).encode()) for row in said]
    return keys


def _text_numbers(group: Index, content: list[npt.NDArray[np.uint64]]) -> Index:
    order = np.lexsort([*content[::-1], group])
    numbers = np.empty(len(group), np.int64)
    numbers[order] = np.cumsum(_changes([group[order], *(key[order] for key in content)])) - 1
    return numbers


def _query_rows(role: npt.NDArray[np.int8], group: Index) -> Index:
    rows = np.full(int(group[-1]) + 1, -1, np.int64)
    first = first_in_run(group, np.flatnonzero(role == _ROLES.index(QUERY)))
    rows[group[first]] = first
    return rows


def first_in_run(numbers: Index, rows: Index) -> Index:
    """Of ``rows`` (ascending) those whose number differs from that of the row before among them."""
    return rows[_changes([numbers[rows]])]
