"""From units to canonical rows: nothing lost, the right keys, LIMIT whatever the files, addresses of passages."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.catalog import LocatedEntry
from schemas.rows import CANONICAL, fields_hash, row_ids
from tests.transforms.examples.adapters.helpers import locate
from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, outputs, records, rows_of, shuffle, tally, together
from transforms.cleaning.params import CleanParams
from transforms.examples.adapters import source_columns
from transforms.examples.read_rows import (
    CORPUS,
    JUDGMENTS_TAG,
    MEMBERS_TAG,
    PASSAGES_TAG,
    OfferHashes,
    ReadRows,
    ReadSpec,
    passage_keys,
)
from transforms.flow.batches import first_words, partitions_of
from transforms.flow.counts import remarks
from transforms.flow.parts import PartWriter, read_part
from transforms.flow.rejections import reject
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG, publish_rejections
from transforms.sources.limit import PASSAGES_PER_QUERY, FindThreshold, row_hashes, text_hashes
from transforms.sources.readers import read_unit
from transforms.sources.units import Role, Unit

PAIR = locate("pair", {"query": "q", "positive": "p"})
SCORED = locate(
    "scored_pair", {"text_a": "a", "text_b": "b", "score": "s"}, {"positive_min": 1, "negative_max": 0}, name="scored"
)
BEIR = locate(
    "beir",
    {
        "corpus": {"id": "id", "text": "text"},
        "queries": {"id": "id", "text": "text"},
        "qrels": {"query_id": "q", "corpus_id": "p", "score": "s"},
    },
    name="judged",
)
PARTITIONS = 3


def _query(number: int) -> str:
    return f"What does rule {number} of the harbour say about boats?"


def _answer(number: int) -> str:
    return f"Rule {number} says that a boat must wait outside of the harbour until berth {number} is free."


def _spec(folder: Path, *located: LocatedEntry, limit: int | None = None) -> ReadSpec:
    entries = {entry.entry.name: entry.model_dump_json(exclude_unset=True) for entry in located}
    return ReadSpec(
        entries=entries,
        folder=str(folder / "stage"),
        progress=None,
        clean=dict.fromkeys(entries, CleanParams()),
        num_partitions=PARTITIONS,
        limit=limit,
    )


def _lines(
    folder: Path, dataset: str, name: str, lines: Sequence[Mapping[str, Any] | str], role: Role = "rows"
) -> Unit:
    path = folder / name
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return Unit(dataset=dataset, config="default", role=role, path=str(path), file=name, format="jsonl")


def _read(spec: ReadSpec, units: Sequence[Unit]) -> dict[str, list[Any]]:
    """What the units give, the limit's three steps included."""
    offered = [keyed for unit in units for keyed in OfferHashes(spec).process(unit.to_json())]
    find = FindThreshold(spec.limit or 0)
    thresholds = dict(pair for keyed in shuffle(offered) for pair in find.process(keyed))
    return together(*(outputs(ReadRows(spec).work(unit.to_json(), thresholds)) for unit in units))


def _kept(spec: ReadSpec, given: dict[str, list[Any]]) -> pa.Table:
    parts = [read_part(spec.parts, part) for part, _ in given.get(MAIN, [])]
    return pa.concat_tables([CANONICAL.empty_table(), *parts])


def _rejected(spec: ReadSpec, given: dict[str, list[Any]]) -> list[dict[str, Any]]:
    paths = [f"{spec.rejections}/{record['path']}" for record in records(given, "rejections")]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_every_row_is_kept_or_rejected_with_its_reason_and_place(tmp_path: Path) -> None:
    lines: list[Mapping[str, Any] | str] = [{"q": _query(i), "p": _answer(i)} for i in range(6)]
    lines[1:1] = ["{broken", {"q": None, "p": _answer(7)}, {"q": "Boats", "p": _answer(8)}]
    spec = _spec(tmp_path, PAIR)
    given = _read(spec, [_lines(tmp_path, "toy", "a.jsonl", lines)])
    rows = _kept(spec, given).to_pylist()
    assert [(row["query"], row["positives"]) for row in rows] == [(_query(i), [_answer(i)]) for i in range(6)]
    assert [row["provenance"] for row in rows] == [f"a.jsonl#{n}" for n in (0, 4, 5, 6, 7, 8)]
    assert {row["provenance"]: row["reason"] for row in _rejected(spec, given)} == {
        "a.jsonl#1": "MALFORMED_ROW",
        "a.jsonl#2": "EMPTY_QUERY",
        "a.jsonl#3": "TOO_SHORT",
    }
    assert tally(given) == {
        "toy\tread\t": 9,
        "toy\trejected\tMALFORMED_ROW": 1,
        "toy\trejected\tEMPTY_QUERY": 1,
        "toy\trejected\tTOO_SHORT": 1,
    }


