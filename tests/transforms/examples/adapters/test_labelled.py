"""Adapters ``labeled`` and ``choice``."""

import json
from typing import Any

import pyarrow as pa
import pytest

from schemas.errors import CatalogError
from tests.transforms.examples.adapters.helpers import adapted, batch, kept, locate, reasons

LABELED = {"text": "text", "label": "label"}


def test_a_text_has_the_name_of_its_class() -> None:
    located = locate("labeled", LABELED, label_names=["negative", "positive"])
    result = adapted(located, batch(text=["a", "b", None, "d"], label=[0, 1, 1, -1]))
    assert kept(result, "query", "label", "positives") == [
        ("a", "negative", []),
        ("b", "positive", []),
        (None, "positive", []),
    ]
    assert reasons(result) == {"3": "UNLABELLED"}


def test_class_names_come_from_the_file_where_the_entry_has_none() -> None:
    metadata = {
        "huggingface": json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": ["x", "y"]}}}})
    }
    rows = batch(text=["a", "b"], label=[1, 0])
    assert kept(adapted(locate("labeled", LABELED), rows.replace_schema_metadata(metadata)), "label") == ["y", "x"]
    assert kept(adapted(locate("labeled", LABELED), rows), "label") == ["1", "0"]
    named = locate("labeled", LABELED, label_names=["p", "q"])
    assert kept(adapted(named, rows.replace_schema_metadata(metadata)), "label") == ["q", "p"]


def test_the_files_own_classes_in_another_order_are_an_error_of_the_entry() -> None:
    metadata = {
        "huggingface": json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": ["x", "y"]}}}})
    }
    rows = batch(text=["a", "b"], label=[1, 0]).replace_schema_metadata(metadata)
    for same in (["x", "y"], ["X", "Y"]):
        assert kept(adapted(locate("labeled", LABELED, label_names=same), rows), "label") == same[::-1]
    with pytest.raises(CatalogError, match=r"toy\.yaml: label_names: .* in another order: x, y; write them in the f"):
        adapted(locate("labeled", LABELED, label_names=["y", "x"]), rows)


def test_the_first_of_several_labels_counts_and_the_others_stay_beside_it() -> None:
    rows = batch({"label": pa.list_(pa.string())}, text=["a", "b", "c", "d"], label=[["x", "y", "z"], ["x"], [], None])
    result = adapted(locate("labeled", LABELED), rows)
    assert kept(result, "label", "other_labels") == [("x", ["y", "z"]), ("x", [])]
    assert reasons(result) == {"2": "UNLABELLED", "3": "UNLABELLED"}


def test_first_token_takes_the_first_word_of_the_label() -> None:
    located = locate("labeled", LABELED, {"label": "first_token"})
    result = adapted(located, batch(text=["a", "b", "c"], label=["cs.CL  cs.LG", "math.AG", " "]))
    assert kept(result, "label", "other_labels") == [("cs.CL", ["cs.LG"]), ("math.AG", [])]
    assert reasons(result) == {"2": "UNLABELLED"}


def test_first_token_of_a_list_is_an_error_of_the_entry() -> None:
    with pytest.raises(CatalogError, match=r"label, .*first_token needs one text"):
        adapted(locate("labeled", LABELED, {"label": "first_token"}), batch(text=["a"], label=[["x"]]))


def test_lines_of_a_file_are_labelled_by_its_name() -> None:
    located = locate("labeled", {"text": "line", "label": "@stem"})
    result = adapted(located, batch(line=["a", "b"]), file="datasets/toy/law.stackexchange.com.txt.gz")
    assert kept(result, "query", "label") == [("a", "law.stackexchange.com"), ("b", "law.stackexchange.com")]


def test_the_id_of_a_text_is_not_read() -> None:
    assert kept(adapted(locate("labeled", LABELED | {"id": "doi"}), batch(text=["a"], label=["x"])), "label") == ["x"]


SCM = {"query": "A", "choices": {"B": "B", "C": "C"}, "label": "label"}


