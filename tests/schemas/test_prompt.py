"""The one prompt template."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.prompt import TEMPLATE, format_prompt, format_query


def test_the_template_is_that_of_the_published_models() -> None:
    assert TEMPLATE == "Instruct: {instruction} \n Query: {query}"
    assert format_query("Find it", "what?") == "Instruct: Find it \n Query: what?"


@pytest.mark.parametrize("instruction", [None, ""])
def test_without_an_instruction_a_query_stands_bare(instruction: str | None) -> None:
    assert format_prompt(instruction) == ""
    assert format_query(instruction, "what?") == "what?"


@given(st.text(min_size=1), st.text())
def test_instruction_and_query_are_taken_literally_braces_and_all(instruction: str, query: str) -> None:
    assert format_query(instruction, query) == "Instruct: " + instruction + " \n Query: " + query
    assert format_query(instruction, query) == format_prompt(instruction) + query
