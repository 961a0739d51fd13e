"""Ids of any size meet, whatever the format and the type that each file keeps them in."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.transforms.examples.adapters.helpers import locate
from tests.transforms.sources.readers.files import unit_of
from transforms.examples.adapters import Adapted, adapt, read_options, source_columns
from transforms.examples.adapters.adapted import concat
from transforms.examples.group_membership import group_hashes
from transforms.sources.readers import read_unit
from transforms.sources.units import Role, Unit

BEIR = locate(
    "beir",
    {
        "corpus": {"id": "id", "text": "text"},
        "queries": {"id": "id", "text": "text"},
        "qrels": {"query_id": "q", "corpus_id": "id"},
    },
)
LEAST, MOST = -(2**63), 2**64
around = st.sampled_from([0, 2**31, 2**53, 2**63, 2**64, 10**19, -(2**53), -(2**63)])
numbers = st.builds(int.__add__, around, st.integers(-3, 3))

Table = dict[str, list[int]]
Writer = Callable[[Path, str, Sequence[int]], Path]


def _jsonl(as_value: Callable[[int], object]) -> Writer:
    def write(folder: Path, name: str, ids: Sequence[int]) -> Path:
        path = folder / f"{name}.jsonl"
        lines = (json.dumps({"id": as_value(number), "text": f"t{number}", "q": "q"}) for number in ids)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def _json(folder: Path, name: str, ids: Sequence[int]) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps([{"id": number, "text": f"t{number}", "q": "q"} for number in ids]), encoding="utf-8")
    return path


def _mixed(folder: Path, name: str, ids: Sequence[int]) -> Path:
    """Every third id as text, and a line whose id is NaN, as pandas and json.dumps write a missing one."""
    path = _jsonl(lambda number: str(number) if number % 3 == 0 else number)(folder, name, ids)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"id": NaN, "text": "nobody", "q": "q"}\n{"text": "nobody", "q": "q"}\n')
    return path


def _delimited(ending: str, delimiter: str) -> Writer:
    def write(folder: Path, name: str, ids: Sequence[int]) -> Path:
        path, text = folder / f"{name}.{ending}", io.StringIO()
        csv.writer(text, delimiter=delimiter).writerows([("id", "text", "q"), *((n, f"t{n}", "q") for n in ids)])
        path.write_text(text.getvalue(), encoding="utf-8")
        return path

    return write


def _parquet(kind: pa.DataType, as_value: Callable[[int], object] = int) -> Writer:
    def write(folder: Path, name: str, ids: Sequence[int]) -> Path:
        path = folder / f"{name}.parquet"
        texts = [f"t{number}" for number in ids]
        columns = {"id": pa.array([as_value(n) for n in ids], kind), "text": texts, "q": ["q"] * len(ids)}
        pq.write_table(pa.table(columns), path)
        return path

    return write


#: A way to keep ids, and the ids that it can keep exactly.
WRITERS: dict[str, tuple[Writer, Callable[[int], bool]]] = {
    "JSON numbers": (_jsonl(int), lambda _: True),
    "JSON texts": (_jsonl(str), lambda _: True),
    "JSON numbers and texts": (_mixed, lambda _: True),
    "a JSON document": (_json, lambda _: True),
    "CSV": (_delimited("csv", ","), lambda _: True),
    "TSV": (_delimited("tsv", "\t"), lambda _: True),
    "Parquet strings": (_parquet(pa.string(), str), lambda _: True),
    "Parquet bytes": (_parquet(pa.binary(), lambda n: str(n).encode()), lambda _: True),
    "Parquet int64": (_parquet(pa.int64()), lambda n: -(2**63) <= n < 2**63),
    "Parquet uint64": (_parquet(pa.uint64()), lambda n: 0 <= n < 2**64),
    "Parquet decimals": (_parquet(pa.decimal128(38, 2), Decimal), lambda _: True),
    "Parquet doubles": (_parquet(pa.float64(), float), lambda n: int(float(n)) == n),
}


def _read(path: Path, role: Role) -> Adapted:
    unit: Unit = unit_of(path, role=role, dataset="toy")
    batches = list(read_unit(unit, source_columns(BEIR, role), read_options(BEIR, role), batch_rows=3))
    found = [adapt(BEIR, unit, batch) for batch in batches]
    assert not any(adapted.rejections.num_rows for adapted in found if role == "corpus")
    return Adapted(
        members=concat(*(adapted.members for adapted in found)),
        passages=concat(*(adapted.passages for adapted in found)),
    )


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(numbers, min_size=1, max_size=12, unique=True),
    corpus=st.sampled_from(sorted(WRITERS)),
    judgments=st.sampled_from(sorted(WRITERS)),
)
def test_judgments_find_their_passages_and_no_others(
    tmp_path: Path, ids: list[int], corpus: str, judgments: str
) -> None:
    (write_corpus, keeps), (write_judgments, names) = WRITERS[corpus], WRITERS[judgments]
    kept = [number for number in ids if keeps(number)]
    judged = [number for number in ids if names(number)]
    if not kept or not judged:
        return
    passages = _read(write_corpus(tmp_path, "corpus", kept), "corpus").passages
    texts = dict(zip(passages.column("passage_id").to_pylist(), passages.column("text").to_pylist(), strict=True))
    assert {key: text for key, text in texts.items() if key} == {str(number): f"t{number}" for number in kept}
    members = _read(write_judgments(tmp_path, "qrels", judged), "qrels").members
    wanted = group_hashes("toy", pa.array([str(number) for number in judged]))
    assert members.column("passage").to_pylist() == wanted.to_pylist()


@pytest.mark.parametrize("block", [1, 5, 50])
def test_ids_are_exact_wherever_the_first_large_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("transforms.sources.readers.json_rows.SAMPLE_ROWS", 2)
    monkeypatch.setattr("transforms.sources.readers.json_lines.SAMPLE_ROWS", 2)
    ids = [*range(block), 2**53 + 1, *range(block, 2 * block), 2**63 + 1, -5, 2**64 + 1]
    path = _jsonl(int)(tmp_path, "corpus", ids)
    assert _read(path, "corpus").passages.column("passage_id").to_pylist() == [str(number) for number in ids]


def test_ids_among_fractions_are_not_rounded(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    head = '{"id": 1.0, "text": "a"}\n{"id": 2.5, "text": "b"}\n' * 600
    path.write_text(head + '{"id": 9007199254740993, "text": "c"}\n', encoding="utf-8")
    assert _read(path, "corpus").passages.column("passage_id").to_pylist()[-1] == "9007199254740993"
    assert _read(path, "corpus").passages.column("passage_id").to_pylist()[:2] == ["1", "2.5"]


def test_a_table_with_a_gap_writes_its_ids_as_fractions(tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv").write_text("q\tid\nq1\t0.0\nq1\t1.0\nq1\t\nq1\t12.0\n", encoding="utf-8")
    wanted = group_hashes("toy", pa.array(["0", "1", "12"])).to_pylist()
    assert _read(tmp_path / "qrels.tsv", "qrels").members.column("passage").to_pylist() == wanted
    (tmp_path / "qrels.tsv").write_text("q\tid\nq1\t1.0\nq1\t1.1\nq1\t2.0\n", encoding="utf-8")
    wanted = group_hashes("toy", pa.array(["1.0", "1.1", "2.0"])).to_pylist()
    assert _read(tmp_path / "qrels.tsv", "qrels").members.column("passage").to_pylist() == wanted, "numbers of sections"


def test_ids_of_bytes_are_uuids_or_hexadecimal(tmp_path: Path) -> None:
    uuid = bytes.fromhex("123e4567e89b12d3a456426614174000")
    for kind, values in ((pa.uuid(), [uuid]), (pa.binary(16), [uuid])):
        pq.write_table(pa.table({"id": pa.array(values, kind), "text": ["a"]}), tmp_path / "c.parquet")
        passages = _read(tmp_path / "c.parquet", "corpus").passages
        assert passages.column("passage_id").to_pylist() == ["123e4567-e89b-12d3-a456-426614174000"]
    pq.write_table(pa.table({"id": pa.array([b"\1\xff"], pa.binary(2)), "text": ["a"]}), tmp_path / "c.parquet")
    assert _read(tmp_path / "c.parquet", "corpus").passages.column("passage_id").to_pylist() == ["01ff"]
