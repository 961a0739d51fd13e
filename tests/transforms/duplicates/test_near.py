"""Near-duplicates through Beam: against brute force, whatever the parts and ranges; what must never be removed."""

import random
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest

from schemas.reasons import RejectReason
from tests.transforms.duplicates.test_verification import FRAMES, WORDS, jaccard, prose, with_edit
from tests.transforms.rows import canonical_rows, run_decisions, write_parts
from transforms.duplicates.components import LABELS, component_labels
from transforms.duplicates.near import (
    FindNearDuplicates,
    NearSpec,
    candidate_rows,
    group_partitions,
    is_question,
    link_rows,
    pack_bands,
    sign_rows,
    verify_candidates,
)
from transforms.duplicates.params import MAX_EDGES, Components, MinHashParams, NearDuplicateParams, VerificationParams
from transforms.duplicates.scopes import DedupScope, Scopes
from transforms.flow.batches import MAX_BYTES
from transforms.flow.parts import DECISIONS
from transforms.text.matching import matching_form

NONE = np.empty(0, np.int32)


def find(
    rows: list[dict[str, Any]], scopes: Scopes | None = None, params: NearDuplicateParams | None = None
) -> dict[int, int]:
    """``removed row -> kept row`` of rows in one part, without Beam."""
    table, scopes, params = canonical_rows(rows), scopes or {}, params or NearDuplicateParams()
    bands = [batch for _, batch in sign_rows(table, 7, NONE, scopes, params.minhash, 1)]
    labels = component_labels(link_rows(bands)) if bands else None
    if labels is None or not labels.num_rows:
        return {}
    decided = verify_candidates(candidate_rows(table, labels, scopes, params), params).to_pylist()
    ids = table.column("id").to_pylist()
    assert {row["reason"] for row in decided} <= {"NEAR_DUPLICATE"}
    return {row["row"]: ids.index(row["kept_id"]) for row in decided}


class Decided(beam.PTransform):
    """Near-duplicates with given earlier decisions."""

    def __init__(self, spec: NearSpec, decisions: list[tuple[int, pa.RecordBatch]]) -> None:
        super().__init__()
        self._spec, self._decisions = spec, decisions

    def expand(self, parts: Any) -> Any:
        earlier = parts.pipeline | beam.Create(self._decisions).with_output_types(tuple[int, pa.RecordBatch])
        return (parts, earlier) | FindNearDuplicates(self._spec)


def planted(num_texts: int, seed: int) -> list[dict[str, Any]]:
    """Texts of which some stand there again with a small edit, in random order."""
    generator, rows = random.Random(seed), []
    for number in range(num_texts):
        text = prose(1000 * seed + number, 40)
        rows.append({"query": text, "dataset": "abc"[number % 3]})
        for copy in range(number % 4 if number % 5 == 0 else 0):
            edited = with_edit(text, generator.randrange(len(text) - 8), "".join(generator.choices("xyz", k=6)))
            rows.append({"query": edited, "dataset": "abc"[copy % 3]})
    return generator.sample(rows, len(rows))


def plain_find(rows: list[dict[str, Any]], scopes: Scopes) -> dict[bytes, bytes]:
    """Greedy removal in survival order with all pairs compared; correct where clusters are far apart."""
    table = canonical_rows(rows).to_pylist()
    ranked = sorted(table, key=lambda r: (scopes[r["dataset"]].priority, -len(r["query"]), r["id"]))
    kept: list[dict[str, Any]] = []
    removed: dict[bytes, bytes] = {}
    for row in ranked:
        form = matching_form(row["query"])
        near = (other["id"] for other in kept if jaccard(form, matching_form(other["query"])) >= 0.8)
        match = next(near, None)
        if match is None:
            kept.append(row)
        else:
            removed[row["id"]] = match
    return removed


