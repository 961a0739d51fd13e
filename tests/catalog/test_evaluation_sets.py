"""Evaluation sets as a catalog: the bundled ones, mistakes with file and line, and how sets are chosen."""

import re
from pathlib import Path

import pytest

from catalog import load_catalog
from catalog.evaluation_sets import TRAINING_NAMES, load_evaluation, select_sets
from schemas.errors import CatalogError, ConfigError

FIRST = """\
benchmark: toy-one
title: Toy(one)
sets:
  - name: Apples
    hub: toy/apples
    revision: c22ab2a51041ffd869aaddef7af8d8215647e41a
    splits: [test]
    languages: [en]
  - name: Pears.v2
    hub: toy/pears
    splits: [dev, test]
    languages: [de, en]
    subsets: true
"""
SECOND = """\
benchmark: toy-two
title: Toy(two)
sets:
  - {name: Plums, hub: toy/plums, splits: [test], languages: [en]}
shared: [Apples]
"""


def _folder(folder: Path, first: str = FIRST, second: str = SECOND) -> str:
    """A catalog of one's own with two benchmarks."""
    names = "training_datasets:\n  fruit: [Apples]\n  scifact: [SciFact, SciFact2]\n"
    for name, text in (("toy-one.yaml", first), ("toy-two.yaml", second), (TRAINING_NAMES, names)):
        _write(folder, name, text)
    return str(folder)


def _write(folder: Path, name: str, text: str) -> str:
    path = folder / "evaluation" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return str(folder)


def test_the_bundled_benchmarks_are_whole() -> None:
    catalog = load_evaluation()
    assert {name: len(sets) for name, sets in catalog.benchmarks.items()} == {
        "beir": 26,
        "longembed": 6,
        "mteb-chinese": 31,
        "mteb-code": 12,
        "mteb-english-v1": 67,
        "mteb-english-v2": 41,
        "mteb-multilingual": 131,
        "nanobeir": 13,
        "rteb": 30,
    }
    for located in catalog.sets.values():
        entry = located.entry
        assert re.fullmatch(r"[0-9a-f]{40}", entry.revision or ""), entry.name
        assert re.fullmatch(r"catalog/evaluation/[a-z0-9-]+\.yaml:\d+", located.where)
        assert all(re.fullmatch(r"[a-z]{2,3}|code", language) for language in entry.languages), entry.name
        assert entry.whole == (entry.type != "Retrieval")
    assert catalog.sets["SciFact"].entry.splits == ("test",)
    assert catalog.sets["T2Retrieval"].entry.languages == ("zh",)


def test_the_texts_that_a_task_scores_are_named() -> None:
    sets = load_evaluation().sets
    told = {name: (sets[name].entry.type, sets[name].entry.columns) for name in ("STS17", "XNLI", "FloresBitextMining")}
    assert told == {
        "STS17": ("STS", ("sentence1", "sentence2")),
        "XNLI": ("PairClassification", ("premise", "hypothesis")),
        "FloresBitextMining": ("BitextMining", ("sentence_*",)),
    }
    assert sets["Banking77Classification"].entry.columns == ("text",)
    assert sets["MindSmallReranking"].entry.columns == ()


def test_training_entries_have_the_names_that_mteb_gives_them() -> None:
    catalog = load_evaluation()
    named = {name: catalog.names_of(name) for name in ("scifact", "natural-questions", "banking77", "refgpt")}
    assert named == {
        "scifact": ("SciFact",),
        "natural-questions": ("NQ", "NQHardNegatives"),
        "banking77": ("Banking77Classification",),
        "refgpt": (),
    }
    assert len(catalog.training_datasets) > 50
    assert catalog.training_datasets.keys() <= load_catalog().keys()
    assert all(list(names) == sorted(set(names)) for names in catalog.training_datasets.values())


def test_sets_of_a_folder_add_to_the_catalog_with_their_lines(tmp_path: Path) -> None:
    ours, catalog = load_evaluation(), load_evaluation(_folder(tmp_path))
    added = {name: located.where for name, located in catalog.sets.items() if name not in ours.sets}
    assert added == {
        "Apples": f"{tmp_path}/evaluation/toy-one.yaml:4",
        "Pears.v2": f"{tmp_path}/evaluation/toy-one.yaml:9",
        "Plums": f"{tmp_path}/evaluation/toy-two.yaml:4",
    }
    assert {name: catalog.sets[name] for name in ours.sets} == ours.sets
    toys = {"toy-one": ("Apples", "Pears.v2"), "toy-two": ("Plums", "Apples")}
    assert catalog.benchmarks == ours.benchmarks | toys


