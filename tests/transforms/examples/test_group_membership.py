"""Members, their hashes, and the order in which a group looks at them."""

from typing import Any

import pyarrow as pa
import pytest

from transforms.cleaning.normalise import normalise_text
from transforms.examples.group_membership import MEMBERS, content_hashes, group_hashes, in_order, with_content

DEFAULTS = dict.fromkeys(MEMBERS.names) | {"dataset": "toy", "detail": "", "language": "en", "role": "positive"}


def table(*rows: dict[str, Any]) -> pa.Table:
    filled = [DEFAULTS | {"group": b"g" * 16, "provenance": f"f#{number}"} | row for number, row in enumerate(rows)]
    return pa.Table.from_pylist(filled, schema=MEMBERS)


@pytest.mark.parametrize("values", [[None, "a", ""], []])
def test_content_hashes_keep_nulls(values: list[str | None]) -> None:
    hashes = content_hashes(pa.array(values, pa.string())).to_pylist()
    assert [hashed is None for hashed in hashes] == [value is None for value in values]


def test_group_hashes_tell_datasets_and_keys_apart() -> None:
    one = group_hashes("x", pa.array(["a", "b", "a"])).to_pylist()
    assert one[0] == one[2] != one[1]
    assert group_hashes("xa", pa.array([""])).to_pylist() != group_hashes("x", pa.array(["a"])).to_pylist()


def test_texts_that_were_looked_up_are_hashed_by_what_they_say() -> None:
    known = b"k" * 16
    members = with_content(table({"text": "<b>a</b> "}, {"text": "b", "content": known}, {"text": None}))
    assert members.column("content").to_pylist() == [
        content_hashes(pa.array([normalise_text("a")]))[0].as_py(),
        known,
        None,
    ]
    assert members.schema == MEMBERS


def test_rows_are_ordered_by_group_role_and_content() -> None:
    keys = [
        (b"h" * 16, "positive", b"a" * 16),
        (b"g" * 16, "query", b"a" * 16),
        (b"g" * 16, "negative", b"a" * 16),
        (b"g" * 16, "positive", b"\xff" * 16),
        (b"g" * 16, "positive", b"b" * 16),
    ]
    groups = in_order(table(*({"group": group, "role": role, "content": content} for group, role, content in keys)))
    assert groups.column("provenance").to_pylist() == ["f#4", "f#3", "f#2", "f#1", "f#0"]
    assert groups.group.tolist() == [0, 0, 0, 0, 1]
    assert groups.query_row.tolist() == [3, -1]
    assert groups.has_role("positive").tolist() == [True, True, False, False, True]


def test_equal_texts_of_a_group_have_one_number_whatever_their_role() -> None:
    rows = [{"role": role, "content": b"a" * 16} for role in ("positive", "negative", "positive")]
    other = {"group": b"h" * 16, "content": b"a" * 16}
    groups = in_order(table(*rows, {"content": b"c" * 16}, other))
    same = [
        number
        for number, text in zip(groups.text, groups.column("content").to_pylist(), strict=True)
        if text == b"a" * 16
    ]
    assert len(set(same[:3])) == 1
    assert len(set(groups.text.tolist())) == 3
