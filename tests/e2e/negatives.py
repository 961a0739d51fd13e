"""What no mined negative may be, asked of the rows of shards and of the vectors that the teacher gave."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.rows import text_hash
from tests.e2e.running import WORK
from transforms.duplicates.jaccard import jaccard
from transforms.duplicates.minhash import shingle_sets
from transforms.duplicates.params import NearDuplicateParams
from transforms.text.matching import matching_form

Vectors = Mapping[bytes, bytes]


def stored_vectors(out: Path) -> dict[bytes, bytes]:
    """The vectors of a run with the tiny teacher, which has no prompts, by the hash of their text."""
    found: dict[bytes, bytes] = {}
    for path in sorted((out / WORK / "store").rglob("*.parquet")):
        table = pq.ParquetFile(path).read()
        found |= dict(zip(table["key"].to_pylist(), table["vector"].to_pylist(), strict=True))
    return found


def check_negatives(rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> None:
    """Raise AssertionError with the row that has a mined negative which is, in any spelling, its question or something
    relevant to that (whoever asks it), a near-duplicate or the vector of such, of its class, or, in any spelling or
    edited, another of its negatives.
    """
    relevant: dict[str, dict[str, str]] = defaultdict(dict)
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        relevant[matching_form(row["query"])] |= {matching_form(text): text for text in row["positives"]}
        if row["label"] is not None:
            labels[matching_form(row["query"])].add(row["label"])
    for row in filter(_mined, rows):
        _check_texts(row, relevant[matching_form(row["query"])])
        _check_labels(row, labels)
        _check_vectors(row, relevant[matching_form(row["query"])], vectors)


def _mined(row: Mapping[str, Any]) -> list[str]:
    return [text for text, rank in zip(row["negatives"], row["negative_ranks"], strict=True) if rank != -1]


def _check_texts(row: Mapping[str, Any], relevant: Mapping[str, str]) -> None:
    chosen, negatives = [matching_form(text) for text in _mined(row)], [matching_form(t) for t in row["negatives"]]
    given = set(negatives) - set(chosen)
    assert {matching_form(row["query"]), *relevant}.isdisjoint(chosen), row
    assert {matching_form(text) for text in row["positives"]}.isdisjoint(given), row
    assert all(negatives.count(text) == 1 for text in chosen), row
    if row["label"] is None:
        assert copies(chosen, [*relevant, *negatives]) == [], row


def _check_labels(row: Mapping[str, Any], labels: Mapping[str, set[str]]) -> None:
    if row["label"] is not None:
        assert all(row["label"] in labels[matching_form(text)] for text in row["positives"]), row
        assert all(row["label"] not in labels.get(matching_form(text), ()) for text in row["negatives"]), row


def _check_vectors(row: Mapping[str, Any], relevant: Mapping[str, str], vectors: Vectors) -> None:
    mined = [vectors[text_hash(text)] for text in _mined(row)]
    known = {vectors[text_hash(text)] for text in relevant.values()}
    assert known.isdisjoint(mined), row
    if row["label"] is not None:
        assert vectors[text_hash(row["query"])] not in mined, row


def copies(chosen: list[str], others: list[str]) -> list[tuple[str, str]]:
    """Pairs of different texts that are long enough, have the same numbers, and are near-duplicates."""
    params = NearDuplicateParams()
    texts = [*chosen, *others]
    values, offsets = shingle_sets(pa.array(texts, pa.large_string()), params.minhash.shingle_size)
    sets = [values[start:end] for start, end in pairwise(offsets)]
    numbers = [re.findall(r"\d+", text) for text in texts]
    return [
        (texts[one], texts[other])
        for one in range(len(chosen))
        for other in range(len(chosen), len(texts))
        if texts[one] != texts[other]
        and min(len(sets[one]), len(sets[other])) >= params.minhash.min_shingles
        and numbers[one] == numbers[other]
        and jaccard(sets[one], sets[other], params.jaccard) > 0
    ]
