"""Compile every loop ahead of the first run, so that none waits for it: ``kalm warm-up``.

Numba compiles a loop for the types that it is called with and keeps the code (``transforms/flow/kernels.py``), so this
does what the steps of prepare and mine do, with a handful of texts.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pyarrow as pa

from mining.candidates import HASHES
from mining.fixed_point import pack_vectors, quantise
from mining.index import FlatIndex
from mining.mine import mine_dataset
from mining.params import MiningParams
from schemas.rows import ID
from transforms.cleaning.length_and_repetition import has_units, may_repeat
from transforms.duplicates.components import forest, star_edges
from transforms.duplicates.minhash import band_hashes
from transforms.duplicates.params import MinHashParams, VerificationParams
from transforms.duplicates.verification import verify
from transforms.leaks.decontaminate import EvaluationIndex
from transforms.text.matching import matching_forms

_TEXTS = ["How are loops compiled before anyone waits for them?", "提前编译的循环不会让任何人等待。", "long " * 200]


def warm_up() -> None:
    """Call what calls the compiled loops, those of prepare and those of mining in a process each."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        for done in [processes.submit(warm_prepare), processes.submit(warm_mining)]:
            done.result()


def warm_prepare() -> None:
    """The loops over texts as they are read and over their forms for matching."""
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


def warm_mining() -> None:
    """Mining of a row with a positive and of one that is known by its label, and the search without rules."""
    ids = pa.array([bytes([number] * 16) for number in range(4)], ID)
    vectors = quantise(np.eye(4, 16, dtype=np.float32))
    columns = {"vector": pack_vectors(vectors), "label": pa.array(["a", "a", "b", "b"])}
    address = {"part": [0] * 4, "row": range(4), "field": ["positives"] * 4, "element": [0] * 4}
    corpus = pa.table({"text_hash": ids, **columns, **address})
    named = {"positives": pa.array([[ids[1].as_py()], [], [], []], HASHES), "negatives": pa.array([[]] * 4, HASHES)}
    mine_dataset(pa.table({"id": ids, "query_hash": ids, **columns, **named}), corpus, MiningParams(), symmetric=True)
    FlatIndex(ids, vectors).search(vectors, 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    argparse.ArgumentParser(prog="kalm warm-up", description=warm_up.__doc__).parse_args(argv)
    started = time.perf_counter()
    print("compiling loops, once for these sources ...", file=sys.stderr, flush=True)
    warm_up()
    print(f"compiled in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return 0
