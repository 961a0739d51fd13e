"""Which entries a run is about, what holds for each of them, and what its source has of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from catalog import load_catalog, select_entries
from pipelines.configuration.layers import Configuration
from pipelines.configuration.model import DatasetConfig
from pipelines.configuration.overrides import effective
from schemas.catalog import LocatedEntry
from schemas.config import Selection
from transforms.sources.opening import open_source
from transforms.sources.planning import Plan


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


def plan_sources(
    configuration: Configuration,
    located: Sequence[LocatedEntry],
    *,
    digests: bool = True,
    on_step: Callable[[str], None] = lambda _: None,
) -> dict[str, Plan]:
    """What the source of a run has of each entry, by name; ``on_step`` hears which one is being looked for.

    Without ``digests`` no content is read. Raises SourceError where the source is broken or cannot be reached.
    """
    config = configuration.config
    source = open_source(
        config.source, limit=config.limit, digests=digests, follow_links=config.follow_links, reading=config.reading
    )
    plans = {}
    for number, each in enumerate(located, start=1):
        on_step(f"looking for the files of {each.entry.name} ({number} of {len(located)} datasets)")
        plans[each.entry.name] = source.plan(each)
    return plans
