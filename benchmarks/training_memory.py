"""Memory and seconds of what training reads, on generated shards of growing size, and of a step of Qwen2-0.5B on a CPU.

    python -m benchmarks.training_memory [--rows=1000000,5000000] [--soft_rows=1000000] [--step_rows=8]
        [--write=docs/measured.md]

Rows of ten datasets, with one positive and one hard negative each, lie in Parquet shards with a manifest; training
reads them as it always does (digest, Arrow file, keys of texts), then the order of an epoch of batches of 48 is made.
One of the datasets has a thousand different positives, so that rows must be exchanged between batches. For soft labels
a store with a random vector of 384 dimensions for each text is copied and looked up as distillation does. The step is
one of ``kalm train`` with gradient caching and checkpointing, AdamW included. Each part works in a process of its own.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._measure import peak_bytes, run_module, tell
from benchmarks._report import fill, machine, numbers, table, versions
from mining.fixed_point import pack_vectors
from schemas.manifest import DatasetRecord, Manifest, ShardRecord, VectorsRecord
from schemas.rows import ID, SHARD
from schemas.vectors import key_range, num_store_partitions, vector_key, vector_schema
from transforms.vectors.vector_store import write_vectors

DATASETS, LABELS, BATCH = 10, 1000, 48
BLOCK_ROWS = 100_000
STORE, DIMS, SOFT_BATCHES = "generated", 384, 50
READING = (
    "rows",
    "reading, s",
    "order, s",
    "bytes a row",
    "peak MiB before",
    "after reading",
    "after the order",
    "load",
)
SOFT = ("rows", "vectors", "copied and looked up, s", "peak MiB before", "after", "a batch's soft labels, ms", "load")
STEP = ("Qwen2-0.5B on a CPU", "tokens", "first step, s", "second step, s", "peak GiB", "load")
_TARGET = "The target for 1 M rows is an order in 2 s and 16 bytes a row."
_MIB = 1 << 20
#: Texts of the step are about as long as short passages.
_STEP_WORDS = 24


def write_shards(folder: Path, rows: int, words: int = 12) -> Path:
    """Write shards of so many rows in all, and their manifest; gives its path. ``words``: of a query, about."""
    records = []
    for dataset in range(DATASETS):
        first, size = dataset * rows // DATASETS, (dataset + 1) * rows // DATASETS - dataset * rows // DATASETS
        name = f"generated-{dataset}"
        path = folder / "finetune" / "retrieval" / name / "part-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        with pq.ParquetWriter(path, SHARD, compression="zstd") as writer:
            for start in range(0, size, BLOCK_ROWS):
                own = np.arange(first + start, first + min(start + BLOCK_ROWS, size))
                writer.write_table(_rows(name, own, words, LABELS if dataset == 0 else rows), row_group_size=8192)
        records.append(_record(name, path, folder, size))
    manifest = folder / "manifest.json"
    manifest.write_text(Manifest(config={}, code="0", libraries={}, datasets=records).model_dump_json())
    return manifest


def _rows(name: str, own: Any, words: int, positives: int) -> pa.Table:
    size = len(own)
    found = {"positives": own % positives, "negatives": own + (1 << 40)}
    columns: dict[str, Any] = {
        "id": pc.cast(pa.array(own), pa.string()),
        **{key: pa.repeat(value, size) for key, value in (("dataset", name), ("task_type", "retrieval"))},
        **{key: pa.repeat(value, size) for key, value in (("language", "en"), ("instruction", "Find the answer"))},
        "query": _texts("query", own, words),
        **{key: _listed(_texts(key, places, 2 * words)) for key, places in found.items()},
        **{
            f"{side}_scores": _listed(pa.repeat(pa.scalar(0.5, pa.float32()), size))
            for side in ("positive", "negative")
        },
        "negative_ranks": _listed(pa.repeat(pa.scalar(0, pa.int32()), size)),
        **{key: pa.nulls(size, pa.string()) for key in ("label", "cluster_id")},
        **{f"{side}_ids": _listed(pc.cast(pa.array(own), pa.string())) for side in ("positive", "negative")},
    }
    return pa.table([columns[field.name] for field in SHARD], schema=SHARD)


def _texts(what: str, places: Any, words: int) -> pa.Array:
    numbered = pc.cast(pa.array(places), pa.string())
    return pc.binary_join_element_wise(what, numbered, " ".join(["tree", "river", "stone"] * words)[: 6 * words], " ")


def _listed(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.arange(len(values) + 1), pa.int32()), values)


def _record(name: str, path: Path, folder: Path, rows: int) -> DatasetRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shard = ShardRecord(path=str(path.relative_to(folder)), rows=rows, sha256=digest)
    facts = {"stage": "finetune", "task_type": "retrieval", "source": "generated", "revision": None}
    return DatasetRecord.model_validate(
        facts | {"name": name, "symmetric": False, "instruction": "Find the answer", "shards": [shard]}
    )


def read(manifest: Path) -> None:
    """Read shards as training does, make an epoch's order, and tell seconds, memory and bytes held."""
    from trainer.order import OrderParams, epoch_order, repeats
    from trainer.shards import open_rows, read_manifest

    before, started = peak_bytes(), time.perf_counter()
    with tempfile.TemporaryDirectory(dir=manifest.parent) as scratch:
        rows = open_rows(read_manifest(manifest), manifest.parent, Path(scratch))
    opened, peak_opened = time.perf_counter(), peak_bytes()
    order = epoch_order(rows.sizes, rows.keys, rows.digest, 0, OrderParams(batch_size=BATCH))
    ordered = time.perf_counter()
    held = sum(array.nbytes for array in (rows.keys.query_R, rows.keys.positives, rows.keys.offsets, order))
    tell(
        load=os.getloadavg()[0],
        rows=len(rows),
        reading=opened - started,
        order=ordered - opened,
        held=held / len(rows),
        before=before / _MIB,
        opened=peak_opened / _MIB,
        ordered=peak_bytes() / _MIB,
        repeats=len(repeats(order, rows.keys.query_R, rows.keys.positives, BATCH)),
    )


