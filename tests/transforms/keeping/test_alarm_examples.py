"""One row for each alarm, and the encoding that unreadable rows are in."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.manifest import AlarmRecord
from schemas.rows import REJECTIONS
from tests.transforms.keeping.test_alarm_words import COPIES
from transforms.flow.files import parquet_bytes, publish
from transforms.keeping.alarm_examples import example_of, likely_encoding, with_examples
from transforms.sources.readers.raw import excerpt

ROOT = Path(__file__).parents[3]
CHINESE = "北京今天天气很好，我们去公园散步。这里的花都开了，很多人在拍照。"
TEXTS = {
    "gb18030": CHINESE,
    "big5": "台北今天天氣很好，我們去公園散步。這裡的花都開了，很多人在拍照。",
    "shift_jis": "これは日本語の文章です。今日はとても天気がいいので、公園を散歩しました。",
    "cp1251": "Сегодня в Москве хорошая погода, и мы идём гулять в парк всей семьёй.",
    "utf-16": "It is said that the tides of the sea follow the moon.",
}
#: Names under which one encoding, or one that holds it, goes.
SAME = {
    "gb18030": {"gb18030", "gbk", "gb2312"},
    "big5": {"big5", "cp950", "big5hkscs"},
    "shift_jis": {"shift_jis", "cp932"},
}


def _reject(folder: Path, dataset: str, *rows: dict[str, str]) -> None:
    for number, row in enumerate(rows):
        filled = {"dataset": dataset, "stage": "prepare", "detail": "not so", "provenance": f"a.csv#{number}"} | row
        publish(f"{folder}/{dataset}/{number}.parquet", parquet_bytes(pa.Table.from_pylist([filled], REJECTIONS)))


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_encoding_of_rows_that_are_no_utf8_is_guessed(encoding: str) -> None:
    raws = [excerpt(f"{number} {TEXTS[encoding]}".encode(encoding)) for number in range(20)]
    assert likely_encoding(raws) in SAME.get(encoding, {encoding})


@pytest.mark.parametrize("raws", [[], [None], ["{broken json"], ["ganz normal für ein Café"]])
def test_of_rows_that_are_utf8_none_is_guessed(raws: list[str | None]) -> None:
    assert likely_encoding(raws) is None


def test_the_example_is_the_first_row_of_its_reason(tmp_path: Path) -> None:
    _reject(
        tmp_path,
        "toy",
        {"reason": "TIE"},
        {"reason": "EXACT_DUPLICATE", "provenance": "b.csv#1", "detail": "later"},
        {"reason": "EXACT_DUPLICATE", "provenance": "a.csv#7", "detail": "the same query as another row"},
    )
    found = with_examples({"toy": [COPIES]}, str(tmp_path))["toy"][0]
    assert found.example == "a.csv#7: the same query as another row"
    assert found.model_copy(update={"example": None}) == COPIES


def test_an_alarm_of_unreadable_rows_names_their_encoding(tmp_path: Path) -> None:
    _reject(tmp_path, "toy", *({"reason": "INVALID_UTF8", "raw": excerpt(CHINESE.encode("gb18030"))} for _ in range(3)))
    alarm = AlarmRecord(alarm="NOTHING_KEPT", stage="prepare", reason="INVALID_UTF8", rows=3, of=3)
    assert example_of(str(tmp_path), "toy", alarm) == "a.csv#0: not so; the rows look like gb18030"


def test_where_no_row_was_rejected_there_is_no_example(tmp_path: Path) -> None:
    assert example_of(str(tmp_path), "toy", COPIES) is None
    empty = AlarmRecord(alarm="NOTHING_KEPT", stage="prepare", rows=0, of=0)
    assert example_of(str(tmp_path), "toy", empty) is None


def test_finding_an_example_does_not_import_pandas(tmp_path: Path) -> None:
    """pyarrow does so for the first scalar that it is given, and a run with nothing to do would wait for it."""
    _reject(tmp_path, "toy", {"reason": "EXACT_DUPLICATE", "provenance": "a.csv#7", "detail": "as another"})
    code = f"""
import sys
from schemas.manifest import AlarmRecord
from transforms.keeping.alarm_examples import example_of
assert example_of({str(tmp_path)!r}, "toy", AlarmRecord.model_validate_json({COPIES.model_dump_json()!r}))
assert "pandas" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
