"""Examples as training reads them: one memory-mapped file of all shards, and what the order of an epoch needs to know.

In memory stand 4 bytes for a row's query, 4 for each of its positives and 4 for where they begin; texts stay on disk.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

Keys = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]

#: Columns of the file; ``prompt`` is the filled template before the query, ``dataset`` a number.
SCHEMA = pa.schema(
    [
        ("dataset", pa.int32()),
        ("prompt", pa.string()),
        ("query", pa.string()),
        ("positives", pa.list_(pa.string())),
        ("negatives", pa.list_(pa.string())),
        ("positive_scores", pa.list_(pa.float32())),
        ("negative_scores", pa.list_(pa.float32())),
        ("label", pa.string()),
        ("cluster_id", pa.string()),
        ("language", pa.string()),
    ]
)


class Row(NamedTuple):
    """One example; texts are bare. Scores are the teacher's, in the order of the texts, and may be fewer than these."""

    dataset: int
    prompt: str
    query: str
    positives: list[str]
    negatives: list[str]
    positive_scores: list[float | None]
    negative_scores: list[float | None]
    label: str | None
    cluster_id: str | None
    language: str | None = None


@dataclass(frozen=True, kw_only=True)
class TextKeys:
    """32-bit hashes of texts: one for each row's query, and those of its positives from ``offsets[row]`` on.

    Texts are compared within a batch alone: two that share a hash by chance only come to stand in different ones.
    """

    query_R: Keys
    positives: Keys
    offsets: Offsets


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All examples of a run, dataset after dataset; ``sizes`` counts each dataset's.

    ``symmetric``: for each dataset whether passages carry the prompt too. ``digest``: of the shards, in order.
    ``prompted``: whether texts carry prompts at all.
    """

    batches: Sequence[pa.RecordBatch]
    starts: Ints
    names: Sequence[str]
    symmetric: Sequence[bool]
    sizes: Sequence[int]
    keys: TextKeys
    digest: str
    prompted: bool = True

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, rows: Iterable[int]) -> list[Row]:
        """The examples with these numbers, in this order."""
        found = []
        for row in rows:
            place = int(np.searchsorted(self.starts, row, side="right")) - 1
            values = self.batches[place].slice(row - int(self.starts[place]), 1).to_pylist()[0]
            found.append(Row(**values))
        return found

    def query_text(self, row: Row) -> str:
        """What the encoder sees of a row's query: its prompt, where texts have one, and the query."""
        return row.prompt + row.query if self.prompted else row.query

    def passage_text(self, row: Row, text: str) -> str:
        """What the encoder sees of a row's positive or negative: in a symmetric dataset it carries the prompt too."""
        return row.prompt + text if self.prompted and self.symmetric[row.dataset] else text

    def sample_texts(self, rows: int) -> Iterator[str]:
        """The texts of the first ``rows`` rows of each dataset, in order."""
        first = 0
        for size in self.sizes:
            for row in self.take(range(first, first + min(rows, size))):
                yield self.query_text(row)
                yield from (self.passage_text(row, text) for text in [*row.positives, *row.negatives])
            first += size


def map_batches(path: Path, batches: Iterable[pa.RecordBatch]) -> tuple[list[pa.RecordBatch], TextKeys]:
    """Write batches of ``SCHEMA`` to a file and map it into memory; the file has no name afterwards.

    Gives the mapped batches and the keys of their texts. Raises OSError where the disk is full.
    """
    queries, positives, counts = [np.empty(0, np.uint32)], [np.empty(0, np.uint32)], [np.zeros(1, np.int64)]
    try:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
            for batch in batches:
                writer.write_batch(batch)
                queries.append(_keys(batch.column("query")))
                positives.append(_keys(batch.column("positives").flatten()))
                counts.append(np.diff(batch.column("positives").offsets.to_numpy()).astype(np.int64))
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        mapped = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    finally:
        path.unlink(missing_ok=True)  # what is mapped stays readable, and a killed run leaves nothing behind
    ends = np.cumsum(np.concatenate(counts))
    offsets: Offsets = ends.astype(np.uint32) if ends[-1] < 2**32 else ends.astype(np.uint64)
    keys = TextKeys(query_R=np.concatenate(queries), positives=np.concatenate(positives), offsets=offsets)
    return mapped, keys


def _keys(texts: pa.Array) -> Keys:
    digest = xxhash.xxh32_intdigest
    return np.fromiter((digest(text.encode()) for text in texts.to_pylist()), np.uint32, len(texts))
