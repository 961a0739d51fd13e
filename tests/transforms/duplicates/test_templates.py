"""Frames: what a family has in common, and what fills it."""

import numpy as np
import pyarrow as pa
import pytest

from tests.transforms.duplicates.test_verification import FRAMES, WORDS, prose, with_edit
from transforms.duplicates.jaccard import FieldSets, field_sets, shingles_of
from transforms.duplicates.params import MinHashParams
from transforms.duplicates.templates import frame_of, outside, same_filling
from transforms.text.matching import matching_forms

LONG = [prose(100 + number, 12) for number in range(4)]


def sets_of(texts: list[str]) -> FieldSets:
    return field_sets([matching_forms(pa.array(texts))], MinHashParams())


@pytest.mark.parametrize("number", [3, 8, 40])
def test_the_frame_of_a_filled_template_is_what_all_rows_share(number: int) -> None:
    words = [f"{word} {n}" for n in "ab" for word in WORDS][:number]
    sets = sets_of([FRAMES[0].format(word) for word in words])
    frame = frame_of(sets, 0, 0, number, 0.6)
    filling = outside(shingles_of(sets, 0), frame)
    assert 0 < len(filling) <= len(words[0]) + 4
    assert set(frame.tolist()) | set(filling.tolist()) >= set(shingles_of(sets, 0).tolist())


def test_two_rows_and_edited_copies_show_no_template() -> None:
    text = prose(1)
    copies = [text, *(with_edit(text, 20 * n, "xxxx yyyy") for n in range(1, 6))]
    assert len(frame_of(sets_of(copies), 0, 0, 6, 0.6)) == 0
    assert len(frame_of(sets_of([FRAMES[0].format(word) for word in WORDS[:2]]), 0, 0, 2, 0.6)) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("harbour", "ledger", False),
        ("type one diabetes", "type one diabetes insipidus", False),
        (LONG[0], LONG[1], False),
        (LONG[0], with_edit(LONG[0], 10, "zz"), True),
        (LONG[0], f"{LONG[0]} {LONG[1][:10]}", True),
    ],
)
def test_fillings(one: str, other: str, same: bool) -> None:
    rows = [FRAMES[0].format(filling) for filling in [one, other, *WORDS[:6]]]
    sets = sets_of(rows)
    frame = frame_of(sets, 2, 0, len(rows), 0.5)
    assert len(frame) > 0
    assert same_filling(sets, 0, 1, frame, 0.8) == same
    assert same_filling(sets, 1, 0, frame, 0.8) == same


def test_an_edit_of_the_frame_leaves_the_filling_the_same() -> None:
    row = FRAMES[0].format("harbour")
    rows = [row, with_edit(row, len(row) - 30, "qq"), *(FRAMES[0].format(word) for word in WORDS[1:8])]
    sets = sets_of(rows)
    frame = frame_of(sets, 2, 0, len(rows), 0.6)
    assert same_filling(sets, 0, 1, frame, 0.8)
    assert not np.array_equal(outside(shingles_of(sets, 0), frame), outside(shingles_of(sets, 1), frame))
