"""Near-duplicates among passages against exact Jaccard, through every step as a shuffle leaves it."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.reasons import RejectReason
from schemas.rows import text_hash
from tests.transforms.rows import canonical_rows
from tests.transforms.steps import MAIN, outputs, shuffle, tally, together
from transforms.duplicates.components import LabelRows, MergeForests, SpreadForests
from transforms.duplicates.near import LinkRows
from transforms.duplicates.params import NearDuplicateParams
from transforms.flow.manifests import FileRecord
from transforms.flow.parts import write_part
from transforms.flow.rejections import reject, write_rejections
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
    removed_element,
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
    return NearPassageSpec(texts=texts, symmetric=frozenset(symmetric), rejections=f"{folder}/rejections")


def _row(query: str, positives: list[str], negatives: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"dataset": "a", "query": query, "positives": positives, "negatives": negatives or []} | more


def _found(
    spec: NearPassageSpec,
    parts: Sequence[list[dict[str, Any]]],
    seed: int = 0,
    removed: Sequence[dict[str, Any]] = (),
    reason: RejectReason = RejectReason.NEAR_DUPLICATE,
) -> dict[str, Any]:
    """``near`` of each copy by its key, and the counts; ``removed``: rows that prepare rejected."""
    elements = [part_element("kept", write_part(spec.texts.kept, canonical_rows(rows))) for rows in parts]
    if removed:
        num = len(removed)
        rejected = reject(canonical_rows(removed), "prepare", [reason] * num, [""] * num, [None] * num)
        records = [each for each in write_rejections(spec.rejections, rejected) if isinstance(each, FileRecord)]
        elements += [removed_element(record.path) for record in records]
    signed = together(*(outputs(SignPassages(spec).process(element)) for element in elements))
    edges = [pair for keyed in shuffle(signed.get(MAIN, []), seed) for pair in LinkRows().work(keyed)]
    spread = [pair for keyed in edges for pair in SpreadForests().process(keyed)]
    forests = [pair for keyed in shuffle(spread, seed) for pair in MergeForests().work(keyed)]
    labels = [pair for keyed in shuffle(forests, seed) for pair in LabelRows().process(keyed)]
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


def _chain() -> tuple[str, str, str]:
    """Three texts of which the first and the last resemble the second, but not each other."""
    words = random.Random(5).sample(WORDS, 80)
    first, second, third = words[:70], words[5:75], words[10:80]
    texts = tuple(" ".join(each) for each in (first, second, third))
    sets = [{form[i : i + 5] for i in range(len(form) - 4)} for form in map(matching_form, texts)]
    one, two, ends = (len(a & b) / len(a | b) for a, b in ((sets[0], sets[1]), (sets[1], sets[2]), (sets[0], sets[2])))
    assert min(one, two) > NearDuplicateParams().jaccard > ends
    return texts


@pytest.mark.parametrize("seed", [0, 1])
def test_what_resembles_a_copy_of_a_passage_stands_behind_it_too(tmp_path: Path, seed: int) -> None:
    positive, between, candidate = _chain()
    rows = [_row("q", [positive]), _row("r", [between]), _row("s", [candidate])]
    found = _found(_spec(tmp_path), [rows[:2], rows[2:]], seed)
    longest = max((positive, between, candidate), key=lambda text: (len(matching_form(text)), text))
    names = {_cluster(text): text for text in (positive, between, candidate)}
    assert {names[near] for near in found["near"].values()} == {longest}
    assert found["counts"] == {"a\tmining\tnear_duplicates": 2}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_row_that_prepare_removed_links_what_its_passage_resembles(tmp_path: Path, seed: int) -> None:
    positive, removed, candidate = _chain()
    rows = [_row("q", [positive]), _row("s", [candidate])]
    assert _found(_spec(tmp_path / "none"), [rows], seed)["near"] == {}
    found = _found(_spec(tmp_path / "some"), [rows], seed, [_row("q?", [removed])])
    assert len(found["near"]) == 1
    ((_, key), near) = next(iter(found["near"].items()))
    assert {key, near} <= {text_hash(positive), text_hash(candidate), _cluster(positive), _cluster(candidate)}
    assert found["counts"] == {"a\tmining\tnear_duplicates": 1}
    other = _found(_spec(tmp_path / "other"), [rows], seed, [_row("q?", [removed])], RejectReason.TOO_SHORT)
    assert other["near"] == {}


def test_a_removed_row_s_passage_that_others_have_too_is_one_of_theirs(tmp_path: Path) -> None:
    text, copy = _text(1), _edited(_text(1))
    found = _found(_spec(tmp_path), [[_row("q", [text]), _row("r", [copy])]], removed=[_row("q?", [copy])])
    assert found["near"] == {("a", text_hash(text)): _cluster(copy)}


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
