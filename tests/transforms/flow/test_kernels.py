"""Compiled loops: buffers in and out of Arrow, and threads entering at once whatever numba's threading layer."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.flow import kernels
from transforms.flow.kernels import PACKAGES, cache_folder, compact, offsets_of, text_array, text_buffers

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=6)

MANY_THREADS = """
from concurrent.futures import ThreadPoolExecutor
import pyarrow as pa
from transforms.flow import kernels
from transforms.duplicates.minhash import MinHashParams, signatures
texts = pa.array([f"the text of row {i} is this one" for i in range(200)])
alone = signatures(texts, MinHashParams())
with ThreadPoolExecutor(4) as pool:
    for found in pool.map(lambda _: signatures(texts, MinHashParams()), range(40)):
        assert (found == alone).all()
print(kernels.LAYER)
"""


@settings(deadline=None)
@given(TEXTS, st.integers(0, 3), st.booleans())
def test_buffers_are_those_of_the_slice(texts: list[str | None], start: int, large: bool) -> None:
    array = pa.array(texts, pa.large_string() if large else pa.string()).slice(min(start, len(texts)))
    data, offsets = text_buffers(array)
    expected = [(text or "").encode() for text in array.to_pylist()]
    assert [data[a:b].tobytes() for a, b in pairwise(offsets)] == expected


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(TypeError, match="binary"):
        text_buffers(pa.array([b"a"]))


def test_chunked_text_is_one_buffer() -> None:
    data, offsets = text_buffers(pa.chunked_array([["a", "bc"], ["d"]]))
    assert data[: offsets[-1]].tobytes() == b"abcd"
    assert text_array(data, offsets).to_pylist() == ["a", "bc", "d"]


def test_compact_closes_the_gaps() -> None:
    spaced = np.arange(10)
    offsets = offsets_of(np.array([2, 0, 3]))
    assert compact(spaced, np.array([1, 3, 6]), offsets).tolist() == [1, 2, 6, 7, 8]


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_threads_may_enter_at_once(layer: str) -> None:
    environment = os.environ | {"NUMBA_THREADING_LAYER": layer}
    done = subprocess.run(
        [sys.executable, "-c", MANY_THREADS], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip() == "None") == (layer == "workqueue")


def test_compiled_code_follows_every_module_with_kernels(tmp_path: Path) -> None:
    folders = [tmp_path / "near", tmp_path / "far"]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "one.py").write_text("@kernel\ndef f(x):\n    return x\n")
    (folders[0] / "plain.py").write_text("a = 1\n")
    before = cache_folder(folders, "base")
    (folders[0] / "plain.py").write_text("a = 2\n")
    assert cache_folder(folders, "base") == before
    seen = {before}
    for text in ("@parallel_kernel\ndef g(x):\n    return x\n", "from numba.extending import intrinsic\n"):
        (folders[1] / "two.py").write_text(text)
        seen.add(cache_folder(folders, "base"))
    assert len(seen) == 3
    assert {Path(folder).parent for folder in seen} == {Path("base")}
    assert Path(cache_folder(folders, "")).parent == folders[0] / "__pycache__"


def test_every_package_with_kernels_is_followed() -> None:
    root = Path(kernels.__file__).parents[2]
    holding = {
        path.relative_to(root).parts[0]
        for package in ("catalog", "schemas", "transforms", "mining", "pipelines", "trainer")
        for path in (root / package).rglob("*.py")
        if any(word in path.read_bytes() for word in (b"kernel\ndef ", b"numba.njit(", b"numba.extending"))
    }
    assert holding == set(PACKAGES)
