"""How compiled loops run: parallel inside one process, safe when several of Beam's threads enter, compiled once.

Numba's parallel loops need a threading layer. Two of them (TBB and OpenMP) let several threads enter at a time; the
third, ``workqueue``, aborts the process when that happens, so calls take turns where it is all there is.
``NUMBA_NUM_THREADS`` and ``NUMBA_THREADING_LAYER`` mean what numba says they mean; where the direct runner
starts several processes, it sets the former to 1 for each."""

import ctypes
import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

#: Packages that hold compiled loops, and what a module with parts of one says.
PACKAGES = ("transforms", "mining")
_COMPILED = (b"kernel\ndef ", b"def kernel(", b"numba.extending")

P = ParamSpec("P")
R = TypeVar("R")

_TBB = "libtbb.so.12"


def _load_tbb() -> None:
    """The tbb wheel puts its library where the loader does not look; once loaded by path, numba finds it by name."""
    path = Path(sys.prefix) / "lib" / _TBB
    if path.exists():
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            return


def _reentrant_layer(asked: str) -> str | None:
    """The layer that several threads may enter, or None if there is none or another one was asked for."""
    _load_tbb()
    for layer, module in (("tbb", "tbbpool"), ("omp", "omppool")):
        if asked in (layer, "default", "safe", "threadsafe"):
            try:
                importlib.import_module(f"numba.np.ufunc.{module}")
            except ImportError:
                continue
            return layer
    return None


#: ``tbb``, ``omp`` or None; decided once, before the first kernel runs.
LAYER = _reentrant_layer(str(numba.config.THREADING_LAYER).lower())  # type: ignore[attr-defined]
if LAYER is not None:
    numba.config.THREADING_LAYER = LAYER  # type: ignore[attr-defined]
_TURN: AbstractContextManager[object] = nullcontext() if LAYER else threading.Lock()


def cache_folder(sources: Sequence[Path], base: str) -> str:
    """Where compiled code is kept: a folder below ``base`` (or beside the first of ``sources``, folders) named by all
    their modules with kernels.

    Numba itself looks at one module only, so that a kernel would go on with the old code of a kernel that it calls from
    another module, after an update as well as after an edit.
    """
    modules = [path.read_bytes() for folder in sources for path in sorted(folder.rglob("*.py"))]
    digest = xxhash.xxh3_64_hexdigest(b"".join(text for text in modules if any(word in text for word in _COMPILED)))
    first = sources[0]
    beside = first if os.access(first, os.W_OK) else Path.home() / ".cache" / "kalm-curation"
    return str((Path(base) if base else beside / "__pycache__") / f"kernels-{digest}")


_ROOT = Path(__file__).parents[2]
numba.config.CACHE_DIR = cache_folder(  # type: ignore[attr-defined]
    [_ROOT / name for name in PACKAGES],
    numba.config.CACHE_DIR,  # type: ignore[attr-defined]
)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that runs on one core, or that other kernels call; cached on disk, releases Python's lock."""
    return cast(Callable[P, R], numba.njit(cache=True, nogil=True)(function))


def parallel_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop whose ``numba.prange`` runs on all of this process' numba threads."""
    compiled = numba.njit(cache=True, nogil=True, parallel=True)(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _TURN:
            return compiled(*args, **kwargs)

    return call


Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


def text_buffers(texts: pa.Array | pa.ChunkedArray) -> tuple[Bytes, Offsets]:
    """UTF-8 bytes and the ``len(texts) + 1`` offsets into them, without a copy where possible. Null counts as empty.

    Raises TypeError for anything but ``string`` or ``large_string``.
    """
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        raise TypeError(f"texts must be string or large_string, not {array.type}; cast them where they are read")
    if array.null_count:
        array = array.fill_null("")
    width = np.int32 if pa.types.is_string(array.type) else np.int64
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return np.frombuffer(b"", np.uint8), np.zeros(1, np.int64)
    positions = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1]
    text = np.frombuffer(data or b"", np.uint8)
    text.flags.writeable = False  # also where it could be written: loops are compiled once for either kind of array
    return text, positions.astype(np.int64)


def text_array(data: Bytes, offsets: Offsets) -> pa.LargeStringArray:
    """The opposite of ``text_buffers``: ``large_string`` over the same bytes."""
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@parallel_kernel
def compact(spaced, starts, offsets):  # type: ignore[no-untyped-def]
    """Move runs together: run i starts at ``starts[i]`` in ``spaced`` and goes to ``offsets[i]:offsets[i + 1]``.

    What a run has beyond the end of ``spaced`` is left for the caller to fill.
    """
    out = np.empty(offsets[-1], spaced.dtype)
    for run in numba.prange(len(starts)):
        to = out[offsets[run] : offsets[run + 1]]
        source = spaced[starts[run] : starts[run] + len(to)]
        for at in range(len(source)):  # over slices: the compiler sees that no index is negative, and copies in blocks
            to[at] = source[at]
    return out


def offsets_of(lengths: npt.NDArray[np.int64]) -> Offsets:
    """The ``len(lengths) + 1`` offsets of runs that lie one behind the other."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
