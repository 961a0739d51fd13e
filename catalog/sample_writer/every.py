"""Goes through the recipes and writes the entries that have no writer of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from catalog.loading import load_catalog
from catalog.sample_writer.classes import as_labelled, labelled
from catalog.sample_writer.desk import Desk
from catalog.sample_writer.facts import ALONE, Supply
from catalog.sample_writer.formats import SourceFile
from catalog.sample_writer.generic import WRITERS
from catalog.sample_writer.judgments import beir
from catalog.sample_writer.places import FLAT, NESTED, ending_of, path_of, source_file
from catalog.sample_writer.planting import Ledger, Planter
from catalog.sample_writer.recipes import Recipe, read_recipes
from catalog.sample_writer.variety import Variety
from schemas.catalog import Adapter, CatalogEntry, Stage

Built = tuple[list[SourceFile], dict[str, Ledger]]

#: Labelled entries whose texts are made of the short ones of another.
_SHORT = frozenset({"thucnews-clustering"})


def generic_entries() -> Iterator[Built]:
    """Yields the files and the account of each entry that has a recipe, in the order of the recipes."""
    catalog, recipes = load_catalog(), read_recipes()
    elsewhere = {stage: Variety() for stage in Stage}
    ledgers: dict[str, Ledger] = {}
    for number, (name, recipe) in enumerate(recipes.items()):
        entry = catalog[name].entry
        if recipe.reads is None:
            files, ledger = _write(entry, recipe, number, elsewhere[entry.stage])
        else:
            files, ledger = [], _shared(entry, ledgers[recipe.reads])
        _note_absent(ledger, entry, recipes[recipe.reads or name])
        ledgers[name] = ledger
        yield files, {name: ledger}


def _shared(entry: CatalogEntry, ledger: Ledger) -> Ledger:
    if entry.adapter is Adapter.LABELED:
        return as_labelled(ledger, short=entry.name in _SHORT)
    return replace(ledger, notes={})


def _note_absent(ledger: Ledger, entry: CatalogEntry, recipe: Recipe) -> None:
    """Counts the entry's configurations of which the sample holds no rows."""
    absent = set(entry.source.configs) - set(recipe.configs) if recipe.configs else entry.source.configs[1:]
    if absent:
        ledger.notes["configs_without_rows"] = len(absent)


def _write(entry: CatalogEntry, recipe: Recipe, number: int, elsewhere: Variety) -> tuple[list[SourceFile], Ledger]:
    configs = recipe.configs or {entry.source.configs[0]: recipe.domains}
    style = "text" if entry.adapter is Adapter.LABELED and recipe.style not in ALONE else recipe.style
    supply = Supply(seed=entry.name, style=style, elsewhere=Variety() if style in ALONE else elsewhere)
    ledger, files = Ledger(), []
    for at, (config, names) in enumerate(configs.items()):
        desk = Desk(
            entry=entry,
            recipe=recipe,
            config=config,
            language=_language(names, recipe),
            names=names,
            size=recipe.rows // len(configs),
            number=number + at,
            ending=ending_of(entry.source.files) or recipe.ending or "",
            supply=supply,
            planter=Planter(ledger=ledger),
            first=at == 0,
        )
        files += _files(desk)
    return files, ledger


def _language(names: tuple[str, ...], recipe: Recipe) -> str:
    name = names[0] if names else next(iter(recipe.labels.values()))[0]
    return name.split(".")[0].split("+")[-1]


def _files(desk: Desk) -> list[SourceFile]:
    if desk.entry.adapter is Adapter.BEIR:
        return beir(desk)
    if not desk.ending:
        desk.ending = _ending(desk)
    if desk.entry.adapter is Adapter.LABELED:
        planters = labelled(desk)
    else:
        WRITERS[desk.entry.adapter](desk)
        planters = {"": desk.planter}
    return [_file(desk, stem, planter) for stem, planter in planters.items()]


def _ending(desk: Desk) -> str:
    """Returns the next ending by turns; texts with line breaks, and rows that nest, do not fit all."""
    paths = _paths({name: value for name, value in desk.entry.columns.items() if name != "extra"})
    nests = any(mark in path for path in paths for mark in ".[")
    endings = NESTED if nests or desk.entry.options.query == "lead" else FLAT
    return endings[desk.number % len(endings)]


def _paths(columns: Any) -> list[str]:
    if isinstance(columns, str):
        return [columns]
    values = columns.values() if isinstance(columns, Mapping) else columns
    return [path for value in values for path in _paths(value)]


def _file(desk: Desk, stem: str, planter: Planter) -> SourceFile:
    entry = desk.entry
    records = entry.options.records or ("" if desk.recipe.ending == "json" else None)
    path = path_of(entry, desk.config, entry.source.split, entry.source.files, desk.ending, stem or desk.recipe.stem)
    names = {str(entry.columns["label"]): entry.label_names} if "label" in entry.columns and entry.label_names else {}
    return source_file(path, planter.shuffled(f"{entry.name}/{desk.config}"), names, records)
