import json
from pathlib import Path

import pytest

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import read, unit_of, write

ROWS = [{"a": "x", "b": 1}, {"a": "y"}, {"a": 3}, "no object", {"a": None, "c": {"d": [1]}}]
GOT = ({0: {"a": "x"}, 1: {"a": "y"}, 4: {"a": None}}, {2: "WRONG_TYPE", 3: "MALFORMED_ROW"})


@pytest.mark.parametrize(
    ("document", "records"), [(ROWS, None), ({"data": ROWS}, "data"), ({"v": {"data": ROWS}}, "v.data")]
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_rows_stand_in_a_list(tmp_path: Path, document: object, records: str | None, indent: int | None) -> None:
    path = write(tmp_path / "train.json", json.dumps(document, indent=indent).encode())
    for batch_rows in (2, 100):
        assert read(unit_of(path), "a", records=records, batch_rows=batch_rows) == GOT


def test_json_lines_under_the_name_json_are_read_as_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json.gz", b'{"a": "x"}\n{"a"\n{"a": "y"}\n')
    assert read(unit_of(path), "a") == ({0: {"a": "x"}, 2: {"a": "y"}}, {1: "MALFORMED_ROW"})


def test_undecodable_bytes_cost_their_row_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", b'[{"a": "x"}, {"a": "\xff"}, {"a": "\\ud800"}, {"a": "\xc3\xa9"}]')
    assert read(unit_of(path), "a") == ({0: {"a": "x"}, 3: {"a": "é"}}, dict.fromkeys((1, 2), "INVALID_UTF8"))


@pytest.mark.parametrize("data", [b"", b" \n", b"[]"])
def test_nothing_has_no_rows(tmp_path: Path, data: bytes) -> None:
    assert read(unit_of(write(tmp_path / "train.json", data)), "a") == ({}, {})


def test_a_wrong_place_of_the_rows_shows_the_keys_there(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", b'{"version": "1",\n "items": []}')
    with pytest.raises(SourceError, match=r"no list of rows at records: data; keys there: version, items"):
        read(unit_of(path), "a", records="data")
    with pytest.raises(SourceError, match=r"no list of rows at its top; .* option `records`"):
        read(unit_of(path), "a")


def test_half_a_document_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", b'[{"a": "x"}, {"a"')
    with pytest.raises(SourceError, match=r"train\.json is not a whole json file: .* download it again"):
        read(unit_of(path), "a")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no column 'z' .* The columns there: a, b\. "):
        read(unit_of(write(tmp_path / "train.json", b'[{"a": 1}, {"b": 2}]')), "z")
