"""Which entries a run is about."""

from catalog import load_catalog, select_entries
from schemas.catalog import LocatedEntry
from schemas.config import RunConfig


def chosen_entries(config: RunConfig) -> tuple[list[LocatedEntry], frozenset[str]]:
    """The entries that a configuration chooses, and those of them that it names exactly."""
    entries = load_catalog(config.catalog)
    return select_entries(entries, config.category, licenses=config.licenses, languages=config.languages)
