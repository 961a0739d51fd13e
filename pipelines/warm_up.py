"""Compile every loop ahead of the first run, so that none waits for it: ``kalm warm-up``.

Numba compiles a loop for the types that it is called with and keeps the code (``transforms/flow/kernels.py``), so this
does what the steps of prepare do, with a handful of texts.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from transforms.cleaning.length_and_repetition import has_units, may_repeat
from transforms.duplicates.components import forest, star_edges
from transforms.duplicates.minhash import band_hashes
from transforms.duplicates.params import MinHashParams, VerificationParams
from transforms.duplicates.verification import verify
from transforms.leaks.decontaminate import EvaluationIndex
from transforms.text.matching import matching_forms

_TEXTS = ["How are loops compiled before anyone waits for them?", "提前编译的循环不会让任何人等待。", "long " * 200]


def warm_up() -> None:
    """Call what calls the compiled loops, on texts as they are read and on their forms for matching."""
    texts = pa.array(_TEXTS)
    forms, shingles = matching_forms(texts), MinHashParams()
    matching_forms(forms)
    has_units(texts, 1)
    may_repeat(texts, 1)
    for compared in (forms, forms.take(pa.array([0, 1]))):
        band_hashes(compared, shingles)
    verify([forms, forms], np.array([0, len(forms)]), VerificationParams(), shingles)
    forest(*star_edges(np.array([1, 1], np.uint32), np.array([0, 1])))
    EvaluationIndex.build({"any": texts}).find(texts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    argparse.ArgumentParser(prog="kalm warm-up", description=warm_up.__doc__).parse_args(argv)
    started = time.perf_counter()
    print("compiling loops, once for these sources ...", file=sys.stderr, flush=True)
    warm_up()
    print(f"compiled in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return 0
