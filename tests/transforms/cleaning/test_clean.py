import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.readmission import Readmission
from schemas.rows import ADAPTED, CANONICAL, REJECTIONS, row_ids
from transforms.cleaning.clean import clean_rows
from transforms.cleaning.language import is_cleared
from transforms.cleaning.params import CleanParams, FilterParams, LanguageParams

ENGLISH = "The baker opens his shop before sunrise and sells warm rolls."
GERMAN = "Der Bäcker öffnet seinen Laden vor Sonnenaufgang und verkauft warme Brötchen."
FRENCH = "Le boulanger ouvre sa boutique avant l'aube et vend des petits pains chauds."
RUSSIAN = "Пекарь открывает свою лавку до восхода солнца и продаёт рыбакам тёплые булочки."

COLUMNS = {"pair": ("query", "positive"), "labeled": ("text", "label"), "bitext": ("text_a", "text_b")}


def entry(adapter: str = "pair", task_type: str = "retrieval", languages: tuple[str, ...] = ("en",)) -> LocatedEntry:
    return LocatedEntry(
        entry=CatalogEntry(
            name="bakery-questions",
            title="Bakery questions",
            stage="finetune",  # type: ignore[arg-type]
            task_type=task_type,  # type: ignore[arg-type]
            languages=languages,
            source={},  # type: ignore[arg-type]
            adapter=adapter,  # type: ignore[arg-type]
            columns={name: name for name in COLUMNS[adapter]},
        ),
        file="bakery-questions.yaml",
    )


def adapted(*rows: dict[str, Any]) -> pa.RecordBatch:
    numbered = ({"provenance": f"f.jsonl#{number}", **row} for number, row in enumerate(rows))
    return pa.RecordBatch.from_pylist(list(numbered), schema=ADAPTED)


def clean(
    *rows: dict[str, Any], params: CleanParams | None = None, **kwargs: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    kept, rejected, _ = clean_rows(adapted(*rows), entry(**kwargs), params or CleanParams())
    assert kept.schema == CANONICAL
    assert rejected.schema == REJECTIONS
    kept.validate(full=True)
    rejected.validate(full=True)
    return kept.to_pylist(), rejected.to_pylist()


def reasons(rejected: list[dict[str, Any]]) -> dict[str, str]:
    return {row["provenance"]: row["reason"] for row in rejected}


def test_a_kept_row_is_canonical() -> None:
    (row,), rejected = clean(
        {
            "query": " why do bakers&nbsp;rise early",
            "positives": ["<p>For the ﬁrst</p>\n\n<p>customers</p>", None, "", "customers"],
            "negatives": ["Why do bakers rise early?", "<br>", "no rolls", "No rolls."],
            "score": 0.5,
        }
    )
    assert rejected == []
    assert row.pop("id") is not None
    assert row == {
        "dataset": "bakery-questions",
        "language": "",
        "instruction": None,
        "query": "why do bakers rise early",
        "positives": ["For the ﬁrst\ncustomers", "customers"],
        "negatives": ["no rolls"],
        "label": None,
        "other_labels": [],
        "score": 0.5,
        "provenance": "f.jsonl#0",
    }


def test_a_rejection_holds_the_normalised_texts_as_the_row_brought_them() -> None:
    _, (row,) = clean({"query": " Bridge ", "positives": [None, " ", "a  b"], "negatives": None, "label": "x"})
    assert len(row.pop("id")) == 32
    assert row == {
        "dataset": "bakery-questions",
        "stage": "prepare",
        "reason": "TOO_SHORT",
        "detail": "query: 1 word units, the minimum is 2",
        "kept_id": None,
        "provenance": "f.jsonl#0",
        "query": "Bridge",
        "positives": [None, "", "a b"],
        "negatives": None,
        "label": "x",
        "raw": None,
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"query": None, "positives": ["x y"]}, "EMPTY_QUERY"),
        ({"query": "&nbsp;<br>\u200b", "positives": ["x y"]}, "EMPTY_QUERY"),
        ({"query": "x y", "positives": None}, "EMPTY_POSITIVE"),
        ({"query": "x y", "positives": ["\ufffd\ufffd"]}, "EMPTY_POSITIVE"),
        ({"query": "Photosynthesis", "positives": ["x y"]}, "TOO_SHORT"),
        ({"query": "x y", "positives": ["a b " * 30_000]}, "TOO_LONG"),
        ({"query": "no no no no no no", "positives": ["x y"]}, "REPETITIVE"),
        ({"query": "who is he", "positives": ["Who is he?"]}, "QUERY_IS_POSITIVE"),
        ({"query": FRENCH, "positives": ["x y"]}, "WRONG_LANGUAGE"),
        ({"query": "x y", "positives": [RUSSIAN]}, "WRONG_LANGUAGE"),
    ],
)
def test_reasons(row: dict[str, Any], reason: str) -> None:
    kept, rejected = clean({"query": "x y", "positives": ["z w"]}, row)
    assert [row["provenance"] for row in kept] == ["f.jsonl#0"]
    assert reasons(rejected) == {"f.jsonl#1": reason}


