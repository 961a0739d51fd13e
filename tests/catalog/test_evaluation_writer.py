"""The catalog of evaluation sets says what mteb's own metadata say, where mteb is installed beside the project."""

import pytest
import yaml

from catalog import evaluation_writer
from catalog.evaluation_sets import FOLDER


def test_a_document_holds_what_it_was_given_whatever_its_width() -> None:
    languages = [f"l{number:02d}" for number in range(60)] + ["no"]
    sets = [
        {"name": "A.v2", "hub": "o/a", "splits": ("test",), "languages": languages, "subsets": True},
        {"name": "B", "hub": "o/b", "splits": ("test",), "columns": ["sentence_*", "2nd"]},
    ]
    text = evaluation_writer.document("some-name", "Some(name, v1)", sets, ["C", "D"])
    assert max(map(len, text.splitlines())) <= 120
    assert yaml.safe_load(text) == {
        "benchmark": "some-name",
        "title": "Some(name, v1)",
        "sets": [
            {"name": "A.v2", "hub": "o/a", "splits": ["test"], "languages": languages, "subsets": True},
            {"name": "B", "hub": "o/b", "splits": ["test"], "columns": ["sentence_*", "2nd"]},
        ],
        "shared": ["C", "D"],
    }


def test_a_benchmark_of_others_sets_alone_has_none_of_its_own() -> None:
    assert yaml.safe_load(evaluation_writer.document("x", "X", [], ["C"])) == {
        "benchmark": "x",
        "title": "X",
        "shared": ["C"],
    }


@pytest.mark.slow
def test_the_bundled_files_are_what_the_writer_makes_of_mteb() -> None:
    mteb = pytest.importorskip("mteb", reason="mteb is not installed: the catalog cannot be compared with it")
    if not mteb.__version__.startswith("2.26."):
        pytest.skip(f"the catalog is of mteb 2.26, installed is {mteb.__version__}")
    for name, text in evaluation_writer.documents().items():
        assert (FOLDER / name).read_text("utf-8") == text, name
