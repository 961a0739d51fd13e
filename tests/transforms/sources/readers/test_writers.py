"""The same rows as real writers write them, in all their forms, read as the same canonical rows.

polars, duckdb and fastparquet are large and not installed for CI: where one is missing its forms are skipped.
"""

import datetime
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transforms.sources.readers.files import unit_of
from transforms.examples.adapters.labels import as_numbers, label_texts
from transforms.sources.readers import read_unit

TEXTS = ["plain", "dré 字 🙂", 'a "quote", a\ttab', "two\nlines", "", None] * 50
LISTS = [["a", "b"], [], None, ["c"], ["d", "e", "f"], [""]] * 50
LABELS = [0, 1, 2, 0, 1, None] * 50
SCORES = [0.5, 1.0, 0.25, -1.0, 2.0, None] * 50
DAYS = [datetime.datetime(2021, 3, 4, 5, number % 60, tzinfo=datetime.UTC) for number in range(300)]
TABLE = pa.table({"text": TEXTS, "list": LISTS, "label": LABELS, "score": SCORES, "day": DAYS})
LABEL_TEXTS = [None if label is None else str(label) for label in LABELS]


def check(path: Path, lists: bool = True) -> None:
    """The file holds the table, as the adapters see it."""
    names = ["text", "label", "score", *(["list"] if lists else [])]
    got = list(read_unit(unit_of(path), dict.fromkeys(names, "catalog/y.yaml:1"), batch_rows=70))
    columns = {name: [batch.rows.column(name) for batch in got] for name in names}
    assert sum(batch.broken.num_rows for batch in got) == 0
    assert [value for array in columns["text"] for value in array.to_pylist()] == TEXTS
    assert {array.type for array in columns["text"]} == {pa.string()}
    assert [value for array in columns["label"] for value in label_texts(array).to_pylist()] == LABEL_TEXTS
    assert [value for array in columns["score"] for value in as_numbers(array).values.to_pylist()] == SCORES
    if lists:
        assert [value for array in columns["list"] for value in array.to_pylist()] == LISTS


def _cast(**kinds: pa.DataType) -> pa.Table:
    return TABLE.cast(pa.schema([field.with_type(kinds.get(field.name, field.type)) for field in TABLE.schema]))


ARROW_FORMS: dict[str, Callable[[], pa.Table]] = {
    "as it is": lambda: TABLE,
    "large": lambda: _cast(text=pa.large_string(), list=pa.large_list(pa.large_string())),
    "views": lambda: _cast(text=pa.string_view()),
    "bytes": lambda: _cast(text=pa.binary()),
    "dictionaries": lambda: TABLE.set_column(0, "text", TABLE.column("text").dictionary_encode()),
    "decimals": lambda: _cast(label=pa.decimal128(25, 1), score=pa.decimal128(8, 3)),
    "small": lambda: _cast(label=pa.int8(), score=pa.float32()),
    "fractions": lambda: _cast(label=pa.float64()),
    "unsigned": lambda: _cast(label=pa.uint64()),
    "list views": lambda: TABLE.set_column(1, "list", pa.array(LISTS, pa.list_view(pa.string()))),
    "timestamps": lambda: _cast(day=pa.timestamp("ns", "UTC")),
}


@pytest.mark.parametrize("form", sorted(ARROW_FORMS))
@pytest.mark.parametrize("store_schema", [True, False])
def test_pyarrow_forms(tmp_path: Path, form: str, store_schema: bool) -> None:
    pq.write_table(ARROW_FORMS[form](), tmp_path / "a.parquet", store_schema=store_schema, row_group_size=90)
    check(tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), ARROW_FORMS[form]().schema) as writer:
        writer.write_table(ARROW_FORMS[form](), max_chunksize=64)
    check(tmp_path / "a.arrow")


