"""What mining reads against a plain walk over rows: who asks, what may be found, vectors, and who is not mined."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import MINED, row_ids, text_hash
from schemas.vectors import vector_schema
from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, in_order, outputs, records, rows_of, shuffle, tally, together
from transforms.examples.read_rows import CORPUS
from transforms.flow.batches import first_words, partitions_of
from transforms.flow.parts import read_part, write_part
from transforms.text.matching import matching_form
from transforms.text.part_texts import Prompts
from transforms.vectors.embedding import TextSpec, part_element, read_texts
from transforms.vectors.mining_input import (
    ASKING,
    FINDABLE,
    REFUSED_TAG,
    ROWS_TAG,
    AttachVectors,
    GatherPools,
    PoolSpec,
    ScoreRows,
    asking,
    attach_vectors,
    findable,
    unmined,
)
from transforms.vectors.near_passages import NEAR
from transforms.vectors.vector_store import write_vectors

DIMS = 2
PARTITIONS = 4
PROMPT = "Instruct: find \n Query: "
PART = 77

TEXTS = st.lists(st.text("abC ", max_size=3), max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "dataset": st.sampled_from(["a", "b", "unmined"]),
            "query": st.text("abC", min_size=1, max_size=3),
            "positives": TEXTS,
            "negatives": TEXTS,
            "label": st.none() | st.sampled_from("xy"),
            "other_labels": st.lists(st.sampled_from("xy"), max_size=2),
        }
    ),
    max_size=6,
)


def _spec(folder: Path) -> TextSpec:
    return TextSpec(
        kept=f"{folder}/kept",
        corpus=f"{folder}/corpus",
        mined=frozenset({"a", "b"}),
        prompts=Prompts(queries={"a": PROMPT}, passages={}),
        store=f"{folder}/store",
        dims=DIMS,
        num_store_partitions=PARTITIONS,
        progress=None,
    )


def _pools(folder: Path) -> PoolSpec:
    return PoolSpec(texts=_spec(folder), num_shards={"a": 3, "b": 1}, folder=f"{folder}/mine")


def _read(folder: Path, rows: list[dict[str, Any]]) -> tuple[int, pa.Table, pa.Table]:
    spec = _spec(folder)
    part = write_part(spec.kept, canonical_rows(rows))
    _, number, table, texts = read_texts(spec, part_element("kept", part))
    return number, table, texts


def _cluster(text: str) -> bytes:
    return text_hash(matching_form(text))


def _asks(rows: list[dict[str, Any]], part: int) -> list[dict[str, Any]]:
    ids = row_ids(canonical_rows(rows)).to_pylist()
    return [
        {
            "dataset": row["dataset"],
            "key": text_hash((PROMPT if row["dataset"] == "a" else "") + row["query"]),
            "query_hash": text_hash(row["query"]),
            "id": ids[number],
            "part": part,
            "row": number,
            "positives": [text_hash(text) for text in row["positives"]],
            "negatives": [text_hash(text) for text in row["negatives"]],
            "label": row["label"],
            "other_labels": row["other_labels"],
            "cluster": _cluster(row["query"]),
            "language": "en",
        }
        for number, row in enumerate(rows)
        if row["dataset"] != "unmined"
    ]


def _found(rows: list[dict[str, Any]], part: int) -> list[dict[str, Any]]:
    found = []
    for number, row in enumerate(rows):
        places = [("positives", i, text) for i, text in enumerate(row["positives"])] or [("query", 0, row["query"])]
        places += [("negatives", i, text) for i, text in enumerate(row["negatives"])]
        for field, element, text in places if row["dataset"] != "unmined" else ():
            address = {"part": part, "row": number, "field": field, "element": element}
            hashes = {"key": text_hash(text), "text_hash": text_hash(text), "cluster": _cluster(text)}
            labels = {"label": row["label"], "other_labels": row["other_labels"], "language": "en"}
            found.append({"dataset": row["dataset"]} | hashes | labels | address)
    return found


@given(ROWS)
def test_rows_of_mined_datasets_ask_with_the_hashes_of_what_they_were_given(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    part, table, texts = _read(tmp_path_factory.mktemp("asking"), rows)
    asked = asking(table, texts, part)
    assert asked.schema == ASKING
    assert asked.to_pylist() == _asks(rows, part)


@given(ROWS)
def test_their_positives_and_negatives_and_labelled_texts_may_be_found(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    part, table, texts = _read(tmp_path_factory.mktemp("findable"), rows)
    passages = findable(table, texts)
    assert passages.schema == FINDABLE
    assert in_order(passages.to_pylist()) == in_order(_found(rows, part))


def test_passages_of_a_corpus_may_be_found_and_have_no_label(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    passages = [{"dataset": "a", "passage_id": str(n), "text": f"text {n}", "sampled": n != 1} for n in range(3)]
    part = write_part(spec.corpus, pa.Table.from_pylist(passages, CORPUS))
    _, number, table, texts = read_texts(spec, part_element("corpus", part))
    found = findable(table, texts).to_pylist()
    assert [(row["part"], row["row"], row["field"], row["text_hash"], row["label"]) for row in found] == [
        (number, n, "text", text_hash(f"text {n}"), None) for n in (0, 2)
    ]


@given(ROWS)
def test_rows_that_are_not_mined_keep_what_they_were_given_without_scores(rows: list[dict[str, Any]]) -> None:
    table = canonical_rows(rows)
    chosen = [number for number, row in enumerate(rows) if row["dataset"] == "unmined"]
    passed = unmined(table, PART, pa.array(chosen, pa.int64()))
    assert passed.schema == MINED
    ids = row_ids(table).to_pylist()
    for number, row in zip(chosen, passed.to_pylist(), strict=True):
        assert (row["dataset"], row["id"], row["part"], row["row"]) == ("unmined", ids[number], PART, number)
        assert row["cluster_id"] == _cluster(rows[number]["query"])
        for field in ("positives", "negatives"):
            texts = rows[number][field]
            assert [(t["hash"], t["part"], t["row"], t["field"], t["element"], t["rank"]) for t in row[field]] == [
                (text_hash(text), PART, number, field, i, -1) for i, text in enumerate(texts)
            ]
            assert all(math.isnan(text["score"]) for text in row[field])


PLAIN: list[dict[str, Any]] = [
    {"dataset": "a", "query": "q1", "positives": ["p1", "p2"], "negatives": ["n1"], "label": None, "other_labels": []},
    {"dataset": "b", "query": "c1", "positives": [], "negatives": [], "label": "x", "other_labels": ["y"]},
    {"dataset": "unmined", "query": "u1", "positives": ["v1"], "negatives": [], "label": None, "other_labels": []},
    {"dataset": "a", "query": "q2", "positives": ["p1"], "negatives": [], "label": None, "other_labels": []},
]


def _gather(folder: Path, rows: list[dict[str, Any]]) -> tuple[int, dict[str, list[Any]]]:
    part = write_part(f"{folder}/kept", canonical_rows(rows))
    return part, outputs(GatherPools(_pools(folder)).process(part_element("kept", part)))


def test_who_asks_and_what_may_be_found_travel_by_range_of_store_keys(tmp_path: Path) -> None:
    part, gathered = _gather(tmp_path, PLAIN)
    for partition, batch in gathered[MAIN]:
        assert set(partitions_of(first_words(batch.column("key")), PARTITIONS)) == {partition}
    asked = [batch for _, batch in gathered[MAIN] if batch.schema.names == ASKING.names]
    found = [batch for _, batch in gathered[MAIN] if batch.schema.names == FINDABLE.names]
    assert len(asked) + len(found) == len(gathered[MAIN])
    assert in_order(rows_of(asked)) == in_order(_asks(PLAIN, part))
    assert in_order(rows_of(found)) == in_order(_found(PLAIN, part))


def test_rows_that_are_not_mined_are_written_and_kept(tmp_path: Path) -> None:
    _, gathered = _gather(tmp_path, PLAIN)
    assert tally(gathered) == {"a\tread\t": 2, "b\tread\t": 1, "unmined\tread\t": 1, "unmined\tkept\t": 1}
    (record,) = records(gathered, "mined")
    mined = read_part(f"{tmp_path}/mine/mined", int(record["path"][-24:-8], 16))
    assert mined.column("dataset").to_pylist() == ["unmined"]
    assert record["rows"] == 1


def test_where_all_are_mined_nothing_is_written(tmp_path: Path) -> None:
    _, gathered = _gather(tmp_path, PLAIN[:2])
    assert records(gathered, "mined") == []
    assert not (tmp_path / "mine").exists()


def _vectors(texts: Sequence[str]) -> pa.Table:
    keys = sorted({text_hash(text) for text in texts})
    return pa.table(
        [pa.array(keys, pa.binary(16)), pa.array([key[:4] for key in keys], pa.binary(4))], vector_schema(DIMS)
    )


def test_each_row_takes_the_vector_of_its_key() -> None:
    keys = pa.table({"key": pa.array([text_hash(text) for text in ("b", "a", "b")], pa.binary(16))})
    attached = attach_vectors(keys, _vectors(["a", "b", "c"]))
    assert attached.column("vector").to_pylist() == [text_hash(text)[:4] for text in ("b", "a", "b")]


def test_a_text_that_was_never_embedded_is_a_fault() -> None:
    keys = pa.table({"key": pa.array([text_hash("a"), text_hash("z")], pa.binary(16))})
    with pytest.raises(AssertionError, match="the vector store lacks 1 of 2 texts"):
        attach_vectors(keys, _vectors(["a"]))


def _score(rows: pa.Table, texts: pa.Table) -> pa.Table:
    """Says of each row which texts came with its part."""
    seen = pa.array([sorted(texts.column("text_hash").to_pylist())] * rows.num_rows, pa.list_(pa.binary(16)))
    return rows.append_column("beside", seen)


def _attached(folder: Path, gathered: dict[str, list[Any]], seed: int) -> list[tuple[str, pa.RecordBatch]]:
    return _with_refused(folder, gathered, seed, unreadable=[])[0]


def _with_refused(
    folder: Path, gathered: dict[str, list[Any]], seed: int, unreadable: Sequence[str]
) -> tuple[list[tuple[str, pa.RecordBatch]], list[Any]]:
    """What the pool shards get, and the decisions on rows with a text that has no vector."""
    texts = [PROMPT + row["query"] for row in PLAIN] + [row["query"] for row in PLAIN]
    texts += [text for row in PLAIN for text in row["positives"] + row["negatives"]]
    vectors = _vectors(texts)
    vectors = vectors.set_column(
        1,
        vectors.schema.field("vector"),
        pc.if_else(
            pc.is_in(vectors.column("key"), value_set=pa.array(map(text_hash, unreadable), pa.binary(16))),
            pa.scalar(bytes(2 * DIMS), pa.binary(2 * DIMS)),
            vectors.column("vector"),
        ),
    )
    partitions = partitions_of(first_words(vectors.column("key")), PARTITIONS)
    for number in range(PARTITIONS):
        write_vectors(f"{folder}/store", number, PARTITIONS, vectors.filter(pa.array(partitions == number)))
    step = AttachVectors(_pools(folder))
    attached = together(*(outputs(step.process(keyed)) for keyed in shuffle(gathered[MAIN], seed)))
    score = ScoreRows(_pools(folder), _score)
    scored = together(*(outputs(score.process(keyed)) for keyed in shuffle(attached[ROWS_TAG], seed)))
    return [*attached.get(MAIN, []), *scored.get(MAIN, [])], scored.get(REFUSED_TAG, [])


@pytest.mark.parametrize(
    ("unreadable", "fields"),
    [
        ([PROMPT + "q1"], {"q1": "query"}),
        (["p1"], {"q1": "positives", "q2": "positives"}),
        (["n1", "p2"], {"q1": "positives"}),
        (["n1"], {"q1": "negatives"}),
        (["n1", PROMPT + "q1"], {"q1": "query"}),
        ([], {}),
    ],
)
def test_a_text_without_a_vector_costs_the_rows_that_hold_it_and_is_no_passage(
    tmp_path: Path, unreadable: list[str], fields: dict[str, str]
) -> None:
    part, gathered = _gather(tmp_path, PLAIN)
    given, refused = _with_refused(tmp_path, gathered, 0, unreadable)
    queries = [row["query"] for row in PLAIN]
    said = {queries[row["row"]]: row for key, batch in refused for row in batch.to_pylist() if key == part}
    assert {query: (row["reason"], row["detail"]) for query, row in said.items()} == {
        query: ("UNREADABLE_TEXT", f"the teacher cannot read its {field}") for query, field in fields.items()
    }
    rows = [row for _, batch in given for row in batch.to_pylist()]
    asking = {queries[row["row"]] for row in rows if "query_hash" in row}
    assert asking == {row["query"] for row in PLAIN if row["dataset"] != "unmined"} - set(fields)
    assert not {row["text_hash"] for row in rows if "text_hash" in row} & set(map(text_hash, unreadable))


def test_queries_go_to_every_shard_of_their_dataset_and_a_passage_to_the_one_of_its_hash(tmp_path: Path) -> None:
    part, gathered = _gather(tmp_path, PLAIN)
    asked: dict[tuple[str, str], list[bytes]] = {}
    found: list[tuple[str, dict[str, Any]]] = []
    for key, batch in _attached(tmp_path, gathered, seed=0):
        for row in batch.to_pylist():
            assert row["dataset"] == key.split("\t")[0]
            assert row["vector"] == row["key"][:4]
            if "query_hash" in row:
                asked.setdefault((row["dataset"], key.split("\t")[1]), []).append(row["id"])
            else:
                found.append((key, row))
    expected: dict[tuple[str, str], list[bytes]] = {}
    for row in _asks(PLAIN, part):
        for shard in range(3 if row["dataset"] == "a" else 1):
            expected.setdefault((row["dataset"], str(shard)), []).append(row["id"])
    assert {key: sorted(ids) for key, ids in asked.items()} == {key: sorted(ids) for key, ids in expected.items()}
    shards = {"a": 3, "b": 1}
    for key, row in found:
        number = int.from_bytes(row["cluster"][:4], "big") * shards[row["dataset"]] >> 32
        assert key == f"{row['dataset']}\t{number}"
    assert sorted(row["text_hash"] for _, row in found) == sorted(row["text_hash"] for row in _found(PLAIN, part))


def test_rows_are_scored_with_the_texts_that_their_part_names(tmp_path: Path) -> None:
    _, gathered = _gather(tmp_path, PLAIN)
    rows = [row for _, batch in _attached(tmp_path, gathered, 0) for row in batch.to_pylist() if "beside" in row]
    named = {"a": sorted(map(text_hash, ["p1", "p2", "n1", "p1"])), "b": []}
    assert {row["dataset"] for row in rows} == {"a", "b"}
    assert all(row["beside"] == named[row["dataset"]] for row in rows)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_each_shard_gets_does_not_depend_on_the_order(tmp_path: Path, seed: int) -> None:
    _, gathered = _gather(tmp_path, PLAIN)
    found = []
    for order in (0, seed):
        rows: dict[str, list[Any]] = {}
        for key, batch in _attached(tmp_path, gathered, order):
            rows.setdefault(key, []).extend(batch.to_pylist())
        found.append({key: in_order(given) for key, given in rows.items()})
    assert found[0] == found[1]


def test_texts_of_several_parts_meet_in_their_range(tmp_path: Path) -> None:
    gathered = together(*(_gather(tmp_path, PLAIN[n : n + 2])[1] for n in (0, 2)))
    assert sum(batch.num_rows for _, batch in _attached(tmp_path, gathered, 0)) == 2 * 3 + 1 + 4 + 1


def test_a_copy_goes_to_the_shard_of_the_passage_that_it_stands_behind(tmp_path: Path) -> None:
    _, gathered = _gather(tmp_path, PLAIN)
    near = text_hash("the other")
    key, dataset = text_hash("p1"), "a"
    told = pa.RecordBatch.from_pylist([{"dataset": dataset, "key": key, "near": near}], schema=NEAR)
    gathered[MAIN].append((int(partitions_of(first_words(pa.array([key], pa.binary(16))), PARTITIONS)[0]), told))
    found = [
        (shard, row) for shard, batch in _attached(tmp_path, gathered, 0) for row in batch.to_pylist() if "near" in row
    ]
    assert {shard for shard, row in found if row["key"] == key} == {f"a\t{int.from_bytes(near[:4], 'big') * 3 >> 32}"}
    assert {row["near"] for _, row in found if row["key"] == key and row["dataset"] == dataset} == {near}
    assert {row["near"] for _, row in found if row["key"] != key} == {None}
