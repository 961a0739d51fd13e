import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from schemas.catalog import CsvDialect
from schemas.errors import SourceError
from tests.transforms.sources.readers.files import read, unit_of
from transforms.sources.readers.dialects import Dialect, records

ROWS = [(f"What is rule {number}?", f"It says: wait, for berth {number}; then go.") for number in range(30)]
HOSTILE = [('a "quoted" word', "two\nlines"), ("a\ttab", 'ends with "'), ('"', "x"), ("plain", "text")]


def unread(path: Path, **options: Any) -> tuple[list[tuple[str, str]], dict[int, str], Counter[str]]:
    notes: Counter[str] = Counter()
    rows, broken = read(unit_of(path), "q", "p", notes=notes, **options)
    return [(row["q"], row["p"]) for row in rows.values()], broken, notes


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("a.csv", {"delimiter": ";"}, {"delimiter": ";"}),
        ("a.csv", {"delimiter": "\t"}, {"delimiter": "\t"}),
        ("a.csv", {"escapechar": "\\", "doublequote": False}, {"escape": "\\"}),
        ("a.csv", {"quotechar": "'"}, {"quote": "'"}),
        ("a.tsv", {"delimiter": "\t"}, {"quotes": True}),
    ],
)
def test_what_the_csv_module_writes_is_read(tmp_path: Path, name: str, written: Any, said: Any) -> None:
    with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **written).writerows([("q", "p"), *HOSTILE])
    rows, broken, notes = unread(tmp_path / name, csv=CsvDialect(**said))
    assert rows == HOSTILE
    assert not broken
    assert not notes


def test_blanks_behind_delimiters_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('q, p\n"one, two", "three"\nfour, five\n', encoding="utf-8")
    rows, _, _ = unread(tmp_path / "a.csv", csv=CsvDialect(skip_blank=True))
    assert rows == [("one, two", "three"), ("four", "five")]


@pytest.mark.parametrize("delimiter", [";", "|", "\t"])
def test_the_error_of_a_missing_column_proposes_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([("q", "p"), *ROWS])
    with pytest.raises(SourceError) as caught:
        unread(tmp_path / "a.csv")
    assert f"set source.csv.delimiter: {delimiter!r}" in caught.value.message


def test_judgments_that_blanks_separate(tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text("q1 0   d1 1\nq2 0   d2 0\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"no column '#3'.*set source.csv.delimiter: 'whitespace'"):
        read(unit_of(path), "#1", "#3", "#4")
    rows, _ = read(unit_of(path), "#1", "#3", "#4", csv=CsvDialect(delimiter="whitespace"))
    assert list(rows.values()) == [{"#1": "q1", "#3": "d1", "#4": "1"}, {"#1": "q2", "#3": "d2", "#4": "0"}]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("escape: '\\'", {"escapechar": "\\", "doublequote": False, "quoting": csv.QUOTE_ALL}),
        ("skip_blank: true", None),
    ],
)
def test_a_file_of_broken_rows_proposes_the_option_that_would_fit(tmp_path: Path, said: str, written: Any) -> None:
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        file.write("q,p\n")
        if written is None:
            file.writelines(f'"{q}", "{p}, or not"\n' for q, p in ROWS)
        else:
            csv.writer(file, **written).writerows([(f'the "{q}"', f'and, "{p}"') for q, p in ROWS])
    rows, broken, notes = unread(tmp_path / "a.csv")
    assert not rows
    assert broken
    (note,) = notes
    assert f"none of {len(broken)} rows can be read" in note
    assert note.endswith(f"source.csv.{said}")


def test_tables_of_pandas_are_told_by_their_marks(tmp_path: Path) -> None:
    pd.DataFrame(HOSTILE * 5, columns=["q", "p"]).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    _, _, notes = unread(tmp_path / "a.tsv")
    assert any("set source.csv.quotes: true" in note for note in notes)
    rows, broken, notes = unread(tmp_path / "a.tsv", csv=CsvDialect(quotes=True))
    assert (rows, broken, notes) == (HOSTILE * 5, {}, Counter())


def test_single_quotations_in_tsv_are_no_frames(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("q\tp\n" + '"To be"\tHamlet\n' + "one\ttwo\n" * 20, encoding="utf-8")
    assert not unread(tmp_path / "a.tsv")[2]


def test_looking_ahead_in_vain_is_bounded() -> None:
    """Every line closes a quote and opens the next, so that no record ever ends."""
    looked_at = 0

    def lines() -> Any:
        for _ in range(300_000):
            yield 'a","b\n'

    def counted() -> Any:
        nonlocal looked_at
        for line in lines():
            looked_at += 1
            yield line

    found = records(counted(), Dialect(delimiter=",", quotes=True))
    broken = [next(found) for _ in range(3_000)]
    assert all(record.fault for record in broken)
    assert looked_at < 6_000


def test_a_dialect_has_three_different_characters() -> None:
    for said in ({"delimiter": '"'}, {"escape": '"'}, {"delimiter": "whitespace", "quotes": True}, {"delimiter": ",,"}):
        with pytest.raises(ValidationError):
            CsvDialect(**said)
