"""Evaluation queries are kept out of training data, and ordinary rows that share a phrase with them are not.

A text is matched strictly: it is an evaluation query in the form for matching, or one with a light edit, or it holds
one whole: a long one anywhere, a shorter one as a sentence of its own. Candidates come from an inverted index of
character n-grams that leaves out those which many evaluation queries have in common; each candidate is then judged
word by word.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.leaks.gram_index import LONGER, build_grams, gram_sets
from transforms.leaks.light_edits import (
    SMALL_WEIGHT,
    Vocabulary,
    holds,
    is_light_edit,
    size_of,
    token_weight,
    tokens_of,
)
from transforms.leaks.params import DecontaminateParams
from transforms.leaks.prompt_frames import without_frames
from transforms.leaks.sentences import stands_alone
from transforms.leaks.whole_texts import Whole, WholeTexts
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


#: The evaluation sets that hold a query, and its text.
Query = tuple[tuple[str, ...], str]


class _Match(NamedTuple):
    """The evaluation query that a text holds (sets, text), how, and which share of its n-grams (or words)."""

    query: Query
    kind: str
    containment: float


class EvaluationIndex:
    """Evaluation texts, ready to be looked for. Workers build it from the texts themselves.

    ``wholes``: texts that are looked for as wholes only, by the names of their sets (see ``whole_texts``).
    """

    def __init__(
        self, queries: Sequence[Query], forms: pa.Array, wholes: WholeTexts, params: DecontaminateParams
    ) -> None:
        self._params = params
        self._queries, self._wholes = queries, wholes
        self._known = forms
        self._forms: list[str] = forms.to_pylist()
        once: dict[str, str] = {}  # the same word in many queries is one string
        self._tokens = [[once.setdefault(token, token) for token in tokens_of(form)] for form in self._forms]
        common = max(params.min_common, params.common_share * len(queries))
        uses = Counter(token for tokens in self._tokens for token in set(tokens))
        frequent = frozenset(token for token, number in uses.items() if number > common)
        self._vocabulary = Vocabulary(frequent, frozenset(uses))
        self._embedded, self._alone, self._closing = self._found_inside(uses)
        values, offsets = gram_sets(forms)
        inside = self._embedded | self._alone
        self._grams = build_grams(values, offsets, params.max_queries_of_gram, inside, params.min_containment)

    @classmethod
    def build(
        cls,
        sets: Mapping[str, pa.Array],
        params: DecontaminateParams | None = None,
        wholes: Mapping[str, pa.Array] | None = None,
    ) -> "EvaluationIndex":
        """An index of the queries of each evaluation set, by the set's name, and of texts that are sought as wholes.

        Empty texts are left out. One that stands in several sets, or several times, is one, reported with all its sets'
        names.
        """
        params = params or DecontaminateParams()
        bare = {name: without_frames(texts, params.frames) for name, texts in sets.items()}
        whole = {name: without_frames(texts, params.frames) for name, texts in (wholes or {}).items()}
        names, firsts = _distinct_queries(bare)
        queries = [(tuple(sorted(names[form])), firsts[form]) for form in sorted(names)]
        forms = pa.array(sorted(names), pa.large_string())
        return cls(queries, forms, WholeTexts(whole, params.edits, params.common_share), params)

    def _found_inside(self, words: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which queries are looked for inside longer texts: wherever they stand, as sentences, at the end of one."""
        params, weights = self._params, {token: token_weight(token, self._vocabulary) for token in words}
        found = np.zeros((3, len(self._tokens)), bool)
        for number, tokens in enumerate(self._tokens):
            size, own = size_of(tokens), [weights[token] for token in tokens]
            telling = sum(weight for weight in own if weight > SMALL_WEIGHT)
            found[0, number] = sum(own) >= params.min_embedded_weight or size >= params.min_embedded_words
            found[1, number] = size >= params.min_sentence_words and telling >= params.min_telling_words
            found[2, number] = found[1, number] and sum(own) >= params.min_closing_weight
        return found

    def __len__(self) -> int:
        return len(self._queries) + len(self._wholes)

    def find(self, texts: pa.Array | pa.ChunkedArray) -> pa.Table:
        """MATCHES: for each text whether it is an evaluation query, which one, and which share of its n-grams it has.

        Null and empty texts match nothing.
        """
        array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        bare = without_frames(array, self._params.frames)
        forms = matching_forms(bare)
        wholes = {whole.row: whole for whole in self._wholes.find(forms)}
        best = self._equal(forms)
        best |= {row: self._whole(whole) for row, whole in wholes.items() if whole.is_equal and row not in best}
        for text, query, share in self._grams.candidates(forms, self._params.min_containment):
            if text not in best and (kind := self._leak(bare[text].as_py(), forms[text].as_py(), query)):
                best[text] = _Match(self._queries[query], kind, share)
        best |= {row: self._whole(whole) for row, whole in wholes.items() if row not in best}
        return _table(best, len(forms))

    def _equal(self, forms: pa.Array) -> dict[int, _Match]:
        """Texts that are an evaluation query."""
        equal = pc.index_in(forms, self._known)
        rows = np.flatnonzero(equal.is_valid())
        numbers = equal.take(pa.array(rows)).to_pylist()
        return {
            row: _Match(self._queries[number], EXACT, 1.0) for row, number in zip(rows.tolist(), numbers, strict=True)
        }

    def _whole(self, whole: Whole) -> _Match:
        names, text = self._wholes.text_of(whole.number)
        return _Match((tuple(names), text), EXACT if whole.is_equal else EDITED, whole.shared)

    def _leak(self, text: str, form: str, query: int) -> str | None:
        """How a text that is not an evaluation query holds one, or None where it does not."""
        known, tokens = self._forms[query], self._tokens[query]
        if self._holds_inside(text, form, query):
            return CONTAINED
        if len(form) > 2 * len(known) + LONGER:
            return None
        return EDITED if is_light_edit(tokens, tokens_of(form), self._vocabulary, self._params.edits) else None

    def _holds_inside(self, text: str, form: str, query: int) -> bool:
        """Whether a longer text holds a query that may be looked for there."""
        known = self._forms[query]
        if not (self._embedded[query] or self._alone[query]) or not holds(form, known):
            return False
        return bool(self._embedded[query]) or stands_alone(text, known, only_ends=bool(self._closing[query]))


def _table(best: Mapping[int, _Match], num_texts: int) -> pa.Table:
    matches = list(best.values())
    columns = [
        [True] * len(matches),
        [match.query[0] for match in matches],
        [match.query[1] for match in matches],
        [match.kind for match in matches],
        [match.containment for match in matches],
    ]
    found = pa.table([pa.array(c, f.type) for c, f in zip(columns, MATCHES, strict=True)], schema=MATCHES)
    places = np.full(num_texts, -1)
    places[list(best)] = np.arange(len(matches))
    rows = found.take(pa.array(places, mask=places < 0))
    return rows.set_column(0, MATCHES.field(0), pa.array(places >= 0)).cast(MATCHES)


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
