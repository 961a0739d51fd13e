"""Frames: what a family has in common, and what fills it."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.transforms.duplicates.test_verification import FRAMES, WORDS, prose, with_edit
from transforms.duplicates.jaccard import FieldSets, field_sets, resemblance, shingles_of
from transforms.duplicates.params import MinHashParams
from transforms.duplicates.prefix_index import no_index, whole_index
from transforms.duplicates.templates import (
    _MAX_STEPS,
    _MAX_WITNESSES,
    _family_by,
    _family_nearby,
    _stride,
    frame_of,
    outside,
    same_filling,
)
from transforms.text.matching import matching_forms

LONG = [prose(100 + number, 12) for number in range(4)]


def sets_of(texts: list[str]) -> FieldSets:
    return field_sets([matching_forms(pa.array(texts))], MinHashParams())


def frame_in(sets: FieldSets, row: int, number: int, floor: float = 0.6) -> npt.NDArray[np.uint64]:
    frame: npt.NDArray[np.uint64] = frame_of(sets, row, 0, number, floor, no_index())[0]
    return frame


@pytest.mark.parametrize("number", [3, 8, 40])
def test_the_frame_of_a_filled_template_is_what_all_rows_share(number: int) -> None:
    words = [f"{word} {n}" for n in "ab" for word in WORDS][:number]
    sets = sets_of([FRAMES[0].format(word) for word in words])
    frame = frame_in(sets, 0, number)
    filling = outside(shingles_of(sets, 0), frame)
    assert 0 < len(filling) <= len(words[0]) + 4
    assert set(frame.tolist()) | set(filling.tolist()) >= set(shingles_of(sets, 0).tolist())


def test_two_rows_and_edited_copies_show_no_template() -> None:
    text = prose(1)
    copies = [text, *(with_edit(text, 20 * n, "xxxx yyyy") for n in range(1, 6))]
    assert len(frame_in(sets_of(copies), 0, 6)) == 0
    assert len(frame_in(sets_of([FRAMES[0].format(word) for word in WORDS[:2]]), 0, 2)) == 0


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
    frame = frame_in(sets, 2, len(rows), 0.5)
    assert len(frame) > 0
    assert same_filling(sets, 0, 1, frame, 0.8) == same
    assert same_filling(sets, 1, 0, frame, 0.8) == same


def test_an_edit_of_the_frame_leaves_the_filling_the_same() -> None:
    row = FRAMES[0].format("harbour")
    rows = [row, with_edit(row, len(row) - 30, "qq"), *(FRAMES[0].format(word) for word in WORDS[1:8])]
    sets = sets_of(rows)
    frame = frame_in(sets, 2, len(rows))
    assert same_filling(sets, 0, 1, frame, 0.8)
    assert not np.array_equal(outside(shingles_of(sets, 0), frame), outside(shingles_of(sets, 1), frame))


def chain(number: int, step: int) -> list[str]:
    """Windows over one long text, shuffled: each resembles the few that overlap it most."""
    words = prose(7, 2 * number + 60).split()
    texts = [" ".join(words[step * n : step * n + 30]) for n in range(number)]
    return [texts[place] for place in np.random.default_rng(number).permutation(number)]


@pytest.mark.parametrize(
    "texts",
    [
        chain(300, 1),
        chain(151, 2),
        [FRAMES[0].format(f"{word} {n}") for n in range(10) for word in WORDS],
        [*chain(160, 1), *(FRAMES[1].format(f"{word} {n}") for n in range(4) for word in WORDS), "", "a", "a"],
    ],
)
def test_an_index_finds_the_family_that_asking_every_row_finds(texts: list[str]) -> None:
    sets, size = sets_of(texts), len(texts)
    index = whole_index(sets, 0, size, 0.6)
    for row in range(size):
        order = [(row + step * _stride(size)) % size for step in range(1, size)]
        expected = [row, *(other for other in order if resemblance(sets, row, other, 0.6) > 0)][:_MAX_WITNESSES]
        assert _family_by(index, sets, row, 0, size, 0.6).tolist() == expected
        nearby, is_whole = _family_nearby(sets, row, 0, size, 0.6)
        assert nearby.tolist() == expected[: len(nearby)]
        assert not is_whole or nearby.tolist() == expected
    assert size > _MAX_STEPS  # else the index is never asked
    assert index[6].sum() == 0
