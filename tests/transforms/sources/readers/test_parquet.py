import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import read, schema_of, unit_of
from transforms.sources.footers import read_footer
from transforms.sources.readers import read_unit
from transforms.sources.readers.parquet import column_ranges

ROWS = 95
GROUP_ROWS = 10
CLASS_NAMES = json.dumps({"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}})


def table_of(rows: int = ROWS) -> pa.Table:
    table = pa.table(
        {
            "query": [f"text {number}" for number in range(rows)],
            "label": [number % 2 for number in range(rows)],
            "answers": [{"text": [f"a{number}"] * (number % 3), "start": [number]} for number in range(rows)],
            "unwanted": ["x" * 1000] * rows,
        }
    )
    return table.replace_schema_metadata({"huggingface": CLASS_NAMES})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pq.write_table(table_of(), tmp_path / "train.parquet", row_group_size=GROUP_ROWS)
    return tmp_path / "train.parquet"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.sets(st.integers(1, 9)),
    batch_rows=st.integers(1, 40),
    columns=st.lists(st.sampled_from(["query", "label", "answers"]), min_size=1, unique=True),
)
def test_units_of_row_groups_hold_all_rows_with_their_numbers(
    path: Path, cuts: set[int], batch_rows: int, columns: list[str]
) -> None:
    rows: dict[int, Any] = {}
    for start, stop in pairwise([0, *sorted(cuts), 10]):
        unit = unit_of(path, row_groups=tuple(range(start, stop)), first_row=start * GROUP_ROWS)
        rows |= read(unit, *columns, batch_rows=batch_rows)[0]
    assert rows == dict(enumerate(table_of().select(columns).to_pylist()))


def test_class_names_stay_in_the_schema(path: Path) -> None:
    assert schema_of(unit_of(path), "label").metadata[b"huggingface"].decode() == CLASS_NAMES


def test_of_a_remote_file_only_footer_and_wanted_chunks_are_fetched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    big = table_of(2000).append_column("noise", pa.array([f"{number * 7919:0900d}" for number in range(2000)]))
    with memory.open("/parquet/train.parquet", "wb") as sink:
        pq.write_table(big, sink, row_group_size=500, compression="none", use_dictionary=False)
    asked: list[tuple[int, int]] = []
    cat_file = type(memory).cat_file

    def counted(self: Any, path: str, start: int, end: int, **options: Any) -> Any:
        asked.append((start, end))
        return cat_file(self, path, start, end, **options)

    monkeypatch.setattr(type(memory), "cat_file", counted)
    unit = unit_of("memory://parquet/train.parquet", row_groups=(1, 3))
    rows, _ = read(unit, "answers")
    assert rows == {
        number: {"answers": answers}
        for number, answers in enumerate(big.column("answers").to_pylist())
        if 500 <= number < 1000 or number >= 1500
    }
    assert sum(end - start for start, end in asked) < memory.size("/parquet/train.parquet") / 4


def test_nested_chunks_belong_to_their_top_level_column(path: Path) -> None:
    metadata = read_footer(str(path))
    assert len(column_ranges(metadata, 0, ["answers"])) == 2
    assert len(column_ranges(metadata, 0, ["answer"])) == 0
    chunks = sorted(column_ranges(metadata, 0, ["query", "label", "answers", "unwanted"]))
    assert all(stop <= start for (_, stop), (start, _) in pairwise(chunks))


def test_types_come_plain(tmp_path: Path) -> None:
    table = pa.table(
        {
            "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(),
            "large": pa.array(["a", "b", None], pa.large_string()),
            "lists": pa.array([["a"], None, []], pa.large_list(pa.large_string())),
            "structs": pa.array([{"x": "a"}, {"x": None}, None], pa.struct([("x", pa.large_string())])),
        }
    )
    pq.write_table(table, tmp_path / "train.parquet")
    unit = unit_of(tmp_path / "train.parquet")
    assert schema_of(unit, *table.column_names).types == [
        pa.string(),
        pa.string(),
        pa.list_(pa.string()),
        pa.struct([("x", pa.string())]),
    ]
    assert read(unit, *table.column_names)[0] == dict(enumerate(table.to_pylist()))


def test_text_that_is_no_utf8_is_a_broken_row(tmp_path: Path) -> None:
    values = [b"ok", b"bad \xff", b"ok", b"\xc3", b"ok"]
    raw = pa.array(values, pa.binary())
    text = pa.StringArray.from_buffers(5, raw.buffers()[1], raw.buffers()[2])
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3, 4, 5], pa.int32()), text)
    pq.write_table(pa.table({"text": text, "lists": lists, "fine": list("abcde")}), tmp_path / "train.parquet")
    unit = unit_of(tmp_path / "train.parquet")
    bad = {1: "INVALID_UTF8", 3: "INVALID_UTF8"}
    for column in ("text", "lists"):
        rows, broken = read(unit, column)
        assert (sorted(rows), broken) == ([0, 2, 4], bad)
    assert read(unit, "fine") == ({number: {"fine": "abcde"[number]} for number in range(5)}, {})


def test_a_missing_column_names_file_column_what_is_there_and_the_line_to_mend(path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        next(read_unit(unit_of(path), {"query": "a.yaml:3", "text": "a.yaml:4"}))
    for part in ("datasets/x/y/default/train.parquet", "'text'", "a.yaml:4", "query, label, answers, unwanted"):
        assert part in caught.value.message
    assert "a.yaml:3" not in caught.value.message


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -9])
def test_a_truncated_file_is_said_to_be_damaged(path: Path, keep: int) -> None:
    unit = unit_of(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"train\.parquet is not a whole parquet file: .*download it again"):
        list(read_unit(unit, {"query": "?"}))


def test_damage_within_a_row_group_is_said_too(path: Path) -> None:
    unit = unit_of(path)
    start, stop = column_ranges(read_footer(str(path)), 4, ["query"])[0]
    data = bytearray(path.read_bytes())
    data[start:stop] = b"\xff" * (stop - start)
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError, match="not a whole parquet file"):
        list(read_unit(unit, {"query": "?"}))


def test_a_file_that_vanished_or_changed_since_the_plan_says_so(path: Path) -> None:
    unit = unit_of(path)
    pq.write_table(table_of(20), path, row_group_size=GROUP_ROWS)
    with pytest.raises(SourceError, match="has 2 row groups, and the plan of this run asks for number 9"):
        list(read_unit(unit, {"query": "?"}))
    path.unlink()
    with pytest.raises(SourceError, match="is gone; run again"):
        list(read_unit(unit, {"query": "?"}))