def test_kept_rows_rest_in_parts_with_the_ids_that_follow_from_them(tmp_path: Path) -> None:
    spec = _spec(tmp_path, PAIR)
    lines = [{"q": _query(i), "p": _answer(i)} for i in range(5)]
    given = _read(spec, [_lines(tmp_path, "toy", "a.jsonl", lines)])
    (part, announced) = given[MAIN][0]
    assert announced.to_pylist() == [{"part": part, "rows": 5}]
    rows = _kept(spec, given)
    assert rows.schema.names == CANONICAL.names
    assert rows.column("id").to_pylist() == row_ids(rows).to_pylist()


def test_a_unit_may_give_several_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.examples.read_rows.PartWriter", partial(PartWriter, max_rows=4))
    monkeypatch.setattr("transforms.examples.read_rows.read_unit", partial(read_unit, batch_rows=3))
    spec = _spec(tmp_path, PAIR)
    lines = [{"q": _query(i), "p": _answer(i)} for i in range(10)]
    given = _read(spec, [_lines(tmp_path, "toy", "a.jsonl", lines)])
    assert [announced.to_pylist()[0]["rows"] for _, announced in given[MAIN]] == [4, 4, 2]
    assert _kept(spec, given).column("query").to_pylist() == [_query(i) for i in range(10)]


def test_the_dataset_is_a_value_so_that_one_step_reads_them_all(tmp_path: Path) -> None:
    spec = _spec(tmp_path, PAIR, SCORED)
    units = [
        _lines(tmp_path, "toy", "a.jsonl", [{"q": _query(1), "p": _answer(1)}]),
        _lines(tmp_path, "scored", "b.jsonl", [{"a": _query(1), "b": _answer(1), "s": 1}]),
    ]
    given = _read(spec, units)
    assert _kept(spec, given).column("dataset").to_pylist() == ["toy"]
    assert tally(given) == {"toy\tread\t": 1, "scored\tread\t": 1}


def test_members_travel_under_the_range_of_their_group(tmp_path: Path) -> None:
    lines = [{"a": _query(i % 7), "b": _answer(i), "s": i % 2} for i in range(30)]
    given = _read(_spec(tmp_path, SCORED), [_lines(tmp_path, "scored", "a.jsonl", lines)])
    keyed = given[MEMBERS_TAG]
    for key, batch in keyed:
        assert set(partitions_of(first_words(batch.column("group")), PARTITIONS)) == {key}
    assert sorted(row["text"] for row in rows_of(batch for _, batch in keyed)) == sorted(_answer(i) for i in range(30))
    assert JUDGMENTS_TAG not in given
    assert tally(given) == {"scored\tread\t": 30}


def _judged(folder: Path, num_passages: int = 12) -> dict[str, Unit]:
    return {
        "corpus": _lines(
            folder, "judged", "c.jsonl", [{"id": f"p{i}", "text": _answer(i)} for i in range(num_passages)], "corpus"
        ),
        "queries": _lines(folder, "judged", "q.jsonl", [{"id": i, "text": _query(i)} for i in range(3)], "queries"),
        "qrels": _lines(
            folder, "judged", "r.jsonl", [{"q": i % 3, "p": f"p{i}", "s": 1} for i in range(num_passages)], "qrels"
        ),
    }


def test_judgments_travel_under_the_range_of_their_passage_and_queries_under_that_of_their_group(
    tmp_path: Path,
) -> None:
    units = _judged(tmp_path)
    given = _read(_spec(tmp_path, BEIR), list(units.values()))
    judgments = given[JUDGMENTS_TAG]
    for key, batch in judgments:
        assert set(partitions_of(first_words(batch.column("passage")), PARTITIONS)) == {key}
    wanted = {fields_hash(("judged", f"p{i}")) for i in range(12)}
    assert {row["passage"] for row in rows_of(batch for _, batch in judgments)} == wanted
    members = rows_of(batch for _, batch in given[MEMBERS_TAG])
    assert sorted(row["query"] for row in members) == [_query(i) for i in range(3)]
    assert tally(given) == {"judged\tread\t": 12}, "judgments alone are rows"


