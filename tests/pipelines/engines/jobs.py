"""A pipeline over ``pa.RecordBatch`` for tests on real engines; workers import its functions from here."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from schemas.errors import SourceError
from transforms.flow.batches import by_partition, to_batch

NUM_PARTITIONS = 16
HOLD_LIMIT_S = 120
BROKEN = "file broken.parquet lacks column 'query' (there are: é, 查询); mend its catalog entry"

Keyed = tuple[int, pa.RecordBatch]


def make_batch(number: int, num_rows: int, text_bytes: int) -> pa.RecordBatch:
    """Rows of one unit: ids that no other unit has, and texts that follow from the ids."""
    ids = np.arange(num_rows, dtype=np.int64) + number * num_rows
    return pa.record_batch({"id": ids, "text": [f"{i:08d}" * (text_bytes // 8) for i in ids]})


def spread(batch: pa.RecordBatch) -> Iterator[Keyed]:
    """The batch in parts, under keys that mix the rows of all units."""
    yield from by_partition(batch, batch["id"].to_numpy() % NUM_PARTITIONS)


def gather(group: tuple[int, Iterable[pa.RecordBatch]]) -> Keyed:
    """All rows of a key as one batch, in an order that does not depend on their arrival."""
    return group[0], to_batch(pa.Table.from_batches(list(group[1])).sort_by("id"))


def digest(keyed: Keyed) -> tuple[int, str]:
    """What a test compares: the bytes of the rows of a key."""
    table = pa.Table.from_batches([keyed[1]])
    texts = "".join(f"{row['id']}={row['text']};" for row in table.to_pylist())
    return 0, f"{keyed[0]:03d} {table.num_rows} {hashlib.sha256(texts.encode()).hexdigest()}"


def hold(keyed: Keyed, gate: str | None) -> Keyed:
    """Waits until the file ``go`` appears in the folder ``gate``, after saying there, with its pid, that it waits."""
    if gate is None:
        return keyed
    partial = Path(gate) / f"{os.getpid()}.partial"
    partial.write_text(str(os.getpid()), encoding="utf-8")
    partial.replace(Path(gate) / "waiting")
    deadline = time.monotonic() + HOLD_LIMIT_S
    while not (Path(gate) / "go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {gate}")
        time.sleep(0.05)
    return keyed


def write(group: tuple[int, Iterable[str]], path: str) -> None:
    """The digests of all keys, written whole or not at all."""
    partial = Path(path).with_suffix(".partial")
    partial.write_text("\n".join(sorted(group[1])), encoding="utf-8")
    partial.replace(path)


def run_digest_job(
    flags: list[str],
    out: Path,
    *,
    num_units: int = 6,
    num_rows: int = 400,
    text_bytes: int = 80,
    gate: Path | None = None,
) -> str:
    """Generates, shuffles twice and digests rows on the engine that ``flags`` name; returns one digest to a line."""
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        (
            pipeline
            | "Units" >> beam.Create(list(range(num_units)))
            | "Spread units" >> beam.Reshuffle()
            | "Make" >> beam.Map(make_batch, num_rows, text_bytes).with_output_types(pa.RecordBatch)
            | "Spread" >> beam.FlatMap(spread).with_output_types(Keyed)
            | "Group" >> beam.GroupByKey()
            | "Gather" >> beam.Map(gather).with_output_types(Keyed)
            | "Hold" >> beam.Map(hold, str(gate) if gate else None).with_output_types(Keyed)
            | "Digest" >> beam.Map(digest).with_output_types(tuple[int, str])
            | "Group digests" >> beam.GroupByKey()
            | "Write" >> beam.Map(write, str(out))
        )
    return out.read_text(encoding="utf-8")


def fail_on_seven(number: int) -> int:
    """Raises what a worker raises when a source is broken."""
    if number == 7:
        raise SourceError(BROKEN)
    return number


def run_failing_job(flags: list[str]) -> None:
    """A job whose worker raises ``SourceError``."""
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        numbers = pipeline | "Numbers" >> beam.Create(list(range(10))) | "Spread" >> beam.Reshuffle()
        numbers | "Fail" >> beam.Map(fail_on_seven)