@pytest.mark.parametrize(
    ("rows_per_part", "num_partitions", "components"),
    [(200, 1, "one_worker"), (23, 4, "one_worker"), (64, 32, "auto"), (23, 4, "rounds")],
)
def test_the_same_as_brute_force_whatever_the_parts(
    tmp_path: Path, rows_per_part: int, num_partitions: int, components: Components
) -> None:
    rows = planted(100, 1)
    table = canonical_rows(rows)
    scopes = {"a": DedupScope(priority=1), "b": DedupScope(), "c": DedupScope(priority=1)}
    addresses = write_parts(tmp_path / "parts", table, rows_per_part)
    params = NearDuplicateParams(components=components, component_rounds=4)
    spec = NearSpec(folder=str(tmp_path / "parts"), scopes=scopes, params=params, num_partitions=num_partitions)
    found = run_decisions(addresses, Decided(spec, []), tmp_path / "out")
    ids, offsets = table.column("id").to_pylist(), {part: k * rows_per_part for k, (part, _) in enumerate(addresses)}
    removed = {ids[offsets[row["part"]] + row["row"]]: row["kept_id"] for row in found}
    assert removed == plain_find(rows, scopes)
    assert len(removed) == 30
    assert {row["reason"] for row in found} == {RejectReason.NEAR_DUPLICATE}
    assert all(0.8 <= float(row["detail"].split()[1]) <= 1 for row in found)


def test_rows_that_were_decided_take_no_part(tmp_path: Path) -> None:
    text = prose(1)
    rows = [{"query": text}, {"query": text + " again"}, {"query": text + " and again"}]
    addresses = write_parts(tmp_path / "parts", canonical_rows(rows), 3)
    earlier = pa.RecordBatch.from_pylist(
        [{"row": 2, "reason": "EXACT_DUPLICATE", "detail": "", "kept_id": None}], DECISIONS
    )
    spec = NearSpec(folder=str(tmp_path / "parts"), scopes={}, params=NearDuplicateParams(), num_partitions=4)
    found = run_decisions(addresses, Decided(spec, [(addresses[0][0], earlier)]), tmp_path / "out")
    assert [row["row"] for row in found] == [0]


LONG, OTHER = prose(2), prose(3)
CLAIM = "infection with this bacterium {} the risk of a tumour of the stomach in people who have lived on the coast"
QUESTION = (
    "除了黑龙江和松花江以外，{}河在十九世纪末期至二十世纪初期之间曾经是哪一个国家的船只可以自由通行的一条河流呢？"
)


