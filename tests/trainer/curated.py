"""Small curated folders: shards and a manifest as pack and curate write them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mining.fixed_point import Fixed, pack_vectors, quantise
from schemas.manifest import DatasetRecord, Manifest, ShardRecord, VectorsRecord
from schemas.rows import SHARD
from schemas.vectors import key_range, vector_key, vector_schema
from transforms.vectors.vector_store import write_vectors

Row = dict[str, Any]

INSTRUCTION = "Given a question, find its answer"
#: The store that ``embed`` fills, and the width of its vectors.
STORE, DIMS = "teacher-t512-d16", 16
PROMPT = "Instruct: Given a question, find its answer \n Query: "


def row(name: str, num_negatives: int, instruction: str | None = INSTRUCTION, num_positives: int = 1) -> Row:
    """An example whose texts say what they are: ``name q``, ``name p0``, ``name n0``, ``name n1`` and so on."""
    positives = [f"{name} p{i}" for i in range(num_positives)]
    negatives = [f"{name} n{i}" for i in range(num_negatives)]
    texts = {"query": f"{name} q", "positives": positives, "negatives": negatives, "instruction": instruction}
    scores = {"positive_scores": [0.9] * num_positives, "negative_scores": [0.3] * num_negatives}
    ids = {"positive_ids": positives, "negative_ids": negatives, "negative_ranks": list(range(num_negatives))}
    return {"id": name, "dataset": "d", "task_type": "retrieval", "language": "en"} | texts | scores | ids


def write_shard(folder: Path, path: str, rows: Sequence[Row]) -> ShardRecord:
    """One shard below ``folder``, and what the manifest says of it."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), SHARD), folder / path)
    digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
    return ShardRecord(path=path, rows=len(rows), sha256=digest)


def record(name: str, shards: Sequence[ShardRecord], **changes: Any) -> DatasetRecord:
    """A retrieval dataset's record in the manifest, but for ``changes``."""
    facts = {"stage": "finetune", "task_type": "retrieval", "source": "sample", "revision": None, "symmetric": False}
    return DatasetRecord.model_validate(
        {"name": name, "instruction": INSTRUCTION, "shards": list(shards)} | facts | changes
    )


def manifest_of(*records: DatasetRecord) -> Manifest:
    """A manifest of these datasets."""
    return Manifest(config={}, code="0", libraries={}, datasets=list(records))


def curate(folder: Path, datasets: Mapping[str, Sequence[Row]], symmetric: Sequence[str] = ()) -> Path:
    """A curated folder with one shard for each dataset; gives its manifest's path."""
    records = [
        record(
            name,
            [write_shard(folder, f"finetune/retrieval/{name}/part-00000-of-00001.parquet", rows)],
            symmetric=name in symmetric,
        )
        for name, rows in datasets.items()
    ]
    path = folder / "manifest.json"
    path.write_text(manifest_of(*records).model_dump_json())
    return path


def vector_of(key: bytes, dims: int = DIMS) -> Fixed:
    """The made-up vector of the text with this key: int16 ``[dims]``, the same each time."""
    drawn = np.random.default_rng(list(key)).normal(size=(1, dims)).astype(np.float32)
    return quantise(drawn / np.linalg.norm(drawn))[0]


def embed(path: Path, partitions: int = 2, store: str = STORE) -> Path:
    """Give a curated folder a vector store with all of its texts, which its manifest names; gives the store."""
    manifest = Manifest.model_validate_json(path.read_text())
    keys: set[bytes] = set()
    for each in manifest.datasets:
        before = {"query_prompt": "Q: ", "passage_prompt": "Q: " if each.symmetric else ""}
        each.vectors = VectorsRecord(store=store, dims=DIMS, **before)
        for row in (row for shard in each.shards for row in pq.read_table(path.parent / shard.path).to_pylist()):
            keys.add(vector_key("Q: ", row["query"]))
            texts = [*row["positives"], *row["negatives"]]
            keys.update(vector_key(before["passage_prompt"], text) for text in texts)
    folder = path.parent / ".work" / "store" / store
    fill_store(folder, sorted(keys), partitions)
    path.write_text(manifest.model_dump_json())
    return folder


def fill_store(folder: Path, keys: Sequence[bytes], partitions: int, dims: int = DIMS) -> None:
    """Write the vectors of these keys as embed does."""
    for partition in range(partitions):
        low, high = key_range(partition, partitions)
        own = [key for key in keys if low <= key[0] <= high]
        if own:
            columns = [pa.array(own, pa.binary(16)), pack_vectors(np.stack([vector_of(key, dims) for key in own]))]
            write_vectors(str(folder), partition, partitions, pa.table(columns, schema=vector_schema(dims)))


def mixed(folder: Path) -> Path:
    """Three datasets, one of them symmetric, whose 20 rows have 7, 3 or no negatives."""
    counts = [7, 3, 7, 0, 7, 3, 7, 7]
    rows = [row(f"moon {i}", count) for i, count in enumerate(counts)]
    plain = [row(f"river {i}", 7, instruction=None) for i in range(5)]
    pairs = [row(f"stone {i}", 3 * (i % 2)) for i in range(7)]
    return curate(folder, {"moons": rows, "rivers": plain, "stones": pairs}, symmetric=["stones"])
