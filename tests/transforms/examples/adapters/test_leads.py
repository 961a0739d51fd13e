"""Query and passage from the beginning of a text."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.examples.adapters.leads import (
    LEAD_MAX,
    LEAD_MIN,
    PASSAGE_MAX,
    find_lead,
    lead_passage,
    lead_passages,
    split_leads,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A first line\n\nand the rest", ("A first line", "and the rest")),
        ("  A first line \nrest", ("A first line", "rest")),
        ("One sentence here. And another.", ("One sentence here.", "And another.")),
        ("这是一个足够长的第一句话。第二句。", ("这是一个足够长的第一句话。", "第二句。")),
        ("Version 2.5 came out today! Then more.", ("Version 2.5 came out today!", "Then more.")),
        ('He said "it is done." Then he left.', ('He said "it is done."', "Then he left.")),
        ("x" * 201 + "\nrest", None),
        ("A long line of words. " + "y" * 200 + "\nrest", ("A long line of words.", "y" * 200 + "\nrest")),
        ("x" * 199 + ".5 and more. Yes.", None),
        ("x" * 199 + ". And more.", ("x" * 199 + ".", "And more.")),
        ("short\nthe rest of it", None),
        ("Oh no. That is bad.", None),
        ("only one sentence, nothing more.", None),
        ("a line without an end", None),
        ("", None),
        (" \n ", None),
    ],
)
def test_a_lead_is_the_first_line_or_sentence(text: str, expected: tuple[str, str] | None) -> None:
    assert find_lead(text) == expected


@pytest.mark.parametrize(("length", "found"), [(9, False), (10, True), (200, True), (201, False)])
def test_a_lead_has_ten_to_two_hundred_characters(length: int, found: bool) -> None:
    assert (find_lead("x" * length + "\nrest") is not None) is found
    assert (find_lead("字" * (length - 1) + "。后面还有一句") is not None) is found


PROSE = st.text(alphabet="ab. \n。!", max_size=260)


@settings(deadline=None, max_examples=50)
@given(text=PROSE)
def test_lead_and_rest_are_the_whole_text(text: str) -> None:
    found = find_lead(text)
    if found is not None:
        assert LEAD_MIN <= len(found[0]) <= LEAD_MAX
        assert found[1]
        assert "".join("".join(found).split()) == "".join(text.split())


def test_leads_of_many_texts_keep_nulls() -> None:
    leads, rests = split_leads(pa.array(["A first line\nrest", None, "short"]))
    assert leads.to_pylist() == ["A first line", None, None]
    assert rests.to_pylist() == ["rest", None, None]


def test_a_passage_is_the_first_run_of_paragraphs_that_fits() -> None:
    paragraphs = ["p" * 900, "q" * 900, "r" * 900]
    assert lead_passage("\n\n".join(paragraphs)) == "\n\n".join(paragraphs[:2])
    assert lead_passage("p" * 2000 + "\nq") == "p" * 2000
    assert lead_passage("  short text \n") == "short text"


def test_a_long_first_paragraph_ends_with_a_sentence_or_a_word() -> None:
    assert lead_passage("s" * 1500 + ". " + "t" * 900 + ".\nmore") == "s" * 1500 + "."
    assert lead_passage("s" * 1999 + ". " + "t" * 900) == "s" * 1999 + "."
    assert lead_passage("s" * 1500 + ". " + "t" * 497 + ".5 and") == "s" * 1500 + "."
    assert lead_passage("w" * 1500 + " " + "v" * 900) == "w" * 1500
    assert lead_passage("字" * 2500) == "字" * 2000


@settings(deadline=None, max_examples=50)
@given(text=st.text(alphabet="ab. \n。", max_size=60).map(lambda text: text * 60))
def test_a_passage_begins_the_text_and_fits(text: str) -> None:
    passage = lead_passage(text)
    assert text.strip().startswith(passage)
    assert len(passage) <= PASSAGE_MAX
    assert passage or not text.strip()


def test_only_long_passages_are_touched() -> None:
    texts = pa.array([" kept as it is ", None, "w" * 1999 + " xyz"])
    assert lead_passages(texts).to_pylist() == [" kept as it is ", None, "w" * 1999]
    assert lead_passages(texts.slice(0, 2)).to_pylist() == [" kept as it is ", None]
