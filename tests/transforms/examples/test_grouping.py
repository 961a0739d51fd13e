"""Grouping against an oracle that goes group by group, and its independence of order and batching."""

from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.cleaning.normalise import normalise_text
from transforms.examples.group_membership import content_hashes, group_hashes
from transforms.examples.grouping import GROUPED, MEMBERS, Grouped, group_members

KEPT = {"positive": None, "negative": None, "other": "NEUTRAL"}


def content(text: str | None) -> bytes | None:
    hashed: bytes | None = content_hashes(pa.array([text and normalise_text(text)], pa.string()))[0].as_py()
    return hashed


def member(query: str, role: str, text: str, place: str = "f#0", **more: Any) -> dict[str, Any]:
    """A member that has its query and its text, as the adapters of pairs make them."""
    row = {
        "dataset": "toy",
        "group": group_hashes("toy", pa.array([normalise_text(query)]))[0].as_py(),
        "role": role,
        "reason_if_kept": KEPT[role],
        "reason_if_orphan": "NO_POSITIVE",
        "query": query,
        "text": text,
        "passage": None,
        "label": None,
        "score": None,
        "detail": f"a {role}",
        "language": "en",
        "content": content(text),
        "provenance": place,
    }
    return row | more


def judgment(query_id: str, role: str, text: str | None, place: str = "f#0", **more: Any) -> dict[str, Any]:
    """A member that knows its query by id, and whose text was looked up just now."""
    named = {"query": None, "group": group_hashes("toy", pa.array([query_id]))[0].as_py(), "content": None}
    return member("", role, "", place) | named | {"passage": b"p" * 16, "text": text} | more


def query_row(query_id: str, text: str, place: str = "q#0") -> dict[str, Any]:
    named = {"group": group_hashes("toy", pa.array([query_id]))[0].as_py(), "role": "query", "text": None}
    return member(text, "other", "", place) | named | {"content": content(text), "reason_if_kept": None}


def group(rows: list[dict[str, Any]]) -> Grouped:
    return group_members(pa.Table.from_pylist(rows, schema=MEMBERS))


def reasons(result: Grouped) -> dict[str, str]:
    return dict(
        zip(
            result.rejections.column("provenance").to_pylist(),
            result.rejections.column("reason").to_pylist(),
            strict=True,
        )
    )


def test_no_members_give_nothing() -> None:
    result = group([])
    assert (result.rows.num_rows, result.merged, result.rejections.num_rows) == (0, {}, 0)
    assert result.rows.schema == GROUPED


def test_the_positive_with_the_smallest_hash_carries_the_group() -> None:
    texts = ["one", "two", "three", "four"]
    result = group([member("q", "positive", text, f"f#{text}", score=len(text)) for text in texts])
    first = min(texts, key=lambda text: content(text) or b"")
    assert result.rows.column("positives").to_pylist() == [sorted(texts, key=lambda text: content(text) or b"")]
    assert result.rows.column("provenance").to_pylist() == [f"f#{first}"]
    assert result.rows.column("score").to_pylist() == [len(first)]
    assert result.merged == {"toy": 3}


def test_equal_texts_stand_in_a_list_once() -> None:
    rows = [member("q", "positive", text) for text in ("a  b", "a b", "a b ")]
    rows += [member("q", "negative", text) for text in ("c", "<b>c</b>")]
    result = group(rows)
    ((positives,), (negatives,)) = (result.rows.column(name).to_pylist()[0] for name in ("positives", "negatives"))
    assert normalise_text(positives) == "a b"
    assert normalise_text(negatives) == "c"
    assert result.merged == {"toy": 4}


def test_a_text_that_is_positive_and_negative_is_positive() -> None:
    rows = [
        member("q", "positive", "a", "f#0"),
        member("q", "negative", " a", "f#1"),
        member("r", "negative", "a", "f#2"),
    ]
    rows += [member("r", "positive", "b", "f#3")]
    result = group(rows)
    by_query = dict(
        zip(result.rows.column("query").to_pylist(), result.rows.column("negatives").to_pylist(), strict=True)
    )
    assert by_query == {"q": [], "r": ["a"]}
    assert reasons(result) == {"f#1": "CONFLICTING_LABEL"}
    assert result.rejections.column("detail").to_pylist() == ["the same text is a positive of this query: a negative"]


