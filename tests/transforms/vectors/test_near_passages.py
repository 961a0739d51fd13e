"""Near-duplicates among passages against exact Jaccard, through every step as a shuffle leaves it."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.rows import text_hash
from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, outputs, shuffle, tally, together
from transforms.duplicates.components import LabelRows
from transforms.duplicates.near import LinkRows
from transforms.duplicates.params import NearDuplicateParams
from transforms.flow.parts import write_part
from transforms.text.matching import matching_form
from transforms.text.part_texts import Prompts
from transforms.vectors import near_passages
from transforms.vectors.embedding import TextSpec, part_element
from transforms.vectors.near_passages import (
    PIECES_TAG,
    FetchPassages,
    NearPassageSpec,
    SignPassages,
    VerifyPassages,
)

DRAWN = random.Random(0)
WORDS = ["".join(DRAWN.choices("abcdefghijklmnopqrstuvwxyz", k=DRAWN.randint(3, 9))) for _ in range(300)]


def _text(seed: int, words: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def _edited(text: str) -> str:
    first, *rest = text.split()
    return " ".join([first, "edited", *rest])


def _spec(folder: Path, symmetric: Sequence[str] = ()) -> NearPassageSpec:
    texts = TextSpec(
        kept=f"{folder}/kept",
        corpus=f"{folder}/corpus",
        mined=frozenset({"a", "b"}),
        prompts=Prompts(queries={}, passages={}),
        store=f"{folder}/store",
        dims=2,
        num_store_partitions=4,
        progress=None,
    )
    return NearPassageSpec(texts=texts, symmetric=frozenset(symmetric))


def _row(query: str, positives: list[str], negatives: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"dataset": "a", "query": query, "positives": positives, "negatives": negatives or []} | more


def _found(spec: NearPassageSpec, parts: Sequence[list[dict[str, Any]]], seed: int = 0) -> dict[str, Any]:
    """``near`` of each copy by its key, and the counts."""
    elements = [part_element("kept", write_part(spec.texts.kept, canonical_rows(rows))) for rows in parts]
    signed = together(*(outputs(SignPassages(spec).process(element)) for element in elements))
    edges = [pair for keyed in shuffle(signed.get(MAIN, []), seed) for pair in LinkRows().work(keyed)]
    labels = [pair for keyed in shuffle(edges, seed) for pair in LabelRows().process(keyed)]
    pieces = shuffle([*signed.get(PIECES_TAG, []), *labels], seed)
    candidates = [pair for keyed in pieces for pair in FetchPassages(spec).process(keyed)]
    verified = together(*(outputs(VerifyPassages(spec).process(keyed)) for keyed in shuffle(candidates, seed)))
    rows = [row for _, batch in verified.get(MAIN, []) for row in batch.to_pylist()]
    assert len({(row["dataset"], row["key"]) for row in rows}) == len(rows)
    return {"near": {(row["dataset"], row["key"]): row["near"] for row in rows}, "counts": tally(verified)}


def _cluster(text: str) -> bytes:
    return text_hash(matching_form(text))


@pytest.mark.parametrize("seed", [0, 1])
def test_an_edited_copy_stands_behind_the_longer_text_wherever_both_lie(tmp_path: Path, seed: int) -> None:
    text, other = _text(1), _text(2)
    copy = _edited(text)
    rows = [_row("q", [text]), _row("r", [other], [copy]), _row("s", [text.upper()])]
    found = _found(_spec(tmp_path), [rows[:1], rows[1:]], seed)
    assert found["near"] == {("a", text_hash(text)): _cluster(copy), ("a", text_hash(text.upper())): _cluster(copy)}
    assert found["counts"] == {"a\tmining\tnear_duplicates": 2}


def test_other_numbers_make_another_passage(tmp_path: Path) -> None:
    rows = [_row("q", [f"{_text(1)} 1914 to 1918"]), _row("r", [f"{_text(1)} 1939 to 1945"])]
    assert _found(_spec(tmp_path), [rows])["near"] == {}


def test_what_fills_a_template_with_something_else_stays(tmp_path: Path) -> None:
    rows = [_row(f"q{number}", [f"{_text(1, 60)} {_text(100 + number, 4)}"]) for number in range(12)]
    assert _found(_spec(tmp_path), [rows])["near"] == {}


def test_texts_of_another_dataset_and_labelled_ones_take_no_part(tmp_path: Path) -> None:
    text = _text(1)
    elsewhere = _row("r", [_edited(text)], dataset="b")
    labelled = [_row(_text(3), [], label="x"), _row(_edited(_text(3)), [], label="y")]
    assert _found(_spec(tmp_path), [[_row("q", [text])], [elsewhere], labelled])["near"] == {}


def test_short_questions_of_a_symmetric_dataset_must_be_equal(tmp_path: Path) -> None:
    rows = [_row("q", [_text(1, 20)]), _row("r", [_edited(_text(1, 20))])]
    assert len(matching_form(rows[1]["positives"][0])) < NearDuplicateParams().question_width
    assert len(_found(_spec(tmp_path / "one"), [rows])["near"]) == 1
    assert _found(_spec(tmp_path / "other", ["a"]), [rows])["near"] == {}


def test_a_part_of_many_passages_is_cut_into_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [_text(number) for number in range(10)]
    rows = [_row("q", [*texts, *map(_edited, texts)])]
    whole = _found(_spec(tmp_path / "whole"), [rows])
    monkeypatch.setattr(near_passages, "MAX_PART_ROWS", 7)
    assert _found(_spec(tmp_path / "cut"), [rows]) == whole
    assert len(whole["near"]) == 10


def test_no_passages_give_nothing(tmp_path: Path) -> None:
    assert _found(_spec(tmp_path), [[_row("q", [], label="x")]])["near"] == {}


def test_the_choice_of_components_is_that_of_rows() -> None:
    spec = _spec(Path("/none"))
    few = type(spec.components())
    many = NearPassageSpec(texts=spec.texts, passages=100_000_000)
    assert type(many.components()) is not few
    assert pa.types.is_uint64(near_passages.CANDIDATES.field("must_match").type)
