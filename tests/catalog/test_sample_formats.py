"""Files as upstreams keep them: what is written is what a reader of the format finds."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.sample_writer.formats import Row, SourceFile, read_text, write
from catalog.sample_writer.generic import near_copy
from catalog.sample_writer.places import ending_of, path_of, source_file
from catalog.sample_writer.planting import lightly_edited
from schemas.catalog import CatalogEntry

ROWS: list[Row | bytes] = [{"a": "one", "b": 1}, {"a": "zwei, drei", "b": None}]


def written(tmp_path: Path, name: str, rows: list[Row | bytes], records: str | None = None) -> str:
    write(tmp_path, source_file(name, rows, {}, records))
    return read_text(tmp_path / name).decode()


def entry(**source: object) -> CatalogEntry:
    return CatalogEntry.model_validate(
        {
            "name": "some",
            "title": "Some",
            "stage": "finetune",
            "task_type": "retrieval",
            "languages": ["en"],
            "source": {"hub": "org/some", **source},
            "adapter": "pair",
            "columns": {"query": "a", "positive": "b"},
        }
    )


def test_json_keeps_rows_on_lines_in_a_list_or_under_keys(tmp_path: Path) -> None:
    lines = written(tmp_path, "x.json", ROWS).splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    assert json.loads(written(tmp_path, "x.json", ROWS, "")) == ROWS
    assert json.loads(written(tmp_path, "x.json", ROWS, "a.b")) == {"a": {"b": ROWS}}


def test_text_holds_lines_and_numbered_columns_have_no_header(tmp_path: Path) -> None:
    assert written(tmp_path, "x.txt", [{"line": "one"}, b"two"]) == "one\ntwo\n"
    assert written(tmp_path, "x.txt", [{"#2": "b", "#1": "a"}]) == "a\tb\n"


def test_csv_quotes_line_breaks_and_tsv_refuses_them(tmp_path: Path) -> None:
    rows: list[Row | bytes] = [{"a": "one\ntwo", "b": 'say "three"'}]
    assert list(csv.DictReader(io.StringIO(written(tmp_path, "x.csv.gz", rows), newline=""))) == rows
    with pytest.raises(ValueError, match="no line of TSV"):
        written(tmp_path, "x.tsv", rows)


def test_parquet_says_the_names_of_classes_that_are_numbers() -> None:
    source = source_file("x.parquet", [{"label": 1, "name": "b"}], {"label": ("a", "b"), "name": ("a", "b")}, None)
    assert isinstance(source, SourceFile)
    assert source.schema.field("label").type == pa.int64()
    features = json.loads(source.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": ["a", "b"], "_type": "ClassLabel"}
    assert features["name"]["_type"] == "Value"


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (None, "en/train-00000-of-00001.csv"),
        ("raw/{config}/{split}.jsonl.gz", "raw/en/train.jsonl.gz"),
        ("**/{config}/*.parquet", "en/00000.parquet"),
        ("part-?*", "part-000000.csv"),
    ],
)
def test_a_file_lies_where_the_entry_looks(files: str | None, path: str) -> None:
    assert path_of(entry(), "en", "train", files, "csv", "00000") == f"datasets/org/some/{path}"


def test_a_pattern_may_demand_an_ending() -> None:
    assert [ending_of(files) for files in (None, "a-*", "a.jsonl", "a/*.jsonl.gz")] == [None, None, "jsonl", "jsonl.gz"]


def test_a_near_copy_is_made_of_the_longest_text_that_allows_it() -> None:
    long = (
        "The lighthouse stands on a rock. It was kept by two brothers who never spoke to each other, not even at sea. "
    )
    long += (
        "When the lamp failed one winter, ships were warned by a bell that children rang in turns until daylight came."
    )
    texts = ["Too short. Much too short.", long, "One without a stop"]
    assert near_copy(texts, "en") == (1, lightly_edited(texts[1], "en", 1))
    assert near_copy(texts[:1], "en") is None
    assert near_copy(texts, "ko") is None