def test_a_group_without_a_positive_is_rejected_row_by_row() -> None:
    result = group([member("q", "negative", "a", "f#0"), member("q", "other", "b", "f#1")])
    assert result.rows.num_rows == 0
    assert result.merged == {}
    assert reasons(result) == {"f#0": "NO_POSITIVE", "f#1": "NO_POSITIVE"}
    texts = zip(*(result.rejections.column(name).to_pylist() for name in ("positives", "negatives")), strict=True)
    assert sorted(texts) == [([], ["a"]), (["b"], [])]


def test_datasets_do_not_share_groups() -> None:
    rows = [
        member("q", "positive", "a") | {"dataset": name, "group": group_hashes(name, pa.array(["q"]))[0].as_py()}
        for name in "xy"
    ]
    result = group([*rows, member("q", "positive", "b") | {"dataset": "x", "group": rows[0]["group"]}])
    assert sorted(result.rows.column("dataset").to_pylist()) == ["x", "y"]
    assert result.merged == {"x": 1}


def test_judgments_take_the_query_of_their_group() -> None:
    rows = [judgment("1", "positive", "a", "f#0"), judgment("1", "negative", "b", "f#1"), query_row("1", "what?")]
    result = group([*rows, query_row("2", "unjudged")])
    assert result.rows.column("query").to_pylist() == ["what?"]
    assert result.rows.column("negatives").to_pylist() == [["b"]]
    assert (result.merged, result.rejections.num_rows) == ({"toy": 1}, 0)


def test_of_two_texts_of_a_query_the_one_with_the_smaller_hash_holds() -> None:
    texts = ["what?", "who?"]
    result = group([judgment("1", "positive", "a"), *(query_row("1", text) for text in texts)])
    assert result.rows.column("query").to_pylist() == [min(texts, key=lambda text: content(text) or b"")]


def test_what_is_missing_is_dangling_and_what_is_blank_is_empty() -> None:
    rows = [
        judgment("1", "positive", None, "f#0"),
        judgment("1", "positive", " ", "f#1"),
        judgment("1", "negative", "a", "f#2"),
        judgment("2", "positive", "a", "f#3"),
        judgment("3", "positive", "a", "f#4"),
        query_row("1", "what?"),
        query_row("3", "<p> </p>"),
    ]
    assert reasons(group(rows)) == {
        "f#0": "DANGLING_ID",
        "f#1": "EMPTY_POSITIVE",
        "f#2": "NO_POSITIVE",
        "f#3": "DANGLING_ID",
        "f#4": "EMPTY_QUERY",
    }


@pytest.mark.parametrize("query_id", list("12345678"))
def test_a_blank_passage_is_its_own_groups_matter(query_id: str) -> None:
    rows = [
        judgment(query_id, "positive", " ", "f#0"),
        query_row(query_id, "what?"),
        member("q", "positive", "a", "f#1"),
    ]
    result = group(rows)
    assert result.rows.column("query").to_pylist() == ["q"]
    assert reasons(result) == {"f#0": "EMPTY_POSITIVE"}


def test_places_decide_nothing_that_an_example_says() -> None:
    spellings = [("q", "a b"), ("q ", "a  b"), (" q", " a b"), ("q  ", "a b ")]
    results = []
    for places in (range(4), range(3, -1, -1)):
        rows = [
            member(*pair[:1], "positive", pair[1], f"f#{n}", score=1.0)
            for pair, n in zip(spellings, places, strict=True)
        ]
        results.append(group(rows).rows.drop_columns("provenance"))
    assert results[0].equals(results[1])


TEXT = st.sampled_from(["a", " a", "b", "c", "d"])
PAIR = st.builds(
    member,
    query=st.sampled_from(["p", "p ", "q", "r"]),
    role=st.sampled_from(["positive", "negative", "other"]),
    text=TEXT,
    score=st.sampled_from([1.0, 2.0]),
)
JUDGMENT = st.builds(
    judgment,
    query_id=st.sampled_from("123"),
    role=st.sampled_from(["positive", "negative", "other"]),
    text=st.none() | TEXT,
)
QUERY = st.builds(query_row, query_id=st.sampled_from("12"), text=st.sampled_from(["what?", " what?", "who?", " "]))


