"""Entries, units and raw rows for tests, and the way from rows to what became of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.catalog import CatalogEntry, LocatedEntry
from transforms.examples.adapters import Adapted, adapt
from transforms.examples.grouping import Grouped, group_members
from transforms.sources.readers.raw import BROKEN, RawBatch
from transforms.sources.units import Role, Unit

FILE = "datasets/toy/default/train-00000-of-00001.parquet"
CATALOG_FILE = "catalog/finetune/toy.yaml"


def locate(
    adapter: str, columns: Mapping[str, Any], options: Mapping[str, Any] | None = None, **more: Any
) -> LocatedEntry:
    """An entry named ``toy``, each key of its columns on a line of its own from line 11 on."""
    entry = CatalogEntry.model_validate(
        {
            "name": "toy",
            "title": "Toy",
            "stage": "finetune",
            "task_type": "retrieval",
            "languages": ["en"],
            "source": {"configs": ["default"]},
            "adapter": adapter,
            "columns": columns,
            "options": options or {},
        }
        | more
    )
    lines = {"columns": 10} | {f"columns.{key}": 11 + number for number, key in enumerate(columns)}
    return LocatedEntry(entry=entry, file=CATALOG_FILE, lines=lines)


def make_unit(config: str = "default", role: Role = "rows", file: str = FILE) -> Unit:
    return Unit(
        dataset="toy", config=config, role=role, path=f"/hub/{file}", file=file, format="parquet", row_groups=(0,)
    )


def make_raw(rows: pa.RecordBatch, broken: Sequence[Mapping[str, Any]] = (), first: int = 0) -> RawBatch:
    numbers = pa.array(range(first, first + rows.num_rows), pa.int64())
    return RawBatch(rows=rows, numbers=numbers, broken=pa.RecordBatch.from_pylist(list(broken), schema=BROKEN))


def batch(schema: Mapping[str, Any] | None = None, **columns: Sequence[Any]) -> pa.RecordBatch:
    """Columns by name, their types inferred but for those in ``schema``."""
    kinds = schema or {}
    return pa.record_batch({name: pa.array(values, kinds.get(name)) for name, values in columns.items()})


def adapted(located: LocatedEntry, rows: pa.RecordBatch, **unit: Any) -> Adapted:
    return adapt(located, make_unit(**unit), make_raw(rows))


def kept(result: Adapted | Grouped, *names: str) -> list[Any]:
    """The example rows as tuples of some of their columns, or plain values of one."""
    columns = [result.rows.column(name).to_pylist() for name in names]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def reasons(result: Adapted | Grouped) -> dict[str, str]:
    """Reason by the number of the rejected row."""
    places = result.rejections.column("provenance").to_pylist()
    return dict(
        zip((place.rpartition("#")[2] for place in places), result.rejections.column("reason").to_pylist(), strict=True)
    )


def counted(result: Adapted | Grouped) -> Counter[str]:
    return Counter(result.rejections.column("reason").to_pylist())


def grouped(*results: Adapted) -> Grouped:
    return group_members(pa.Table.from_batches([result.members for result in results]))
