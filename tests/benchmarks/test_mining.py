"""Both of our sides of the mining benchmark do the same work."""

import pytest

pytest.importorskip("faiss", reason="the sides to compare with need faiss")
from benchmarks._mining_sides import OURS, SIDES, given


def test_mining_on_beam_chooses_what_the_function_chooses() -> None:
    vectors = given(40, 1000, 16)
    found = {SIDES[name](*vectors)() for name in OURS}
    assert len(found) == 1
    assert found != {SIDES[OURS[0]](*given(41, 1000, 16))()}