@st.composite
def members(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = draw(st.lists(PAIR | JUDGMENT | QUERY, max_size=12))
    return [row | {"provenance": f"f#{number}"} for number, row in enumerate(rows)]


def smallest(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    return min(rows, key=lambda row: content(row[key]) or b"")


def oracle(rows: list[dict[str, Any]]) -> dict[str, str]:
    """What becomes of each row by its place: ``used`` (positives, one of them carries), ``merged`` or a reason."""
    groups: dict[bytes, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    fates: dict[str, str] = {}
    for rows_of_group in groups.values():
        given = [row for row in rows_of_group if row["role"] == "query"]
        judged = [row for row in rows_of_group if row["role"] != "query"]
        missing = {row["provenance"]: missing_part(row, given) for row in judged}
        sound = [row for row in judged if missing[row["provenance"]] is None]
        positive = {content(row["text"]) for row in sound if row["role"] == "positive"}
        for row in judged:
            fates[row["provenance"]] = missing[row["provenance"]] or fate(row, positive)
    return fates


def missing_part(row: dict[str, Any], given: list[dict[str, Any]]) -> str | None:
    if row["query"] is None and not given:
        return "DANGLING_ID"
    if row["query"] is None and not normalise_text(smallest(given, "query")["query"]):
        return "EMPTY_QUERY"
    if row["text"] is None:
        return "DANGLING_ID"
    return None if normalise_text(row["text"]) else "EMPTY_POSITIVE"


def fate(row: dict[str, Any], positive: set[bytes | None]) -> str:
    if not positive:
        return str(row["reason_if_orphan"])
    if row["role"] == "negative":
        return "CONFLICTING_LABEL" if content(row["text"]) in positive else "merged"
    if row["role"] == "positive":
        return "used"
    return str(row["reason_if_kept"])


@settings(deadline=None, max_examples=50)
@given(rows=members())
def test_the_fate_of_every_row_is_the_oracles(rows: list[dict[str, Any]]) -> None:
    result, expected = group(rows), oracle(rows)
    rejected = reasons(result)
    carriers = set(result.rows.column("provenance").to_pylist())
    assert rejected == {place: fate for place, fate in expected.items() if fate not in ("used", "merged")}
    assert carriers <= {place for place, fate in expected.items() if fate == "used"}
    assert len(rejected) + sum(result.merged.values()) + len(carriers) == len(expected)
    groups = {row["group"] for row in rows if expected.get(row["provenance"]) == "used"}
    assert result.rows.num_rows == len(groups)


@settings(deadline=None, max_examples=50)
@given(rows=members())
def test_an_example_holds_the_texts_of_its_group_in_order(rows: list[dict[str, Any]]) -> None:
    result, fates = group(rows), oracle(rows)
    by_place = {row["provenance"]: row for row in rows}
    for example in result.rows.to_pylist():
        peers = [row for row in rows if row["group"] == by_place[example["provenance"]]["group"]]
        for name, wanted in (("positives", "used"), ("negatives", "merged")):
            hashes = {content(row["text"]) for row in peers if fates.get(row["provenance"]) == wanted}
            assert [content(text) for text in example[name]] == sorted(hash_ for hash_ in hashes if hash_)


@settings(deadline=None, max_examples=50)
@given(rows=members(), order=st.randoms(use_true_random=False))
def test_order_and_batching_change_nothing(rows: list[dict[str, Any]], order: Any) -> None:
    shuffled = order.sample(rows, len(rows))
    table = pa.Table.from_pylist(rows, schema=MEMBERS)
    pieces = [pa.Table.from_pylist([row], schema=MEMBERS) for row in shuffled]
    one, other = group_members(table), group_members(pa.concat_tables(pieces) if pieces else table)
    assert one.rows.equals(other.rows)
    assert one.rejections.equals(other.rejections)
    assert one.merged == other.merged


def test_a_query_id_with_several_texts_is_told_and_the_choice_does_not_depend_on_the_order() -> None:
    rows = [
        query_row("q1", "where is the weir?", "q#0"),
        query_row("q1", "who built the weir?", "q#1"),
        query_row("q2", "how deep is it?", "q#2"),
        query_row("q2", " how deep  is it?", "q#3"),
        judgment("q1", "positive", "at the mill"),
        judgment("q1", "negative", "by the abbey"),
        judgment("q2", "positive", "two metres"),
    ]
    results = [group(rows[::order]) for order in (1, -1)]
    assert [result.ambiguous for result in results] == [{"toy": 2}] * 2, "q2 says the same twice"
    queries = [sorted(result.rows.column("query").to_pylist()) for result in results]
    assert queries[0] == queries[1]
