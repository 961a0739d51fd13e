"""Texts for deduplication at scale: English words by Zipf's law, and families of edited copies, in one Parquet file.

Of every twenty texts one is an exact copy of an earlier one and two are edited copies, half of these with an edit in
one place, half with words changed throughout, of 1 to 20 % of the text. The same arguments give the same file.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema([("text", pa.string())])
ROW_GROUP_ROWS = 50_000
#: In a block of so many texts, how many are exact copies and how many are edited copies of others of the block.
BLOCK, EXACT, EDITED = 1000, 50, 100
_VOCABULARY = 60_000
_SYLLABLES = [c + v for c in ("b", "cl", "d", "fr", "g", "h", "k", "l", "m", "n", "pr", "s", "t") for v in "aeiou"]


def vocabulary() -> npt.NDArray[np.object_]:
    """Made-up words, the frequent ones short, as they are in languages."""
    rng = np.random.default_rng(7)
    sizes = 1 + np.log10(1 + np.arange(_VOCABULARY)).astype(int)
    picks = rng.integers(0, len(_SYLLABLES), (_VOCABULARY, sizes.max()))
    words = ["".join(_SYLLABLES[pick] for pick in row[:size]) for row, size in zip(picks, sizes, strict=True)]
    return np.array(words, dtype=object)


def blocks(rows: int, num_bytes: int, seed: int) -> Iterator[list[str]]:
    """``rows`` texts of about ``num_bytes`` bytes, block by block."""
    words, rng = vocabulary(), np.random.default_rng(seed)
    ranks = 1.0 / np.arange(1, _VOCABULARY + 1)
    cumulative = np.cumsum(ranks) / ranks.sum()
    mean = float(np.dot(ranks / ranks.sum(), [len(word) + 1 for word in words]))
    length = max(8, round(num_bytes / mean))
    for start in range(0, rows, BLOCK):
        drawn = np.searchsorted(cumulative, rng.random((BLOCK, length)))
        _plant(drawn, rng)
        yield [" ".join(row) for row in words[drawn][: rows - start]]


def _plant(drawn: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
    """Overwrite the last texts of a block with copies, whole or edited, of the first ones."""
    size, length = drawn.shape
    copies = np.arange(size - EXACT - EDITED, size)
    drawn[copies] = drawn[rng.permutation(size - len(copies))[: len(copies)]]
    for number, row in enumerate(copies[EXACT:]):
        count = max(1, round(length * rng.uniform(0.01, 0.2)))
        first = rng.integers(0, length - count + 1)
        places = slice(first, first + count) if number % 2 else rng.permutation(length)[:count]
        drawn[row, places] = rng.integers(0, _VOCABULARY, count)


def write(path: Path, rows: int, num_bytes: int = 400, seed: int = 1) -> None:
    """Write the texts as one Parquet file with a column ``text``."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        gathered: list[str] = []
        for block in blocks(rows, num_bytes, seed):
            gathered += block
            if len(gathered) >= ROW_GROUP_ROWS:
                writer.write_table(pa.table([gathered], schema=SCHEMA), row_group_size=ROW_GROUP_ROWS)
                gathered = []
        if gathered:
            writer.write_table(pa.table([gathered], schema=SCHEMA), row_group_size=ROW_GROUP_ROWS)
