"""Evaluation sets as a catalog: the bundled ones, mistakes with file and line, and how sets are chosen."""

import re
from pathlib import Path

import pytest

from catalog import load_catalog, load_evaluation, select_sets
from catalog.evaluation_sets import TRAINING_NAMES
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


def _folder(folder: Path, first: str = FIRST, second: str = SECOND) -> Path:
    (folder / "toy-one.yaml").write_text(first, "utf-8")
    (folder / "toy-two.yaml").write_text(second, "utf-8")
    (folder / TRAINING_NAMES).write_text("training_datasets:\n  fruit: [Apples]\n", "utf-8")
    return folder


def test_the_bundled_benchmarks_are_whole() -> None:
    catalog = load_evaluation()
    assert {name: len(sets) for name, sets in catalog.benchmarks.items()} == {
        "mteb-chinese": 8,
        "mteb-english-v1": 26,
        "mteb-english-v2": 10,
        "mteb-multilingual": 17,
    }
    for located in catalog.sets.values():
        entry = located.entry
        assert entry.hub.startswith("mteb/")
        assert re.fullmatch(r"[0-9a-f]{40}", entry.revision or ""), entry.name
        assert re.fullmatch(r"catalog/evaluation/mteb-[a-z0-9-]+\.yaml:\d+", located.where)
        assert all(re.fullmatch(r"[a-z]{2}", language) for language in entry.languages), entry.name
        assert entry.subsets == (len(entry.languages) > 1), entry.name
    assert catalog.sets["SciFact"].entry.splits == ("test",)
    assert catalog.sets["T2Retrieval"].entry.languages == ("zh",)


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


def test_sets_of_a_folder_are_read_with_their_lines(tmp_path: Path) -> None:
    catalog = load_evaluation(_folder(tmp_path))
    assert {name: located.where for name, located in catalog.sets.items()} == {
        "Apples": f"{tmp_path}/toy-one.yaml:4",
        "Pears.v2": f"{tmp_path}/toy-one.yaml:9",
        "Plums": f"{tmp_path}/toy-two.yaml:4",
    }
    assert catalog.benchmarks == {"toy-one": ("Apples", "Pears.v2"), "toy-two": ("Plums", "Apples")}
    assert catalog.names_of("fruit") == ("Apples",)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("    hub: toy/apples", "    hubb: toy/apples"), "toy-one.yaml:5: sets.0.hubb: unknown key; known here: hub"),
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
        (["P*"], ["Pears.v2", "Plums"], set()),
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
