"""Adapters ``nli``, ``scored_pair`` and ``graded``, each with the grouping that finishes them."""

import json
from typing import Any

import pytest

from schemas.errors import CatalogError
from tests.transforms.examples.adapters.helpers import adapted, batch, grouped, kept, locate, reasons

NLI = {"premise": "premise", "hypothesis": "hypothesis", "label": "label"}
NAMES = ["entailment", "neutral", "contradiction"]
STS = {"text_a": "a", "text_b": "b", "score": "score"}
GRADED = {"query": "q", "candidate": "c", "grade": "grade"}


def test_nli_groups_hypotheses_by_premise() -> None:
    located = locate("nli", NLI, label_names=NAMES)
    rows = batch(
        premise=["It rains.", " It  rains.", "It rains.", "Sun.", "Sun."],
        hypothesis=["wet", "dry", "cold", "dry", "warm"],
        label=[0, 2, 1, 2, 1],
    )
    result = adapted(located, rows)
    assert (result.num_read, result.rows.num_rows, result.rejections.num_rows) == (5, 0, 0)
    groups = grouped(result)
    assert kept(groups, "positives", "negatives", "label", "language") == [(["wet"], ["dry"], None, "en")]
    assert groups.merged == {"toy": 1}
    assert reasons(groups) == {"2": "NEUTRAL", "3": "NO_POSITIVE", "4": "NO_POSITIVE"}


def test_nli_rejects_rows_that_cannot_join_a_group() -> None:
    located = locate("nli", NLI, label_names=NAMES)
    rows = batch(premise=["p", "p", None, " ", "p"], hypothesis=["h", "h", "h", "h", None], label=[-1, None, 0, 0, 0])
    result = adapted(located, rows)
    assert result.members.num_rows == 0
    assert reasons(result) == {
        "0": "UNLABELLED",
        "1": "UNLABELLED",
        "2": "EMPTY_QUERY",
        "3": "EMPTY_QUERY",
        "4": "EMPTY_POSITIVE",
    }


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["neutral", "entailment", "contradiction"], [1, 2]),
        (NAMES, [0, 2]),
        (None, ["Entailment", "contradiction"]),
        (["true", "false"], ["entailment", "contradiction"]),
    ],
)
def test_nli_goes_by_names_whatever_their_order(names: list[str] | None, labels: list[Any]) -> None:
    rows = batch(premise=["p", "p"], hypothesis=["yes", "no"], label=labels)
    groups = grouped(adapted(locate("nli", NLI, label_names=names), rows))
    assert kept(groups, "positives", "negatives") == [(["yes"], ["no"])]


def test_nli_takes_the_names_that_the_file_gives() -> None:
    metadata = {
        "huggingface": json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": NAMES[::-1]}}}})
    }
    rows = batch(premise=["p", "p"], hypothesis=["yes", "no"], label=[2, 0]).replace_schema_metadata(metadata)
    assert kept(grouped(adapted(locate("nli", NLI), rows)), "positives", "negatives") == [(["yes"], ["no"])]


def test_nli_with_ids_that_nobody_names_is_an_error_of_the_entry() -> None:
    rows = batch(premise=["p"], hypothesis=["h"], label=[0])
    with pytest.raises(
        CatalogError, match=r"toy\.yaml:13: label, .*neither the entry nor the file .*add `label_names`"
    ):
        adapted(locate("nli", NLI), rows)


def test_nli_may_have_labels_of_its_own() -> None:
    located = locate("nli", NLI, {"positive_label": "true", "negative_label": "false"})
    rows = batch(premise=["p"] * 3, hypothesis=["yes", "no", "so"], label=["true", "false", "perhaps"])
    groups = grouped(adapted(located, rows))
    assert kept(groups, "positives", "negatives") == [(["yes"], ["no"])]
    assert reasons(groups) == {"2": "NEUTRAL"}


def test_scored_pairs_are_positive_from_the_minimum_up() -> None:
    located = locate("scored_pair", STS, {"positive_min": 4, "negative_max": 2})
    rows = batch(a=["x", "x", "x", "x", "y"], b=["p", "q", "r", "s", "t"], score=[4, 5, 2, 3, 0])
    groups = grouped(adapted(located, rows))
    ((positives, negatives),) = kept(groups, "positives", "negatives")
    assert (sorted(positives), negatives) == (["p", "q"], ["r"])
    assert groups.merged == {"toy": 2}
    assert reasons(groups) == {"3": "BELOW_THRESHOLD", "4": "BELOW_THRESHOLD"}
    assert sorted(groups.rejections.column("detail").to_pylist()) == ["score 0", "score 3"]