def test_labelled_texts_need_no_positive_and_may_be_one_word() -> None:
    rows = [{"query": "Refund?", "label": "1"}, {"query": "很好吃", "label": "2"}, {"query": "?", "label": "2"}]
    kept, rejected = clean(*rows, adapter="labeled", task_type="classification")
    assert [(row["query"], row["positives"], row["label"]) for row in kept] == [
        ("Refund?", [], "1"),
        ("很好吃", [], "2"),
    ]
    assert reasons(rejected) == {"f.jsonl#2": "TOO_SHORT"}


def test_language_of_the_row_comes_before_the_entry() -> None:
    rows = [
        {"query": text, "positives": ["x y"], "language": code}
        for text in (GERMAN, FRENCH)
        for code in ("de", "", None)
    ]
    kept, rejected = clean(*rows, languages=("fr", "en"))
    assert [row["provenance"] for row in kept] == ["f.jsonl#0", "f.jsonl#4", "f.jsonl#5"]
    assert [row["language"] for row in kept] == ["de", "", ""]
    assert set(reasons(rejected).values()) == {"WRONG_LANGUAGE"}
    assert {row["detail"].split("; ")[1] for row in rejected} == {"declared: en, fr", "declared: de"}


def test_each_side_of_parallel_text_may_be_in_any_language_of_the_entry() -> None:
    rows = [{"query": a, "positives": [b], "language": "en"} for a, b in ((ENGLISH, FRENCH), (FRENCH, ENGLISH))]
    foreign = {"query": ENGLISH, "positives": [RUSSIAN], "language": "ru"}
    kept, rejected = clean(*rows, foreign, adapter="bitext", task_type="bitext_mining", languages=("en", "fr"))
    assert len(kept) == 2
    assert rejected[0]["detail"].startswith("positive: fastText says ru")


def test_the_first_positive_that_is_left_is_read() -> None:
    kept, rejected = clean(
        {"query": "x y", "positives": [None, "", RUSSIAN, ENGLISH]}, {"query": "x y", "positives": [ENGLISH, RUSSIAN]}
    )
    assert reasons(rejected) == {"f.jsonl#0": "WRONG_LANGUAGE"}
    assert kept[0]["positives"] == [ENGLISH, RUSSIAN]


def test_thresholds_come_from_the_parameters() -> None:
    rows = [{"query": "Photosynthesis", "positives": ["x y"]}, {"query": FRENCH, "positives": ["x y"]}]
    lenient = CleanParams(
        filters=FilterParams(min_query_units=1), language=LanguageParams(min_letters=100, many_letters=100, head=100)
    )
    assert len(clean(*rows, params=lenient)[0]) == 2


texts = st.sampled_from(
    [
        None,
        "",
        " ",
        "?",
        "Bridge",
        "the old bridge",
        "The old  bridge!",
        "ha ha ha ha",
        "<p>a b</p>",
        "a b",
        FRENCH,
        ENGLISH,
        RUSSIAN,
    ]
)
lists = st.one_of(st.none(), st.lists(texts, max_size=3))
rows = st.fixed_dictionaries(
    {
        "query": texts,
        "positives": lists,
        "negatives": lists,
        "language": st.sampled_from([None, "", "en", "fr"]),
        "label": st.sampled_from([None, "1"]),
        "other_labels": st.sampled_from([None, [], ["2"]]),
        "score": st.sampled_from([None, 0.25]),
    }
)


@settings(deadline=None, max_examples=25)
@given(st.lists(rows, max_size=5), st.sampled_from(["pair", "labeled", "bitext"]), st.randoms(use_true_random=False))
def test_every_row_is_kept_or_rejected_whatever_the_order(
    items: list[dict[str, Any]], adapter: str, order: random.Random
) -> None:
    items = [{**item, "provenance": f"f#{number}"} for number, item in enumerate(items)]
    kept, rejected = clean(*items, adapter=adapter)
    assert sorted(row["provenance"] for row in kept + rejected) == [item["provenance"] for item in items]
    shuffled = order.sample(items, len(items))
    for before, after in zip((kept, rejected), clean(*shuffled, adapter=adapter), strict=True):
        by_provenance = {row["provenance"]: row for row in after}
        assert {row["provenance"]: row for row in before} == by_provenance