def write_store(manifest_file: Path) -> None:
    """Write a store with a random vector for each text of a manifest's shards, which the manifest then names."""
    manifest = Manifest.model_validate_json(manifest_file.read_bytes())
    keys: set[bytes] = set()
    for record in manifest.datasets:
        record.vectors = VectorsRecord(store=STORE, dims=DIMS, query_prompt="", passage_prompt="")
        for shard in record.shards:
            table = pq.read_table(manifest_file.parent / shard.path, columns=["query", "positives", "negatives"])
            for column in (table["query"], pc.list_flatten(table["positives"]), pc.list_flatten(table["negatives"])):
                keys.update(vector_key("", text) for text in column.to_pylist())
    known = np.sort(np.frombuffer(b"".join(keys), "S16"))
    partitions = num_store_partitions(len(known))
    starts = np.searchsorted(known, [bytes([key_range(each, partitions)[0]]) for each in range(partitions)])
    random = np.random.default_rng(0)
    for partition, own in enumerate(np.split(known, starts[1:])):
        packed = pa.FixedSizeBinaryArray.from_buffers(ID, len(own), [None, pa.py_buffer(own.tobytes())])
        vectors = pack_vectors(random.integers(-3000, 3000, (len(own), DIMS), dtype=np.int16))
        table = pa.table([packed, vectors], schema=vector_schema(DIMS))
        write_vectors(f"{manifest_file.parent}/.work/store/{STORE}", partition, partitions, table)
    manifest_file.write_text(manifest.model_dump_json())


def look_up(manifest_file: Path) -> None:
    """Open a store as distillation does, make the soft labels of batches, and tell seconds and memory."""
    from trainer.shards import open_rows, read_manifest
    from trainer.teacher_vectors import open_teacher

    manifest, folder = read_manifest(manifest_file), manifest_file.parent
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        rows = open_rows(manifest, folder, Path(scratch))
        before, started = peak_bytes(), time.perf_counter()
        teacher = open_teacher(manifest, folder, Path(scratch), rows, 1)
    opened, peak_opened = time.perf_counter(), peak_bytes()
    random = np.random.default_rng(0)
    batches = [rows.take(random.integers(0, len(rows), BATCH)) for _ in range(SOFT_BATCHES)]
    asked = time.perf_counter()
    for batch in batches:
        teacher.soft_labels(batch, [0] * BATCH, range(BATCH), [[BATCH + i] for i in range(BATCH)])
    tell(
        load=os.getloadavg()[0],
        rows=len(rows),
        vectors=len(teacher.keys),
        seconds=opened - started,
        before=before / _MIB,
        opened=peak_opened / _MIB,
        batch=(time.perf_counter() - asked) / SOFT_BATCHES,
    )


