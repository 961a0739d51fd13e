"""Judgments meet their passages, and members their group: compared with dictionaries, in any order."""

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import CANONICAL, fields_hash, text_hash
from tests.transforms.examples.adapters.helpers import locate
from tests.transforms.steps import MAIN, in_order, outputs, records, rows_of, shuffle, tally, together
from transforms.cleaning.params import CleanParams
from transforms.examples.group_membership import MEMBERS
from transforms.examples.passage_join import MISSING_TAG, WANTED, FetchPassages, FindPassages, GroupRows, find_passages
from transforms.examples.read_rows import (
    CORPUS,
    JUDGMENTS_TAG,
    MEMBERS_TAG,
    PASSAGE_ADDRESSES,
    PASSAGES_TAG,
    ReadRows,
    ReadSpec,
)
from transforms.flow.batches import first_words, partitions_of
from transforms.flow.parts import read_part, write_part
from transforms.sources.units import Role, Unit

PARTITIONS = 4
BEIR = locate(
    "beir",
    {
        "corpus": {"id": "id", "text": "text"},
        "queries": {"id": "id", "text": "text"},
        "qrels": {"query_id": "q", "corpus_id": "p", "score": "s"},
    },
)
#: Keys of two words that differ in the first, in the last, or in the highest bit alone.
KEYS = [b"\0" * 16, b"\0" * 15 + b"\1", b"\x80" + b"\0" * 15, b"\0" * 7 + b"\1" + b"\0" * 8, b"\xff" * 16]


def _key(number: int) -> bytes:
    return KEYS[number] if number < len(KEYS) else text_hash(str(number))


def _addresses(rows: list[tuple[int, int, int]], contents: Sequence[int] = ()) -> pa.Table:
    places = [
        {"passage": _key(k), "part": p, "row": r, "content": c}
        for (k, p, r), c in zip_longest(rows, contents, fillvalue=0)
    ]
    return pa.Table.from_pylist(places, PASSAGE_ADDRESSES)


def _judgment(key: int, number: int) -> dict[str, Any]:
    return {
        "dataset": "toy",
        "group": fields_hash(("toy", f"q{number % 3}")),
        "role": "positive",
        "passage": _key(key),
        "score": 1.0,
        "detail": f"judgment {number}",
        "language": "en",
        "provenance": f"f#{number}",
    }


def _judgments(keys: list[int]) -> pa.Table:
    return pa.Table.from_pylist([_judgment(key, number) for number, key in enumerate(keys)], MEMBERS)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 5)), max_size=15),
    st.lists(st.integers(0, 12), max_size=15),
)
def test_a_judgment_finds_the_smallest_address_of_its_passage_or_is_missing(
    addresses: list[tuple[int, int, int]], keys: list[int]
) -> None:
    places: dict[int, tuple[int, int]] = {}
    for key, part, row in addresses:
        places[key] = min(places.get(key, (part, row)), (part, row))
    found, missing, ambiguous = find_passages(_addresses(addresses), _judgments(keys))
    assert not ambiguous
    assert [(r["provenance"], r["part"], r["row"]) for r in found.to_pylist()] == [
        (f"f#{n}", *places[key]) for n, key in enumerate(keys) if key in places
    ]
    assert missing.column("provenance").to_pylist() == [f"f#{n}" for n, key in enumerate(keys) if key not in places]
    assert found.drop_columns("part").schema.names == WANTED.names
    assert missing.schema == MEMBERS


def test_passages_are_found_in_tables_of_many_chunks_and_in_slices() -> None:
    addresses = _addresses([(key, key % 2, key) for key in range(12)])
    pieces = pa.concat_tables([addresses.slice(7), addresses.slice(2, 3), addresses.slice(0, 2), addresses.slice(5, 2)])
    judgments = pa.concat_tables([_judgments([0, 3, 9]).slice(1), _judgments([11, 30]).slice(0, 2)])
    found, missing, _ = find_passages(pieces, judgments)
    assert [(r["part"], r["row"]) for r in found.to_pylist()] == [(1, 3), (1, 9), (1, 11)]
    assert missing.num_rows == 1


