"""Parquet and Arrow as people write them: bytes that are text, JSON, lists of all kinds, files of other tools."""

from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import compress, read, unit_of
from transforms.sources.readers import dictionaries
from transforms.sources.readers.plain_types import plain_array

TEXTS = ["a", None, "dré 字", "", "long " * 20]
LISTS = [["a", "b"], None, [], ["c", None], ["d"]]
TEXT_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.binary()),
]


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
def test_text_is_text_in_every_type(kind: pa.DataType) -> None:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    values = [None if text is None else text.encode() if "binary" in str(inner) else text for text in TEXTS]
    array = pa.array(values, inner)
    array = array.cast(kind) if inner is not kind else array
    for part in (array, array.slice(1, 3)):
        plain = plain_array(part)
        plain.validate(full=True)
        assert plain.type == pa.string()
        assert plain.to_pylist() == TEXTS[1:4] if len(part) == 3 else TEXTS
    nested = pa.StructArray.from_arrays([array], ["t"])
    assert plain_array(nested).to_pylist() == [{"t": text} for text in TEXTS]


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
@pytest.mark.parametrize("of", [pa.list_, pa.large_list, pa.list_view, pa.large_list_view])
def test_lists_are_lists_in_every_type(of: Any, text: pa.DataType) -> None:
    array = pa.array(LISTS, of(text))
    plain = plain_array(array)
    plain.validate(full=True)
    assert plain.type == pa.list_(pa.string())
    assert plain.to_pylist() == LISTS
    assert plain_array(array.slice(2)).to_pylist() == LISTS[2:]


@given(st.lists(st.one_of(st.none(), st.uuids()), max_size=5), st.integers(0, 2))
def test_uuids_are_what_python_writes(uuids: list[Any], start: int) -> None:
    array = pa.array([uuid and uuid.bytes for uuid in uuids], pa.uuid()).slice(start)
    assert plain_array(array).to_pylist() == [uuid and str(uuid) for uuid in uuids][start:]


def test_bytes_without_a_type_are_read_as_utf8_and_the_others_counted(tmp_path: Path) -> None:
    rows = {"t": pa.array([b"caf\xc3\xa9", b"caf\xe9", None]), "f": pa.array([b"ab", b"cd", b"ef"], pa.binary(2))}
    pq.write_table(pa.table(rows), tmp_path / "train.parquet", store_schema=False)
    got, broken = read(unit_of(tmp_path / "train.parquet"), "t", "f")
    assert got == {0: {"t": "café", "f": "ab"}, 2: {"t": None, "f": "ef"}}
    assert broken == {1: "INVALID_UTF8"}


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_json_of_the_datasets_library_is_parsed(tmp_path: Path, ending: str) -> None:
    features = datasets.Features(
        {"q": datasets.Value("string"), "n": datasets.Json(), "l": datasets.List(datasets.Json())}
    )
    columns = {"q": ["a", "b", "c"], "n": [["x", "y"], ["z"], None], "l": [[{"t": "u"}], [], [{"t": "v"}]]}
    table = datasets.Dataset.from_dict(columns, features=features)
    path = tmp_path / f"train.{ending}"
    if ending == "parquet":
        table.to_parquet(path)
    else:
        table.save_to_disk(tmp_path / "saved")
        (tmp_path / "saved" / "data-00000-of-00001.arrow").rename(path)
    rows, broken = read(unit_of(path), "q", "n", "l")
    assert list(rows.values()) == [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    assert not broken


def test_a_text_that_is_no_json_costs_its_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": pa.array(['["x"]', "{", "3", None], pa.json_())}), tmp_path / "train.parquet")
    rows, broken = read(unit_of(tmp_path / "train.parquet"), "n", batch_rows=2)
    assert rows == {0: {"n": ["x"]}, 3: {"n": None}}
    assert broken == {1: "MALFORMED_ROW", 2: "WRONG_TYPE"}


@pytest.mark.parametrize("compression", [None, "gzip", "zstd", "xz"])
@pytest.mark.parametrize("form", ["file", "stream", "lz4"])
def test_arrow_files_and_streams(tmp_path: Path, compression: Any, form: str) -> None:
    table = pa.table({"t": TEXTS * 500, "l": LISTS * 500, "d": pa.array(TEXTS * 500).dictionary_encode()})
    plain = tmp_path / "plain"
    if form == "lz4":
        feather.write_feather(table, str(plain), compression="lz4", chunksize=300)
    else:
        new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with new(str(plain), table.schema) as writer:
            writer.write_table(table, max_chunksize=700)
    ending = {None: "", "gzip": ".gz", "zstd": ".zst", "xz": ".xz"}[compression]
    path = tmp_path / f"train.arrow{ending}"
    path.write_bytes(compress(plain.read_bytes(), compression))
    rows, broken = read(unit_of(path), "t", "l", "d", batch_rows=600)
    assert list(rows.values()) == table.to_pylist()
    assert list(rows) == list(range(2500))
    assert not broken


@pytest.mark.parametrize("cut", [-2000, 100, 9])
def test_a_truncated_arrow_file_is_said_to_be_damaged(tmp_path: Path, cut: int) -> None:
    table = pa.table({"t": ["text"] * 5000})
    with pa.ipc.new_file(str(tmp_path / "plain"), table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "train.arrow").write_bytes((tmp_path / "plain").read_bytes()[:cut])
    with pytest.raises(SourceError, match="not a whole arrow file"):
        read(unit_of(tmp_path / "train.arrow"), "t")


def test_one_bit_of_a_page_with_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    options: Any = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.table({"t": [f"text number {number}" for number in range(100)]}), path, **options)
    data = bytearray(path.read_bytes())
    data[data.index(b"number 50")] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="not a whole parquet file"):
        read(unit_of(path), "t")


