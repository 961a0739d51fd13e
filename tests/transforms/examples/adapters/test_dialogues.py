"""Adapter ``dialogue``."""

from typing import Any

import pytest

from schemas.errors import CatalogError
from tests.transforms.examples.adapters.helpers import adapted, batch, kept, locate, reasons
from transforms.examples.adapters.dialogues import ASSISTANT, OTHER, USER, Turn, first_exchange, list_turns, split_turns

DIALOGUE = {"dialogue": "dialogue"}


@pytest.mark.parametrize(
    "text",
    [
        "<User 1>: why?\n<Assistant 1>: because\n<User 2>: oh",
        "<user 1>(word count: 20) why? <assistant 1>(word count: 80): because <user 2> oh",
        "Human: why?\nAssistant: because\nHuman: oh",
        "Human 1：why?\n\nAI 1：because",
        "用户：why?\n助手：because",
        "【用户】why?\n【助手】because",
        "问：why?\n答：because",
        "[ユーザー] why? [アシスタント] because",
        "Q: why?\nA: because",
        "System: be brief\nUser: why?\nBot: because",
        "a preface\n<human>: why?\n<gpt>: because",
    ],
)
def test_speaker_tags_cut_a_text_into_turns(text: str) -> None:
    assert first_exchange(split_turns(text)) == ("why?", "because")


def test_tags_in_brackets_go_before_names_with_a_colon() -> None:
    turns = split_turns("<user>: why?\n<assistant>: because\nuser: is a word")
    assert turns == [(USER, "why?"), (ASSISTANT, "because\nuser: is a word")]


@pytest.mark.parametrize(
    "text", ["", "no tags at all", "https://user.example/a", "the user: asks", "<b>bold</b> [1] <a>"]
)
def test_a_text_without_tags_has_no_turns(text: str) -> None:
    assert split_turns(text) == []


@pytest.mark.parametrize(
    "turns",
    [
        [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "why?"},
            {"role": "assistant", "content": "because"},
        ],
        [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "because"}],
        [{"from": "GPT", "value": "hello"}, {"from": "Human", "value": " why? "}, {"from": "GPT", "value": "because"}],
        [{"speaker": "用户", "text": "why?"}, {"speaker": "助手", "text": "because"}],
        ["why?", "because", "oh"],
        ["Human: why?", "Assistant: because"],
    ],
)
def test_lists_of_turns_are_records_or_texts_by_turns(turns: list[Any]) -> None:
    assert first_exchange(list_turns(turns)) == ("why?", "because")


def test_a_list_with_gaps_keeps_whose_turn_it_is() -> None:
    assert list_turns(["why?", None, "oh"]) == [(USER, "why?"), (ASSISTANT, ""), (USER, "oh")]
    assert list_turns([{"role": None, "content": "x"}, None]) == [(OTHER, "x"), (ASSISTANT, "")]


def test_the_answer_comes_after_the_question() -> None:
    hello, question = Turn(ASSISTANT, "hi"), Turn(USER, "why?")
    assert first_exchange([hello]) == (None, None)
    assert first_exchange([hello, question]) == ("why?", None)
    turns = [hello, question, Turn(USER, "really"), Turn(ASSISTANT, ""), Turn(OTHER, "no"), Turn(ASSISTANT, "yes")]
    assert first_exchange(turns) == ("why?", "yes")


def test_the_first_answer_is_the_positive() -> None:
    rows = batch(dialogue=["<User 1>: why?\n<Assistant 1>: because", "<User 1>: why?", "nothing", None])
    result = adapted(locate("dialogue", DIALOGUE), rows)
    assert kept(result, "query", "positives") == [("why?", ["because"])]
    assert reasons(result) == {"1": "NO_TURN", "2": "NO_TURN", "3": "NO_TURN"}
    assert result.rejections.column("query").to_pylist() == ["why?", None, None]


def test_the_reference_may_be_the_positive() -> None:
    located = locate("dialogue", DIALOGUE | {"reference": "reference"}, {"positive": "reference"})
    rows = batch(
        dialogue=["<User 1>: why?", "<Assistant 1>: hello", "<User 1>: how?"], reference=["an article", "x", None]
    )
    result = adapted(located, rows)
    assert kept(result, "query", "positives") == [("why?", ["an article"]), ("how?", [None])]
    assert reasons(result) == {"1": "NO_TURN"}


def test_turns_may_stand_in_a_list_of_records() -> None:
    rows = batch(
        dialogue=[[{"role": "user", "content": "why?"}, {"role": "assistant", "content": "because"}], [], None]
    )
    result = adapted(locate("dialogue", DIALOGUE), rows)
    assert kept(result, "query", "positives") == [("why?", ["because"])]
    assert reasons(result) == {"1": "NO_TURN", "2": "NO_TURN"}


@pytest.mark.parametrize(
    "values", [[1], [[1]], [{"role": "user", "content": "x"}], [[{"role": "user", "content": ["x"]}]]]
)
def test_other_layouts_are_errors_of_the_entry(values: list[Any]) -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml:11: dialogue, .*a dialogue is a text with speaker tags"):
        adapted(locate("dialogue", DIALOGUE), batch(dialogue=values))


def test_the_reference_must_be_mapped_where_it_is_the_positive() -> None:
    with pytest.raises(CatalogError, match="needs a column `reference`"):
        adapted(locate("dialogue", DIALOGUE, {"positive": "reference"}), batch(dialogue=["x"]))