PYARROW_OPTIONS: list[dict[str, Any]] = [
    *({"compression": name} for name in ("none", "snappy", "gzip", "brotli", "zstd", "lz4")),
    {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"}},
    {"use_dictionary": False, "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY", "score": "BYTE_STREAM_SPLIT"}},
    {"data_page_version": "2.0", "version": "1.0"},
    {"write_page_checksum": True, "write_page_index": True},
    {"data_page_size": 100, "dictionary_pagesize_limit": 50},
]


@pytest.mark.parametrize("options", PYARROW_OPTIONS, ids=str)
def test_pyarrow_options(tmp_path: Path, options: dict[str, Any]) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet", **options)
    check(tmp_path / "a.parquet")


def test_datasets_save_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset(TABLE)
    table.save_to_disk(tmp_path / "saved", num_shards=1)
    check(tmp_path / "saved" / "data-00000-of-00001.arrow")
    table.to_parquet(tmp_path / "a.parquet")
    check(tmp_path / "a.parquet")
    table.remove_columns("day").to_json(tmp_path / "a.jsonl")
    check(tmp_path / "a.jsonl")


def _polars() -> Iterator[tuple[str, Callable[[Path], None]]]:
    for compression in ("lz4", "uncompressed", "snappy", "gzip", "brotli", "zstd"):
        yield compression, lambda path, name=compression: _frame().write_parquet(path, compression=name)
    yield "pages", lambda path: _frame().write_parquet(path, data_page_size=200, row_group_size=70)
    yield "categories", lambda path: _frame(text="Categorical").write_parquet(path)
    yield "decimals", lambda path: _frame(label="Decimal").write_parquet(path)


def _frame(**kinds: str) -> Any:
    polars = pytest.importorskip("polars", reason="polars is not installed here")
    frame = polars.from_arrow(TABLE)
    wanted = {"Categorical": polars.Categorical, "Decimal": polars.Decimal(10, 2)}
    return frame.with_columns([polars.col(name).cast(wanted[kind]) for name, kind in kinds.items()])


@pytest.mark.parametrize(("form", "write"), list(_polars()), ids=lambda value: value if isinstance(value, str) else "")
def test_polars(tmp_path: Path, form: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / "a.parquet")
    check(tmp_path / "a.parquet")
    if form == "lz4":
        _frame().write_ipc(tmp_path / "a.arrow", compression="zstd")
        check(tmp_path / "a.arrow")


@pytest.mark.parametrize("options", ["", ", COMPRESSION lz4", ", COMPRESSION brotli", ", PARQUET_VERSION v2"])
@pytest.mark.parametrize("select", ["*", "* REPLACE (label * 1.0 AS label)", "* REPLACE (text::BLOB AS text)"])
def test_duckdb(tmp_path: Path, options: str, select: str) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed here")
    if "BLOB" in select:
        select = "* REPLACE (encode(text) AS text)"
    rows = TABLE.drop_columns("day")
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        connection.sql(f"COPY (SELECT {select} FROM rows) TO '{tmp_path}/a.parquet' (FORMAT parquet{options})")
    check(tmp_path / "a.parquet")


@pytest.mark.parametrize("compression", [None, "GZIP", "SNAPPY"])
def test_fastparquet_writes_lists_as_json(tmp_path: Path, compression: str | None) -> None:
    fastparquet = pytest.importorskip("fastparquet", reason="fastparquet is not installed here")
    frame = TABLE.drop_columns("day").to_pandas()
    frame["list"] = frame["list"].map(lambda value: None if value is None else list(value))
    encodings = {"text": "utf8", "list": "json", "label": "float", "score": "float"}
    fastparquet.write(str(tmp_path / "a.parquet"), frame, compression=compression, object_encoding=encodings)
    check(tmp_path / "a.parquet")


def test_lines_of_json_and_its_decimals(tmp_path: Path) -> None:
    lines = [json.dumps(row, ensure_ascii=number % 2 == 0, default=str) for number, row in enumerate(TABLE.to_pylist())]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    check(tmp_path / "a.jsonl")
    assert label_texts(pa.array([Decimal("12.0")], pa.decimal256(50, 1))).to_pylist() == ["12"]