def test_a_column_that_may_be_absent_is_null_and_told(tmp_path: Path) -> None:
    for name, table in (("a.parquet", pa.table({"q": ["x"]})), ("b.parquet", pa.table({"q": ["y"], "n": ["z"]}))):
        pq.write_table(table, tmp_path / name)
    (tmp_path / "c.jsonl").write_text('{"q": "x"}\n' * 3 + '{"q": "y", "n": "z"}\n', encoding="utf-8")
    (tmp_path / "d.csv").write_text("q\nx\n", encoding="utf-8")
    got = {}
    for name in ("a.parquet", "b.parquet", "c.jsonl", "d.csv"):
        notes: Counter[str] = Counter()
        rows, _ = read(unit_of(tmp_path / name), "q", "n", notes=notes, optional=frozenset({"n"}))
        got[name] = [row["n"] for row in rows.values()]
        assert bool(notes) == (name in ("a.parquet", "d.csv")), name
        with pytest.raises(SourceError, match="no column 'other'"):
            read(unit_of(tmp_path / name), "q", "other", "n", optional=frozenset({"n"}))
    assert got == {"a.parquet": [None], "b.parquet": ["z"], "c.jsonl": [None, None, None, "z"], "d.csv": [None]}


@pytest.mark.parametrize("size", [30_000, 3_000_000])
def test_a_long_text_in_every_row_is_decoded_in_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(dictionaries, "DECODED_BYTES", 10 * size)
    table = pa.table({"t": ["a" * size] * 50, "l": [[f"b{number}"] for number in range(50)]})
    pq.write_table(table, tmp_path / "train.parquet")
    file = pq.ParquetFile(tmp_path / "train.parquet")
    with pa.OSFile(str(tmp_path / "train.parquet")) as source:
        rows = dictionaries.rows_at_once(source, file.metadata, 0, ["t", "l"], 8192)
        assert 8 <= rows <= 10
        assert dictionaries.rows_at_once(source, file.metadata, 0, ["l"], 8192) == 8192
    got, _ = read(unit_of(tmp_path / "train.parquet"), "t")
    assert [len(row["t"]) for row in got.values()] == [size] * 50


def test_the_header_of_a_dictionary_is_what_the_file_says(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1000)]
    pq.write_table(pa.table({"t": texts * 3}), tmp_path / "train.parquet", write_page_checksum=True)
    chunk = pq.ParquetFile(tmp_path / "train.parquet").metadata.row_group(0).column(0)
    header = (tmp_path / "train.parquet").read_bytes()[chunk.dictionary_page_offset :][:64]
    found = dictionaries.read_dictionary_header(header)
    assert found == (sum(len(text) + 4 for text in texts), 1000)
