"""Shards against plain Python: keys, requests and their answers, rows put together in whatever order things arrive."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.graphs import pieces_of
from schemas.rows import MINED, SHARD, text_hash
from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, in_order, outputs, records, shuffle, tally, together
from transforms.examples.read_rows import CORPUS
from transforms.flow.files import sha256
from transforms.flow.parts import write_part
from transforms.flow.tagged import FILES_TAG
from transforms.shards.writing import (
    ANSWERS,
    BODIES,
    PIECES,
    REQUESTS,
    TO_SHARDS_TAG,
    AskForTexts,
    FetchTexts,
    JoinPieces,
    PackSpec,
    ShardPlace,
    WritePiece,
    WriteShard,
    answer,
    assemble,
    every_range,
    nothing_for,
    num_shards,
    requests,
    shard_keys,
)

PLACES = {
    "a": ShardPlace(stage="finetune", task_type="retrieval", instruction="Find it", num_shards=3),
    "b": ShardPlace(stage="pretrain", task_type="sts", instruction=None, num_shards=1),
}

ADDRESSES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=3)


def _text(part: int, row: int, field: str, element: int) -> str:
    return f"{part}/{row}/{field}/{element}"


def _address(part: int, row: int, field: str, element: int, rank: int = -1) -> dict[str, Any]:
    text = _text(part, row, field, element)
    address = {"part": part, "row": row, "field": field, "element": element}
    return address | {"hash": text_hash(text), "score": (row % 8) / 8, "rank": rank}


def _mined(number: int, dataset: str, positives: Any, negatives: Any, part: int = 0) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "id": text_hash(f"row {number}"),
        "part": part,
        "row": number,
        "cluster_id": text_hash(f"cluster {number}") if number % 2 else None,
        "positives": [_address(5, row, "positives", element) for row, element in positives],
        "negatives": [_address(6, row, "text", 0, rank=element) for row, element in negatives],
    }


MINED_ROWS = st.lists(st.tuples(ADDRESSES, ADDRESSES), max_size=8).map(
    lambda rows: [_mined(number, "a", *row) for number, row in enumerate(rows)]
)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, MINED)


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20), st.integers(1, 40))
def test_a_row_belongs_to_the_range_of_its_id(ids: list[bytes], shards: int) -> None:
    place = ShardPlace(stage="finetune", task_type="sts", instruction=None, num_shards=shards)
    rows = pa.table({"dataset": pa.array(["d"] * len(ids), pa.string()), "id": pa.array(ids, pa.binary(16))})
    expected = [f"d\t{int.from_bytes(id_[:4], 'big') * shards // 2**32}" for id_ in ids]
    assert shard_keys(rows, {"d": place}) == expected
    assert all(0 <= int(key.split("\t")[1]) < shards for key in expected)


def test_rows_of_several_datasets_are_cut_each_by_its_own_number_of_shards() -> None:
    ids = [b"\xff" * 16, b"\xff" * 16, b"\0" * 16]
    rows = pa.table({"dataset": ["a", "b", "a"], "id": pa.array(ids, pa.binary(16))})
    assert shard_keys(rows, PLACES) == ["a\t2", "b\t0", "a\t0"]


def test_shards_are_about_alike_in_size() -> None:
    ids = pa.array([text_hash(str(n)) for n in range(3000)], pa.binary(16))
    keys = shard_keys(pa.table({"dataset": ["a"] * 3000, "id": ids}), PLACES)
    sizes = np.bincount([int(key.split("\t")[1]) for key in keys])
    assert all(900 < size < 1100 for size in sizes)


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_there_are_as_many_shards_as_rows_need(rows: int, rows_per_shard: int) -> None:
    number = num_shards(rows, rows_per_shard)
    assert number >= 1
    assert number * rows_per_shard >= rows
    assert number == 1 or (number - 1) * rows_per_shard < rows


def test_a_shard_lies_below_stage_task_type_and_dataset() -> None:
    assert PLACES["a"].path("toy", 1) == "finetune/retrieval/toy/part-00001-of-00003.parquet"


@given(MINED_ROWS, st.integers(0, 3))
def test_a_mined_row_asks_for_itself_and_for_each_of_its_texts(rows: list[dict[str, Any]], skip: int) -> None:
    mined = _table(rows).slice(skip)
    asked = requests(mined, [f"a\t{number}" for number in range(mined.num_rows)])
    assert asked.drop_columns("part").schema == REQUESTS
    expected = []
    for number, row in enumerate(rows[skip:]):
        common = {"shard": f"a\t{number}", "id": row["id"]}
        own = {"slot": "row", "position": 0, "row": row["row"], "field": "query", "element": 0, "part": row["part"]}
        expected.append(common | own)
        for slot in ("positives", "negatives"):
            for position, text in enumerate(row[slot]):
                where = {name: text[name] for name in ("row", "field", "element", "part")}
                expected.append(common | where | {"slot": slot, "position": position})
    assert in_order(asked.to_pylist()) == in_order(expected)


KEPT = [
    {"query": _text(5, row, "query", 0)}
    | {name: [_text(5, row, name, i) for i in range(row % 4)] for name in ("positives", "negatives")}
    for row in range(10)
]


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(["query", "positives", "negatives"]), st.integers(0, 2)).filter(
            lambda asked: asked[1] == "query" or asked[2] < asked[0] % 4
        ),
        min_size=1,
        max_size=15,
    )
)
def test_an_answer_is_the_text_at_the_address(asked: list[tuple[int, str, int]]) -> None:
    rows = [
        {
            "shard": f"a\t{number % 2}",
            "id": text_hash(str(number)),
            "slot": "negatives",
            "position": number,
            "row": row,
            "field": field,
            "element": 0 if field == "query" else element,
        }
        for number, (row, field, element) in enumerate(asked)
    ]
    answered = answer(canonical_rows(KEPT), pa.Table.from_pylist(rows, REQUESTS))
    found = {row["position"]: row for row in answered.to_pylist()}
    assert len(found) == answered.num_rows == len(asked)
    for row in rows:
        text = _text(5, row["row"], row["field"], row["element"])
        assert found[row["position"]]["text"] == text
        assert (found[row["position"]]["shard"], found[row["position"]]["id"]) == (row["shard"], row["id"])


def _bodies(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": row["id"],
            "language": "en",
            "instruction": "Own words" if row["row"] % 3 == 0 else None,
            "query": f"query {row['row']}",
            "label": "x" if row["row"] % 2 else None,
        }
        for row in rows
    ]


def _answers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"id": row["id"], "slot": slot, "position": position}
        | {"text": _text(text["part"], text["row"], text["field"], text["element"])}
        for row in rows
        for slot in ("positives", "negatives")
        for position, text in enumerate(row[slot])
    ]


def _shard_row(row: dict[str, Any], dataset: str) -> dict[str, Any]:
    place = PLACES[dataset]
    (body,) = _bodies([row])
    sides = {
        name: [_text(t["part"], t["row"], t["field"], t["element"]) for t in row[name]]
        for name in ("positives", "negatives")
    }
    for name, singular in (("positives", "positive"), ("negatives", "negative")):
        sides[f"{singular}_scores"] = [text["score"] for text in row[name]]
        sides[f"{singular}_ids"] = [text["hash"].hex() for text in row[name]]
    return (
        body
        | sides
        | {
            "id": row["id"].hex(),
            "dataset": dataset,
            "task_type": place.task_type,
            "instruction": body["instruction"] or place.instruction,
            "negative_ranks": [text["rank"] for text in row["negatives"]],
            "cluster_id": row["cluster_id"] and row["cluster_id"].hex(),
        }
    )


@pytest.mark.parametrize("dataset", ["a", "b"])
@given(MINED_ROWS, st.randoms(use_true_random=False))
def test_rows_are_put_together_in_the_order_of_ids_whatever_came_first(
    dataset: str, rows: list[dict[str, Any]], drawn: random.Random
) -> None:
    pieces = [list(rows), _bodies(rows), _answers(rows)]
    for piece in pieces:
        drawn.shuffle(piece)
    mined, bodies, answers = (
        pa.Table.from_pylist(piece, schema) for piece, schema in zip(pieces, (MINED, BODIES, ANSWERS), strict=True)
    )
    shard = assemble(mined, bodies, answers, dataset, PLACES[dataset])
    assert shard.schema == SHARD
    ordered = sorted(rows, key=lambda row: row["id"])
    assert shard.to_pylist() == [{name: _shard_row(row, dataset)[name] for name in SHARD.names} for row in ordered]


def test_a_row_that_did_not_come_is_a_fault() -> None:
    rows = [_mined(number, "a", [], []) for number in range(3)]
    bodies = pa.Table.from_pylist(_bodies(rows[:2]), BODIES)
    with pytest.raises(AssertionError, match="shard of a: 2 rows came for 3 mined rows"):
        assemble(_table(rows), bodies, ANSWERS.empty_table(), "a", PLACES["a"])


@pytest.mark.parametrize(("chosen", "came"), [([1, 2], 2), ([0, 1, 2, 2], 4), ([0, 1, 1], 3)])
def test_texts_that_did_not_come_or_came_twice_are_a_fault(chosen: list[int], came: int) -> None:
    rows = [_mined(number, "a", [(number, 0)], []) for number in range(3)]
    answers = pa.Table.from_pylist([_answers(rows)[number] for number in chosen], ANSWERS)
    with pytest.raises(AssertionError, match=f"shard of a: {came} positives came for 3, or for other rows"):
        assemble(_table(rows), pa.Table.from_pylist(_bodies(rows), BODIES), answers, "a", PLACES["a"])


def test_every_shard_is_announced_so_that_an_empty_one_is_written_too() -> None:
    keys = every_range(PLACES)
    assert keys == ["a\t0", "a\t1", "a\t2", "b\t0"]
    for key in keys:
        ((announced, batch),) = nothing_for(key)
        assert (announced, batch.num_rows, batch.schema) == (key, 0, MINED)


def _pack_spec(folder: Path, num_pieces: int = 1) -> PackSpec:
    return PackSpec(
        mined=f"{folder}/mined",
        kept=f"{folder}/kept",
        corpus=f"{folder}/corpus",
        folder=f"{folder}/pack",
        places={name: replace(place, num_pieces=num_pieces) for name, place in PLACES.items()},
        progress=None,
    )


def _prepared(folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Mined parts of rows whose texts lie in two kept parts and in a corpus, and the shard rows that are wanted."""
    kept = [
        {"dataset": "ab"[n % 2], "query": f"q{n}", "positives": [f"p{n}.{i}" for i in range(n % 3)], "negatives": []}
        for n in range(12)
    ]
    tables = [canonical_rows(kept[:6]), canonical_rows(kept[6:])]
    parts = [write_part(f"{folder}/kept", table) for table in tables]
    corpus = [{"dataset": "a", "passage_id": str(n), "text": f"c{n}", "sampled": True} for n in range(5)]
    corpus_part = write_part(f"{folder}/corpus", pa.Table.from_pylist(corpus, CORPUS))
    mined, wanted = [], []
    for n, (row, id_) in enumerate(zip(kept, [i for t in tables for i in t.column("id").to_pylist()], strict=True)):
        home = {"part": parts[n // 6], "row": n % 6}
        texts = [(text, home | {"field": "positives", "element": i}) for i, text in enumerate(row["positives"])]
        texts = texts or [
            (f"q{11 - n}", {"part": parts[(11 - n) // 6], "row": (11 - n) % 6, "field": "query", "element": 0})
        ]
        found = [(f"c{n % 5}", {"part": corpus_part, "row": n % 5, "field": "text", "element": 0})]
        sides = {
            name: [{"hash": text_hash(text), "score": 0.5, "rank": 3} | address for text, address in side]
            for name, side in (("positives", texts), ("negatives", found))
        }
        mined.append({"dataset": row["dataset"], "id": id_, "cluster_id": id_} | home | sides)
        wanted.append((row["dataset"], id_.hex(), row["query"], [t for t, _ in texts], [t for t, _ in found]))
    numbers = [write_part(f"{folder}/mined", _table(mined[start::2])) for start in (0, 1)]
    return [str(number) for number in numbers], sorted(wanted)


def _packed(folder: Path, parts: list[str], seed: int, num_pieces: int = 1) -> dict[str, list[Any]]:
    spec = _pack_spec(folder, num_pieces)
    asked = together(*(outputs(AskForTexts(spec).process(part)) for part in parts))
    fetched = [pair for keyed in shuffle(asked[MAIN], seed) for pair in FetchTexts(spec).process(keyed)]
    nothing = [pair for key in every_range(spec.places) for pair in nothing_for(key)]
    everything = shuffle([*asked[TO_SHARDS_TAG], *fetched, *nothing], seed)
    if num_pieces == 1:
        return together(asked, *(outputs(WriteShard(spec).process(keyed)) for keyed in everything))
    pieces = [pair for keyed in everything for pair in WritePiece(spec).process(keyed)]
    return together(asked, *(outputs(JoinPieces(spec).process(keyed)) for keyed in shuffle(pieces, seed)))


def test_rows_and_texts_of_all_parts_meet_in_their_shards(tmp_path: Path) -> None:
    parts, wanted = _prepared(tmp_path)
    packed = _packed(tmp_path, parts, seed=0)
    shards = records(packed, "shards")
    assert sorted(record["path"] for record in shards) == sorted(
        PLACES[name].path(name, number) for name in "ab" for number in range(PLACES[name].num_shards)
    )
    rows = [row for record in shards for row in pq.read_table(f"{tmp_path}/pack/{record['path']}").to_pylist()]
    names = ("dataset", "id", "query", "positives", "negatives")
    assert sorted(tuple(row[name] for name in names) for row in rows) == wanted
    assert tally(packed) == {f"{name}\t{what}\t": 6 for name in "ab" for what in ("read", "kept")}


def test_a_shards_record_says_what_the_file_is(tmp_path: Path) -> None:
    for record in records(_packed(tmp_path, _prepared(tmp_path)[0], seed=0), "shards"):
        data = (tmp_path / "pack" / record["path"]).read_bytes()
        table = pq.read_table(tmp_path / "pack" / record["path"])
        assert (record["sha256"], record["rows"]) == (sha256(data), table.num_rows)
        assert record["path"].split("/")[2] == record["dataset"]
        assert table.schema.equals(SHARD)
        assert table.column("id").to_pylist() == sorted(table.column("id").to_pylist())


@pytest.mark.parametrize("seed", [1, 2])
def test_shards_have_the_same_bytes_in_whatever_order_everything_arrives(tmp_path: Path, seed: int) -> None:
    parts, _ = _prepared(tmp_path)
    first = sorted(_packed(tmp_path, parts, seed=0)[FILES_TAG])
    assert sorted(_packed(tmp_path, parts[::-1], seed)[FILES_TAG]) == first


@pytest.mark.parametrize("num_pieces", [2, 3, 50])
def test_shards_put_together_of_pieces_have_the_same_bytes(tmp_path: Path, num_pieces: int) -> None:
    parts, _ = _prepared(tmp_path)
    whole = _packed(tmp_path, parts, seed=0)
    pieced = _packed(tmp_path, parts[::-1], 1, num_pieces)
    assert sorted(pieced[FILES_TAG]) == sorted(whole[FILES_TAG])
    assert tally(pieced) == tally(whole)
    assert len(list((tmp_path / "pack" / PIECES).iterdir())) > len(whole[FILES_TAG])


def test_a_piece_that_did_not_come_is_told(tmp_path: Path) -> None:
    spec = _pack_spec(tmp_path, num_pieces=2)
    ((_, nothing),) = nothing_for("a\t3")
    (resting,) = WritePiece(spec).process(("a\t3", [nothing]))
    assert resting[0] == "a\t1"
    with pytest.raises(AssertionError, match="shard 1 of a: 1 pieces came"):
        list(JoinPieces(spec).process((resting[0], [resting[1]])))


@given(st.integers(0, 10**6), st.integers(1, 10**5), st.booleans())
def test_a_piece_lies_within_a_shard(rows: int, rows_per_shard: int, mined: bool) -> None:
    shards, pieces = num_shards(rows, rows_per_shard), pieces_of(rows, rows_per_shard, mined)
    assert rows <= shards * pieces * (512 if mined else 8192)
    whole = ShardPlace(stage="finetune", task_type="sts", instruction=None, num_shards=shards)
    ids = [text_hash(f"{rows} {n}") for n in range(20)] + [b"\0" * 16, b"\xff" * 16]
    table = pa.table({"dataset": ["d"] * len(ids), "id": pa.array(ids, pa.binary(16))})
    by_shard, by_piece = (
        [int(key.split("\t")[1]) for key in shard_keys(table, {"d": place})]
        for place in (whole, replace(whole, num_pieces=pieces))
    )
    assert [number // pieces for number in by_piece] == by_shard


def test_a_shard_without_rows_is_an_empty_file(tmp_path: Path) -> None:
    ((key, nothing),) = nothing_for("a\t1")
    written = outputs(WriteShard(_pack_spec(tmp_path)).process((key, [nothing])))
    (record,) = records(written, "shards")
    assert record["rows"] == 0
    assert pq.read_table(f"{tmp_path}/pack/{record['path']}").schema.equals(SHARD)
    assert tally(written) == {"a\tkept\t": 0}
