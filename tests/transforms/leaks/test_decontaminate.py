"""Planted evaluation queries are found, ordinary rows that share a phrase are kept."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.leaks.decontaminate import MATCHES, EvaluationIndex
from transforms.leaks.params import DecontaminateParams
from transforms.text.matching import matching_form, matching_forms

SHARED = Path(os.environ.get("KALM_SHARED", Path(__file__).parents[4] / "shared"))
needs_shared = pytest.mark.skipif(not (SHARED / "eval").is_dir(), reason="no public evaluation data; set KALM_SHARED")

QUERIES = {
    "questions": [
        "Which river flows through the old harbour of Antwerp?",
        "How long does it take to charge an electric ferry?",
        "When was the observatory on the northern ridge rebuilt?",
        "who designed the lighthouse",
        "长江大桥的第一期工程是在哪一年正式完工的？",
    ],
    "claims": [
        "Regular exposure to cold water lowers the resting heart rate of trained swimmers over two winters.",
        "Which river flows through the old harbour of Antwerp?",
    ],
}
INDEX = EvaluationIndex.build({name: pa.array(texts) for name, texts in QUERIES.items()})


def found(texts: list[str | None], index: EvaluationIndex = INDEX) -> list[tuple[str, str] | None]:
    rows = index.find(pa.array(texts, pa.string())).to_pylist()
    return [(", ".join(row["evaluation_sets"]), row["evaluation_query"]) if row["matched"] else None for row in rows]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("WHO DESIGNED THE LIGHTHOUSE?!", QUERIES["questions"][3]),
        ("who designed teh lighthouse", QUERIES["questions"][3]),
        ("How long does it take, to charge an electric ferry", QUERIES["questions"][1]),
        ("How long does it take to chagre an electric ferry?", QUERIES["questions"][1]),
        ("How long does it take to charge electric ferry?", QUERIES["questions"][1]),
        ("长江大桥第一期工程是在哪一年正式完工的", QUERIES["questions"][4]),
        (f"Claim: {QUERIES['claims'][0]} Is this claim true?", QUERIES["claims"][0]),
    ],
)
def test_evaluation_queries_are_found(text: str, query: str) -> None:
    assert [match[1] if match else None for match in found([text])] == [query]


@pytest.mark.parametrize(
    "text",
    [
        "How long does it take to charge an electric car?",
        "How long does it take to build an electric ferry?",
        "who designed the bridge",
        "Who designed the lighthouse in Alexandria, and how was it built?",
        "When was the observatory on the southern ridge rebuilt, and by whom was that paid for?",
        "Regular exposure to cold water lowers the resting heart rate.",
        "黄河大桥的第二期工程是在哪一年正式开工的？",
        "",
        "?",
    ],
)
def test_rows_that_share_a_phrase_are_kept(text: str) -> None:
    assert found([text]) == [None]


LONG_QUERY = " ".join(f"word{n:02d} of topic {n * 7919 % 1000}" for n in range(30))


@pytest.mark.parametrize("copy", [LONG_QUERY.upper(), LONG_QUERY.replace("topic 0 ", "topic "), f"so {LONG_QUERY}"])
def test_long_queries_are_found_with_light_edits(copy: str) -> None:
    index = EvaluationIndex.build({"long": pa.array([LONG_QUERY])})
    assert found([copy], index) == [("long", LONG_QUERY)]
    assert found([copy[: len(copy) // 2]], index) == [None]


def test_a_long_passage_is_found_by_the_query_that_it_holds() -> None:
    passage = " ".join(f"sentence {n} speaks of nothing that anybody asked about" for n in range(60))
    middle = len(passage) // 2
    holding = f"{passage[:middle]} {QUERIES['questions'][0].upper()} {passage[middle:]}"
    assert found([passage, holding]) == [None, ("claims, questions", QUERIES["questions"][0])]
    assert found([f"{passage} who designed the lighthouse {passage}"]) == [None]
    assert found([f"{passage}. Who designed the lighthouse? {passage}"]) == [("questions", QUERIES["questions"][3])]


@pytest.mark.parametrize(
    "message",
    [
        "I have been wondering about this for years: {} Thanks for any help!",
        "Das frage ich mich seit langem: {} Vielen Dank im Voraus.",
        "昨天有人这样问我：{}请用一段话回答。",
        "昨天有人这样问我 {} 请用一段话回答",
        "سألني أحدهم بالأمس {} من فضلك أجب",
        "Hello all,\n{}\nBest wishes, Anna",
        "He asked “{}” and left.",
    ],
)
@pytest.mark.parametrize(
    "query", [QUERIES["questions"][3], QUERIES["questions"][3].upper(), "上海的第一座灯塔是谁设计的"]
)
def test_a_short_query_is_found_as_a_sentence_of_a_message_in_any_language(message: str, query: str) -> None:
    index = EvaluationIndex.build({"questions": pa.array([*QUERIES["questions"], "上海的第一座灯塔是谁设计的？"])})
    asked = f"{query}。" if message.startswith("昨天") and query[0] == "上" else query  # the script does not change
    (match,) = found([message.format(asked)], index)
    assert match is not None
    assert matching_form(match[1]) == matching_form(query)


def test_a_query_that_says_little_is_not_found_inside() -> None:
    queries = ["how are you all", "how to do it now", *(f"how are you all {n} to do it now" for n in range(60))]
    index = EvaluationIndex.build({"small": pa.array(queries)})
    assert found(["Hello! How are you all? I am fine.", "how are you all?"], index) == [
        None,
        ("small", "how are you all"),
    ]


def test_a_query_of_many_common_words_is_found_inside_a_longer_text_too() -> None:
    query = "what is the name of it and how do you say it"
    index = EvaluationIndex.build(
        {"common": pa.array([query, *(f"what is the name of it {n} say" for n in range(60))])}
    )
    assert found([f"Please tell me: {query}? It matters a lot to all of us here."], index) == [("common", query)]
    assert found([f"Please tell me: {query}ing? It matters a lot to all of us here."], index) == [None]


def test_a_query_of_two_sets_is_reported_with_both() -> None:
    assert found(["which river flows through the old harbour of antwerp"]) == [
        ("claims, questions", "Which river flows through the old harbour of Antwerp?")
    ]


def test_matches_have_their_schema_and_a_null_matches_nothing() -> None:
    table = INDEX.find(pa.chunked_array([[None, "who designed the lighthouse"], ["x"]]))
    assert table.schema == MATCHES
    assert table.column("matched").to_pylist() == [False, True, False]
    assert table.column("containment").to_pylist() == [None, 1.0, None]


def test_empty_index_and_empty_texts() -> None:
    empty = EvaluationIndex.build({"none": pa.array(["", None], pa.string())})
    assert len(empty) == 0
    assert found(["anything"], empty) == [None]
    assert found([]) == []


def test_what_is_said_of_a_text_does_not_depend_on_the_others() -> None:
    texts = [
        f"{query} {tail}" for queries in QUERIES.values() for query in queries for tail in ("", "then", "not at all")
    ]
    together = found(texts)
    assert together == [match for text in texts for match in found([text])]
    assert together == found(texts[::-1])[::-1]


def _evaluation_sets() -> dict[str, pa.Array]:
    names = ("scifact", "vaswani", "cacm", "cosqa", "xquad-en", "xquad-zh", "xquad-de", "xquad-ar")
    return {name: pq.read_table(SHARED / "eval" / name / "queries.parquet")["text"].combine_chunks() for name in names}


def _typo(query: str, generator: random.Random) -> str:
    letters = [i for i in range(len(query) - 1) if query[i : i + 2].isalpha()] or [0]
    i = generator.choice(letters)
    return generator.choice(
        [
            query[:i] + query[i + 1 :],
            query[:i] + query[i] + query[i:],
            query[:i] + query[i + 1] + query[i] + query[i + 2 :],
        ]
    )


def _swap(query: str, generator: random.Random) -> str:
    words = query.split()
    i = generator.randrange(max(len(words) - 1, 1))
    words[i : i + 2] = words[i : i + 2][::-1]
    return " ".join(words)


def _repunctuate(query: str, generator: random.Random) -> str:
    return (
        generator.choice(["", "- ", "“"]) + query.rstrip("?.").replace(" ", "  ", 1) + generator.choice(["", "!!", "…"])
    )


EDITS: dict[str, Callable[[str, random.Random], str]] = {
    "verbatim": lambda query, _: query,
    "cased": lambda query, _: query.swapcase(),
    "re-punctuated": _repunctuate,
    "misspelt": _typo,
    "reordered": _swap,
    "with a small word more": lambda query, _: f"so {query}",
}


@needs_shared
@pytest.mark.parametrize("edit", EDITS)
def test_planted_queries_of_public_sets_are_found(edit: str) -> None:
    sets, generator = _evaluation_sets(), random.Random(0)
    index = EvaluationIndex.build(sets)
    planted = [EDITS[edit](query, generator) for texts in sets.values() for query in texts.to_pylist()]
    recall = np.mean(index.find(pa.array(planted)).column("matched").to_numpy())
    assert recall >= (1 if edit in ("verbatim", "cased") else 0.98)


@needs_shared
def test_public_queries_with_a_word_of_another_query_are_kept() -> None:
    """Hard negatives: a longer word of one query stands in another. Very long queries may differ by a word."""
    sets, generator = _evaluation_sets(), random.Random(0)
    index = EvaluationIndex.build(sets)
    swapped, forms = [], set(matching_forms(pa.concat_arrays(list(sets.values()))).to_pylist())
    for name in ("vaswani", "cosqa", "xquad-en", "xquad-de"):
        words = sorted({word for query in sets[name].to_pylist() for word in query.split() if len(word) > 5})
        for query in sets[name].to_pylist():
            long_words = [word for word in query.split() if len(word) > 5]
            if long_words:
                swapped.append(query.replace(generator.choice(long_words), generator.choice(words)))
    ordinary = [text for text in swapped if matching_form(text) not in forms]
    assert len(ordinary) > 2000
    assert np.mean(index.find(pa.array(ordinary)).column("matched").to_numpy()) <= 0.02


@needs_shared
def test_ordinary_public_questions_are_kept_and_a_test_split_is_found() -> None:
    index = EvaluationIndex.build(_evaluation_sets())
    hub = SHARED / "hub" / "datasets"
    natural = pq.read_table(next((hub / "sentence-transformers/natural-questions").rglob("train*.parquet")))["query"]
    assert np.mean(index.find(natural.slice(0, 3000)).column("matched").to_numpy()) <= 0.001
    claims = pq.read_table(next((hub / "mteb/scifact").rglob("*queries*.parquet")))["text"]
    assert np.sum(index.find(claims).column("matched").to_numpy()) >= 300


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_containment": 0.0}, "min_containment is 0.0"),
        ({"common_share": 2.0}, "common_share is 2.0"),
        ({"min_embedded_weight": 0.0}, "min_embedded_weight is 0.0"),
        ({"min_embedded_words": 0.0}, "min_embedded_words is 0.0"),
        ({"min_sentence_words": 0.0}, "min_sentence_words is 0.0"),
        ({"min_telling_words": 0.0}, "min_telling_words is 0.0"),
        ({"min_closing_weight": 0.0}, "min_closing_weight is 0.0"),
        ({"frames": ("(",)}, "frames: .*give regular expressions of RE2"),
    ],
)
def test_wrong_params_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecontaminateParams(**wrong)  # type: ignore[arg-type]
