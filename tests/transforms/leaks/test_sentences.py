"""Where sentences begin and end, and which texts stand in another one as sentences of their own."""

import pytest

from transforms.leaks.sentences import sentences_of, stands_alone
from transforms.text.matching import matching_form

ASKED = "who designed the lighthouse"


@pytest.mark.parametrize(
    "text",
    [
        "Who designed the lighthouse",
        "Somebody asked: who designed the lighthouse? Please answer.",
        "Hello, who designed the lighthouse! Thanks",
        "I wonder Who designed the lighthouse Thanks a lot",
        "I wonder: WHO DESIGNED THE LIGHTHOUSE Thanks a lot",
        "这个问题：who designed the lighthouse谢谢",
        "أسأل who designed the lighthouse شكرا",
        "first line\nwho designed the lighthouse\nlast line",
        "(who designed the lighthouse)",
        "He said „Who designed the lighthouse“ and left",
    ],
)
def test_a_sentence_of_its_own(text: str) -> None:
    assert stands_alone(text, ASKED)


@pytest.mark.parametrize(
    "text",
    [
        "Who designed the lighthouse in Alexandria?",
        "Who designed the lighthouse, and when?",
        "the man who designed the lighthouse.",
        "anywho designed the lighthouse",
        "who designed the lighthouses",
        "",
    ],
)
def test_no_sentence_of_its_own(text: str) -> None:
    assert not stands_alone(text, ASKED)


def test_the_end_of_a_sentence_is_enough_where_that_is_asked_for() -> None:
    assert stands_alone("I wonder who designed the lighthouse. Thanks", ASKED, only_ends=True)
    assert not stands_alone("I wonder who designed the lighthouse in Alexandria.", ASKED, only_ends=True)


def test_marks_inside_a_sentence_do_not_hide_it() -> None:
    asked = matching_form("Is it true, Dr. Lee? Was 3.5 right?")
    assert stands_alone("They ask: is it true, Dr. Lee? Was 3.5 right? No.", asked)


@pytest.mark.parametrize(
    "text", ["A b, c. D é\u200f x", "सवाल यह है: भारत की राजधानी क्या है? हाँ", "x长江y 江 z", "a \ue001 b", " . "]
)
def test_the_form_is_the_form_of_the_text(text: str) -> None:
    held = sentences_of(text)
    expected = matching_form(text.replace("\ue001", " "))
    assert held.form == (expected if any(map(str.isalnum, text)) else held.form)
    assert all(0 <= place <= len(held.form) + 1 for place in held.starts | held.ends)