def test_an_id_with_several_texts_is_told_and_the_choice_does_not_depend_on_the_files() -> None:
    judgments = _judgments([1, 2, 2, 3, 4])
    places = [(1, 0, 0), (1, 0, 1), (2, 0, 2), (2, 5, 0), (3, 0, 3), (3, 0, 4)]
    chosen = []
    for order in (1, -1):
        contents = [7, 7, 9, 8, 6, 5]
        addresses = _addresses(places[::order], contents[::order])
        found, missing, ambiguous = find_passages(addresses, judgments)
        assert ambiguous == {"toy": 3}, "judgments of passages 2 and 3; passage 1 stands there twice with one text"
        assert missing.num_rows == 1
        chosen.append([(r["part"], r["row"]) for r in found.to_pylist()])
    assert chosen[0] == chosen[1] == [(0, 0), (5, 0), (5, 0), (0, 4)]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_goes_to_its_part_and_what_is_missing_to_its_group(seed: int) -> None:
    keys = [key % 14 for key in range(40)]
    addresses = _addresses([(key, key % 3, key) for key in range(10)]).to_batches(max_chunksize=3)
    batches = [(0, batch) for batch in (*addresses, *_judgments(keys).to_batches(max_chunksize=7))]
    ((_, grouped),) = shuffle(batches, seed)
    given_out = outputs(FindPassages(PARTITIONS).process((0, grouped)))
    asked = {(part, row["row"], row["provenance"]) for part, b in given_out[MAIN] for row in b.to_pylist()}
    assert asked == {(key % 3, key, f"f#{n}") for n, key in enumerate(keys) if key < 10}
    for partition, batch in given_out[MISSING_TAG]:
        assert set(partitions_of(first_words(batch.column("group")), PARTITIONS)) == {partition}
    missing = {row["provenance"] for row in rows_of(b for _, b in given_out[MISSING_TAG])}
    assert missing == {f"f#{n}" for n, key in enumerate(keys) if key >= 10}


def test_passages_that_nobody_judges_are_let_go() -> None:
    assert list(FindPassages(PARTITIONS).process((0, _addresses([(1, 2, 3)]).to_batches()))) == []


def test_judgments_of_a_corpus_that_is_not_there_are_missing() -> None:
    given_out = outputs(FindPassages(PARTITIONS).process((0, _judgments([1, 2]).to_batches())))
    assert MAIN not in given_out
    assert sum(batch.num_rows for _, batch in given_out[MISSING_TAG]) == 2


def _spec(folder: Path) -> ReadSpec:
    entries = {"toy": BEIR.model_dump_json(exclude_unset=True)}
    return ReadSpec(
        entries=entries,
        folder=str(folder),
        progress=None,
        clean=dict.fromkeys(entries, CleanParams()),
        num_partitions=PARTITIONS,
    )


