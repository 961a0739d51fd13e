"""The inner loop of the search, as wide as any CPU runs it, against products of integers."""

import numba
import numpy as np
import pytest

from mining.products import _lanes, products
from mining.scan import aligned


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("num_queries", [1, 8])
def test_scores_and_what_is_above_are_those_of_integers(lanes: int, num_queries: int) -> None:
    multiplied, width = products(num_queries, lanes), 2 * lanes

    @numba.njit
    def step(queries, packed, wanted):  # type: ignore[no-untyped-def]
        pairs = queries.shape[1]
        panel, scores, above = aligned(packed.size), aligned(len(queries) * width), np.zeros(len(queries), np.uint32)
        panel[:] = packed
        found = multiplied(
            queries.ctypes.data,
            4 * pairs,
            pairs,
            panel.ctypes.data,
            scores.ctypes.data,
            wanted.ctypes.data,
            above.ctypes.data,
        )
        return found, scores.copy(), above

    for dims in (2, 384, 4096):
        rng, scale = np.random.default_rng(dims), int(32767 / np.sqrt(dims))
        queries, passages = (rng.integers(-scale, scale + 1, (num, dims), np.int16) for num in (num_queries, width))
        packed = passages.view(np.int32).T.ravel()
        expected = queries.astype(np.int64) @ passages.astype(np.int64).T
        wanted = np.median(expected, axis=1).astype(np.int32)
        found, scores, above = step(queries.view(np.int32), packed, wanted)
        marked = above[:, None] >> np.arange(width, dtype=np.uint32) & 1
        assert found
        assert (scores.reshape(expected.shape) == expected).all()
        assert (marked == (expected > wanted[:, None])).all()
        found, _, above = step(queries.view(np.int32), packed, expected.max(axis=1).astype(np.int32))
        assert not found
        assert not above.any()


@pytest.mark.parametrize(
    ("name", "features", "lanes"),
    [("haswell", "", 8), ("x86-64-v4", None, 16), ("cascadelake", "+avx512f,+avx512bw", 16), ("generic", None, 8)],
)
def test_registers_are_those_of_the_cpu_that_is_compiled_for(name: str, features: str | None, lanes: int) -> None:
    assert _lanes(name, features) == lanes
