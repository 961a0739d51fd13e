"""Putting values under an entry's paths: reading the row by the same paths gives them back."""

from typing import Any

import pyarrow as pa
import pytest

from catalog.loading import load_catalog
from catalog.sample_writer.columns import is_path, put, steps_of
from catalog.sample_writer.formats import Row
from schemas.catalog import Adapter
from transforms.examples.adapters.source import spec_paths
from transforms.sources.column_paths import parse_path, resolve_path


def read(row: Row, path: str, config: str = "") -> Any:
    batch = pa.RecordBatch.from_pylist([row])
    return resolve_path(parse_path(path, config), batch).to_pylist()[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("title", "a"),
        ("Positive Document", "a"),
        ("a.b", "x"),
        ("a[]", ["x", "y"]),
        ("a[].b", ["x", "y"]),
        ("a.b[]", ["x"]),
        ("a[0]", "x"),
        ("a[2]", "x"),
        ("a[][1]", ["x", "y"]),
        ("a.*.b", ["x", "y"]),
        ("#2", "x"),
        ("line", "x"),
    ],
)
def test_what_is_put_under_a_path_is_read_by_it(path: str, value: Any) -> None:
    row: Row = {}
    put(row, path, value)
    assert read(row, path) == value


def test_values_under_neighbouring_paths_stay_apart() -> None:
    row: Row = {}
    put(row, ("p[].title", "p[].text"), [("one", "first"), ("two", "second")])
    put(row, "pair[1]", "question")
    put(row, "pair[0]", "instruction")
    assert row["p"] == [{"title": "one", "text": "first"}, {"title": "two", "text": "second"}]
    assert row["pair"] == ["instruction", "question"]


def test_a_path_through_a_list_takes_one_value_for_a_list_of_one() -> None:
    row: Row = {}
    put(row, "answers.text[]", "x")
    assert row == {"answers": {"text": ["x"]}}


def test_several_paths_share_a_value() -> None:
    row: Row = {}
    put(row, ("title", "body"), "x")
    assert row == {"title": "", "body": "x"}
    put(row, ("title", "body"), None)
    assert row == {"title": None, "body": None}


def test_codes_come_from_the_configuration() -> None:
    row: Row = {}
    put(row, "translation.{code_b}", "x", "eng_Latn-fra_Latn")
    assert row == {"translation": {"fra_Latn": "x"}}


def test_prose_is_no_path() -> None:
    assert not is_path("data[].actions (quoted facts)")
    with pytest.raises(ValueError, match="is no path"):
        steps_of("a[")


def test_every_path_of_the_catalog_is_understood_as_readers_do() -> None:
    config = "eng_Latn-fra_Latn"
    seen = 0
    for located in load_catalog().values():
        entry = located.entry
        if entry.adapter is Adapter.BEIR:
            continue
        for key, spec in entry.columns.items():
            for _, path in spec_paths(spec, (key,)) if key != "extra" else ():
                seen += 1
                if not path.startswith("@"):
                    assert steps_of(path, config)[0] == parse_path(path, config).column
                    assert len(steps_of(path, config)) == 1 + len(parse_path(path, config).steps)
    assert seen > 250
