"""Which rows and texts one teacher of several reads of a part, and that all of them together read each once."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, outputs, tally, together
from transforms.examples.read_rows import CORPUS
from transforms.flow.parts import write_part
from transforms.text.part_texts import Prompts
from transforms.vectors.embedding import GatherTexts, TextSpec, part_element, read_texts
from transforms.vectors.mining_input import GatherPools, PoolSpec, asking, findable
from transforms.vectors.row_share import RowShare

ZH, DE = RowShare(languages=frozenset({"zh"})), RowShare(languages=frozenset({"de"}))
REST = RowShare(languages=frozenset({"zh", "de"}), is_rest=True)

ROWS: list[dict[str, Any]] = [
    {"dataset": "a", "language": "zh-CN", "query": "q0", "positives": ["p0", "both"], "negatives": ["n0"]},
    {"dataset": "a", "language": "en", "query": "q1", "positives": ["p1", "both"]},
    {"dataset": "a", "language": "zho_Hans", "query": "q2", "label": "x"},
    {"dataset": "a", "language": "", "query": "q3", "positives": ["p3"]},
    {"dataset": "a", "language": "de", "query": "q4", "positives": ["p4"], "negatives": ["n4", "both"]},
    {"dataset": "a", "language": "und", "query": "q5", "positives": ["p5"]},
]
TEXTS = {
    "zh": ["q0", "q2", "p0", "both", "n0", "q2"],
    "de": ["q4", "p4", "n4", "both"],
    "rest": ["q1", "q3", "q5", "p1", "both", "p3", "p5"],
}
SHARES = {"zh": ZH, "de": DE, "rest": REST}


def _spec(folder: Path, share: RowShare | None) -> TextSpec:
    return TextSpec(
        kept=f"{folder}/kept",
        corpus=f"{folder}/corpus",
        mined=frozenset({"a"}),
        prompts=Prompts(queries={"a": "Q: "}, passages={}),
        store=f"{folder}/store",
        dims=2,
        num_store_partitions=4,
        progress=None,
        share=share,
    )


@pytest.fixture
def elements(tmp_path: Path) -> dict[str, str]:
    passages = [{"dataset": "a", "passage_id": "1", "text": "a passage", "sampled": True}]
    parts = {
        "kept": write_part(f"{tmp_path}/kept", canonical_rows(ROWS)),
        "corpus": write_part(f"{tmp_path}/corpus", pa.Table.from_pylist(passages, CORPUS)),
    }
    return {kind: part_element(kind, part) for kind, part in parts.items()}


@pytest.mark.parametrize("name", SHARES)
def test_a_row_is_its_teachers_with_all_that_it_names(name: str, tmp_path: Path, elements: dict[str, str]) -> None:
    texts = read_texts(_spec(tmp_path, SHARES[name]), elements["kept"])[3]
    assert sorted(texts["text"].to_pylist()) == sorted(TEXTS[name])
    assert {ROWS[row]["query"] for row in texts["row"].to_pylist()} == {text for text in TEXTS[name] if text[0] == "q"}


def test_together_they_read_each_row_once_and_passages_of_a_corpus_each(
    tmp_path: Path, elements: dict[str, str]
) -> None:
    specs = [_spec(tmp_path, share) for share in SHARES.values()]
    parts = [read_texts(spec, elements["kept"])[3] for spec in specs]
    whole = read_texts(_spec(tmp_path, None), elements["kept"])[3]
    order = [("row", "ascending"), ("field", "ascending"), ("element", "ascending"), ("role", "ascending")]
    assert pa.concat_tables(parts).sort_by(order).equals(whole.sort_by(order))
    assert all(read_texts(spec, elements["corpus"])[3]["text"].to_pylist() == ["a passage"] for spec in specs)


@pytest.mark.parametrize("name", SHARES)
def test_what_asks_and_what_may_be_found_are_its_rows_with_their_addresses(
    name: str, tmp_path: Path, elements: dict[str, str]
) -> None:
    _, part, rows, texts = read_texts(_spec(tmp_path, SHARES[name]), elements["kept"])
    asks, finds = asking(rows, texts, part), findable(rows, texts)
    assert [ROWS[row]["query"] for row in asks["row"].to_pylist()] == [t for t in TEXTS[name][:3] if t[0] == "q"]
    assert asks["id"].to_pylist() == rows.take(asks["row"])["id"].to_pylist()
    for row, positives, negatives in zip(
        *(asks[n].to_pylist() for n in ("row", "positives", "negatives")), strict=True
    ):
        assert [len(positives), len(negatives)] == [
            len(ROWS[row].get(field, ())) for field in ("positives", "negatives")
        ]
    assert finds["language"].to_pylist() == [ROWS[row]["language"] for row in finds["row"].to_pylist()]


def test_counts_of_all_teachers_add_up_to_those_of_one(tmp_path: Path, elements: dict[str, str]) -> None:
    for step in (lambda spec: GatherTexts(spec), lambda spec: GatherPools(_pools(spec))):
        found = [outputs(step(_spec(tmp_path, share)).process(elements["kept"])) for share in SHARES.values()]
        alone = outputs(step(_spec(tmp_path, None)).process(elements["kept"]))
        assert tally(together(*found)) == tally(alone)
        assert tally(alone)


def _pools(spec: TextSpec) -> PoolSpec:
    return PoolSpec(texts=spec, num_shards={"a": 1}, folder=f"{spec.store}/mine")


def test_rows_that_are_not_mined_pass_with_whoever_reads_their_part(tmp_path: Path) -> None:
    rows = [row | {"dataset": "b"} for row in ROWS]
    element = part_element("kept", write_part(f"{tmp_path}/kept", canonical_rows(rows)))
    found = outputs(GatherPools(_pools(_spec(tmp_path, ZH))).process(element))
    assert tally(found) == {"b\tread\t": len(rows), "b\tkept\t": len(rows)}
    assert MAIN not in outputs(GatherTexts(_spec(tmp_path, ZH)).process(element))
