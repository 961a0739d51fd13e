"""Whether one short text is another with a light edit: a typing error, a small word more or less, two words exchanged.

Texts are compared word by word (character by character where a script writes no spaces) by a weighted edit distance, so
that "who wrote Dracula" is not "who wrote Emma" although most of their letters are the same: exchanging a word for an
unrelated one costs a whole word, however short the words are.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from rapidfuzz.distance import OSA

from transforms.leaks.params import SLIP, LightEditParams

#: Han, kana, Thai, Lao, Burmese and Khmer are written without spaces: each character is a token.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\U00020000-\U0003134f"
_TOKEN = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_DIGIT = re.compile(r"\d")

#: Weights of tokens: a word weighs 1, a small or common one less, a character of an unspaced script half a word.
SMALL_WORD, SMALL_WEIGHT, CHARACTER_WEIGHT = 3, 0.34, 0.5
#: Costs of writing another token: of words, small words, characters of unspaced scripts, and where there is a digit.
OTHER_WORD, OTHER_SMALL, OTHER_CHARACTER, OTHER_NUMBER = 1.5, 0.9, 0.75, 2.0


@dataclass(frozen=True, eq=False)  # a cache tells two apart by what they are, not by all their words
class Vocabulary:
    """Words that weigh little because many texts have them, and words that are known to be words."""

    common: Collection[str]
    known: Collection[str] = frozenset()


def tokens_of(form: str) -> list[str]:
    """The tokens of a text in the form for matching."""
    return _TOKEN.findall(form)


@lru_cache(maxsize=1 << 16)
def token_weight(token: str, vocabulary: Vocabulary) -> float:
    """What a token weighs; numbers weigh 1 however short."""
    if _UNSPACED.match(token):
        return SMALL_WEIGHT / 2 if token in vocabulary.common else CHARACTER_WEIGHT
    if token in vocabulary.common or (len(token) <= SMALL_WORD and not _DIGIT.search(token)):
        return SMALL_WEIGHT
    return 1.0


def weight_of(tokens: Sequence[str], vocabulary: Vocabulary) -> float:
    """What a text weighs."""
    return sum(token_weight(token, vocabulary) for token in tokens)


def is_misspelt(one: str, other: str, vocabulary: Vocabulary) -> bool:
    """Whether two words differ by what a slip of the hand does; their digits are the same.

    Edits are of one letter, or the exchange of two neighbours. From 4 letters on one edit, from 8 on two, but for known
    words (another one may be meant: increases, decreases); in shorter ones letters that are exchanged or doubled, or
    one edit of a common word (another word of three letters may be meant).
    """
    longer = max(len(one), len(other))
    if abs(len(one) - len(other)) > 2 or _UNSPACED.search(one + other) or _DIGIT.findall(one) != _DIGIT.findall(other):
        return False
    if longer < 4 and not (one in vocabulary.common or other in vocabulary.common):
        return set(one) == set(other) and OSA.distance(one, other, score_cutoff=1) == 1
    allowed = 1 if longer < 8 or (one in vocabulary.known and other in vocabulary.known) else 2
    return OSA.distance(one, other, score_cutoff=allowed) <= allowed


def substitution_cost(one: str, other: str, vocabulary: Vocabulary) -> float:
    """What it costs to write one token for another."""
    if one == other:
        return 0.0
    if is_misspelt(one, other, vocabulary):
        return SLIP
    if _DIGIT.search(one) or _DIGIT.search(other):
        return OTHER_NUMBER
    if _UNSPACED.match(one) and _UNSPACED.match(other):
        return OTHER_CHARACTER
    small = token_weight(one, vocabulary) + token_weight(other, vocabulary) <= 2 * SMALL_WEIGHT
    return OTHER_SMALL if small else OTHER_WORD


def edit_distance(one: Sequence[str], other: Sequence[str], vocabulary: Vocabulary, limit: float = math.inf) -> float:
    """Weighted edit distance of two token sequences: optimal string alignment, with words split and joined.

    Tokens are added to the shorter sequence, never left out besides: that would be a way round what it costs to write
    another word. The same tokens in another order count as one slip. Beyond ``limit`` the distance is infinite.
    """
    if sorted(one) == sorted(other):
        return 0.0 if list(one) == list(other) else SLIP
    if len(one) > len(other):
        one, other = other, one
    weights = [token_weight(token, vocabulary) for token in other]
    before: _Row = {}
    last = {j: cost for j, cost in enumerate(accumulate(weights, initial=0.0)) if cost <= limit}
    for i in range(1, len(one) + 1):
        row = _next_row(one[max(i - 2, 0) : i], other, weights, (before, last), vocabulary, limit)
        before, last = last, row
        if not (before or last):
            break
    return last.get(len(other), math.inf)


#: The distances of some tokens to the first j of others, by j, without those beyond the limit.
_Row = dict[int, float]


def _next_row(
    ending: Sequence[str],
    other: Sequence[str],
    weights: Sequence[float],
    rows: tuple[_Row, _Row],
    vocabulary: Vocabulary,
    limit: float,
) -> _Row:
    """The row of one token more, from the two rows before it. ``ending``: that token, behind the one before it, if any.

    Costs are positive, so nothing within the limit leads through what is beyond it, and of two long texts few cells are
    looked at.
    """
    before, last = rows
    a, previous = ending[-1], ending[0] if len(ending) > 1 else None
    reached = before.keys() | last.keys()
    row, furthest = _Row(), max(reached)
    for j in range(min(reached) + 1, len(other) + 1):
        if j > furthest + 2 and j - 1 not in row:
            break
        b, cost = other[j - 1], row.get(j - 1, math.inf) + weights[j - 1]
        if last.get(j - 1, math.inf) < cost:
            cost = min(cost, last[j - 1] + substitution_cost(a, b, vocabulary))
        if previous is not None:
            if before.get(j - 2, math.inf) + SLIP < cost and a == other[j - 2] and previous == b:
                cost = before[j - 2] + SLIP
            if before.get(j - 1, math.inf) + SLIP < cost and _makes(previous, a, b):
                cost = before[j - 1] + SLIP
        if last.get(j - 2, math.inf) + SLIP < cost and _makes(other[j - 2], b, a):
            cost = last[j - 2] + SLIP
        if cost <= limit:
            row[j] = cost
    return row


def _makes(first: str, second: str, whole: str) -> bool:
    """Whether two tokens are one that was split; 1 2 is not 12."""
    return first + second == whole and not (first[-1].isdigit() and second[0].isdigit())


def holds(form: str, other: str) -> bool:
    """Whether a text in the form for matching holds another one word for word."""
    start = form.find(other)
    while start >= 0:
        if is_edge(form, start) and is_edge(form, start + len(other)):
            return True
        start = form.find(other, start + 1)
    return False


def is_edge(form: str, place: int) -> bool:
    """Whether a token may end and another begin at a place of a form."""
    return (
        place in (0, len(form))
        or " " in form[place - 1 : place + 1]
        or bool(_UNSPACED.search(form, place - 1, place + 1))
    )


def _numbers(tokens: Sequence[str]) -> list[str]:
    return [token for token in tokens if _DIGIT.search(token)]


def size_of(tokens: Sequence[str]) -> float:
    """How many words a text has, however common; two characters of an unspaced script are one."""
    return sum(CHARACTER_WEIGHT if _UNSPACED.match(token) else 1.0 for token in tokens)


def is_light_edit(one: Sequence[str], other: Sequence[str], vocabulary: Vocabulary, params: LightEditParams) -> bool:
    """Whether two texts, as tokens, are the same but for a light edit.

    Other spaces between the same letters are one slip, by the weight of the heavier text: joined words weigh less.
    """
    weights = weight_of(one, vocabulary), weight_of(other, vocabulary)
    if "".join(one) == "".join(other) and _numbers(one) == _numbers(other):
        return params.allowed(max(weights)) >= SLIP
    allowed = params.allowed(min(weights)) + 1e-9
    if abs(weights[0] - weights[1]) > allowed + 2 * SLIP:  # a slip may change what a word weighs
        return False
    return edit_distance(one, other, vocabulary, allowed) <= allowed