@settings(deadline=None, max_examples=15)
@given(st.lists(rows, max_size=4))
def test_a_kept_row_is_kept_as_it_is(items: list[dict[str, Any]]) -> None:
    kept, _ = clean(*items)
    again, rejected = clean(*({name: row[name] for name in ADAPTED.names} for row in kept))
    assert (again, rejected) == (kept, [])
    assert row_ids(pa.RecordBatch.from_pylist(kept, schema=CANONICAL)).to_pylist() == [row["id"] for row in kept]


HEADLINE = "Deutsche Bank AG Frankfurt und Commerzbank raise capital"


def test_a_row_stays_whose_other_text_is_surely_in_the_declared_language() -> None:
    kept, rejected = clean(
        {"query": HEADLINE, "positives": [f"{ENGLISH} {ENGLISH}"]},
        {"query": GERMAN, "positives": [f"{ENGLISH} {ENGLISH}"]},
        {"query": ENGLISH, "positives": [RUSSIAN]},
    )
    assert [row["provenance"] for row in kept] == ["f.jsonl#0"]
    assert set(reasons(rejected).values()) == {"WRONG_LANGUAGE"}


@pytest.mark.parametrize(
    ("text", "other", "cleared"),
    [
        (HEADLINE, f"{ENGLISH} {ENGLISH}", True),
        (HEADLINE, FRENCH, False),
        (HEADLINE, None, False),
        (GERMAN, f"{ENGLISH} {ENGLISH}", False),
        ("港口的渔民每天早上都去面包店买热面包", f"{ENGLISH} {ENGLISH}", False),
    ],
)
def test_what_is_surely_foreign_is_not_cleared(text: str, other: str | None, cleared: bool) -> None:
    assert is_cleared(text, other, ["en"], LanguageParams()) == cleared


def test_each_side_of_parallel_text_is_judged_by_itself() -> None:
    _, rejected = clean(
        {"query": ENGLISH, "positives": [RUSSIAN]}, adapter="bitext", task_type="bitext_mining", languages=("en", "fr")
    )
    assert reasons(rejected) == {"f.jsonl#0": "WRONG_LANGUAGE"}


#: Rows that a filter rejects and that are examples all the same, and what they are then.
READMITTED = {
    "TOO_SHORT": ({"query": "Bridge", "positives": ["a b", None, "..."]}, ["a b"]),
    "TOO_LONG": ({"query": "x y", "positives": ["a b " * 30_000]}, ["a b " * 29_999 + "a b"]),
    "REPETITIVE": ({"query": "no no no no no no", "positives": ["x y"]}, ["x y"]),
    "QUERY_IS_POSITIVE": ({"query": "who is he", "positives": ["", "Who is he?"]}, ["Who is he?"]),
    "WRONG_LANGUAGE": ({"query": FRENCH, "positives": ["x y"]}, ["x y"]),
}


@pytest.mark.parametrize("reason", READMITTED)
def test_a_row_that_a_person_wants_is_kept_with_the_id_that_its_rejection_has(reason: str) -> None:
    row, positives = READMITTED[reason]
    others = [{"query": "Other", "positives": ["x y"]}, {"query": "x y", "positives": ["z w"]}]
    _, rejected = clean(row, *others)
    wanted = Readmission.of([found["id"] for found in rejected if found["provenance"] == "f.jsonl#0"])
    kept, left, readmitted = clean_rows(adapted(row, *others), entry(), CleanParams(), wanted)
    assert readmitted == {reason: 1}
    (back,) = [found for found in kept.to_pylist() if found["provenance"] == "f.jsonl#0"]
    assert back["positives"] == positives
    assert back["id"].hex() == rejected[0]["id"]
    assert row_ids(kept).equals(kept.column("id"))
    assert [found["provenance"] for found in left.to_pylist()] == ["f.jsonl#1"]
    kept.validate(full=True)


@pytest.mark.parametrize("row", [{"query": " ", "positives": ["x y"]}, {"query": "x y", "positives": [None, "<br>"]}])
def test_a_row_of_which_no_example_can_be_made_has_no_id(row: dict[str, Any]) -> None:
    _, (rejected,) = clean(row)
    assert rejected["id"] is None