def test_the_address_of_a_passage_leads_to_it_however_parts_and_batches_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.examples.read_rows.PartWriter", partial(PartWriter, max_rows=4))
    monkeypatch.setattr("transforms.examples.read_rows.read_unit", partial(read_unit, batch_rows=5))
    spec = _spec(tmp_path, BEIR)
    given = _read(spec, [_judged(tmp_path, 23)["corpus"]])
    parts = {int(r["path"][-24:-8], 16): r["rows"] for r in records(given, "corpus")}
    assert sorted(parts.values()) == [3, 4, 4, 4, 4, 4]
    found = {}
    for key, batch in given[PASSAGES_TAG]:
        assert set(partitions_of(first_words(batch.column("passage")), PARTITIONS)) == {key}
        for row in batch.to_pylist():
            found[row["passage"]] = read_part(spec.corpus, row["part"]).to_pylist()[row["row"]]
    plain = {"dataset": "judged", "sampled": True}
    assert found == {
        fields_hash(("judged", f"p{i}")): plain | {"passage_id": f"p{i}", "text": _answer(i)} for i in range(23)
    }


def test_a_passage_is_normalised_and_an_unusable_one_is_written_but_not_counted(tmp_path: Path) -> None:
    lines = [
        {"id": "p1", "text": " two\u00a0 words "},
        {"id": "p2", "text": None},
        {"id": None, "text": "x"},
        "{broken",
    ]
    spec = _spec(tmp_path, BEIR)
    given = _read(spec, [_lines(tmp_path, "judged", "c.jsonl", lines, "corpus")])
    (record,) = records(given, "corpus")
    passages = read_part(spec.corpus, int(record["path"][-24:-8], 16))
    assert passages.schema.names == CORPUS.names
    assert passages.column("text").to_pylist() == ["two words", "", "x"]
    assert {row["provenance"]: row["reason"] for row in _rejected(spec, given)} == {
        "c.jsonl#2": "DANGLING_ID",
        "c.jsonl#3": "MALFORMED_ROW",
    }
    assert {r["path"].split("/")[1] for r in records(given, "rejections")} == {"corpus"}
    assert tally(given) == {}


def test_passage_keys_are_hashes_of_dataset_and_id() -> None:
    batch = pa.RecordBatch.from_pydict({"dataset": ["a", "b"], "passage_id": ["1", "1"], "text": ["x", "y"]})
    assert passage_keys(batch).to_pylist() == [fields_hash(("a", "1")), fields_hash(("b", "1"))]


