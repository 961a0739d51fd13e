"""The datasets, as data: one YAML entry each, and the code that loads and selects them."""

from catalog.loading import BUNDLED, load_catalog
from catalog.selection import select_entries

__all__ = ["BUNDLED", "load_catalog", "select_entries"]