def test_the_score_is_the_carriers() -> None:
    located = locate("scored_pair", STS, {"positive_min": 1})
    assert kept(grouped(adapted(located, batch(a=["x"], b=["y"], score=["1.5"]))), "score") == [1.5]


@pytest.mark.parametrize(("config", "positives"), [("STS-B", ["s"]), ("ATEC", ["s", "t"])])
def test_thresholds_may_differ_by_configuration(config: str, positives: list[str]) -> None:
    options = {"positive_min": {"STS-B": 4, "*": 1}, "negative_max": {"STS-B": 2, "*": 0}}
    rows = batch(a=["x", "x"], b=["s", "t"], score=[4, 1])
    groups = grouped(adapted(locate("scored_pair", STS, options), rows, config=config))
    assert sorted(kept(groups, "positives")[0]) == positives
    assert kept(groups, "negatives") == ([["t"]] if config == "STS-B" else [[]])


def test_minus_one_is_no_score_unless_the_range_reaches_it() -> None:
    rows = batch(a=["x", "x", "x"], b=["p", "q", "r"], score=[-1.0, None, 1.0])
    options = {"positive_min": 1, "negative_max": 0}
    result = adapted(locate("scored_pair", STS, options, score_range=[0, 1]), rows)
    assert reasons(result) == {"0": "UNLABELLED", "1": "UNLABELLED"}
    cosine = adapted(locate("scored_pair", STS, options, score_range={"*": [-1, 1]}), rows)
    assert reasons(cosine) == {"1": "UNLABELLED"}
    assert kept(grouped(cosine), "negatives") == [["p"]]


def test_a_score_that_is_no_number_is_of_the_wrong_type() -> None:
    result = adapted(locate("scored_pair", STS, {"positive_min": 1}), batch(a=["x"], b=["y"], score=["high"]))
    assert reasons(result) == {"0": "WRONG_TYPE"}
    assert result.rejections.column("detail").to_pylist() == ["score is no number: high"]


@pytest.mark.parametrize("options", [{}, {"positive_min": {"STS-B": 4}}])
def test_a_threshold_that_is_missing_is_an_error_of_the_entry(options: dict[str, Any]) -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml:13: score, .*needs the option `positive_min`"):
        adapted(locate("scored_pair", STS, options), batch(a=["x"], b=["y"], score=[1]))


def test_grades_make_positives_and_negatives() -> None:
    located = locate("graded", GRADED, {"positive_grades": ["Exact"], "negative_grades": ["Irrelevant", "Complement"]})
    rows = batch(
        q=["x"] * 5 + ["y"],
        c=["p", "n", "m", "s", "u", "t"],
        grade=["Exact", "Irrelevant", "Complement", "Substitute", None, "Substitute"],
    )
    result = adapted(located, rows)
    assert reasons(result) == {"4": "UNLABELLED"}
    groups = grouped(result)
    ((positives, negatives),) = kept(groups, "positives", "negatives")
    assert (positives, sorted(negatives)) == (["p"], ["m", "n"])
    assert reasons(groups) == {"3": "UNUSED_GRADE", "5": "NO_POSITIVE"}
    assert sorted(groups.rejections.column("label").to_pylist()) == ["Substitute", "Substitute"]


@pytest.mark.parametrize("grades", [[2, 0], ["2", "0"], [2.0, 0.0], [True, False]])
def test_grades_are_wanted_by_number_or_name(grades: list[Any]) -> None:
    wanted = {"positive_grades": [2, "1"], "negative_grades": ["0"]}
    rows = batch(q=["x", "x"], c=["p", "n"], grade=grades)
    for names in (None, ["no", "some", "yes"]):
        groups = grouped(adapted(locate("graded", GRADED, wanted, label_names=names), rows))
        assert kept(groups, "positives", "negatives") == [(["p"], ["n"])]


