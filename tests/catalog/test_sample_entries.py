"""The sample of every entry: found where the entry looks, read as counted, varied, neither too large nor too small."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from catalog.loading import load_catalog
from catalog.sample_writer.classes import as_labelled
from catalog.sample_writer.planting import Ledger
from catalog.sample_writer.recipes import Recipe, read_recipes
from catalog.sample_writer.variety import Variety, fold
from schemas.catalog import Adapter
from tests.e2e.running import SAMPLE, planted
from transforms.examples.adapters import adapt
from transforms.examples.adapters.adapted import Adapted
from transforms.examples.adapters.source import read_options, source_columns
from transforms.sources.opening import DirectorySource
from transforms.sources.planning import Plan
from transforms.sources.readers import read_unit
from transforms.sources.units import FORMATS

CATALOG = load_catalog()
RECIPES = read_recipes()
WRITTEN = sorted(name for name, recipe in RECIPES.items() if recipe.reads is None)
GROUPING = (Adapter.NLI, Adapter.SCORED_PAIR, Adapter.GRADED, Adapter.BEIR)
MULTILINGUAL = {name for name, located in CATALOG.items() if len(located.entry.languages) > 1 and name in RECIPES}


@cache
def plan_of(name: str) -> Plan:
    return DirectorySource(str(SAMPLE), "sample").plan(CATALOG[name])


def adapted(name: str) -> Iterator[Adapted]:
    located = CATALOG[name]
    for unit in plan_of(name).units:
        columns = source_columns(located, unit.role, unit.config)
        for raw in read_unit(unit, columns, read_options(located, unit.role)):
            yield adapt(located, unit, raw)


@cache
def texts_of(name: str) -> dict[str, list[str]]:
    """The texts of an entry by role; of those that differ in case, blanks and punctuation alone, one."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for role, text in roles_of(name):
        if text and text.strip():
            found[role].setdefault(re.sub(r"\W", "", fold(text)), fold(text))
    return {role: list(texts.values()) for role, texts in found.items()}


def roles_of(name: str) -> Iterator[tuple[str, str | None]]:
    for part in adapted(name):
        for row in part.rows.to_pylist():
            yield "query", row["query"]
            yield from (("positive", text) for text in row["positives"] or ())
            yield from (("negative", text) for text in row["negatives"] or ())
        for member in part.members.to_pylist():
            yield "query", member["query"]
            yield member["role"], member["text"]
        yield from (("passage", passage["text"]) for passage in part.passages.to_pylist())


def test_every_entry_has_rows() -> None:
    assert planted().keys() == CATALOG.keys()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_an_entry_finds_its_files_and_misses_what_the_account_says(name: str) -> None:
    plan = plan_of(name)
    assert plan.units
    assert len(plan.absent) == planted()[name]["notes"].get("configs_without_rows", 0)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_row_is_read_and_counted(name: str) -> None:
    assert sum(part.num_read for part in adapted(name)) == planted()[name]["rows"]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_an_entry_is_small_and_large_enough(name: str) -> None:
    account = planted()[name]
    assert 24 <= account["rows"] <= 50
    assert account["kept"] >= 20
    assert sum(account["rejected"].values()) >= 2


@pytest.mark.parametrize("name", WRITTEN)
def test_texts_of_an_entry_are_varied(name: str) -> None:
    copies = planted()[name]["rejected"].get("NEAR_DUPLICATE", 0)
    for role, texts in texts_of(name).items():
        variety, alike = Variety(), 0
        for text in texts:
            alike += variety.closest(text) >= 0.5
            variety.add(text)
        assert alike <= copies, (role, alike)


@pytest.mark.parametrize("name", WRITTEN)
def test_texts_are_short(name: str) -> None:
    for role, texts in texts_of(name).items():
        assert sum(map(len, texts)) / len(texts) < 400, role
        assert max(map(len, texts)) < 700, role


@pytest.mark.parametrize("name", sorted(MULTILINGUAL))
def test_several_languages_are_there_where_several_are_declared(name: str) -> None:
    recipe = RECIPES[RECIPES[name].reads or name]
    names = [*recipe.domains, *(n for group in (*recipe.configs.values(), *recipe.labels.values()) for n in group)]
    languages = {language for name in names for language in name.split(".")[0].split("+")}
    assert len(languages) >= 2


def test_every_reader_meets_the_sample() -> None:
    formats = {unit.format for name in RECIPES for unit in plan_of(name).units}
    assert formats == set(FORMATS.values()) - {"arrow"}  # no upstream of the catalog ships Arrow files


@pytest.mark.parametrize(("short", "rejected"), [(False, {"NEAR_DUPLICATE": 1}), (True, {})])
def test_pairs_read_as_labelled_texts_lack_only_what_labelled_texts_lack(short: bool, rejected: dict[str, int]) -> None:
    ledger = Ledger(rows=12)
    ledger.rejected.update({"EMPTY_QUERY": 2, "NEAR_DUPLICATE": 1, "QUERY_IS_POSITIVE": 1})
    assert as_labelled(ledger, short=short).record() == {
        "rows": 12,
        "kept": 12 - sum(rejected.values()),
        "merged": 0,
        "rejected": rejected,
        "notes": {},
    }


def test_a_recipe_without_material_is_refused() -> None:
    with pytest.raises(ValueError, match="needs domains, configs, labels or reads"):
        Recipe(ending="csv")


def test_files_lie_in_hub_layout() -> None:
    assert all(path.relative_to(SAMPLE).parts[0] in ("datasets", "eval", "golden", "README.md") for path in files())


def files() -> list[Path]:
    return [path for path in SAMPLE.rglob("*") if path.is_file()]
