"""Which entries a run is about, and what holds for each of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from catalog import load_catalog, select_entries
from pipelines.configuration.layers import Configuration
from pipelines.configuration.model import DatasetConfig
from pipelines.configuration.overrides import effective
from schemas.catalog import LocatedEntry
from schemas.config import Selection


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Entries as the configuration changes them, those of them that it names exactly, and what holds for each."""

    located: list[LocatedEntry]
    named: frozenset[str]
    datasets: Mapping[str, DatasetConfig]


def choose(configuration: Configuration) -> Chosen:
    """The entries that a configuration chooses. Raises ConfigError and CatalogError."""
    selection: Selection = configuration.config
    entries = load_catalog(selection.catalog)
    every = effective(configuration, entries)
    located, named = select_entries(
        {name: found.located for name, found in every.items()},
        selection.category,
        licenses=selection.licenses,
        languages=selection.languages,
    )
    configs = {each.entry.name: every[each.entry.name].config for each in located}
    return Chosen(located=located, named=named, datasets=configs)
