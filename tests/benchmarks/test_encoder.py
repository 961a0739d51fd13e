"""The comparison of encoders: who takes turns, and what is called the same neighbours."""

import numpy as np

from benchmarks.encoder import PEER, lines, overlap, rounds
from mining.encoder import normalise


def test_sides_take_turns_on_the_same_texts():
    asked = []
    compared = {name: lambda texts, name=name: asked.append((name, texts)) for name in (PEER, "ours")}
    seconds, vectors = rounds(compared, ["a", "b"], 2)
    assert asked == [(PEER, ["a", "b"]), ("ours", ["a", "b"])] * 2
    assert seconds.keys() == vectors.keys() == compared.keys()


def test_equal_vectors_have_the_same_neighbours_and_strangers_few():
    drawn = np.random.default_rng(1)
    vectors, others = (normalise(drawn.normal(size=(200, 16))) for _ in range(2))
    assert overlap(vectors, vectors) == 1
    assert overlap(vectors, others) < 0.2


def test_the_ratio_is_how_much_less_time_a_side_takes_than_the_peer():
    vectors = normalise(np.random.default_rng(2).normal(size=(20, 4)))
    peer, ours = lines({PEER: (6.0, 4.0), "ours": (3.0, 1.0)}, {PEER: vectors, "ours": vectors})
    assert peer[3:] == ("1.00", "1.00", "1.0000")
    assert ours[1:] == ("3.0", "1.0", "2.00", "4.00", "1.0000")
