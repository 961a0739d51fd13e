"""Adapters ``pair``, ``triplet`` and ``bitext``."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import CatalogError
from schemas.prompt import format_query
from tests.transforms.examples.adapters.helpers import FILE, adapted, batch, kept, locate, reasons
from transforms.examples.adapters.pairs import split_instructions, turns

PAIR = {"query": "title", "positive": "text"}
LISTS = pa.list_(pa.string())


def test_pair_takes_query_and_positive_with_language_and_provenance() -> None:
    result = adapted(locate("pair", PAIR), batch(title=["a", None], text=["x", None]))
    assert kept(result, "query", "positives", "negatives") == [("a", ["x"], []), (None, [None], [])]
    assert kept(result, "language", "provenance") == [("en", f"{FILE}#0"), ("en", f"{FILE}#1")]
    assert kept(result, "instruction", "label", "other_labels", "score") == [(None, None, [], None)] * 2
    assert result.num_read == 2


def test_a_language_column_says_each_rows_language() -> None:
    located = locate("pair", PAIR | {"language": "lang"}, languages=["mul"])
    result = adapted(located, batch(title=["a"] * 3, text=["b"] * 3, lang=["fr", None, " "]))
    assert kept(result, "language") == ["fr", "mul", "mul"]


def test_a_configuration_says_its_rows_language() -> None:
    located = locate(
        "pair", PAIR, languages=["en", "de"], config_languages={"german": "de"}, source={"configs": ["german", "other"]}
    )
    rows = batch(title=["a"], text=["b"])
    assert kept(adapted(located, rows, config="german"), "language") == ["de"]
    assert kept(adapted(located, rows, config="other"), "language") == [""]


def test_pair_joins_the_texts_of_several_columns() -> None:
    result = adapted(locate("pair", PAIR | {"query": ["title", "desc"]}), batch(title=["a"], desc=["b"], text=["x"]))
    assert kept(result, "query") == ["a\nb"]


def test_query_lead_cuts_the_query_off_the_text() -> None:
    located = locate("pair", {"positive": "text"}, {"query": "lead"})
    texts = ["What a first line\nthe rest", "tiny\nrest", None, " ", "A sentence of its own."]
    result = adapted(located, batch(text=texts))
    assert kept(result, "query", "positives") == [("What a first line", ["the rest"])]
    assert reasons(result) == {"1": "NO_LEAD", "2": "EMPTY_POSITIVE", "3": "EMPTY_POSITIVE", "4": "NO_LEAD"}
    assert result.rejections.column("positives").to_pylist()[0] == ["tiny\nrest"]


def test_passage_lead_shortens_the_positive() -> None:
    located = locate("pair", PAIR, {"passage": "lead"})
    result = adapted(located, batch(title=["a", "b"], text=["p" * 1500 + "\n\n" + "q" * 1500, "short"]))
    assert kept(result, "positives") == [["p" * 1500], ["short"]]


def test_a_list_where_one_text_is_wanted_is_an_error_of_the_entry() -> None:
    with pytest.raises(CatalogError, match=r"toy\.yaml:12: positive, read from .* one text is wanted, .*path answers"):
        adapted(locate("pair", {"query": "title", "positive": "answers[]"}), batch(title=["a"], answers=[["b"]]))


def test_triplet_takes_texts_or_lists_as_given() -> None:
    columns = {"query": "q", "positive": "pos[]", "negative": "neg", "instruction": "i"}
    rows = batch(
        {"pos": LISTS, "i": pa.string()},
        q=["a", "b", "c"],
        pos=[["x", "y"], None, [None]],
        neg=["n", None, ""],
        i=["I", " ", None],
    )
    result = adapted(locate("triplet", columns), rows)
    assert kept(result, "query", "positives", "negatives", "instruction") == [
        ("a", ["x", "y"], ["n"], "I"),
        ("b", [], [None], None),
        ("c", [None], [""], None),
    ]


def test_triplet_joins_title_and_text_of_every_passage() -> None:
    passages = [[{"title": "T", "text": "x"}, {"title": "", "text": "y"}], []]
    located = locate(
        "triplet", {"query": "q", "positive": ["p[].title", "p[].text"], "negative": ["p[].title", "p[].text"]}
    )
    assert kept(adapted(located, batch(q=["a", "b"], p=passages)), "positives", "negatives") == [
        (["T\nx", "y"], ["T\nx", "y"]),
        ([], []),
    ]


def test_triplet_without_negatives_has_none() -> None:
    assert kept(adapted(locate("triplet", {"query": "q", "positive": "p"}), batch(q=["a"], p=["b"])), "negatives") == [
        []
    ]


def test_split_instruction_takes_the_prompt_apart() -> None:
    located = locate("triplet", {"query": "q", "positive": "p"}, {"split_instruction": True})
    queries = [format_query("Find it", "what?\nand how"), "Instruct: Do\nQuery: it", "plain query", None]
    result = adapted(located, batch(q=queries, p=["x"] * 4))
    assert kept(result, "instruction", "query") == [
        ("Find it", "what?\nand how"),
        ("Do", "it"),
        (None, "plain query"),
        (None, None),
    ]


WORDS = st.lists(st.text(alphabet="abcé字?.", min_size=1, max_size=5), min_size=1, max_size=4).map(" ".join)


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.tuples(st.none() | WORDS, WORDS), max_size=6))
def test_splitting_undoes_formatting(rows: list[tuple[str | None, str]]) -> None:
    prompted = pa.array([format_query(*row) for row in rows], pa.string())
    instructions, queries = split_instructions(prompted)
    assert list(zip(instructions.to_pylist(), queries.to_pylist(), strict=True)) == rows


BITEXT = {"text_a": "translation.{code_a}", "text_b": "translation.{code_b}", "quality": "laser"}


def translations(size: int) -> list[dict[str, str]]:
    return [{"eng_Latn": f"text {number}", "fra_Latn": f"texte {number}"} for number in range(size)]


def test_bitext_reads_the_codes_of_its_configuration() -> None:
    rows = batch(translation=translations(1), laser=[1.2])
    result = adapted(locate("bitext", BITEXT), rows, config="eng_Latn-fra_Latn")
    assert kept(result, "query", "positives", "score") == [("text 0", ["texte 0"], 1.2)]


def test_bitext_of_low_or_unknown_quality_is_rejected() -> None:
    rows = batch(translation=translations(4), laser=["1.05", "1.04", None, "good"])
    result = adapted(locate("bitext", BITEXT, {"min_quality": 1.05}), rows, config="eng_Latn-fra_Latn")
    assert kept(result, "query") == ["text 0"]
    assert reasons(result) == {"1": "LOW_QUALITY", "2": "LOW_QUALITY", "3": "WRONG_TYPE"}
    assert result.rejections.column("detail").to_pylist() == [
        "quality 1.04, the minimum is 1.05",
        "quality missing, the minimum is 1.05",
        "quality is no number: good",
    ]


def test_bitext_goes_both_ways_by_the_rows_hash() -> None:
    columns = {"text_a": "a", "text_b": "b"}
    rows = batch(a=[f"text {n}" for n in range(200)], b=[f"texte {n}" for n in range(200)])
    turned = [
        query.startswith("texte")
        for query in kept(adapted(locate("bitext", columns, {"directions": "by_hash"}), rows), "query")
    ]
    assert 60 < sum(turned) < 140
    back = adapted(locate("bitext", columns, {"directions": "by_hash"}), rows.take(pa.array(range(199, -1, -1))))
    assert [query.startswith("texte") for query in kept(back, "query")] == turned[::-1]
    forward = adapted(locate("bitext", columns), rows)
    assert kept(forward, "query") == rows.column("a").to_pylist()


@settings(deadline=None, max_examples=50)
@given(pairs=st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.text(max_size=3)), max_size=5))
def test_a_turn_depends_on_its_row_alone(pairs: list[tuple[Any, Any]]) -> None:
    together = turns(*(pa.array([pair[i] for pair in pairs], pa.string()) for i in range(2))).to_pylist()
    alone = [turns(pa.array([a], pa.string()), pa.array([b], pa.string()))[0].as_py() for a, b in pairs]
    assert together == alone
