"""Light edits and what is none: another word, another number, a phrase in common."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.leaks.light_edits import (
    Vocabulary,
    edit_distance,
    holds,
    is_light_edit,
    is_misspelt,
    size_of,
    substitution_cost,
    tokens_of,
    weight_of,
)
from transforms.leaks.params import SLIP, LightEditParams
from transforms.text.matching import matching_form

COMMON = Vocabulary(frozenset(["what", "which", "的", "是"]), frozenset(["increases", "decreases", "manchester"]))


def same(one: str, other: str) -> bool:
    first, second = (tokens_of(matching_form(text)) for text in (one, other))
    return is_light_edit(first, second, COMMON, LightEditParams())


@pytest.mark.parametrize(
    "other",
    [
        "When did the first railway open in Manchester",
        "When did the first railway opne in Manchester?",
        "When did the frist railway open in Manchester?",
        "When did the first railway open Manchester?",
        "When did the first rail way open in Manchester?",
        "When did the first railwayopen inManchester?",
        "When did the first railway open in Mnachesetr?",
        "did When the first railway open in Manchester?",
        "When did the very first railway open in Manchester?",
        "When did the first railways open in the Manchester?",
    ],
)
def test_light_edits(other: str) -> None:
    question = "When did the first railway open in Manchester?"
    assert same(question, other)
    assert same(other, question)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("who wrote the novel dracula", "who wrote the novel emma"),
        ("what is diabetes", "what is diabetes insipidus and how is it treated"),
        ("what is the capital of france", "what is the capital of spain"),
        ("aspirin increases the risk of bleeding in patients", "aspirin decreases the risk of bleeding in patients"),
        ("how many chapters had volume 1 2", "how many chapters had volume 12"),
        ("a man is playing a piano", "a woman is playing a piano"),
        ("which car is fast", "which cat is fast"),
        ("population of china in 1990", "population of china in 1991"),
        ("python", "pythons"),
        ("how to sort a list in c#", "how to sort a list in c++"),
        ("南京大学的校长是谁", "北京大学的校长是谁"),
        ("when did the first railway open in manchester", "when did the first railway open in liverpool"),
    ],
)
def test_other_questions(one: str, other: str) -> None:
    assert not same(one, other)
    assert not same(other, one)


def test_unspaced_scripts_are_read_by_character() -> None:
    assert tokens_of("请问c# 怎么用 ไทย") == ["请", "问", "c#", "怎", "么", "用", "ไ", "ท", "ย"]
    assert same("请问北京大学的历任校长都是谁啊", "请问北京大学的历任校长是谁啊")
    assert not same("请问北京大学的历任校长都是谁啊", "请问北京大学的历任院士都是谁啊")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("which are construction managers", "which are constructionmanagers", True),
        ("which managers", "whichmanagers", False),
        ("construction managers", "constructionmanagers", True),
    ],
)
def test_words_joined_weigh_as_much_as_words_apart(one: str, other: str, expected: bool) -> None:
    assert same(one, other) == same(other, one) == expected


@pytest.mark.parametrize(
    ("form", "other", "expected"),
    [
        ("tell me how to cast a list to str now", "how to cast a list to str", True),
        ("how to cast a list to string", "how to cast a list to str", False),
        ("how to cast a list to string or a list to str", "a list to str", True),
        ("showing it", "how", False),
        ("请问北京大学的校长是谁啊", "北京大学的校长是谁", True),
        ("请问ibm的校长是谁啊", "bm的校长是谁", False),
        ("how", "how", True),
        ("how", "who", False),
    ],
)
def test_a_text_holds_another_word_for_word(form: str, other: str, expected: bool) -> None:
    assert holds(form, other) == expected


def test_size_counts_words_however_common() -> None:
    assert size_of(["what", "is", "diabetes", "2", "北", "的"]) == 5


def test_weights() -> None:
    assert weight_of(["what", "is", "diabetes", "2", "北", "的"], COMMON) == pytest.approx(
        0.34 + 0.34 + 1 + 1 + 0.5 + 0.17
    )


def test_the_longer_the_text_the_more_may_differ() -> None:
    params = LightEditParams()
    assert [params.allowed(w) for w in (1, 2, 3, 6, 12)] == [0, 0.34, 0.68, 1, 1]
    assert params.allowed(24) == pytest.approx(2)


TOKENS = st.lists(st.sampled_from(["alpha", "alphas", "beta", "in", "the", "7", "北"]), max_size=5)


@given(TOKENS, TOKENS)
def test_distance_is_symmetric_and_zero_for_equals_only(one: list[str], other: list[str]) -> None:
    distance = edit_distance(one, other, COMMON)
    assert distance == pytest.approx(edit_distance(other, one, COMMON))
    assert (distance == 0) == (one == other)
    assert edit_distance(one, other, COMMON, limit=distance) == pytest.approx(distance)
    assert edit_distance(one, other, COMMON, limit=distance / 2) in (pytest.approx(distance), math.inf)


WORDS = st.lists(st.sampled_from(["rail", "way", "railway", "ways", "in", "the", "7", "北", "京"]), max_size=9)


@given(WORDS, WORDS, st.sampled_from([0.34, 0.68, 1.0, 2.0, 5.0, math.inf]))
def test_within_its_limit_the_distance_is_that_of_the_whole_table(
    one: list[str], other: list[str], limit: float
) -> None:
    whole = _whole_table(one, other)
    assert edit_distance(one, other, COMMON, limit) == (pytest.approx(whole) if whole <= limit else math.inf)


def test_a_distance_of_nothing_is_known_whatever_the_limit() -> None:
    assert edit_distance(["rail", "way"], ["rail", "way"], COMMON, 0.0) == 0


def _whole_table(one: list[str], other: list[str]) -> float:
    """The definition, cell by cell: optimal string alignment, with words split and joined."""
    if sorted(one) == sorted(other):
        return 0.0 if one == other else SLIP
    if len(one) > len(other):
        one, other = other, one
    table = {(0, 0): 0.0}
    for i in range(len(one) + 1):
        for j in range(len(other) + 1):
            ways = [
                (i, j - 1, weight_of(other[j - 1 : j], COMMON), True),
                (i - 1, j - 1, substitution_cost(one[i - 1], other[j - 1], COMMON) if i and j else 0.0, True),
                (i - 2, j - 2, SLIP, one[i - 2 : i] == other[j - 2 : j][::-1]),
                (i - 2, j - 1, SLIP, i > 1 and j > 0 and _is_split(one[i - 2 : i], other[j - 1])),
                (i - 1, j - 2, SLIP, i > 0 and j > 1 and _is_split(other[j - 2 : j], one[i - 1])),
            ]
            costs = [table[x, y] + cost for x, y, cost, may in ways if may and x >= 0 and y >= 0]
            table[i, j] = min([table.get((i, j), math.inf), *costs])
    return table[len(one), len(other)]


def _is_split(two: list[str], whole: str) -> bool:
    return "".join(two) == whole and not (two[0][-1].isdigit() and two[1][0].isdigit())


def _letter_edits(one: str, other: str) -> int:
    """The least number of edits of one letter, or exchanges of neighbours, none of which touches another's letters."""
    if not one or not other:
        return len(one) + len(other)
    costs = [
        _letter_edits(one[:-1], other) + 1,
        _letter_edits(one, other[:-1]) + 1,
        _letter_edits(one[:-1], other[:-1]) + (one[-1] != other[-1]),
    ]
    if len(one) > 1 and len(other) > 1 and one[-2:] == other[:-3:-1]:
        costs.append(_letter_edits(one[:-2], other[:-2]) + 1)
    return min(costs)


@given(st.text("abc", max_size=5), st.text("abc", max_size=5), st.sampled_from(["", "quay", "wharfage"]))
def test_a_misspelt_word_has_few_letter_edits(one: str, other: str, stem: str) -> None:
    first, second = one + stem, other + stem
    longer = max(len(first), len(second))
    edits = _letter_edits(first, second) if not stem else _letter_edits(one, other)
    if longer < 4:
        expected = set(first) == set(second) and edits == 1
    else:
        expected = abs(len(first) - len(second)) <= 2 and edits <= (1 if longer < 8 else 2)
    assert is_misspelt(first, second, Vocabulary(frozenset())) == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"short_weight": 1.0}, "short_weight 1.0"), ({"long_share": 0.7}, "long_share is 0.7")],
)
def test_wrong_params_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LightEditParams(**wrong)
