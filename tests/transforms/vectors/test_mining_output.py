"""What mining found, at rest: aligned lists become structs, refused rows go home and become rejections."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows import ID, MINED, text_hash
from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, in_order, outputs, records, rows_of, shuffle, tally, together
from transforms.flow.parts import DECISIONS, read_part, write_part
from transforms.text.part_texts import Prompts
from transforms.vectors.embedding import TextSpec
from transforms.vectors.mining_input import PoolSpec
from transforms.vectors.mining_output import RejectMined, WriteMined, accepted, doubtful, refused

_ADDRESS = pa.struct(
    [
        pa.field("part", pa.int64()),
        pa.field("row", pa.int32()),
        pa.field("field", pa.string()),
        pa.field("element", pa.int32()),
    ]
)
#: What comes back from mining, as far as it is looked at here.
FOUND = pa.schema(
    [
        pa.field("id", ID),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("cluster", ID),
        *(
            pa.field(f"{side}_{name}", pa.list_(kind))
            for side in ("positive", "negative")
            for name, kind in (("hashes", ID), ("scores", pa.float32()), ("addresses", _ADDRESS))
        ),
        pa.field("negative_ranks", pa.list_(pa.int32())),
        pa.field("dataset", pa.string()),
        pa.field("part", pa.int64()),
        pa.field("row", pa.int32()),
        pa.field("mates", pa.int32()),
        pa.field("others", pa.int32()),
        pa.field("readmitted", pa.string()),
    ]
)

TEXTS = st.lists(st.tuples(st.text(max_size=3), st.integers(0, 8), st.integers(-1, 99)), max_size=3)
ROWS = st.lists(st.tuples(st.booleans(), TEXTS, TEXTS), max_size=6)


def _side(singular: str, texts: list[tuple[str, int, int]]) -> dict[str, Any]:
    return {
        f"{singular}_hashes": [text_hash(text) for text, _, _ in texts],
        f"{singular}_scores": [place / 8 for _, place, _ in texts],
        f"{singular}_addresses": [
            {"part": place, "row": place + 1, "field": "positives", "element": place + 2} for _, place, _ in texts
        ],
    }


def _row(number: int, fit: bool, positives: Any = (), negatives: Any = (), part: int = 3) -> dict[str, Any]:
    return {
        "id": text_hash(f"row {number}"),
        "reason": None if fit else "INCONSISTENT",
        "detail": None if fit else f"row {number}",
        "cluster": text_hash(f"cluster {number}"),
        "dataset": "a" if number % 2 else "b",
        "part": part,
        "row": number,
        "mates": 0,
        "others": 0,
        "negative_ranks": [rank for _, _, rank in negatives],
    } | (_side("positive", positives) | _side("negative", negatives))


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, FOUND)


def _structs(texts: list[tuple[str, int, int]], ranked: bool) -> list[dict[str, Any]]:
    return [
        {
            "hash": text_hash(text),
            "part": place,
            "row": place + 1,
            "field": "positives",
            "element": place + 2,
            "score": place / 8,
            "rank": rank if ranked else -1,
        }
        for text, place, rank in texts
    ]


@given(ROWS, st.integers(0, 3))
def test_accepted_rows_hold_every_text_with_its_address_score_and_rank(rows: list[Any], skip: int) -> None:
    found = _table([_row(number, *row) for number, row in enumerate(rows)]).slice(skip)
    mined = accepted(found)
    assert mined.schema == MINED
    assert mined.to_pylist() == [
        {
            "dataset": "a" if number % 2 else "b",
            "id": text_hash(f"row {number}"),
            "part": 3,
            "row": number,
            "cluster_id": text_hash(f"cluster {number}"),
            "positives": _structs(positives, ranked=False),
            "negatives": _structs(negatives, ranked=True),
        }
        for number, (fit, positives, negatives) in enumerate(rows)
        if fit and number >= skip
    ]


@given(ROWS)
def test_refused_rows_are_decisions_for_their_part(rows: list[Any]) -> None:
    decisions = refused(_table([_row(number, *row, part=number % 3) for number, row in enumerate(rows)]))
    assert decisions.drop_columns("part").schema == DECISIONS
    assert [(row["part"], row["row"], row["reason"], row["detail"]) for row in decisions.to_pylist()] == [
        (number % 3, number, "INCONSISTENT", f"row {number}") for number, (fit, *_) in enumerate(rows) if not fit
    ]


def _spec(folder: Path) -> PoolSpec:
    texts = TextSpec(
        kept=f"{folder}/kept",
        corpus=f"{folder}/corpus",
        mined=frozenset("ab"),
        prompts=Prompts(queries={}, passages={}),
        store=f"{folder}/store",
        dims=2,
        num_store_partitions=2,
        progress=None,
    )
    return PoolSpec(texts=texts, num_shards={"a": 1, "b": 1}, folder=f"{folder}/mine")


def _kept(folder: Path, queries: range) -> int:
    rows = [{"dataset": "a" if n % 2 else "b", "query": f"q{n}", "positives": [f"p{n}"]} for n in queries]
    return write_part(f"{folder}/kept", canonical_rows(rows))


def _account(found: pa.Table) -> dict[str, int]:
    return {"rows": found.num_rows}


def _write(folder: Path, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return outputs(WriteMined(_spec(folder), _account).process(("a\t0", _table(rows).to_batches()[0])))


def test_accepted_rows_are_written_and_counted_as_kept(tmp_path: Path) -> None:
    rows = [_row(number, number != 2, [("p", 1, -1)]) for number in range(5)]
    written = _write(tmp_path, rows)
    (record,) = records(written, "mined")
    mined = read_part(f"{tmp_path}/mine/mined", int(record["path"][-24:-8], 16))
    assert mined.column("row").to_pylist() == [0, 1, 3, 4]
    assert record["rows"] == 4
    assert tally(written) == {"a\tkept\t": 2, "b\tkept\t": 2, "a\tmining\trows": 5}
    ((part, batch),) = written[MAIN]
    assert (part, batch.column("row").to_pylist()) == (3, [2])


def test_a_block_of_refused_rows_writes_nothing(tmp_path: Path) -> None:
    written = _write(tmp_path, [_row(0, False), _row(1, False)])
    assert tally(written) == {"a\tmining\trows": 2}
    assert records(written, "mined") == []
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("seed", [0, 1])
def test_refused_rows_of_a_part_become_rejections_with_their_texts(tmp_path: Path, seed: int) -> None:
    parts = [_kept(tmp_path, range(6)), _kept(tmp_path, range(6, 12))]
    blocks = [
        [_row(n, n not in (1, 4), part=part) for n in range(start, start + 3)] for part in parts for start in (0, 3)
    ]
    written = together(*(_write(tmp_path, block) for block in blocks))
    for _, batch in written[MAIN]:
        assert batch.schema == DECISIONS
    done = together(*(outputs(RejectMined(_spec(tmp_path)).process(keyed)) for keyed in shuffle(written[MAIN], seed)))
    assert MAIN not in done
    assert tally(done) == {"a\trejected\tINCONSISTENT": 2, "b\trejected\tINCONSISTENT": 2}
    paths = [f"{tmp_path}/mine/rejections/{record['path']}" for record in records(done, "rejections")]
    rejected = [row for path in paths for row in pq.read_table(path).to_pylist()]
    shown = [{name: row[name] for name in ("stage", "query", "positives", "detail")} for row in rejected]
    assert in_order(shown) == in_order(
        [
            {"stage": "mine", "query": f"q{n + start}", "positives": [f"p{n + start}"], "detail": f"row {n}"}
            for start in (0, 6)
            for n in (1, 4)
        ]
    )


def test_rows_of_several_parts_are_told_apart(tmp_path: Path) -> None:
    written = _write(tmp_path, [_row(0, False, part=8), _row(1, False, part=5), _row(2, False, part=8)])
    assert {part: [row["row"] for row in rows_of([batch])] for part, batch in written[MAIN]} == {5: [1], 8: [0, 2]}


def test_a_label_is_doubtful_where_no_near_text_shares_it() -> None:
    numbers = [(0, 10), (0, 0), (1, 9), (0, 3)]
    rows = [_row(n, True) | {"mates": mates, "others": others} for n, (mates, others) in enumerate(numbers)]
    rows.append(_row(4, False) | {"others": 10})
    found = doubtful(_table(rows))
    assert [(row["row"], row["reason"], row["part"]) for row in found.to_pylist()] == [
        (0, "DOUBTFUL_LABEL", 3),
        (3, "DOUBTFUL_LABEL", 3),
    ]
    assert found["detail"].to_pylist()[1] == "none of the nearest 3 texts shares a label with it"


def test_rows_with_a_doubtful_label_stay_and_are_listed_beside_the_rejections(tmp_path: Path) -> None:
    part = _kept(tmp_path, range(6))
    rows = [_row(n, n != 4, part=part) | {"mates": n, "others": 10 - n} for n in (0, 2, 4)]
    rows.append(_row(1, True, part=part) | {"others": 10})
    written = _write(tmp_path, rows)
    assert tally(written) == {"a\tkept\t": 1, "b\tkept\t": 2, "a\tmining\trows": 4}
    done = together(*(outputs(RejectMined(_spec(tmp_path)).process(keyed)) for keyed in shuffle(written[MAIN], 0)))
    assert tally(done) == {"b\trejected\tINCONSISTENT": 1}
    files = {record["path"].rsplit("/", 1)[0]: record for record in records(done, "rejections")}
    assert set(files) == {"b", "a/doubtful_labels", "b/doubtful_labels"}
    for dataset, number in (("b", 0), ("a", 1)):
        path = f"{tmp_path}/mine/rejections/{files[f'{dataset}/doubtful_labels']['path']}"
        (row,) = pq.ParquetFile(path).read().to_pylist()
        assert (row["stage"], row["reason"], row["query"]) == ("mine", "DOUBTFUL_LABEL", f"q{number}")