@pytest.mark.parametrize(
    ("one", "other", "gone"),
    [
        ({"query": LONG}, {"query": LONG + " more"}, True),
        ({"query": "q", "positives": [LONG]}, {"query": "Q!", "positives": [LONG + " more"]}, True),
        ({"query": "q", "positives": [LONG]}, {"query": "r", "positives": [LONG]}, False),
        ({"query": "q", "positives": [LONG + " week 5"]}, {"query": "q", "positives": [LONG + " week 6"]}, False),
        ({"query": "q", "positives": [LONG + " week 5"]}, {"query": "q", "positives": [LONG + ", week 5!"]}, True),
        ({"query": LONG, "positives": ["yes"]}, {"query": LONG + " more", "positives": ["no"]}, False),
        ({"query": LONG, "positives": [LONG]}, {"query": LONG, "positives": [OTHER]}, False),
        ({"query": LONG, "positives": ["Ja."]}, {"query": LONG, "positives": ["Yes."]}, False),
        ({"query": LONG + " 5 apples", "positives": ["x"]}, {"query": LONG + " 7 apples", "positives": ["x"]}, False),
        ({"query": LONG, "label": "x"}, {"query": LONG + " more", "label": "y"}, False),
        ({"query": LONG, "label": "x"}, {"query": LONG + " more", "label": "x"}, True),
        ({"query": LONG, "dataset": "a"}, {"query": LONG + " more", "dataset": "b"}, True),
        ({"query": LONG, "dataset": "within"}, {"query": LONG + " more", "dataset": "b"}, False),
        ({"query": LONG, "dataset": "within"}, {"query": LONG + " more", "dataset": "within"}, True),
        ({"query": LONG[:30]}, {"query": LONG[:30] + "s"}, False),
        (
            {"query": "x 1", "positives": [LONG], "dataset": "finds"},
            {"query": "y 2", "positives": [LONG + " more"], "dataset": "finds"},
            True,
        ),
        (
            {"query": LONG, "positives": ["x"], "dataset": "asks"},
            {"query": LONG + " more", "positives": ["y"], "dataset": "asks"},
            True,
        ),
        (
            {"query": LONG + " 5 apples", "positives": ["x"], "dataset": "asks"},
            {"query": LONG + " 7 apples", "positives": ["y"], "dataset": "asks"},
            False,
        ),
        ({"query": LONG + " 5 apples", "label": "x"}, {"query": LONG + " 7 apples", "label": "x"}, True),
        (
            {"query": CLAIM.format("raises"), "positives": [LONG]},
            {"query": CLAIM.format("lowers"), "positives": [LONG]},
            False,
        ),
        (
            {"query": QUESTION.format("辽"), "positives": [LONG]},
            {"query": QUESTION.format("黄"), "positives": [LONG]},
            False,
        ),
        (
            {"query": CLAIM.format("raises"), "positives": [LONG]},
            {"query": CLAIM.format("raises").title(), "positives": [LONG + " more"]},
            True,
        ),
        ({"query": CLAIM.format("raises")}, {"query": CLAIM.format("raises") + " line"}, False),
        ({"query": QUESTION.format("辽")}, {"query": QUESTION.format("辽") + "请问"}, False),
    ],
)
def test_pairs(one: dict[str, Any], other: dict[str, Any], gone: bool) -> None:
    scopes = {
        "within": DedupScope(across=False),
        "asks": DedupScope(compare="query"),
        "finds": DedupScope(compare="positives"),
    }
    assert len(find([one, other], scopes)) == gone


def test_claims_and_questions_alike_are_above_the_threshold_that_would_take_them() -> None:
    for text, one, other in ((CLAIM, "raises", "lowers"), (QUESTION, "辽", "黄")):
        assert jaccard(*(matching_form(text.format(word)) for word in (one, other))) >= 0.8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 199, True),
        ("a" * 200, False),
        ("字" * 99 + "a", True),
        ("字" * 100, False),
        ("カナ한" * 33 + "ab", False),
    ],
)
def test_a_question_is_narrower_than_so_many_columns(text: str, expected: bool) -> None:
    found = is_question(pa.array([text], pa.large_string()), VerificationParams().question_width)
    assert found.to_pylist() == [expected]


def test_template_heavy_data_loses_no_distinct_row() -> None:
    """Frames with other slots, alone and as questions with answers; an entailment set; all in one run."""
    rows: list[dict[str, Any]] = [{"query": frame.format(word)} for frame in FRAMES for word in WORDS]
    rows += [
        {"query": f"how do i reset the password of my {word}", "positives": [FRAMES[0].format(word)]} for word in WORDS
    ]
    rows += [{"query": prose(50), "positives": [f"two people are carrying a {word}"]} for word in WORDS]
    rows += [{"query": f"{FRAMES[1].format('red')} while holding a {word}", "label": "entailment"} for word in WORDS]
    assert find(rows) == {}
    copies = [row | {"query": row["query"] + " !"} for row in rows]
    found = find(rows + copies)
    assert len(found) == len(rows)
    assert all(abs(gone - kept) == len(rows) for gone, kept in found.items())


