"""Keeps the sample varied: no text may share half of its character 5-grams with an earlier one of its role."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain


def fold(text: str) -> str:
    """Returns the text in the form in which two texts are compared: NFKC, case-folded, white space folded."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shingles(text: str, size: int = 5) -> frozenset[str]:
    """Returns the set of character ``size``-grams of the folded text; the whole text where it is shorter."""
    folded = fold(text)
    return frozenset(folded[i : i + size] for i in range(max(1, len(folded) - size + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Returns |left & right| / |left | right|, in [0, 1]; 0 for two empty sets."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 0.0


@dataclass(kw_only=True)
class Variety:
    """The texts of one role so far, as an inverted index from shingle to text number."""

    ceiling: float = 0.48
    _sets: list[frozenset[str]] = field(default_factory=list)
    _postings: dict[str, list[int]] = field(default_factory=dict)

    def closest(self, text: str) -> float:
        """Returns the highest Jaccard of the text with any text admitted before; 0 when there is none."""
        grams = shingles(text)
        shared = Counter(chain.from_iterable(self._postings.get(gram, ()) for gram in grams))
        return max((n / (len(grams) + len(self._sets[i]) - n) for i, n in shared.items()), default=0.0)

    def admit(self, text: str) -> bool:
        """Adds the text unless it is too close to an earlier one; says whether it was added."""
        if self.closest(text) >= self.ceiling:
            return False
        self.add(text)
        return True

    def add(self, text: str) -> None:
        """Adds the text whatever it resembles."""
        grams = shingles(text)
        for gram in grams:
            self._postings.setdefault(gram, []).append(len(self._sets))
        self._sets.append(grams)


def worst_pair(texts: Iterable[str]) -> tuple[float, str, str]:
    """Returns the highest Jaccard among the texts and the two texts that have it; (0, "", "") below two texts."""
    seen: list[str] = []
    variety = Variety()
    worst = (0.0, "", "")
    for text in texts:
        score = variety.closest(text)
        if score > worst[0]:
            grams = shingles(text)
            twin = max(seen, key=lambda other: jaccard(grams, shingles(other)))
            worst = (score, twin, text)
        variety.add(text)
        seen.append(text)
    return worst
