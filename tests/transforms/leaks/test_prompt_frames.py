"""Prompts of embedding models are taken off the beginning of a text, and nothing else is."""

import pyarrow as pa
import pytest

from transforms.leaks.params import PROMPT_FRAMES
from transforms.leaks.prompt_frames import without_frames


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Instruct: Given a web search query, find passages\nQuery: who floats", "who floats"),
        ("instruction: find it query: who floats", "who floats"),
        ("search_query: who floats", "who floats"),
        ("title: none | text: who floats", "who floats"),
        ("Represent the question for retrieving evidence: who floats", "who floats"),
        ("query: ", "query: "),
        ("My query: who floats", "My query: who floats"),
        ("queries are many", "queries are many"),
        ("", ""),
        (None, None),
    ],
)
def test_a_frame_is_taken_off(text: str | None, bare: str | None) -> None:
    assert without_frames(pa.array([text], pa.string()), PROMPT_FRAMES).to_pylist() == [bare]


def test_without_frames_nothing_changes() -> None:
    texts = pa.array(["query: a"])
    assert without_frames(texts, ()) is texts
