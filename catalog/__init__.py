"""The datasets, as data: one YAML entry each, and the code that loads and selects them."""

from catalog.evaluation_sets import load_evaluation, select_sets
from catalog.loading import BUNDLED, load_catalog
from catalog.selection import select_entries

__all__ = ["BUNDLED", "load_catalog", "load_evaluation", "select_entries", "select_sets"]