def test_the_choice_that_the_label_names_is_the_positive() -> None:
    rows = batch(A=["q"] * 4, B=["x"] * 4, C=["y"] * 4, label=["B", "C", None, "D"])
    result = adapted(locate("choice", SCM), rows)
    assert kept(result, "positives", "negatives") == [(["x"], ["y"]), (["y"], ["x"])]
    assert reasons(result) == {"2": "UNLABELLED", "3": "UNLABELLED"}
    assert result.rejections.column("detail").to_pylist() == [
        "no choice is named by a missing label",
        "no choice is named D",
    ]


def test_a_choice_is_named_by_the_name_of_its_class() -> None:
    rows = batch(A=["q"], B=["x"], C=["y"], label=[1])
    assert kept(adapted(locate("choice", SCM, label_names=["B", "C"]), rows), "positives") == [["y"]]


@pytest.mark.parametrize(
    ("labels", "positive"),
    [([1], "0"), (["B"], "0"), (["2"], "2"), (["1"], "0"), ([0], "x"), (["x"], "x")],
)
def test_a_choice_in_a_list_is_named_by_place_letter_or_text(labels: list[Any], positive: str) -> None:
    located = locate("choice", {"query": "q", "choices": "c[]", "label": "label"})
    result = adapted(located, batch(q=["q"], c=[["x", "0", "2"]], label=labels))
    assert kept(result, "positives") == [[positive]]
    assert sorted(kept(result, "negatives")[0] + [positive]) == ["0", "2", "x"]


@pytest.mark.parametrize("label", [3, 9])
def test_a_place_that_no_choice_has_names_none(label: int) -> None:
    located = locate("choice", {"query": "q", "choices": ["b", "c"], "label": "label"})
    assert reasons(adapted(located, batch(q=["q"], b=["x"], c=["y"], label=[label]))) == {"0": "UNLABELLED"}


def test_several_paths_are_choices_and_not_joined() -> None:
    located = locate("choice", {"query": "q", "choices": ["b", "c"], "label": "label"})
    result = adapted(located, batch(q=["q"], b=["x"], c=["y"], label=[1]))
    assert kept(result, "positives", "negatives") == [(["y"], ["x"])]


@pytest.mark.parametrize(
    ("choices", "label", "message"),
    [
        ({"B": "many", "C": "b"}, "n", r"choices\.B, .* one text is wanted, but the path gives a list"),
        (["b"], "many", "label, .* one label is wanted for each row"),
    ],
)
def test_columns_that_do_not_fit_are_errors_of_the_entry(choices: Any, label: str, message: str) -> None:
    located = locate("choice", {"query": "q", "choices": choices, "label": label})
    with pytest.raises(CatalogError, match=message):
        adapted(located, batch(q=["q"], b=["x"], many=[["y"]], n=[0]))


def test_by_names_the_positive_is_the_name_of_the_class_and_the_others_are_negatives_in_a_drawn_order() -> None:
    names = [f"class {number}" for number in range(40)]
    located = locate("labeled", LABELED, label_names=names, labelled_by="names")
    rows = kept(adapted(located, batch(text=["a", "b", None], label=[3, 3, -1])), "positives", "negatives", "label")
    assert [row[0] for row in rows] == [["class 3"], ["class 3"]]
    assert [row[2] for row in rows] == ["class 3", "class 3"]
    for _, negatives, _ in rows:
        assert len(set(negatives)) == len(negatives) == 32
        assert set(negatives) < set(names) - {"class 3"}
    assert rows[0][1] != rows[1][1]


def test_by_names_every_label_of_a_text_is_a_positive() -> None:
    located = locate("labeled", LABELED, label_names=["x", "y", "z"], labelled_by="names")
    rows = batch({"label": pa.list_(pa.string())}, text=["a", "b"], label=[["z", "x"], []])
    result = adapted(located, rows)
    assert kept(result, "positives", "negatives") == [(["z", "x"], ["y"])]
    assert reasons(result) == {"1": "UNLABELLED"}


def test_names_that_nothing_states_are_an_error_that_says_what_to_write() -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml:12: label, .*write their names as label_names into the entry"):
        adapted(locate("labeled", LABELED, labelled_by="names"), batch(text=["a"], label=["x"]))


def test_labelled_by_is_refused_where_there_are_no_labels() -> None:
    with pytest.raises(ValueError, match="labelled_by is for adapter labeled, not pair"):
        locate("pair", {"positive": "a", "query": "b"}, labelled_by="names")
