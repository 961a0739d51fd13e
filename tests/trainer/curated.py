"""Small curated folders: shards and a manifest as pack and curate write them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.manifest import DatasetRecord, Manifest, ShardRecord
from schemas.rows import SHARD

Row = dict[str, Any]

INSTRUCTION = "Given a question, find its answer"
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


def mixed(folder: Path) -> Path:
    """Three datasets, one of them symmetric, whose 20 rows have 7, 3 or no negatives."""
    counts = [7, 3, 7, 0, 7, 3, 7, 7]
    rows = [row(f"moon {i}", count) for i, count in enumerate(counts)]
    plain = [row(f"river {i}", 7, instruction=None) for i in range(5)]
    pairs = [row(f"stone {i}", 3 * (i % 2)) for i in range(7)]
    return curate(folder, {"moons": rows, "rivers": plain, "stones": pairs}, symmetric=["stones"])
