"""Evaluation queries are kept out of training data, and ordinary rows that share a phrase with them are not.

A text is matched strictly: it is an evaluation query in the form for matching, or one with a light edit, or it holds a
long one whole. Candidates come from an inverted index of character n-grams that leaves out those which many evaluation
queries have in common; each candidate is then judged word by word.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.leaks.gram_index import LONGER, build_grams, gram_sets
from transforms.leaks.light_edits import (
    LightEditParams,
    Vocabulary,
    holds,
    is_light_edit,
    size_of,
    token_weight,
    tokens_of,
)
from transforms.text.matching import matching_forms

#: How a text holds an evaluation query: it is the query, holds it whole, or is it with a light edit.
EXACT, CONTAINED, EDITED = "exact", "contained", "edited"

#: One row for each text that was looked up; the evaluation sets and their query are null where nothing matched.
MATCHES = pa.schema(
    [
        pa.field("matched", pa.bool_(), nullable=False),
        pa.field("evaluation_sets", pa.list_(pa.string())),
        pa.field("evaluation_query", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("containment", pa.float64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class DecontaminateParams:
    """When a text counts as an evaluation query.

    ``min_containment``: share of an evaluation query's n-grams that a text must hold to be judged at all; a typing
    error costs 5 n-grams, a missing word of w letters w + 5. ``max_queries_of_gram``: n-grams that more evaluation
    queries have are no evidence and are left out. ``common_share``: words that this share of the evaluation queries
    (and more than ``min_common`` of them) have weigh little. ``min_embedded_weight``: an evaluation query that weighs
    so much (words, see ``LightEditParams``) is found inside a longer text too, word for word, and so is one of
    ``min_embedded_words``, however common they are (20 characters in scripts without spaces).
    """

    min_containment: float = 0.4
    max_queries_of_gram: int = 200
    common_share: float = 0.02
    min_common: int = 20
    min_embedded_weight: float = 6
    min_embedded_words: float = 10
    edits: LightEditParams = field(default_factory=LightEditParams)

    def __post_init__(self) -> None:
        for name in ("min_containment", "common_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be above 0 and at most 1")
        for name in ("max_queries_of_gram", "min_common", "min_embedded_weight", "min_embedded_words"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must be above 0")


#: The evaluation sets that hold a query, and its text.
Query = tuple[tuple[str, ...], str]


class _Match(NamedTuple):
    """The query that a text holds, by number, how, and which share of its n-grams."""

    query: int
    kind: str
    containment: float


class EvaluationIndex:
    """Evaluation queries, ready to be looked for. Cheap to build, so workers build it from the queries themselves."""

    def __init__(self, queries: Sequence[Query], forms: pa.Array, params: DecontaminateParams) -> None:
        self._params = params
        self._queries = queries
        self._known = forms
        self._forms: list[str] = forms.to_pylist()
        self._tokens = [tokens_of(form) for form in self._forms]
        common = max(params.min_common, params.common_share * len(queries))
        uses = Counter(token for tokens in self._tokens for token in set(tokens))
        frequent = frozenset(token for token, number in uses.items() if number > common)
        self._vocabulary = Vocabulary(frequent, frozenset(uses))
        self._embedded = self._found_inside(uses)
        values, offsets = gram_sets(forms)
        self._grams = build_grams(values, offsets, params.max_queries_of_gram, self._embedded, params.min_containment)

    @classmethod
    def build(cls, sets: Mapping[str, pa.Array], params: DecontaminateParams | None = None) -> "EvaluationIndex":
        """An index of the queries of each evaluation set, by the set's name. Empty queries are left out.

        A query that stands in several sets, or several times, is one query, reported with all its sets' names.
        """
        names, firsts = _distinct_queries(sets)
        queries = [(tuple(sorted(names[form])), firsts[form]) for form in sorted(names)]
        return cls(queries, pa.array(sorted(names), pa.large_string()), params or DecontaminateParams())

    def _found_inside(self, words: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which queries are looked for inside longer texts."""
        weights = {token: token_weight(token, self._vocabulary) for token in words}
        heavy = [sum(map(weights.__getitem__, tokens)) >= self._params.min_embedded_weight for tokens in self._tokens]
        many = [size_of(tokens) >= self._params.min_embedded_words for tokens in self._tokens]
        found: npt.NDArray[np.bool_] = np.array(heavy, bool) | np.array(many, bool)
        return found

    def __len__(self) -> int:
        return len(self._queries)

    def find(self, texts: pa.Array | pa.ChunkedArray) -> pa.Table:
        """MATCHES: for each text whether it is an evaluation query, which one, and which share of its n-grams it has.

        Null and empty texts match nothing.
        """
        forms = matching_forms(texts)
        equal = pc.index_in(forms, self._known)
        rows = np.flatnonzero(equal.is_valid())
        numbers = equal.take(pa.array(rows)).to_pylist()
        best = {row: _Match(number, EXACT, 1.0) for row, number in zip(rows.tolist(), numbers, strict=True)}
        for text, query, share in self._grams.candidates(forms, self._params.min_containment):
            if text not in best and (kind := self._leak(forms[text].as_py(), query)):
                best[text] = _Match(query, kind, share)
        return self._table(best, len(forms))

    def _table(self, best: Mapping[int, _Match], num_texts: int) -> pa.Table:
        matches = list(best.values())
        columns = [
            [True] * len(matches),
            [self._queries[match.query][0] for match in matches],
            [self._queries[match.query][1] for match in matches],
            [match.kind for match in matches],
            [match.containment for match in matches],
        ]
        found = pa.table([pa.array(c, f.type) for c, f in zip(columns, MATCHES, strict=True)], schema=MATCHES)
        places = np.full(num_texts, -1)
        places[list(best)] = np.arange(len(matches))
        rows = found.take(pa.array(places, mask=places < 0))
        return rows.set_column(0, MATCHES.field(0), pa.array(places >= 0)).cast(MATCHES)

    def _leak(self, form: str, query: int) -> str | None:
        """How a text that is not an evaluation query holds one, or None where it does not."""
        known, tokens = self._forms[query], self._tokens[query]
        if self._embedded[query] and holds(form, known):
            return CONTAINED
        if len(form) > 2 * len(known) + LONGER:
            return None
        return EDITED if is_light_edit(tokens, tokens_of(form), self._vocabulary, self._params.edits) else None


def _distinct_queries(sets: Mapping[str, pa.Array]) -> tuple[dict[str, set[str]], dict[str, str]]:
    """By form: the names of the sets that hold a query, and its text (of several the smallest)."""
    names: dict[str, set[str]] = {}
    firsts: dict[str, str] = {}
    for name, texts in sets.items():
        for form, text in zip(matching_forms(texts).to_pylist(), texts.to_pylist(), strict=True):
            if form:
                names.setdefault(form, set()).add(name)
                firsts[form] = min(text, firsts.get(form, text))
    return names, firsts
