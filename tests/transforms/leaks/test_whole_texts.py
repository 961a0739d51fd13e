"""Texts that are looked for as wholes: equal ones and light edits in one place are found, others are not."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.leaks import whole_texts
from transforms.leaks.params import LightEditParams
from transforms.leaks.whole_texts import WholeTexts
from transforms.text.matching import matching_forms

LONG = " ".join(f"word{number} of line {number * 7919 % 1000}" for number in range(20))
SETS = {
    "intents": [
        "turn off the lights in the kitchen please",
        "who designed the lighthouse",
        "I am still waiting on my card?",
        "长江大桥的第一期工程是在哪一年正式完工的？",
    ],
    "titles": [LONG, "I am still waiting on my card", "", None, "card"],
}
WHOLES = WholeTexts(
    {name: pa.array(texts, pa.string()) for name, texts in SETS.items()}, LightEditParams(), common_share=0.02
)


def found(text: str) -> tuple[list[str], str, bool] | None:
    whole = WHOLES.find(matching_forms(pa.array([text])))
    return (*WHOLES.text_of(whole[0].number), whole[0].is_equal) if whole else None


@pytest.mark.parametrize("text", ["i am still waiting, on my card!", "I AM STILL WAITING ON MY CARD"])
def test_equal_texts_are_found_with_the_sets_that_have_them(text: str) -> None:
    assert found(text) == (["intents", "titles"], "I am still waiting on my card", True)


@pytest.mark.parametrize(
    ("text", "original"),
    [
        ("Who designed teh lighthouse?", SETS["intents"][1]),
        ("who designed lighthouse", SETS["intents"][1]),
        ("who designed the light house", SETS["intents"][1]),
        ("so turn off the lights in the kitchen please", SETS["intents"][0]),
        ("turn off the lights in kitchen the please", SETS["intents"][0]),
        ("长江大桥第一期工程是在哪一年正式完工的", SETS["intents"][3]),
        (LONG.replace("word3 ", ""), LONG),
        (LONG.replace("word0 ", ""), LONG),
        (f"{LONG} end", LONG),
    ],
)
def test_light_edits_are_found(text: str, original: str) -> None:
    match = found(text)
    assert match is not None
    assert match[1:] == (original, False)


@pytest.mark.parametrize(
    "text",
    [
        "turn on the fans in the kitchen please",
        "turn off the lights in the bedroom please",
        "who designed the bridge",
        f"Please: {SETS['intents'][0]}",
        LONG[: len(LONG) // 2],
        "cards",
        "",
        "?",
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert found(text) is None


def test_nothing_is_found_among_no_texts() -> None:
    empty = WholeTexts({}, LightEditParams(), common_share=0.02)
    assert len(empty) == 0
    assert empty.find(pa.array(["a text"], pa.large_string())) == []


TOKENS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "长", "江", "omega"]), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(TOKENS, st.data())
def test_a_text_edited_in_one_place_shares_a_key_with_the_original(tokens: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(tokens) - 1))
    edits = [
        [*tokens[:place], "new", *tokens[place:]],
        [*tokens, "new"],
        [*tokens[:place], "other", *tokens[place + 1 :]],
        tokens[:place] + tokens[place + 1 :],
        tokens[:place] + tokens[place : place + 2][::-1] + tokens[place + 2 :],
        ["".join(tokens)],
    ]
    edit = data.draw(st.sampled_from(edits))
    if len(edit) < 2 and len(tokens) < 3:  # a text of one token is found verbatim only
        return
    keys = whole_texts._build_keys(pa.array([" ".join(tokens)], pa.large_string()))
    _, counts = whole_texts._candidates(pa.array([" ".join(edit)], pa.large_string()), keys)
    assert counts[0] > 0
