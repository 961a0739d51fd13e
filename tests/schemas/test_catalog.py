"""Catalog entries: what an adapter must and may be given, and where a key stands."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.catalog import (
    BEIR_KEYS,
    COLUMNS,
    COMMON_COLUMNS,
    OPTIONS,
    Adapter,
    AdapterOptions,
    CatalogEntry,
    LocatedEntry,
)

COMMON = ("records",)
#: A value of the right type for each option.
OPTION_VALUES: dict[str, Any] = {
    "query": "lead",
    "passage": "lead",
    "split_instruction": True,
    "context": "passages",
    "ties": "drop",
    "positive_label": "entailment",
    "negative_label": "contradiction",
    "positive_min": 0.8,
    "negative_max": {"en": 0.2},
    "positive_grades": [1, "good"],
    "negative_grades": [0],
    "label": "first_token",
    "min_score": 2,
    "min_quality": 0.9,
    "directions": "by_hash",
    "positive": "reference",
    "records": "data",
}


def _fields(adapter: Adapter, **more: Any) -> dict[str, Any]:
    """A valid entry of an adapter, with every column it may have."""
    required, optional = COLUMNS[adapter]
    return {
        "name": "toy",
        "title": "Toy",
        "stage": "finetune",
        "task_type": "retrieval",
        "languages": ["en"],
        "source": {},
        "adapter": adapter.value,
        "columns": {key: _column(adapter, key) for key in required | optional},
    } | more


def _column(adapter: Adapter, key: str) -> Any:
    return dict.fromkeys(BEIR_KEYS[key][0], "x") if adapter is Adapter.BEIR else "x"


def _entry(adapter: Adapter, **more: Any) -> CatalogEntry:
    return CatalogEntry.model_validate(_fields(adapter, **more))


@pytest.mark.parametrize("adapter", list(Adapter))
def test_an_adapter_takes_its_columns_and_those_of_any(adapter: Adapter) -> None:
    columns = _fields(adapter)["columns"] | {"language": "lang", "extra": ["note"]}
    assert set(_entry(adapter, columns=columns).columns) == set(columns)


@pytest.mark.parametrize(
    ("adapter", "column"), [(adapter, column) for adapter in Adapter for column in sorted(COLUMNS[adapter][0])]
)
def test_a_column_that_an_adapter_needs_is_missed(adapter: Adapter, column: str) -> None:
    columns = {name: path for name, path in _fields(adapter)["columns"].items() if name != column}
    with pytest.raises(ValidationError, match=rf"adapter {adapter} needs columns .*missing: \['{column}'\]"):
        _entry(adapter, columns=columns)


@pytest.mark.parametrize("adapter", list(Adapter))
def test_a_column_that_an_adapter_does_not_know_is_refused_with_those_it_may_have(adapter: Adapter) -> None:
    with pytest.raises(ValidationError, match=r"may have (.*); missing: none, unknown: \['colour'\]") as caught:
        _entry(adapter, columns=_fields(adapter)["columns"] | {"colour": "x"})
    assert all(f"'{name}'" in str(caught.value) for name in COMMON_COLUMNS | COLUMNS[adapter][1] - {"query"})


def test_a_pair_needs_a_query_unless_its_query_is_the_lead() -> None:
    with pytest.raises(ValidationError, match=r"missing: \['query'\]"):
        _entry(Adapter.PAIR, columns={"positive": "text"})
    assert _entry(Adapter.PAIR, columns={"positive": "text"}, options={"query": "lead"}).options.query == "lead"


@pytest.mark.parametrize("adapter", list(Adapter))
def test_an_adapter_knows_its_own_options_alone(adapter: Adapter) -> None:
    for name, value in OPTION_VALUES.items():
        if name in OPTIONS[adapter] or name in COMMON:
            assert _entry(adapter, options={name: value}).options.model_fields_set == {name}
        else:
            with pytest.raises(ValidationError, match=rf"adapter {adapter} knows the options .*, not \['{name}'\]"):
                _entry(adapter, options={name: value})


def test_every_option_belongs_to_an_adapter_or_to_all() -> None:
    assert set(OPTION_VALUES) == set(AdapterOptions.model_fields)
    assert frozenset().union(*OPTIONS.values()) == set(AdapterOptions.model_fields) - set(COMMON)


@pytest.mark.parametrize(
    ("where", "more"),
    [
        (("colour",), {"colour": "red"}),
        (("source", "branch"), {"source": {"branch": "main"}}),
        (("options", "stop"), {"options": {"stop": 1}}),
    ],
)
def test_an_unknown_key_is_refused_with_its_path(where: tuple[str, ...], more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        _entry(Adapter.LABELED, **more)
    assert [(item["loc"], item["type"]) for item in caught.value.errors()] == [(where, "extra_forbidden")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Has Capitals"),
        ("name", "-leading"),
        ("languages", []),
        ("task_type", "search"),
        ("stage", "midtrain"),
        ("rows", 0),
        ("cap", -1),
        ("licence_class", "free"),
    ],
)
def test_a_value_outside_its_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        _entry(Adapter.LABELED, **{key: value})
    assert [item["loc"] for item in caught.value.errors()] == [(key,)]


def test_an_entry_cannot_be_changed_and_survives_json() -> None:
    entry = _entry(Adapter.BITEXT, columns={"text_a": "a", "text_b": ["b", "c"], "extra": {"x": "y"}})
    with pytest.raises(ValidationError, match="frozen"):
        entry.name = "other"
    assert CatalogEntry.model_validate_json(entry.model_dump_json(exclude_unset=True)) == entry


def test_the_folder_is_the_hub_id_or_the_name() -> None:
    assert _entry(Adapter.LABELED).folder == "toy"
    assert _entry(Adapter.LABELED, source={"hub": "org/toys"}).folder == "org/toys"


@pytest.mark.parametrize(
    ("languages", "by_config", "config", "expected"),
    [
        (["en"], {}, "default", "en"),
        (["en", "de"], {}, "default", ""),
        (["en", "de"], {"german": "de"}, "german", "de"),
        (["en", "de"], {"german": "de"}, "other", ""),
        (["en"], {"german": "de"}, "german", "de"),
    ],
)
def test_the_language_of_a_configuration(
    languages: list[str], by_config: dict[str, str], config: str, expected: str
) -> None:
    source = {"configs": [*by_config, "default"]}
    entry = _entry(Adapter.LABELED, languages=languages, config_languages=by_config, source=source)
    assert entry.language_of(config) == expected


@pytest.mark.parametrize(
    ("by_config", "why"),
    [
        ({"german": "de"}, "german: no such configuration; the entry's are default, fr-*"),
        ({"default": "German"}, "String should match pattern"),
    ],
)
def test_languages_of_no_configuration_and_no_language_are_refused(by_config: dict[str, str], why: str) -> None:
    source = {"configs": ["default", "fr-*"]}
    with pytest.raises(ValidationError) as caught:
        _entry(Adapter.LABELED, config_languages=by_config, source=source)
    (error,) = caught.value.errors()
    assert why in error["msg"]
    assert error["loc"][0] == "config_languages", "by which the loader finds the line"
    assert _entry(Adapter.LABELED, config_languages={"fr-ca": "fr"}, source=source).language_of("fr-ca") == "fr"


@pytest.mark.parametrize("encoding", ["cp12521", "rot13", "hex"])
def test_an_encoding_that_is_none_is_refused(encoding: str) -> None:
    with pytest.raises(ValidationError, match="is no encoding of text"):
        _entry(Adapter.LABELED, source={"encoding": encoding})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("columns", "text"), "toy.yaml:12"),
        (("columns", "text", "0"), "toy.yaml:13"),
        (("columns", "text", "1"), "toy.yaml:12"),
        (("columns", "label"), "toy.yaml:10"),
        (("columns", "label", "deep", "down"), "toy.yaml:10"),
        (("source", "hub"), "toy.yaml"),
        ((), "toy.yaml"),
    ],
)
def test_a_key_stands_at_its_line_or_at_that_of_the_nearest_key_above(key: tuple[str, ...], expected: str) -> None:
    lines = {"columns": 10, "columns.text": 12, "columns.text.0": 13}
    assert LocatedEntry(entry=_entry(Adapter.LABELED), file="toy.yaml", lines=lines).where(*key) == expected


@pytest.mark.parametrize("adapter", list(Adapter))
def test_what_is_compared_is_a_matter_of_rows_with_positives(adapter: Adapter) -> None:
    assert _entry(adapter).compare is None
    if adapter is Adapter.LABELED:
        with pytest.raises(ValidationError, match="labelled rows have one text: leave it out"):
            _entry(adapter, compare="query")
    else:
        assert _entry(adapter, compare="positives").compare == "positives"