LIMITED: list[Mapping[str, Any] | str] = [{"q": _query(i // 2), "p": _answer(i // 2)} for i in range(20)]
LIMITED += ["{broken", "{broken too", {"q": None, "p": _answer(3)}]


def _smallest(folder: Path, lines: Sequence[Mapping[str, Any] | str], limit: int) -> list[int]:
    """The smallest hashes of all rows of one file that holds everything."""
    unit = _lines(folder, "toy", "all.jsonl", lines)
    (raw,) = read_unit(unit, source_columns(PAIR, "rows"))
    hashes = np.concatenate([row_hashes(raw.rows), text_hashes(raw.broken.column("raw").to_pylist())])
    return sorted(hashes.tolist())[:limit]


@pytest.mark.parametrize("limit", [1, 4, 7, 22, 50])
@pytest.mark.parametrize("cuts", [[0, 23], [0, 5, 11, 23], [0, 1, 2, 3, 12, 23]])
def test_a_limit_takes_the_same_rows_however_the_files_are_cut_named_and_ordered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, cuts: list[int]
) -> None:
    monkeypatch.setattr("transforms.examples.read_rows.read_unit", partial(read_unit, batch_rows=3))
    spec = _spec(tmp_path, PAIR, limit=limit)
    pieces = [LIMITED[start:end] for start, end in pairwise(cuts)]
    units = [_lines(tmp_path, "toy", f"{len(cuts) - i}.jsonl", piece) for i, piece in enumerate(pieces)]
    given = _read(spec, units)
    assert tally(given)["toy\tread\t"] == min(limit, len(LIMITED))
    rows = [{"q": row["query"], "p": row["positives"][0]} for row in _kept(spec, given).to_pylist()]
    rejected = _rejected(spec, given)
    rows += [{"q": None, "p": row["positives"][0]} for row in rejected if row["reason"] == "EMPTY_QUERY"]
    hashes = [
        row_hashes(pa.RecordBatch.from_pylist([row], pa.schema({"q": pa.string(), "p": pa.string()}))) for row in rows
    ]
    hashes.append(text_hashes([row["raw"] for row in rejected if row["reason"] == "MALFORMED_ROW"]))
    assert sorted(np.concatenate(hashes).tolist()) == _smallest(tmp_path, LIMITED, limit)


def test_a_limit_on_judgments_takes_all_of_the_queries_with_the_smallest_ids_hashes(tmp_path: Path) -> None:
    units = _judged(tmp_path)
    given = _read(_spec(tmp_path, BEIR, limit=2), [units["queries"], units["qrels"]])
    wanted = sorted(range(3), key=lambda number: text_hashes([number])[0])[:2]
    details = [row["detail"] for row in rows_of(batch for _, batch in given[JUDGMENTS_TAG])]
    assert sorted(details) == sorted(f"query {i % 3} passage p{i} score 1" for i in range(12) if i % 3 in wanted)
    assert len(rows_of(batch for _, batch in given[MEMBERS_TAG])) == 3, "the texts of queries are not limited"
    assert tally(given) == {"judged\tread\t": 8}


def test_a_limit_leaves_all_passages_for_judgments_and_draws_some_for_mining(tmp_path: Path) -> None:
    spec = _spec(tmp_path, BEIR, limit=1)
    size = 3 * PASSAGES_PER_QUERY
    given = _read(spec, [_judged(tmp_path, size)["corpus"]])
    assert len(rows_of(batch for _, batch in given[PASSAGES_TAG])) == size
    (record,) = records(given, "corpus")
    passages = read_part(spec.corpus, int(record["path"][-24:-8], 16)).to_pylist()
    wanted = sorted((f"p{i}" for i in range(size)), key=lambda name: text_hashes([name])[0])[:PASSAGES_PER_QUERY]
    assert {row["passage_id"] for row in passages if row["sampled"]} == set(wanted)
    assert len(passages) == size


def test_without_a_limit_nothing_is_offered(tmp_path: Path) -> None:
    unit = _lines(tmp_path, "toy", "a.jsonl", LIMITED)
    assert list(OfferHashes(_spec(tmp_path, PAIR)).process(unit.to_json())) == []


def test_rejections_are_published_with_their_records_and_counts(tmp_path: Path) -> None:
    rows = canonical_rows([{"dataset": "toy", "query": _query(i)} for i in range(3)])
    rejected = reject(rows, "prepare", ["CAPPED", "TIE", "TIE"], [""] * 3, [None] * 3)
    given = outputs(
        publish_rejections(str(tmp_path / "r"), [rejected.slice(0, 1), rejected.slice(1), rejected.slice(0, 0)])
    )
    assert tally(given) == {"toy\trejected\tCAPPED": 1, "toy\trejected\tTIE": 2}
    (record,) = records(given, "rejections")
    assert record["rows"] == 3
    assert pq.read_table(tmp_path / "r" / record["path"]).to_pylist() == rejected.to_pylist()
    assert outputs(publish_rejections(str(tmp_path / "none"), [rejected.slice(0, 0)])) == {}
    assert FILES_TAG in given
    assert not (tmp_path / "none").exists()


def _scored_lines() -> list[dict[str, Any]]:
    return [{"a": _query(group), "b": _answer(10 * group + i), "s": i % 2} for group in range(12) for i in range(4)]


@pytest.mark.parametrize("cuts", [[0, 48], [0, 7, 30, 48]])
def test_a_limit_takes_whole_groups(tmp_path: Path, cuts: list[int]) -> None:
    lines = _scored_lines()[::5] + [line for number, line in enumerate(_scored_lines()) if number % 5]
    pieces = [lines[start:end] for start, end in pairwise(cuts)]
    units = [_lines(tmp_path, "scored", f"{i}.jsonl", piece) for i, piece in enumerate(pieces)]
    given = _read(_spec(tmp_path, SCORED, limit=10), units)
    members = rows_of(batch for _, batch in given[MEMBERS_TAG])
    wanted = sorted({line["a"] for line in lines}, key=lambda query: text_hashes([query])[0])[:3]
    assert sorted(row["text"] for row in members) == sorted(line["b"] for line in lines if line["a"] in wanted)
    assert tally(given) == {"scored\tread\t": 12}, "10 rows, and the rest of the last group"


def test_what_was_noticed_of_a_corpus_is_told(tmp_path: Path) -> None:
    lines = [{"id": 7, "text": "a"}, {"id": "x8", "text": "b"}, {"id": None, "text": "c"}, "{broken"]
    given = _read(_spec(tmp_path, BEIR), [_lines(tmp_path, "judged", "c.jsonl", lines, "corpus")])
    told = remarks(given[COUNTS_TAG])
    assert told["ids"] == {"judged": {"corpus": "7"}}
    assert told["notes"]["judged"] == {
        "rows of the corpus cannot be used: DANGLING_ID": 1,
        "rows of the corpus cannot be used: MALFORMED_ROW": 1,
        "c.jsonl: only 3 of 4 rows can be read (MALFORMED_ROW 1)": 1,
    }
