"""Choosing entries: by task type, stage, name and glob, and near matches for what means nothing."""

from collections.abc import Mapping

import pytest

from catalog.loading import load_catalog
from catalog.selection import select_entries
from schemas.catalog import CatalogEntry, LocatedEntry, Stage, TaskType
from schemas.errors import ConfigError

#: name -> stage and task type
TOYS = {
    "apples": ("pretrain", "retrieval"),
    "csl-one": ("finetune", "clustering"),
    "csl-two": ("pretrain", "retrieval"),
    "pears": ("finetune", "sts"),
    "retrieval-notes": ("finetune", "classification"),
}


def _entries() -> dict[str, LocatedEntry]:
    return {
        name: LocatedEntry(
            entry=CatalogEntry.model_validate(
                {
                    "name": name,
                    "title": name,
                    "stage": stage,
                    "task_type": task_type,
                    "languages": ["en"],
                    "source": {},
                    "adapter": "labeled",
                    "columns": {"text": "text", "label": "label"},
                }
            ),
            file=f"{name}.yaml",
        )
        for name, (stage, task_type) in TOYS.items()
    }


def _selected(category: str, entries: Mapping[str, LocatedEntry] | None = None) -> tuple[list[str], frozenset[str]]:
    chosen, named = select_entries(entries or _entries(), category)
    return [located.entry.name for located in chosen], named


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("all", ["apples", "csl-one", "csl-two", "pears", "retrieval-notes"]),
        ("retrieval", ["apples", "csl-two"]),
        ("sts", ["pears"]),
        ("pretrain", ["apples", "csl-two"]),
        ("finetune", ["csl-one", "pears", "retrieval-notes"]),
        ("csl-*", ["csl-one", "csl-two"]),
        ("*", ["apples", "csl-one", "csl-two", "pears", "retrieval-notes"]),
        ("[ap]*s", ["apples", "pears"]),
        ("p?ars", ["pears"]),
        ("sts,clustering", ["csl-one", "pears"]),
    ],
)
def test_a_word_that_names_no_dataset_selects_many_of_which_none_must_be_there(
    category: str, expected: list[str]
) -> None:
    assert _selected(category) == (expected, frozenset())


def test_a_dataset_that_is_named_exactly_must_be_there() -> None:
    assert _selected("pears") == (["pears"], frozenset({"pears"}))


def test_words_are_joined_by_commas_whatever_the_order_the_blanks_and_the_repeats() -> None:
    expected = (["apples", "csl-two", "pears"], frozenset({"apples"}))
    for category in ("apples,sts,csl-t*", " sts , csl-t*,, apples ", "retrieval,pears*,apples,apples"):
        assert _selected(category) == expected


def test_a_name_goes_before_a_task_type_of_that_name() -> None:
    entries = _entries()
    entries["sts"] = entries["apples"].model_copy(
        update={"entry": entries["apples"].entry.model_copy(update={"name": "sts"})}
    )
    assert _selected("sts", entries) == (["sts"], frozenset({"sts"}))


@pytest.mark.parametrize(
    ("category", "near"),
    [
        ("retreival", "retrieval"),
        ("aples", "apples"),
        ("pre-train", "pretrain"),
        ("pears,csl-on", "csl-one"),
        ("rerankin", "reranking"),
    ],
)
def test_an_unknown_word_is_answered_with_what_is_near(category: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _selected(category)
    word = category.rpartition(",")[2]
    assert caught.value.message.startswith(f"unknown category {word!r}: did you mean ")
    assert near in caught.value.message.partition("?")[0]


def test_a_word_near_nothing_is_answered_with_all_kinds_of_category() -> None:
    with pytest.raises(ConfigError) as caught:
        _selected("qqqqqqqq")
    message = caught.value.message
    assert message.startswith("unknown category 'qqqqqqqq': no name is near it.")
    assert all(word in message for word in ("all", "pretrain", "finetune", "retrieval", "sts", "apples", "csl-*"))


def test_a_glob_over_nothing_and_a_kind_without_entries_are_unknown() -> None:
    for category in ("x-*", "summarization", "APPLES"):
        with pytest.raises(ConfigError, match="unknown category"):
            _selected(category)


@pytest.mark.parametrize("category", ["", " ", ",", " , ,"])
def test_an_empty_category_is_answered_with_what_to_give(category: str) -> None:
    with pytest.raises(ConfigError, match="CATEGORY is empty; give one of: all, finetune, pretrain, "):
        _selected(category)


@pytest.mark.parametrize("kind", [*TaskType, *Stage])
def test_of_the_bundled_catalog_a_kind_selects_its_entries(kind: TaskType | Stage) -> None:
    entries = load_catalog()
    expected = sorted(n for n, located in entries.items() if kind in (located.entry.task_type, located.entry.stage))
    if expected:
        assert _selected(kind.value, entries) == (expected, frozenset())
    else:
        with pytest.raises(ConfigError, match=f"unknown category '{kind.value}'"):
            _selected(kind.value, entries)
