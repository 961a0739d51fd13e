import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import read, request, unit_of, write
from transforms.sources.readers import delimited, dialects

fields = st.text('aé字, "\n\t', max_size=6)
rows = st.tuples(fields, fields, fields).filter(lambda row: any(field.strip() for field in row))


def csv_bytes(table: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue().encode()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(rows, max_size=12), batch_rows=st.integers(1, 5))
def test_csv_gives_back_what_was_written(tmp_path: Path, table: list[tuple[str, str, str]], batch_rows: int) -> None:
    path = write(tmp_path / "train.csv", csv_bytes([("a", "b", "c"), *table]))
    got, broken = read(unit_of(path), "c", "a", batch_rows=batch_rows)
    assert broken == {}
    assert got == {number: {"c": row[2], "a": row[0]} for number, row in enumerate(table)}


FAULTY = [b"one", b"one,two,three,four", b'"open,two,three', b'one,"two" x,three', b"\xff,two,three"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(st.just(b'x,"y",z'), st.just(b""), st.sampled_from(FAULTY)), max_size=12))
def test_every_csv_line_is_a_row_or_broken(tmp_path: Path, lines: list[bytes]) -> None:
    path = write(tmp_path / "train.csv", b"\n".join([b"a,b,c", *lines]))
    got, broken = read(unit_of(path), "a", "b")
    kept = [line for line in lines if line]
    assert sorted(got) == [number for number, line in enumerate(kept) if line not in FAULTY]
    assert {number: broken[number] for number in sorted(broken)} == {
        number: "INVALID_UTF8" if line == FAULTY[-1] else "MALFORMED_ROW"
        for number, line in enumerate(kept)
        if line in FAULTY
    }


def test_a_quote_that_is_never_closed_costs_its_line_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "MAX_RECORD_LINES", 10)
    lines = [b"a,b", b'x,"never closed', *(b"row,%d" % number for number in range(50))]
    got, broken = read(unit_of(write(tmp_path / "train.csv", b"\n".join(lines))), "a", "b")
    assert broken == {0: "MALFORMED_ROW"}
    assert got == {number + 1: {"a": "row", "b": str(number)} for number in range(50)}


def test_a_field_longer_than_the_csv_modules_own_limit_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", csv_bytes([("a", "b"), ("x" * 500_000, "y\n" * 900)]))
    assert read(unit_of(path), "a", "b") == ({0: {"a": "x" * 500_000, "b": "y\n" * 900}}, {})


def test_a_tsv_has_no_quotes_and_keeps_them(tmp_path: Path) -> None:
    data = 'id\ttext\r\n1\t"Hello", he said\r\n2\t5" pipe\r\n3\t\r\n4\ttoo\tmany\r\n\r\n5\té\r\n'.encode()
    got, broken = read(unit_of(write(tmp_path / "train.tsv", data)), "text")
    texts = {number: row["text"] for number, row in got.items()}
    assert texts == {0: '"Hello", he said', 1: '5" pipe', 2: "", 4: "é"}
    assert broken == {3: "MALFORMED_ROW"}


@pytest.mark.parametrize("name", ["train.tsv", "train.txt"])
def test_numbered_columns_are_those_of_a_file_without_header(tmp_path: Path, name: str) -> None:
    data = b"1\tone\t5\n2\ttwo\t4\nonly one\n3\tthree\t3\n"
    got, broken = read(unit_of(write(tmp_path / name, data)), "#2", "#3")
    assert got == {0: {"#2": "one", "#3": "5"}, 1: {"#2": "two", "#3": "4"}, 3: {"#2": "three", "#3": "3"}}
    assert broken == {2: "MALFORMED_ROW"}


def test_a_missing_column_names_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"train\.csv has no column 'b' .*y\.yaml:1\)\. The columns there: a, c"):
        read(unit_of(write(tmp_path / "train.csv", b"a,c\n1,2\n")), "b")
    with pytest.raises(SourceError, match=r"no column '#3' .* The columns there: #1, #2\. "):
        read(unit_of(write(tmp_path / "train.tsv", b"a\tc\n")), "#3")
    with pytest.raises(SourceError, match=r"the first line of .*train\.csv.* cannot be read"):
        read(unit_of(write(tmp_path / "train.csv", b'"a,b\n1,2\n')), "a")


def test_files_of_nothing_and_of_a_header_alone_have_no_rows(tmp_path: Path) -> None:
    for name in ("train.csv", "train.tsv"):
        assert read(unit_of(write(tmp_path / name, b"")), "a") == ({}, {})
        assert read(unit_of(write(tmp_path / name, b"a\n")), "a") == ({}, {})
    assert read(unit_of(write(tmp_path / "train.tsv", b"")), "#1") == ({}, {})


def test_a_broken_row_shows_its_bytes(tmp_path: Path) -> None:
    unit = unit_of(write(tmp_path / "train.csv", b"a\n\xff\xfe\n"))
    (batch,) = delimited.read_delimited_unit(unit, request("a"), 10)
    assert batch.broken.column("raw").to_pylist() == ["\\xff\\xfe\n"]