def test_judgments_take_the_text_of_their_row_of_the_part(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    passages = [{"dataset": "toy", "passage_id": str(i), "text": f"passage {i}", "sampled": True} for i in range(9)]
    part = write_part(spec.corpus, pa.Table.from_pylist(passages, CORPUS))
    rows = [5, 0, 8, 5]
    wanted = _judgments(rows).append_column(WANTED.field("row"), pa.array(rows, pa.int32()))
    ((_, batches),) = shuffle([(part, batch) for batch in wanted.to_batches(max_chunksize=2)])
    fetched = list(FetchPassages(spec).work((part, batches)))
    for partition, batch in fetched:
        assert batch.schema == MEMBERS
        assert set(partitions_of(first_words(batch.column("group")), PARTITIONS)) == {partition}
    assert in_order([{r["provenance"]: r["text"]} for r in rows_of(b for _, b in fetched)]) == in_order(
        [{f"f#{n}": f"passage {row}"} for n, row in enumerate(rows)]
    )


def _query(number: int) -> str:
    return f"Which passage tells of rule {number} of the harbour?"


def _passage(number: int) -> str:
    return f"This passage tells of rule {number}: boats wait outside until berth {number} is free."


def _unit(folder: Path, role: Role, rows: list[dict[str, Any]]) -> Unit:
    path = folder / f"{role}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Unit(dataset="toy", config="default", role=role, path=str(path), file=path.name, format="jsonl")


def _units(folder: Path, judged: list[tuple[int, int, int]]) -> list[Unit]:
    return [
        _unit(folder, "corpus", [{"id": i, "text": _passage(i)} for i in range(20)]),
        _unit(folder, "queries", [{"id": f"q{i}", "text": _query(i)} for i in range(5)]),
        _unit(folder, "qrels", [{"q": f"q{q}", "p": p, "s": s} for q, p, s in judged]),
    ]


def _joined(spec: ReadSpec, units: list[Unit], seed: int) -> dict[str, list[Any]]:
    """Read, join and group, as the pipeline does, each shuffle in an order of the seed's."""
    read = together(*(outputs(ReadRows(spec).work(unit.to_json(), {})) for unit in units))
    met = shuffle([*read[JUDGMENTS_TAG], *read[PASSAGES_TAG]], seed)
    found = together(*(outputs(FindPassages(PARTITIONS).process(keyed)) for keyed in met))
    fetched = [pair for keyed in shuffle(found[MAIN], seed) for pair in FetchPassages(spec).work(keyed)]
    members = shuffle([*read[MEMBERS_TAG], *fetched, *found.get(MISSING_TAG, [])], seed)
    return together(read, *(outputs(GroupRows(spec).work(keyed)) for keyed in members))


def _expected(judged: list[tuple[int, int, int]]) -> dict[str, tuple[set[str], set[str]]]:
    """Positives and negatives of each query that has a positive, by plain dictionaries."""
    examples: dict[str, tuple[set[str], set[str]]] = {}
    for q, p, score in judged:
        if q < 5 and p < 20:
            examples.setdefault(_query(q), (set(), set()))[0 if score else 1].add(_passage(p))
    return {query: sides for query, sides in examples.items() if sides[0]}


JUDGED = [(q, (3 * q + 5 * i) % 24, int(i % 3 > 0)) for q in range(6) for i in range(5)] + [(4, 1, 0)]


def test_queries_judgments_and_passages_become_examples_and_every_judgment_is_accounted_for(tmp_path: Path) -> None:
    spec = _spec(tmp_path / "stage")
    done = _joined(spec, _units(tmp_path, JUDGED), seed=0)
    rows = [row for part, _ in done[MAIN] for row in read_part(spec.parts, part).to_pylist()]
    assert {r["query"]: (set(r["positives"]), set(r["negatives"])) for r in rows} == _expected(JUDGED)
    counts = tally(done)
    rejected = {key.split("\t")[2]: number for key, number in counts.items() if "\trejected\t" in key}
    assert counts["toy\tread\t"] == len(JUDGED) == len(rows) + counts["toy\tmerged\t"] + sum(rejected.values())
    dangling = sum(1 for q, p, _ in JUDGED if q >= 5 or p >= 20)
    assert rejected["DANGLING_ID"] == dangling > 0
    paths = [f"{spec.rejections}/{record['path']}" for record in records(done, "rejections")]
    assert sum(pq.read_metadata(path).num_rows for path in paths) == sum(rejected.values())


@pytest.mark.parametrize("seed", [1, 2])
def test_examples_are_the_same_in_whatever_order_everything_arrives(tmp_path: Path, seed: int) -> None:
    found = []
    for order in (0, seed):
        spec = _spec(tmp_path / str(order))
        done = _joined(spec, _units(tmp_path, JUDGED)[:: -1 if order else 1], order)
        rows = [row for part, _ in done[MAIN] for row in read_part(spec.parts, part).to_pylist()]
        found.append((in_order(rows), tally(done)))
    assert found[0] == found[1]


def test_grouped_rows_are_cleaned_and_canonical(tmp_path: Path) -> None:
    spec = _spec(tmp_path)
    plain = {"dataset": "toy", "role": "positive", "detail": "", "language": "en"}
    members = [
        plain
        | {"group": text_hash(query), "query": query, "text": _passage(i), "content": text_hash(_passage(i))}
        | {"provenance": f"f#{i}"}
        for i, query in enumerate([_query(0), "Boats", _query(2)])
    ]
    batch = pa.RecordBatch.from_pylist(members, MEMBERS)
    done = outputs(GroupRows(spec).work((0, [batch.slice(2), batch.slice(0, 2)])))
    ((part, _),) = done[MAIN]
    table = read_part(spec.parts, part)
    assert table.schema.names == CANONICAL.names
    assert sorted(table.column("query").to_pylist()) == [_query(0), _query(2)]
    assert tally(done) == {"toy\trejected\tTOO_SHORT": 1}
