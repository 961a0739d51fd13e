import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from tests.transforms.sources.readers.files import read, request, schema_of, unit_of, write
from transforms.sources.readers import json_lines, streams
from transforms.sources.readers.json_lines import read_json_lines_unit
from transforms.sources.readers.json_rows import REPEATED_KEY

texts = st.text('aé字🙂\n"\\{}, ', max_size=8)
records = st.fixed_dictionaries(
    {"query": st.one_of(st.none(), texts)},
    optional={"positive": st.lists(texts, max_size=3), "other": st.one_of(st.integers(), texts, st.lists(texts))},
)
BROKEN_LINES = {
    b'{"query": "a"': "MALFORMED_ROW",
    b'{"query": "a"} x': "MALFORMED_ROW",
    b'{"query": "a"}{"query": "b"}': "MALFORMED_ROW",
    b'["query"]': "MALFORMED_ROW",
    b"7": "MALFORMED_ROW",
    b'{"query": "tab\there"}': "MALFORMED_ROW",
    b'{"query": 5}': "WRONG_TYPE",
    b'{"query": {"text": "a"}}': "WRONG_TYPE",
    b'{"query": ["a"]}': "WRONG_TYPE",
    b'{"query": true}': "WRONG_TYPE",
    b'{"query": "a\xff"}': "INVALID_UTF8",
    b'{"query": "a", "other": "\xc3"}': "INVALID_UTF8",
    b'{"query": "\\ud83d"}': "INVALID_UTF8",
}
a_line = st.one_of(
    records.map(lambda record: (json.dumps(record).encode(), record)),
    records.map(lambda record: (json.dumps(record, ensure_ascii=False).encode() + b"\r", record)),
    st.sampled_from(sorted(BROKEN_LINES)).map(lambda line: (line, BROKEN_LINES[line])),
    st.sampled_from([b"", b"  ", b"\r"]).map(lambda blank: (blank, None)),
)
HEAD = [(json.dumps({"query": "first", "positive": ["p"]}).encode(), {"query": "first", "positive": ["p"]})] * 40


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(a_line, max_size=20), block_bytes=st.integers(2200, 4000), ends=st.booleans())
def test_every_line_is_a_row_or_broken_wherever_blocks_end(
    tmp_path: Path, lines: list[tuple[bytes, Any]], block_bytes: int, ends: bool
) -> None:
    path = write(tmp_path / "train.jsonl", b"\n".join(line for line, _ in HEAD + lines) + b"\n" * ends)
    outcomes = [outcome for _, outcome in HEAD + lines if outcome is not None]
    batches = list(read_json_lines_unit(unit_of(path), request("query", "positive"), 8, block_bytes))
    order = [number for batch in batches for number in batch.numbers.to_pylist()]
    rows = dict(zip(order, (row for batch in batches for row in batch.rows.to_pylist()), strict=True))
    broken = {row["number"]: row["reason"] for batch in batches for row in batch.broken.to_pylist()}
    assert broken == {number: outcome for number, outcome in enumerate(outcomes) if isinstance(outcome, str)}
    assert rows == {
        number: {"query": outcome["query"], "positive": outcome.get("positive")}
        for number, outcome in enumerate(outcomes)
        if isinstance(outcome, dict)
    }
    assert order == sorted(order)


nested = st.recursive(
    st.one_of(st.none(), st.integers(-9, 9), st.floats(-9, 9), texts, st.just("2020-01-01")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.lists(nested, min_size=1, max_size=12))
def test_the_fast_way_gives_what_line_by_line_gives(tmp_path: Path, fields: list[Any]) -> None:
    path = write(tmp_path / "train.jsonl", b"".join(json.dumps({"x": x, "y": 1}).encode() + b"\n" for x in fields))
    fast = read(unit_of(path), "x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "parse_fast", lambda *_: None)
        assert read(unit_of(path), "x") == fast


def test_a_sound_block_goes_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        tmp_path / "train.jsonl", b'{"a": "x", "b": {"c": [1, 2.5]}, "d": 1}\n{"a": null, "b": null, "d": "e"}\n'
    )
    monkeypatch.setattr(json_lines.JsonRows, "read", lambda *_: pytest.fail("read line by line"))
    assert read(unit_of(path), "a")[0] == {0: {"a": "x"}, 1: {"a": None}}


def test_one_faulty_line_costs_its_neighbourhood_and_not_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps({"a": f"text number {number}"}).encode() for number in range(20_000)]
    lines[12_345] = b"{"
    path = write(tmp_path / "train.jsonl", b"\n".join(lines))
    careful: list[int] = []
    read_carefully = json_lines.JsonRows.read

    def counted(self: Any, rows: Any, first: int) -> Any:
        careful.append(len(rows))
        return read_carefully(self, rows, first)

    monkeypatch.setattr(json_lines.JsonRows, "read", counted)
    rows, broken = read(unit_of(path), "a")
    assert (len(rows), broken) == (19_999, {12_345: "MALFORMED_ROW"})
    assert rows[12_346] == {"a": "text number 12346"}
    assert sum(careful) < 3_000


def test_types_are_those_of_the_first_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b'{"t": "2020-01-01", "n": 1, "f": 1.5, "l": ["a"], "b": true, "z": null}\n')
    assert schema_of(unit_of(path), "t", "n", "f", "l", "b", "z") == pa.schema(
        [
            ("t", pa.string()),
            ("n", pa.int64()),
            ("f", pa.float64()),
            ("l", pa.list_(pa.string())),
            ("b", pa.bool_()),
            ("z", pa.null()),
        ]
    )


