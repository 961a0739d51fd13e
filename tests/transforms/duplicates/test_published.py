"""Published rows: read as they were compared, they take part as within one run, and stay whatever is said of them."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.errors import DamageError
from schemas.rows import CANONICAL, SHARD
from tests.transforms.duplicates.test_verification import FRAMES, WORDS, jaccard, prose, with_edit
from tests.transforms.rows import canonical_rows, run_decisions, write_parts
from transforms.duplicates.components import component_labels
from transforms.duplicates.exact import RemoveExactDuplicates, decide_exact, key_rows
from transforms.duplicates.near import (
    FindNearDuplicates,
    NearSpec,
    candidate_rows,
    link_rows,
    sign_rows,
    verify_candidates,
)
from transforms.duplicates.params import NearDuplicateParams
from transforms.duplicates.published import PublishedPart, addresses, read_published, scopes_at, shard_parts
from transforms.duplicates.scopes import DedupScope
from transforms.flow.files import parquet_bytes, publish
from transforms.flow.parts import MAX_PART_ROWS
from transforms.text.matching import matching_form

FIRST = DedupScope(priority=-9)
COLUMNS = ["dataset", "id", "query", "positives", "negatives", "other_labels", "label", "score"]
NONE = np.empty(0, np.int32)


def write_shard(path: Path, rows: pa.Table, **mined: list[list[str]]) -> str:
    """Canonical rows as a shard; ``mined``: positives that stand there in place of their own."""
    empty: dict[str, Any] = {
        "id": pa.array([value.hex() for value in rows.column("id").to_pylist()]),
        "task_type": pa.array(["retrieval"] * rows.num_rows),
    }
    for field in SHARD:
        if field.name in mined:
            empty[field.name] = pa.array(mined[field.name], field.type)
        elif field.name not in empty and field.name in CANONICAL.names:
            empty[field.name] = rows.column(field.name)
        elif field.name not in empty:
            is_list = pa.types.is_list(field.type)
            empty[field.name] = pa.array([[]] * rows.num_rows, field.type) if is_list else pa.nulls(rows.num_rows)
    publish(str(path), parquet_bytes(pa.table([empty[name] for name in SHARD.names], schema=SHARD)))
    return str(path)


def part_of(path: str, rows: int, dataset: str = "d", **facts: Any) -> PublishedPart:
    values: dict[str, Any] = {"scope": FIRST, "place": "there", "first": 0, "rows": rows, "shard_rows": rows} | facts
    return PublishedPart(path=path, dataset=dataset, **values)


def test_rows_are_read_as_they_were_compared(tmp_path: Path) -> None:
    rows = canonical_rows([{"query": f"q{n}", "positives": ["p", f"p{n}"]} for n in range(5)])
    path = write_shard(tmp_path / "s.parquet", rows)
    assert read_published(part_of(path, 5), COLUMNS).equals(rows.select(COLUMNS))
    piece = part_of(path, 2, first=3, shard_rows=5)
    assert read_published(piece, ["query", "id"]).equals(rows.slice(3).select(["query", "id"]).combine_chunks())


def test_positives_that_mining_found_by_a_label_are_not_the_rows_own(tmp_path: Path) -> None:
    rows = canonical_rows([{"query": "a", "label": "x"}, {"query": "b", "label": "x"}, {"query": "c"}])
    path = write_shard(tmp_path / "s.parquet", rows, positives=[["b"], ["a"], ["own"]])
    read = [
        read_published(part_of(path, 3, by_names=named), ["positives"])["positives"].to_pylist() for named in (0, 1)
    ]
    assert read == [[[], [], ["own"]], [["b"], ["a"], ["own"]]]


def test_a_shard_of_other_rows_than_its_manifest_says_is_an_error(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "s.parquet", canonical_rows([{"query": "q"}]))
    with pytest.raises(DamageError, match="holds 1 rows, and the manifest beside it says 2"):
        read_published(part_of(path, 2), ["query"])


def test_pieces_are_parts_and_known_by_what_they_hold() -> None:
    facts: dict[str, Any] = {"dataset": "d", "scope": FIRST, "place": "p", "by_names": False}
    pieces = shard_parts("/a/s", "00", 2 * MAX_PART_ROWS + 5, **facts)
    assert [(part.first, part.rows) for part in pieces.values()] == [
        (0, MAX_PART_ROWS),
        (MAX_PART_ROWS, MAX_PART_ROWS),
        (2 * MAX_PART_ROWS, 5),
    ]
    assert all(-(1 << 63) <= number < 0 for number in pieces)
    assert pieces.keys() == shard_parts("/elsewhere", "00", 2 * MAX_PART_ROWS + 5, **facts).keys()
    assert not pieces.keys() & shard_parts("/a/s", "01", 2 * MAX_PART_ROWS + 5, **facts).keys()
    assert sorted(pieces) == [number for number, _ in addresses(pieces)]


OLD, NEW = ("a", "old", "asks"), ("b", "new", "asks too")
SCOPES = {
    **dict.fromkeys(OLD, DedupScope()),
    **dict.fromkeys(NEW, DedupScope(priority=1)),
    "asks": DedupScope(compare="query"),
    "asks too": DedupScope(compare="query", priority=1),
    "old": DedupScope(across=False),
}


def rows_of(names: Sequence[str], scores: Sequence[float | None]) -> Any:
    row = st.fixed_dictionaries(
        {
            "dataset": st.sampled_from(names),
            "query": st.sampled_from(["One?", "one", "ONE!", "two"]),
            "positives": st.lists(st.sampled_from(["Yes.", "yes", "no"]), max_size=2),
            "label": st.sampled_from([None, "x", "y"]),
            "score": st.sampled_from(scores),
        }
    )
    return st.lists(row, max_size=8)


def kept_of(table: pa.Table, part: int, decisions: pa.Table) -> list[int]:
    gone = {row["row"] for row in decisions.to_pylist() if row["part"] == part}
    return [row for row in range(table.num_rows) if row not in gone]


@given(rows_of(OLD, [None]), rows_of(NEW, [None, 1.0]))
def test_exact_duplicates_of_two_runs_are_those_of_one(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    """Where the earlier run rejected no contradictions: what it did not publish is not there to be compared with."""
    before, after = canonical_rows(old), canonical_rows(new)
    keys = [key_rows(before, 4, SCOPES), key_rows(after, 5, SCOPES)]
    together = decide_exact(pa.concat_tables(keys), SCOPES).decisions
    alone = decide_exact(keys[0], SCOPES).decisions
    assume("CONFLICTING_LABEL" not in alone.column("reason").to_pylist())
    stay = kept_of(before, 4, alone)
    assert stay == kept_of(before, 4, together)
    shown = before.take(pa.array(stay, pa.int64()))
    published = {-1: part_of("", len(stay))}
    found = decide_exact(pa.concat_tables([keys[1], key_rows(shown, -1, SCOPES)]), SCOPES, published=published)
    assert kept_of(after, 5, found.decisions) == kept_of(after, 5, together)
    assert not set(found.decisions.column("part").to_pylist()) - {5}
    ids = set(shown.column("id").to_pylist())
    for row in found.decisions.to_pylist():
        assert (row["reason"] == "PUBLISHED_DUPLICATE") == (row["kept_id"] in ids)
        assert row["detail"].endswith("published in there") == (row["reason"] == "PUBLISHED_DUPLICATE")


def test_a_score_that_a_shard_does_not_hold_is_no_contradiction() -> None:
    row = {"query": "q", "positives": ["p"]}
    published = key_rows(canonical_rows([row]), -1, {"d": FIRST})
    new = key_rows(canonical_rows([row | {"score": 0.5}]), 5, {})
    (found,) = decide_exact(
        pa.concat_tables([published, new]), {}, published={-1: part_of("", 1)}
    ).decisions.to_pylist()
    assert (found["part"], found["reason"]) == (5, "PUBLISHED_DUPLICATE")


def test_two_labels_of_one_text_are_a_contradiction_and_both_are_told() -> None:
    tables = [canonical_rows([{"query": "q", "label": label}]) for label in "xy"]
    keys = pa.concat_tables([key_rows(tables[0], -1, {"d": FIRST}), key_rows(tables[1], 5, {})])
    found = decide_exact(keys, {}, published={-1: part_of("", 1)}).decisions.to_pylist()
    assert {(row["part"], row["reason"]) for row in found} == {(-1, "CONFLICTING_LABEL"), (5, "CONFLICTING_LABEL")}
    assert all(row["detail"].endswith("same text, one of them published in there") for row in found)


def test_published_rows_that_contradict_only_each_other_are_not_told_of() -> None:
    rows = [canonical_rows([{"query": text, "label": label}]) for text, label in (("q", "x"), ("q", "y"), ("r", "x"))]
    keys = [key_rows(table, part, {"d": FIRST}) for table, part in zip(rows, (-1, -2, 5), strict=True)]
    published = {-1: part_of("", 1), -2: part_of("", 1)}
    assert decide_exact(pa.concat_tables(keys), {}, published=published).decisions.num_rows == 0


def find(parts: dict[int, list[str]]) -> list[dict[str, Any]]:
    """Near-duplicates among texts of several parts; the negative ones are published."""
    published = {part: part_of("", len(texts)) for part, texts in parts.items() if part < 0}
    tables = {part: canonical_rows([{"query": text} for text in texts]) for part, texts in parts.items()}
    scopes = {part: scopes_at(part, {}, published) for part in parts}
    params = NearDuplicateParams()
    bands = [
        batch
        for part, table in tables.items()
        for _, batch in sign_rows(table, part, NONE, scopes[part], params.minhash, 1)
    ]
    labels = component_labels(link_rows(bands))
    candidates = [
        candidate_rows(table, own, scopes[part], params)
        for part, table in tables.items()
        if (own := labels.filter(pa.array(labels.column("part").to_numpy() == part))).num_rows
    ]
    return verify_candidates(pa.concat_tables(candidates), params, published).to_pylist()


def test_a_new_row_that_resembles_any_published_one_goes_though_another_stands_for_that() -> None:
    """Two folders may hold near-duplicates of each other, since they were not compared."""
    text = prose(1, 120)
    length = len(text)
    moved = with_edit(text, 10, "x" * (length // 8))
    further = with_edit(moved, length // 2, "y" * (length // 8))
    forms = [matching_form(each) for each in (text, moved, further)]
    assert jaccard(forms[0], forms[1]) >= 0.8 <= jaccard(forms[1], forms[2])
    assert jaccard(forms[0], forms[2]) < 0.8
    for published in ({-1: [text], -2: [moved]}, {-1: [text, moved]}, {-2: [text], -1: [moved]}):
        (found,) = find(published | {5: [further]})
        assert (found["part"], found["reason"]) == (5, "PUBLISHED_DUPLICATE")
        assert found["detail"].endswith(", of a row of d, published in there")
        assert found["kept_id"] == canonical_rows([{"query": moved}]).column("id")[0].as_py()


@pytest.mark.parametrize("frame", FRAMES)
def test_rows_that_fill_the_template_of_published_ones_stay(frame: str) -> None:
    published, new = ([frame.format(word) for word in words] for words in (WORDS[:10], WORDS[10:20]))
    found = find({-1: published, 5: [*new, published[3] + " 1"]})
    assert [(row["part"], row["row"]) for row in found if row["part"] == 5] in ([], [(5, 10)])
    assert all(row["part"] == 5 for row in found)


@pytest.mark.parametrize(("rows_per_part", "num_partitions"), [(40, 1), (7, 4)])
def test_decisions_come_home_whatever_the_parts(tmp_path: Path, rows_per_part: int, num_partitions: int) -> None:
    generator = random.Random(2)
    texts = [prose(number, 40) for number in range(30)]
    later = [*texts[:6], *(with_edit(text, generator.randrange(90), "xyzxyz") for text in texts[6:12])]
    table = canonical_rows([{"query": text} for text in [*later, *(prose(n, 40) for n in range(50, 70))]])
    path = write_shard(tmp_path / "s.parquet", canonical_rows([{"query": text} for text in texts]))
    published = {-3: part_of(path, 20, shard_rows=30), -8: part_of(path, 10, first=20, shard_rows=30)}
    places = [*write_parts(tmp_path / "parts", table, rows_per_part), *addresses(published)]
    facts: dict[str, Any] = {"folder": str(tmp_path / "parts"), "scopes": {}, "num_partitions": num_partitions}
    transforms = {
        "exact": RemoveExactDuplicates(published=published, **facts),
        "near": Near(NearSpec(params=NearDuplicateParams(), published=published, **facts)),
    }
    offsets = {part: k * rows_per_part for k, (part, _) in enumerate(places)}
    rows = {
        name: sorted(offsets[row["part"]] + row["row"] for row in run_decisions(places, step, tmp_path / name))
        for name, step in transforms.items()
    }
    assert rows == {"exact": list(range(6)), "near": list(range(12))}


class Near(beam.PTransform[Any, Any]):
    """Near-duplicates where nothing was decided before."""

    def __init__(self, spec: NearSpec) -> None:
        super().__init__()
        self._spec = spec

    def expand(self, parts: Any) -> Any:
        nothing = parts.pipeline | beam.Create([]).with_output_types(tuple[int, pa.RecordBatch])
        return (parts, nothing) | FindNearDuplicates(self._spec)
