"""Labels and languages as codes, the sets of labels of texts, and labels that are one word in several spellings."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mining.candidates import Rows, bounds_of, flat

#: How an unknown language is written.
UNKNOWN = ("", "und")


@dataclass(frozen=True, kw_only=True)
class LabelSets:
    """The label codes of each row, ascending: those of row i from ``bounds[i]`` to ``bounds[i + 1]``."""

    bounds: Rows
    codes: Rows


def fold(label: str) -> str:
    """A label without differences of case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def labels_alike(labels: Iterable[str | None]) -> list[list[str]]:
    """Groups of labels that are one when folded, each group and all of them in order: most likely one class."""
    groups: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        if label is not None:
            groups[fold(label)].add(label)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


class Coder:
    """Codes of the values of a column, in their order, known from one table and looked up for another."""

    def __init__(self, values: pa.Array, *, folded: bool = False) -> None:
        self._folded = folded
        known = pc.drop_null(pc.unique(self._fold(values)))
        self._known = known.take(pc.sort_indices(known))

    def codes(self, values: pa.Array) -> Rows:
        """A number for each value: its own for one that was never known, -1 for null."""
        values = self._fold(values)
        codes = pc.index_in(values, value_set=self._known)
        unknown = pc.and_(pc.is_null(codes), pc.is_valid(values)).to_numpy(zero_copy_only=False)
        numbers: Rows = codes.fill_null(-1).to_numpy().astype(np.int64)
        others = values.filter(pa.array(unknown)).dictionary_encode().indices.to_numpy()
        numbers[unknown] = len(self._known) + others.astype(np.int64)
        return numbers

    def names(self, codes: Rows) -> pa.Array:
        """The values that known codes stand for."""
        return self._known.take(pa.array(codes))

    def _fold(self, values: pa.Array) -> pa.Array:
        if not self._folded or not len(values):
            return values
        encoded = values.dictionary_encode()
        forms = pa.array([fold(value) for value in encoded.dictionary.to_pylist()], pa.string())
        return forms.take(encoded.indices)


def all_labels(table: pa.Table) -> tuple[Rows, pa.Array]:
    """Every label of every row, and the row of each."""
    parents, others = flat(table["other_labels"])
    return np.append(np.arange(len(table)), parents), pa.concat_arrays([table["label"].combine_chunks(), others])


def sets_of_lists(lists: pa.Array, coder: Coder) -> LabelSets:
    """The label sets of a column of lists of labels."""
    parents, labels = flat(lists)
    codes = coder.codes(labels)
    width = codes.max(initial=0) + 1
    pairs = np.unique(parents * width + codes)
    return LabelSets(bounds=bounds_of(pairs // width, len(lists)), codes=pairs % width)


def label_sets(table: pa.Table, coder: Coder, rows: Rows | None = None, num: int | None = None) -> LabelSets:
    """The label sets of a table's rows, or, where ``rows`` gives each of them a place, the union of those of each
    place.
    """
    parents, labels = all_labels(table)
    codes = coder.codes(labels)
    places = parents if rows is None else rows[parents]
    known = (codes >= 0) & (places >= 0)
    width = codes.max(initial=0) + 1
    pairs = np.unique(places[known] * width + codes[known])
    return LabelSets(bounds=bounds_of(pairs // width, len(table) if num is None else num), codes=pairs % width)


def language_codes(languages: pa.Array, coder: Coder) -> Rows:
    """A number above 0 for each language, 0 where it is not known."""
    known = pc.if_else(pc.is_in(languages, pa.array(UNKNOWN)), None, languages)
    return coder.codes(known) + 1
