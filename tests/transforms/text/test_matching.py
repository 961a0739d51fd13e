"""Matching forms: the compiled table against the plain definition, on every character and on any text."""

import unicodedata

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.text.matching import fold_table, matching_form, matching_forms, text_hashes

MIXED = st.lists(
    st.one_of(
        st.text(max_size=4),
        st.sampled_from(
            ["Straße", "ﬁn", "ＡＢ，", "́", "\u0338", "각", "\u1100\u1161\u11a8", "I\u0307", "½", "ẞ", "हिन्दी", "\u200d"]
        ),
    ),
    max_size=5,
).map("".join)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("What is C#?", "what is c#"),
        ("  Hello,\tWORLD!! ", "hello world"),
        ("“Don’t” — she said…", "don t she said"),
        ("ｆｕｌｌ　ｗｉｄｔｈ，１２３。", "full width 123"),
        ("你好，世界！", "你好 世界"),
        ("STRASSE straße", "strasse strasse"),
        ("co\u00adop\u200b \ufe0f👍🏽", "coop 👍"),
        ("cafe\u0301", "café"),
        ("5 % of 1+1=2", "5 % of 1+1=2"),
        ("?!", "?!"),
        ("...", "..."),
        (" ", ""),
        ("", ""),
    ],
)
def test_form(text: str, form: str) -> None:
    assert matching_form(text) == form
    assert matching_forms(pa.array([text])).to_pylist() == [form]


def test_every_character_alone_and_between_letters() -> None:
    characters = [chr(code) for code in range(0x20200) if not 0xD800 <= code < 0xE000]
    texts = characters + [f"a{character}e" for character in characters]
    assert matching_forms(pa.array(texts)).to_pylist() == [matching_form(text) for text in texts]


def _plain_form(character: str) -> str:
    """What one character becomes between others, white space not yet joined."""

    def folded(part: str) -> str:
        category = unicodedata.category(part)
        if category == "Cf" or 0xFE00 <= ord(part) < 0xFE10 or ord(part) == 0x34F:
            return ""
        separates = category[0] in "PZ" or category == "Cc" or (category == "Sk" and part != "^")
        return " " if separates and part not in "#%&@" else part

    return "".join(map(folded, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())))


def test_the_table_is_that_of_characters_folded_one_by_one() -> None:
    starts, values, ascii_forms = fold_table()
    assert ascii_forms.tolist() == values[starts[:0x80]].tolist()
    seconds = {chr(code) for code in [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]}
    parts = [unicodedata.decomposition(chr(code)).split() for code in range(0x20000)]
    seconds |= {chr(int(pair[1], 16)) for pair in parts if len(pair) == 2 and pair[0][0] != "<"}
    for code in range(0x20000):
        own = values[starts[code] : starts[code + 1]].tolist()
        if 0xD800 <= code < 0xE000:
            assert own == [0xFFFFFFFF]
            continue
        whole = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", chr(code)).casefold())
        joins = any(unicodedata.combining(part) or part in seconds for part in chr(code) + whole)
        form = _plain_form(chr(code))
        hard = joins or len(form.encode()) > len(chr(code).encode())
        assert own == ([0xFFFFFFFF] if hard else list(map(ord, form))), hex(code)


@settings(deadline=None)
@given(st.lists(MIXED, max_size=8), st.booleans())
def test_arrays_match_the_definition(texts: list[str], large: bool) -> None:
    array = pa.array(["x", *texts], pa.large_string() if large else pa.string()).slice(1)
    forms = matching_forms(array)
    assert forms.type == pa.large_string()
    assert forms.to_pylist() == [matching_form(text) for text in texts]


@settings(deadline=None)
@given(MIXED)
def test_form_is_its_own_form_and_knows_no_case_or_composition(text: str) -> None:
    form = matching_form(text)
    assert matching_form(unicodedata.normalize("NFD", text)) == form
    assert matching_form(form).split() == form.split() or not any(c.isalnum() for c in form)


def test_null_is_empty_and_chunks_are_joined() -> None:
    assert matching_forms(pa.chunked_array([["A", None], ["b"]])).to_pylist() == ["a", "", "b"]
    assert len(matching_forms(pa.array([], pa.string()))) == 0


@settings(deadline=None)
@given(st.lists(st.text(max_size=9), max_size=5))
def test_text_hashes_are_xxh3(texts: list[str]) -> None:
    words = text_hashes(pa.array(texts, pa.string()))
    assert [(int(high) << 64) | int(low) for high, low in words] == [
        xxhash.xxh3_128_intdigest(t.encode()) for t in texts
    ]