def test_names_of_training_entries_of_a_folder_go_before_ours(tmp_path: Path) -> None:
    catalog = load_evaluation(_folder(tmp_path))
    named = [catalog.names_of(name) for name in ("fruit", "scifact", "banking77")]
    assert named == [("Apples",), ("SciFact", "SciFact2"), ("Banking77Classification",)]


def test_a_set_of_a_folder_goes_before_ours_of_the_same_name_in_every_benchmark(tmp_path: Path) -> None:
    text = FIRST.replace("name: Apples", "name: SciFact") + "shared: [FiQA2018]\n"
    catalog = load_evaluation(_write(tmp_path, "mine.yaml", text))
    (chosen, _), ours = select_sets(catalog, ["mteb-english-v1"]), load_evaluation()
    hubs = {located.entry.name: located.entry.hub for located in chosen}
    assert hubs == {n: ours.sets[n].entry.hub for n in ours.benchmarks["mteb-english-v1"]} | {"SciFact": "toy/apples"}
    assert catalog.benchmarks["toy-one"] == ("SciFact", "Pears.v2", "FiQA2018")


def test_a_benchmark_of_a_folder_goes_before_ours_and_leaves_its_sets(tmp_path: Path) -> None:
    text = SECOND.replace("toy-two", "mteb-chinese").replace("Apples", "T2Retrieval")
    catalog = load_evaluation(_write(tmp_path, "mine.yaml", text))
    assert catalog.benchmarks == load_evaluation().benchmarks | {"mteb-chinese": ("Plums", "T2Retrieval")}
    assert set(catalog.sets) == {*load_evaluation().sets, "Plums"}


def test_a_folder_without_evaluation_sets_changes_nothing(tmp_path: Path) -> None:
    assert load_evaluation(str(tmp_path)) == load_evaluation()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("notes.txt", "none", "{folder} holds no *.yaml file; give a file for each benchmark of yours"),
        ("a.yaml", "- a\n", "{folder}/a.yaml: a benchmark is a mapping of keys (benchmark, title, sets, shared), not"),
        ("a.yaml", FIRST + "title: x\n", "{folder}/a.yaml:14: title: this key stands twice, at line 2 already"),
        ("a.yaml", "name: toy\n", "{folder}/a.yaml:1: name: unknown key; known here: benchmark, sets, shared, title"),
        (TRAINING_NAMES, "fruit: [A]\n", "{folder}/training-datasets.yaml:1: fruit: unknown key; known here: training"),
    ],
)
def test_a_file_that_is_no_benchmark_is_reported(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(CatalogError) as caught:
        load_evaluation(_write(tmp_path, name, text))
    assert expected.format(folder=tmp_path / "evaluation") in caught.value.message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("    hub: toy/apples", "    hubb: toy/apples"),
            "toy-one.yaml:5: sets.0.hubb: unknown key; known here: columns, configs, hub",
        ),
        (("    splits: [dev, test]\n", ""), "toy-one.yaml:9: sets.1.splits: Field required"),
        (("splits: [test]", "splits: []"), "toy-one.yaml:7: sets.0.splits: "),
        (("benchmark: toy-one", "benchmark: Toy One"), "toy-one.yaml:1: benchmark: "),
        (("name: Pears.v2", "name: Apples"), "named more than once: Apples"),
        (("name: Pears.v2", "name: Plums"), "toy-two.yaml:4: the set 'Plums' is described at"),
        (("benchmark: toy-one", "benchmark: toy-two"), "toy-two.yaml:1: the name 'toy-two' is already taken"),
        (("name: Apples", "name: Appels"), "toy-two.yaml:5: shared: no file describes Apples; did you mean Appels?"),
    ],
)
def test_a_mistake_is_reported_where_it_stands(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert change[0] in FIRST
    with pytest.raises(CatalogError) as caught:
        load_evaluation(_folder(tmp_path, FIRST.replace(*change)))
    assert expected in caught.value.message


@pytest.mark.parametrize(
    ("words", "names", "named"),
    [
        (["toy-one"], ["Apples", "Pears.v2"], set()),
        (["toy-two", "Apples"], ["Apples", "Plums"], {"Apples"}),
        (["P[el]?[rm]s*"], ["Pears.v2", "Plums"], set()),
        ([], [], set()),
    ],
)
def test_a_word_is_a_set_a_benchmark_or_a_glob(
    tmp_path: Path, words: list[str], names: list[str], named: set[str]
) -> None:
    chosen, exactly = select_sets(load_evaluation(_folder(tmp_path)), words)
    assert ([located.entry.name for located in chosen], set(exactly)) == (names, named)


def test_a_word_that_means_nothing_gets_near_matches() -> None:
    with pytest.raises(ConfigError, match=r"'scifcat' is no evaluation set and no folder: did you mean SciFact") as e:
        select_sets(load_evaluation(), ["scifcat"])
    assert "mteb-english-v2" in e.value.message