def test_the_curve_is_met_on_planted_edits() -> None:
    rows: list[dict[str, Any]] = []
    for number in range(400):
        text = prose(7000 + number, 45)
        rows += [{"query": text}, {"query": with_edit(text, 20 + number % 100, "q" * (2 + number % 9))}]
    similarities = [jaccard(rows[k]["query"], rows[k + 1]["query"]) for k in range(0, 800, 2)]
    found = find(rows)
    wanted = [k for k, similarity in enumerate(similarities) if similarity >= 0.8]
    assert len(wanted) > 350
    assert sum(2 * k in found or 2 * k + 1 in found for k in wanted) >= 0.98 * len(wanted)
    assert {k // 2 for k in found} <= set(wanted)


def test_packed_bands_are_small_and_complete() -> None:
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, (60_000, 20), dtype=np.uint64)
    rows = np.arange(5_000, 65_000)
    packed = list(pack_bands(hashes, rows, 9, 1))
    assert len(packed) == 2
    assert all(batch.nbytes <= MAX_BYTES for _, batch in packed)
    found = [np.concatenate([batch.column(name).flatten() for _, batch in packed]) for name in ("hashes", "rows")]
    expected = (hashes & np.uint64(0xFFFFFFFF)) << np.uint64(16) | rows.astype(np.uint64)[:, None]
    words = found[0].astype(np.uint64) << np.uint64(16) | found[1]
    np.testing.assert_array_equal(np.sort(words), np.sort(expected.ravel()))


def test_ranges_keep_equal_bands_together() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, (50, 4), dtype=np.uint64)
    ranges: dict[int, list[pa.RecordBatch]] = {}
    for part in (3, 4):
        for number, batch in pack_bands(hashes, np.arange(50), part, 16):
            ranges.setdefault(number, []).append(batch)
    edges = pa.concat_tables([link_rows(batches) for batches in ranges.values()])
    pairs = {(row["row"], row["other_row"]) for row in edges.to_pylist()}
    assert pairs == {(row, row) for row in range(50)}


def test_a_range_of_bands_gives_a_forest() -> None:
    table = canonical_rows([{"query": prose(11) + " more" * (number % 3)} for number in range(9)])
    edges = link_rows(batch for _, batch in sign_rows(table, 7, NONE, {}, MinHashParams(), 1))
    assert edges.num_rows == len(component_labels(edges)) - 1 == 8
    assert set(edges.column("row").to_pylist()) == {0}


def test_rounds_are_taken_where_one_worker_could_hold_too_much() -> None:
    params = NearDuplicateParams()
    assert params.minhash.bands * 12_500_000 // 5 == MAX_EDGES
    assert [params.in_rounds(rows) for rows in (0, 12_500_000, 12_500_001)] == [False, False, True]
    assert NearDuplicateParams(components="rounds").in_rounds(0)
    assert not NearDuplicateParams(components="one_worker").in_rounds(10**9)
    with pytest.raises(ValueError, match="components is 'two_workers', must be one of auto, one_worker, rounds"):
        NearDuplicateParams(components="two_workers")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="component_rounds is 0"):
        NearDuplicateParams(component_rounds=0)


def test_params_that_cannot_find_what_they_ask_for_are_refused() -> None:
    with pytest.raises(ValueError, match="propose only"):
        NearDuplicateParams(minhash=MinHashParams(bands=4, rows=16), jaccard=0.8)


def test_rows_of_a_template_meet_only_where_they_ask_the_same() -> None:
    rows = [{"query": f"what does {number} mean", "positives": [FRAMES[0].format(number % 7)]} for number in range(640)]
    rows += [{"query": "what does it mean", "positives": [FRAMES[0].format(word)]} for word in WORDS]
    table = canonical_rows(rows)
    address = {"part": [7] * len(rows), "row": range(len(rows))}
    labels = pa.table(address | {"component_part": [7] * len(rows), "component_row": [0] * len(rows)}, LABELS)
    ranges = group_partitions(candidate_rows(table, labels, {}, VerificationParams()), 16)
    assert len(set(ranges[640:])) == 1
    assert max(np.bincount(ranges[:640], minlength=16)) < 80
    assert min(np.bincount(ranges[:640], minlength=16)) > 10