def test_grades_may_be_wanted_by_the_name_of_their_class() -> None:
    located = locate("graded", GRADED, {"positive_grades": ["yes"]}, label_names=["no", "yes"])
    assert kept(grouped(adapted(located, batch(q=["x"], c=["p"], grade=[1]))), "positives") == [["p"]]


def test_without_positive_grades_the_entry_is_wrong() -> None:
    with pytest.raises(CatalogError, match="needs the option `positive_grades`"):
        adapted(locate("graded", GRADED), batch(q=["x"], c=["p"], grade=[1]))


def test_a_list_of_candidates_is_an_error_of_the_entry() -> None:
    with pytest.raises(CatalogError, match=r"candidate, .*one text is wanted, but the path gives a list"):
        adapted(locate("graded", GRADED, {"positive_grades": [1]}), batch(q=["x"], c=[["p"]], grade=[1]))


def test_a_list_of_labels_is_an_error_of_the_entry() -> None:
    rows = batch(premise=["x"], hypothesis=["p"], label=[["entailment"]])
    with pytest.raises(CatalogError, match=r"label, .*one label is wanted for each row"):
        adapted(locate("nli", NLI), rows)


@pytest.mark.parametrize("labels", [["SUPPORTS", "REFUTES"], ["0", "1"], [0, 1], [0.0, 1.0]])
def test_labels_that_the_options_do_not_name_are_an_error_that_names_them(labels: list[Any]) -> None:
    rows = batch(premise=["p", "q"], hypothesis=["yes", "no"], label=labels)
    with pytest.raises(CatalogError, match=r"finetune/toy.yaml:13: label.*(REFUTES, SUPPORTS|0, 1)"):
        adapted(locate("nli", NLI), rows)


def test_class_names_among_which_the_positive_label_is_not_are_an_error() -> None:
    rows = batch(premise=["p", "q"], hypothesis=["yes", "no"], label=[1, 1])
    with pytest.raises(CatalogError, match="no label is 'entailment'; the labels there are SUPPORTS, REFUTES"):
        adapted(locate("nli", NLI, label_names=["SUPPORTS", "REFUTES"]), rows)
    named = locate("nli", NLI, {"positive_label": "SUPPORTS"}, label_names=["SUPPORTS", "REFUTES"])
    assert adapted(named, batch(premise=["p"], hypothesis=["yes"], label=[0])).members.num_rows == 1


def test_a_part_of_a_set_may_be_all_neutral() -> None:
    rows = batch(premise=["p", "q"], hypothesis=["yes", "no"], label=["neutral", "neutral"])
    assert adapted(locate("nli", NLI), rows).members.num_rows == 2


def test_a_list_of_graded_candidates_is_an_example_of_its_own() -> None:
    columns = {"query": "claim", "candidate": "evidence[].text", "grade": "evidence[].label"}
    located = locate("graded", columns, {"positive_grades": ["SUPPORTS"], "negative_grades": ["REFUTES", 2]})
    evidence = [
        [("a", "NOT_ENOUGH_INFO"), ("b", "SUPPORTS"), ("c", "REFUTES"), ("d", "SUPPORTS"), (" ", "SUPPORTS")],
        [("e", "NOT_ENOUGH_INFO")],
        [],
        [("f", None), ("g", "SUPPORTS")],
        [("h", "SUPPORTS")],
    ]
    rows = batch(
        claim=["one", "two", "three", "four", " "],
        evidence=[[{"text": text, "label": label} for text, label in pairs] for pairs in evidence],
    )
    result = adapted(located, rows)
    assert kept(result, "query", "positives", "negatives") == [("one", ["b", "d"], ["c"]), ("four", ["g"], [])]
    assert reasons(result) == {"1": "NO_POSITIVE", "2": "NO_POSITIVE", "4": "EMPTY_QUERY"}
    assert result.rejections.column("detail")[0].as_py().endswith("grades: NOT_ENOUGH_INFO")


def test_graded_candidates_by_the_ids_of_classes_and_uneven_lists() -> None:
    located = locate("graded", GRADED, {"positive_grades": [0, "yes"]}, label_names=["no", "yes"])
    rows = batch(q=["x", "y", "z"], c=[["p", "q"], ["p"], ["r"]], grade=[[1, 0], [1, 0], [1]])
    result = adapted(located, rows)
    assert kept(result, "positives") == [["p", "q"], ["r"]]
    assert reasons(result) == {"1": "WRONG_TYPE"}