def step(manifest: Path, step_rows: int, model_name: str = "qwen2-0.5b") -> None:
    """Two steps of a model on so many rows each, and tell their seconds and tokens."""
    from transformers import TrainerCallback

    from trainer.config import TrainConfig
    from trainer.fit import batches_of, fit
    from trainer.models import open_model
    from trainer.shards import open_rows, read_manifest

    config = TrainConfig(
        manifest=manifest,
        model=model_name,
        batch_size=step_rows,
        max_steps=2,
        gradient_caching=True,
        gradient_checkpointing=True,
        tokens_per_pass=512,
    )
    times: list[float] = []

    class Clock(TrainerCallback):
        """Notes when steps begin and end."""

        def on_step_begin(self, *args: object, **kwargs: object) -> None:
            times.append(time.perf_counter())

        on_step_end = on_step_begin

    with tempfile.TemporaryDirectory(dir=manifest.parent) as scratch:
        rows = open_rows(read_manifest(manifest), manifest.parent, Path(scratch))
        model = open_model(model_name, rows.sample_texts(100), config.max_seq_length, 0)
        batches = batches_of(model, rows, config)
        tokens = [sum(each["attention_mask"].sum().item() for each in batches[i]["passes"]) for i in range(2)]
        fit(model, rows, config, Path(scratch) / "trainer", Clock())
    tell(
        load=os.getloadavg()[0],
        first=times[1] - times[0],
        second=times[3] - times[2],
        tokens=round(sum(tokens) / 2),
        weights=sum(weight.numel() for weight in model.parameters()),
    )


def reading_lines(told: Sequence[dict[str, float]]) -> list[tuple[str, ...]]:
    """The rows of the table of reading."""
    return [
        (
            f"{each['rows']:,}",
            f"{each['reading']:.1f}",
            f"{each['order']:.2f}",
            f"{each['held']:.1f}",
            *(f"{each[key]:,.0f}" for key in ("before", "opened", "ordered")),
            f"{each['load']:.1f}",
        )
        for each in told
    ]


def soft_line(told: dict[str, float]) -> tuple[str, ...]:
    """The row of the table of soft labels."""
    return (
        f"{told['rows']:,}",
        f"{told['vectors']:,} of {DIMS} dimensions",
        f"{told['seconds']:.1f}",
        f"{told['before']:,.0f}",
        f"{told['opened']:,.0f}",
        f"{1000 * told['batch']:.1f}",
        f"{told['load']:.1f}",
    )


def step_line(told: dict[str, float], step_rows: int) -> tuple[str, ...]:
    """The row of the table of the step."""
    return (
        f"{step_rows} rows of 3 texts, {told['weights'] / 1e6:.0f} M weights",
        f"{told['tokens']:,}",
        f"{told['first']:.0f}",
        f"{told['second']:.0f}",
        f"{told['peak_mib'] / 1024:.1f}",
        f"{told['load']:.1f}",
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_memory", description=__doc__, allow_abbrev=False
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=numbers, default=[1_000_000, 5_000_000], help="sizes (default: 1 and 5 million)")
    parser.add_argument("--step_rows", type=int, default=8, help="rows of a step of Qwen2-0.5B (default: 8)")
    parser.add_argument("--soft_rows", type=int, default=1_000_000, help="rows with soft labels (default: 1 million)")
    parser.add_argument("--scratch", type=Path, help="where shards are written (default: the place of temporary files)")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--look_up", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help="document whose block bench:training-memory is filled")
    return parser


def measured(arguments: argparse.Namespace) -> tuple[list[dict[str, float]], dict[str, float], dict[str, float]]:
    """What the processes told: of reading for each size, of soft labels, and of the step."""
    told = []
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        for rows in arguments.rows:
            manifest = write_shards(Path(folder) / str(rows), rows)
            told.append(run_module("benchmarks.training_memory", f"--read={manifest}"))
        manifest = write_shards(Path(folder) / "soft", arguments.soft_rows)
        write_store(manifest)
        soft = run_module("benchmarks.training_memory", f"--look_up={manifest}")
        manifest = write_shards(Path(folder) / "step", 100 * DATASETS, _STEP_WORDS)
        stepped = run_module("benchmarks.training_memory", f"--step={manifest}", f"--step_rows={arguments.step_rows}")
    return told, soft, stepped


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser().parse_args(given)
    if arguments.read:
        read(arguments.read)
        return 0
    if arguments.look_up:
        look_up(arguments.look_up)
        return 0
    if arguments.step:
        step(arguments.step, arguments.step_rows)
        return 0
    notes = [
        f"`python -m benchmarks.training_memory {' '.join(word for word in given if not word.startswith('--write'))}`",
        machine(),
        versions(("pyarrow", "numpy", "sentence-transformers", "transformers", "torch")),
        _TARGET,
        "Peaks are of a process, with what it imports and pages of mapped files; the load is that at a part's end.",
    ]
    told, soft, stepped = measured(arguments)
    left = ", ".join(f"{each['repeats']:,} of {each['rows']:,}" for each in told)
    notes.append(f"Rows that share a text with another one of their batch after the exchanges: {left}.")
    tables = [
        table(READING, reading_lines(told)),
        table(SOFT, [soft_line(soft)]),
        table(STEP, [step_line(stepped, arguments.step_rows)]),
    ]
    found = "\n\n".join([*tables, "\n".join(f"- {note}" for note in notes)])
    print(found)
    if arguments.write:
        fill(arguments.write, "training-memory", found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
