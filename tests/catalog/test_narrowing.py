"""Narrowing by licence class and language: what is left, what of it, and what is said where nothing is."""

import pytest

from catalog.loading import load_catalog
from catalog.narrowing import LICENCE_CLASSES, in_languages
from catalog.selection import select_entries
from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.errors import ConfigError

#: name -> licence class, languages, languages of its configurations
TOYS: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "apples": ("permissive", ["en"], {}),
    "figs": ("unknown", ["zh-Hant"], {}),
    "pears": ("noncommercial", ["en", "zh"], {}),
    "plums": ("permissive", ["de", "en", "zh"], {"d": "de", "e": "en", "z": "zh"}),
}


def _toy(name: str) -> LocatedEntry:
    licence, languages, config_languages = TOYS[name]
    entry = CatalogEntry.model_validate(
        {
            "name": name,
            "title": name,
            "stage": "finetune",
            "task_type": "sts",
            "languages": languages,
            "config_languages": config_languages,
            "source": {"configs": list(config_languages) or ["default"]},
            "adapter": "labeled",
            "columns": {"text": "text", "label": "label"},
            "licence_class": licence,
            "rows": 30,
        }
    )
    return LocatedEntry(entry=entry, file=f"{name}.yaml")


ENTRIES = {name: _toy(name) for name in TOYS}


def _left(licenses: str | None = None, languages: str | None = None, category: str = "all") -> list[str]:
    chosen, _ = select_entries(ENTRIES, category, licenses=licenses, languages=languages)
    return [located.entry.name for located in chosen]


@pytest.mark.parametrize(
    ("licenses", "languages", "expected"),
    [
        (None, None, ["apples", "figs", "pears", "plums"]),
        ("permissive", None, ["apples", "plums"]),
        ("permissive,unknown", None, ["apples", "figs", "plums"]),
        (" non* , unknown,", None, ["figs", "pears"]),
        (None, "de", ["plums"]),
        (None, "zh", ["figs", "pears", "plums"]),
        (None, "zh-Hant", ["figs"]),
        (None, "zh-*,de", ["figs", "plums"]),
        ("permissive", "zh,en", ["apples", "plums"]),
        ("noncommercial,unknown", "en", ["pears"]),
    ],
)
def test_what_is_left_has_one_of_the_licences_and_one_of_the_languages(
    licenses: str | None, languages: str | None, expected: list[str]
) -> None:
    assert _left(licenses, languages) == expected


def test_only_the_configurations_in_a_language_are_left_where_the_entry_says_theirs() -> None:
    cut = in_languages(ENTRIES["plums"], ["zh", "d?"])
    assert cut is not None
    assert cut.entry.source.configs == ("d", "z")
    assert cut.entry.config_languages == {"d": "de", "z": "zh"}
    assert cut.entry.languages == ("de", "zh")
    assert cut.entry.rows is None
    assert cut.entry.language_of("z") == "zh"
    assert CatalogEntry.model_validate(cut.entry.model_dump(exclude_unset=True)) == cut.entry
    assert in_languages(ENTRIES["plums"], ["*"]) == ENTRIES["plums"]


def test_an_entry_that_does_not_say_which_configuration_is_in_which_language_comes_whole() -> None:
    assert in_languages(ENTRIES["pears"], ["zh"]) == ENTRIES["pears"]


def test_a_name_that_a_filter_leaves_out_need_not_be_there() -> None:
    chosen, named = select_entries(ENTRIES, "apples,pears", languages="zh")
    assert ([located.entry.name for located in chosen], named) == (["pears"], {"pears"})


def test_where_nothing_is_left_it_says_what_category_held() -> None:
    with pytest.raises(ConfigError) as caught:
        _left("noncommercial", "zh-Hant", category="apples,pears")
    assert caught.value.message == (
        "LICENSES=noncommercial and LANGUAGES=zh-Hant leaves none of the datasets that CATEGORY chose (2); "
        "their licences are noncommercial (1), permissive (1); their languages en (2), zh (1)"
    )


@pytest.mark.parametrize(
    ("licenses", "languages", "message"),
    [
        ("permisive", None, r"unknown word 'permisive' in LICENSES: did you mean permissive\? There are permissive, "),
        ("apache-2.0", None, "unknown word 'apache-2.0' in LICENSES: There are permissive, noncommercial, other, unkn"),
        (None, "en,de_DE", "unknown word 'de_DE' in LANGUAGES: "),
        (None, "x*", r"unknown word 'x\*' in LANGUAGES: There are de, en, zh, zh-Hant"),
        (",", None, "LICENSES is empty; give one or several with commas of permissive, noncommercial"),
        (None, "", "LANGUAGES is empty; give one or several with commas of de, en, zh, zh-Hant"),
    ],
)
def test_a_word_that_means_nothing_is_refused_though_others_match(
    licenses: str | None, languages: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _left(licenses, languages)


@pytest.mark.parametrize(("word", "variable"), [("zh", "LANGUAGES"), ("de", "LANGUAGES"), ("permissive", "LICENSES")])
def test_a_language_or_a_licence_as_category_is_told_where_it_belongs(word: str, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown category '{word}': did you mean {variable}={word}?"):
        _left(category=word)


@pytest.mark.parametrize("licence", LICENCE_CLASSES)
def test_of_the_bundled_catalog_a_licence_leaves_its_entries(licence: str) -> None:
    entries = load_catalog()
    chosen, _ = select_entries(entries, "all", licenses=licence)
    expected = sorted(name for name, located in entries.items() if located.entry.licence_class == licence)
    assert [located.entry.name for located in chosen] == expected
    assert len(expected) > 3
