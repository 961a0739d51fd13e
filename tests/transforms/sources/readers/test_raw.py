import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import RejectReason
from tests.transforms.sources.readers.files import unit_of
from transforms.sources.file_errors import file_error
from transforms.sources.readers.raw import (
    BROKEN,
    RAW_CHARACTERS,
    Broken,
    RawBatch,
    at_most,
    batches,
    broken_rows,
    excerpt,
)


def some_rows(outcomes: list[bool], first: int = 0) -> tuple[pa.RecordBatch, pa.Array, list[Broken]]:
    good = [number for number, sound in enumerate(outcomes, first) if sound]
    broken = [
        Broken(number, RejectReason.MALFORMED_ROW, "why", "raw")
        for number, sound in enumerate(outcomes, first)
        if not sound
    ]
    return pa.RecordBatch.from_pydict({"n": pa.array(good, pa.int64())}), pa.array(good, pa.int64()), broken


@given(outcomes=st.lists(st.booleans(), max_size=30), batch_rows=st.integers(1, 10))
def test_batches_hold_every_row_once(outcomes: list[bool], batch_rows: int) -> None:
    cut = list(batches(*some_rows(outcomes), batch_rows))
    assert sum(batch.num_read for batch in cut) == len(outcomes)
    assert [n for batch in cut for n in batch.rows.column("n").to_pylist()] == [
        n for n, good in enumerate(outcomes) if good
    ]
    assert all(batch.rows.column("n").equals(batch.numbers) and batch.rows.num_rows <= batch_rows for batch in cut)
    assert all(batch.broken.schema == BROKEN and batch.num_read for batch in cut)


@given(pieces=st.lists(st.lists(st.booleans(), min_size=1, max_size=6), max_size=5), rows=st.integers(0, 30))
def test_at_most_cuts_after_so_many_rows_of_the_source(pieces: list[list[bool]], rows: int) -> None:
    raw, first = [], 0
    for piece in pieces:
        raw.extend(batches(*some_rows(piece, first), 100))
        first += len(piece)
    cut = list(at_most(raw, rows))
    numbers = [n for batch in cut for n in batch.numbers.to_pylist() + batch.broken.column("number").to_pylist()]
    assert sorted(numbers) == list(range(min(rows, first)))


def test_at_most_reads_no_further_than_it_must() -> None:
    def endless() -> object:
        yield from batches(*some_rows([True] * 3), 100)
        pytest.fail("read on")

    assert [batch.num_read for batch in at_most(endless(), 3)] == [3]  # type: ignore[arg-type]


def test_numbers_and_rows_go_together() -> None:
    rows, numbers, _ = some_rows([True, True])
    with pytest.raises(ValueError, match="2 rows but 1 row numbers"):
        RawBatch(rows, numbers.slice(1), broken_rows([]))


@given(st.one_of(st.binary(), st.text(), st.just("\ud800"), st.just(b"\xff" * 9000), st.just("é" * 9000)))
def test_excerpts_are_valid_and_short(raw: bytes | str) -> None:
    text = excerpt(raw)
    assert len(text) <= RAW_CHARACTERS
    assert text.encode().decode() == text


def test_excerpts_show_what_they_can() -> None:
    assert excerpt(b"a\xffb") == "a\\xffb"
    assert excerpt("a\ud83db") == "a\\ud83db"
    assert excerpt("é字") == excerpt("é字".encode()) == "é字"


def test_an_error_without_words_is_named() -> None:
    assert "not a whole gzip file: OSError." in file_error(unit_of("train.csv.gz"), OSError()).message