def test_what_the_sample_did_not_show_is_learnt_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "SAMPLE_ROWS", 2)
    rows = [
        {"label": None, "n": 1, "o": {"a": "x"}},
        {"label": None, "n": 2, "o": {}},
        {"label": "late", "n": 2.5, "o": {"b": {"c": "2021-03-04"}}},
        {"label": "later", "n": 2**70, "o": None},
        {"label": 3, "n": "x", "o": {"a": 1}},
    ]
    path = write(tmp_path / "train.jsonl", b"\n".join(json.dumps(row).encode() for row in rows))
    got, broken = read(unit_of(path), "label", "n", "o")
    assert broken == {4: "WRONG_TYPE"}
    assert got[2] == {"label": "late", "n": "2.5", "o": {"a": None, "b": {"c": "2021-03-04"}}}
    assert got[3] == {"label": "later", "n": str(2**70), "o": None}


def test_the_majority_decides_and_text_wins_a_tie(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b'{"a": 1}\n{"a": "x"}\n{"a": 2}\n')
    assert read(unit_of(path), "a") == ({0: {"a": 1}, 2: {"a": 2}}, {1: "WRONG_TYPE"})
    path = write(tmp_path / "train.jsonl", b'{"a": 1}\n{"a": "x"}\n')
    assert read(unit_of(path), "a") == ({1: {"a": "x"}}, {0: "WRONG_TYPE"})


def test_broken_rows_say_what_stood_there(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b'{"a": "x"}\n{"a": \xff}\n{"a": 1}\n{"a"\n' + b'{"a": "x"}\n')
    (batch,) = read_json_lines_unit(unit_of(path), request("a"), 100)
    assert [row["raw"] for row in batch.broken.to_pylist()] == ['{"a": \\xff}', '{"a": 1}', '{"a"']
    assert batch.broken.column("detail").to_pylist()[1] == "a holds a number where the column holds text"


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
        (tmp_path / name).write_bytes(b"")
        assert read(unit_of(tmp_path / name), "a") == ({}, {})
        assert read(unit_of(write(tmp_path / name, b"")), "a") == ({}, {})


def test_a_file_of_broken_lines_alone_is_all_broken(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b"{\n}\n[]\n")
    assert read(unit_of(path), "a") == ({}, dict.fromkeys(range(3), "MALFORMED_ROW"))


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b'\xef\xbb\xbf{"a": "x"}\n')
    assert read(unit_of(path), "a") == ({0: {"a": "x"}}, {})


def test_deep_nesting_is_a_malformed_row(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b'{"a": "x"}\n{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
    assert read(unit_of(path), "a") == ({0: {"a": "x"}}, {1: "MALFORMED_ROW"})


def test_a_missing_column_names_file_column_what_is_there_and_the_line_to_mend(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", b'{"question": "x", "answer": "y"}\n{"question": "z", "id": 1}\n')
    with pytest.raises(SourceError) as caught:
        read(unit_of(path), "question", "anser")
    for part in ("datasets/x/y/default/train.jsonl", "'anser'", "catalog/y.yaml:2", "question, answer, id"):
        assert part in caught.value.message


def test_a_line_without_end_is_taken_for_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 5000)
    path = write(tmp_path / "train.jsonl", b'{"a": "' + b"x" * 10_000 + b'"}')
    with pytest.raises(SourceError, match=r"train\.jsonl has a line of more than .* `records`"):
        list(read_json_lines_unit(unit_of(path), request("a"), 10, 1000))


def test_of_equal_keys_the_last_one_counts_whichever_parser_meets_them(tmp_path: Path) -> None:
    lines = ['{"a": "x"}'] * 20 + ['{"a": "first", "a": "last"}', '{"a": "y", "o": {"k": 1, "k": 2}}']
    for end in ("", "\n{"):
        notes: Counter[str] = Counter()
        (tmp_path / "train.jsonl").write_text("\n".join(lines) + end, encoding="utf-8")
        rows, _ = read(unit_of(tmp_path / "train.jsonl"), "a", notes=notes)
        assert rows[20] == {"a": "last"}
        assert notes[REPEATED_KEY] == 1, "of the wanted columns"
    notes = Counter()
    (tmp_path / "train.json").write_text(f"[{','.join(lines)}]", encoding="utf-8")
    rows, _ = read(unit_of(tmp_path / "train.json"), "a", "o", notes=notes)
    assert (rows[20]["a"], notes[REPEATED_KEY]) == ("last", 2)


def test_lines_may_be_arrays(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('["q", "p", 3]\n["r"]\n{"q": 1}\n', encoding="utf-8")
    rows, broken = read(unit_of(tmp_path / "train.jsonl"), "#1", "#2")
    assert rows == {0: {"#1": "q", "#2": "p"}, 1: {"#1": "r", "#2": None}}
    assert broken == {2: "MALFORMED_ROW"}
    notes: Counter[str] = Counter()
    (tmp_path / "train.jsonl").write_text('["q", "p"]\n' * 3, encoding="utf-8")
    read(unit_of(tmp_path / "train.jsonl"), "q", "p", notes=notes)
    assert any("none of 3 rows can be read" in note and "#1, #2" in note for note in notes)


def test_objects_back_to_back_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"a": "x"}\n{"a": "x"}{"a": "y"}\n', encoding="utf-8")
    (batch,) = read_json_lines_unit(unit_of(tmp_path / "train.jsonl"), request("a"), 10)
    assert "each row wants a line of its own" in batch.broken.column("detail")[0].as_py()
