from pathlib import Path

import pytest

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import read, request, unit_of, write
from transforms.sources.readers.text import read_text_unit


@pytest.mark.parametrize("block_bytes", [1, 4, 7, 1000])
def test_lines_are_rows_and_blank_ones_are_none(tmp_path: Path, block_bytes: int) -> None:
    path = write(tmp_path / "chess.txt", "one\n\n  \ntwo\r\ndré\u2028i\nlast".encode())
    batches = list(read_text_unit(unit_of(path), request("line"), 2, block_bytes))
    assert [row["line"] for batch in batches for row in batch.rows.to_pylist()] == ["one", "two", "dré\u2028i", "last"]
    assert [number for batch in batches for number in batch.numbers.to_pylist()] == [0, 1, 2, 3]


def test_a_line_that_is_no_utf8_is_broken(tmp_path: Path) -> None:
    path = write(tmp_path / "chess.txt.gz", b"one\nt\xffo\nthree")
    assert read(unit_of(path), "line", "@stem") == ({0: {"line": "one"}, 2: {"line": "three"}}, {1: "INVALID_UTF8"})


def test_text_has_one_column(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"chess\.txt has no column 'text' .* The columns there: line\. "):
        read(unit_of(write(tmp_path / "chess.txt", b"one")), "text")
