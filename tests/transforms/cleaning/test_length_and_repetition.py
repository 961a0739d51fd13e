import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.cleaning import length_and_repetition as measures
from transforms.cleaning.filters import repetition_of
from transforms.cleaning.length_and_repetition import count_units, has_units, may_repeat, repetition
from transforms.cleaning.params import FilterParams

PARAMS = FilterParams()


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", 0),
        ("?! -- :-)", 0),
        ("Photosynthesis", 1),
        ("(self-paced)", 1),
        ("C++", 1),
        ("👍👍", 1),
        ("Refund, please", 2),
        ("3 x 4", 3),
        ("桥", 1),
        ("很好吃。", 3),
        ("学习Python", 3),
        ("何ですか", 4),
        ("광합성", 1),
        ("สวัสดี", 6),
        ("नमस्ते", 1),
        ("tsinghuauniversitylibrary", 2),
    ],
)
def test_units_follow_the_script(text: str, units: int) -> None:
    assert count_units(pa.array([text])).to_pylist() == [units]
    assert has_units(pa.array([text]), 1).to_pylist() == [units >= 1]
    assert has_units(pa.array([text]), 2).to_pylist() == [units >= 2]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=8), max_size=12))
def test_units_of_spaced_text_are_its_words(words: list[str]) -> None:
    assert count_units(pa.array([" ".join(words)])).to_pylist() == [len(words)]


def test_null_has_no_units() -> None:
    assert count_units(pa.array([None], pa.string())).to_pylist() == [None]
    assert has_units(pa.array([None], pa.string()), 2).to_pylist() == [None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("好" * 24, "1 distinct characters in 24"),
        ("ha ha Haha ha", "2 distinct characters in 13"),
        ("差评" * 4, "2 distinct characters in 8"),
        ("spam spam Spam spam spam!", "'spam' 5 times"),
        ("不错，完好。不错，完好。不错，完好。不错，完好。", "'不错 完好' 4 times"),
        ("非常好非常好非常好非常好", "'非常好' 4 times"),
        ("buy now, buy now, buy now, buy now", "'buy now' 4 times"),
        ("好好好好好好好", None),
        ("buy now, buy now, buy now", None),
        ("row, row, row your boat gently down the stream", None),
        ("the cat saw the cat that saw the cat", None),
        ("", None),
    ],
)
def test_repetition(text: str, said: str | None) -> None:
    assert repetition_of(text, PARAMS) == said


@settings(deadline=None)
@given(st.text(alphabet="abcd語 ", min_size=3, max_size=20), st.integers(4, 9))
def test_any_piece_over_and_over_is_found(piece: str, times: int) -> None:
    text = " ".join(f"{piece} x".split()) + " "
    assert repetition_of((text * times).strip(), PARAMS) is not None


@settings(deadline=None)
@given(st.text(alphabet="ab. ", max_size=60))
def test_the_heads_let_no_repetition_by(text: str) -> None:
    """Of texts without punctuation, what the quick check passes over repeats nothing."""
    clean = " ".join(text.replace(".", " ").split())
    if repetition_of(clean, PARAMS):
        assert may_repeat(pa.array([None, clean]), PARAMS.max_period) == [1]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(alphabet="aBcdeé語 ", max_size=40)), max_size=6), st.integers(1, 20))
def test_heads_are_looked_at_as_they_are_written(texts: list[str | None], max_period: int) -> None:
    heads = [(text or "").lower()[: max_period + 8] for text in texts]
    expected = [head != "" and (len(set(head[:16])) <= 4 or head.find(head[:8], 1) > 0) for head in heads]
    assert may_repeat(pa.array(texts, pa.string()), max_period) == [i for i, found in enumerate(expected) if found]


@settings(deadline=None)
@given(st.text(alphabet="abc ", max_size=40), st.integers(2, 6), st.integers(1, 12))
def test_period_equals_brute_force(text: str, min_repeats: int, max_period: int) -> None:
    words = " ".join(text.split())
    spaced = words + " " if " " in words else words
    few = len(set(words) - {" "}) <= 2
    periods = [p for p in range(1, max_period + 1) if p * min_repeats <= len(spaced) and spaced[p:] == spaced[:-p]]
    found = repetition(words, min_characters=8, min_repeats=min_repeats, max_period=max_period)
    assert (found is not None) == (len(words) >= 8 and (few or bool(periods)))


#: What the kernel counts.
UNITS = rf"[{measures._UNSPACED}]|[{measures._STARTS}][^\s{measures._UNSPACED_BLOCKS}]{{0,19}}"
CHARACTERS = st.one_of(
    st.characters(codec="utf-8"), st.characters(categories=["Lo"]), st.sampled_from("ab XY-+.\n\t'09")
)


@settings(deadline=None)
@given(st.lists(st.text(CHARACTERS, max_size=230), min_size=1, max_size=20))
def test_units_are_those_of_an_expression(texts: list[str]) -> None:
    array = pa.array(texts, pa.string())
    counts = pc.count_substring_regex(pc.utf8_slice_codeunits(array, 0, 200), UNITS)
    assert count_units(array).to_pylist() == counts.to_pylist()
    assert has_units(array, 3).to_pylist() == pc.greater_equal(counts, 3).to_pylist()
    anywhere = pc.match_substring_regex(array, UNITS)
    assert has_units(array, 1).to_pylist() == anywhere.to_pylist()


def test_the_only_unit_may_stand_far_behind() -> None:
    assert has_units(pa.array(["-" * 300 + "a"]), 1).to_pylist() == [True]
    assert count_units(pa.array(["-" * 300 + "a"])).to_pylist() == [0]
