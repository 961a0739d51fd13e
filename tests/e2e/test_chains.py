"""A text that resembles one which deduplication removed is no negative of the question that this one answered."""

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.running import curate, rejections, shard_rows
from tests.e2e.test_bad_input import ENTRY
from tests.transforms.duplicates.test_verification import jaccard
from transforms.text.matching import matching_form

pytestmark = pytest.mark.slow

WORDS = (Path(__file__).parent / "words.txt").read_text("utf-8").split()
QUESTION = "Which of the many old stories that are told in the villages along the coast is the longest of them all?"


def _prose(seed: int, words: int = 80) -> list[str]:
    return random.Random(seed).sample(WORDS, words)


def test_a_removed_copy_keeps_what_resembles_it_from_its_question(teacher: Path, tmp_path: Path) -> None:
    words = _prose(0)
    chain = [f"The {' '.join(words[start : start + 70])} of it." for start in (0, 5, 10)]
    assert all(jaccard(*map(matching_form, pair)) > 0.8 for pair in pairwise(chain))
    assert jaccard(matching_form(chain[0]), matching_form(chain[2])) < 0.8
    rows = [(QUESTION, chain[0] + " Certainly."), (QUESTION, chain[1]), ("Who lives near the harbour?", chain[2])]
    rows += [
        (f"What does the page about {' '.join(_prose(n, 3))} say?", f"The {' '.join(_prose(n))} of it.")
        for n in range(1, 40)
    ]
    folder = tmp_path / "source" / "datasets" / "me" / "mine" / "default"
    folder.mkdir(parents=True)
    lines = [json.dumps({"question": question, "answer": answer}) for question, answer in rows]
    (folder / "train-00000-of-00001.jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "mine.yaml").write_text(ENTRY, "utf-8")
    settings = ["mining.sampling=top", "mining.rank_range=[0, 60]", "mining.num_negatives=45"]
    settings += ["mining.consistency_rank=null", "mining.max_relative_score=null"]
    places = {"source": tmp_path / "source", "catalog": tmp_path / "catalog", "evaluation": "none"}
    curate(tmp_path / "out", teacher, "mine", settings, **places)
    removed = [row["positives"] for row in rejections(tmp_path / "out", "mine") if row["reason"] == "NEAR_DUPLICATE"]
    assert removed == [[chain[1]]]
    kept = {row["query"]: row for row in shard_rows(tmp_path / "out", "mine")}
    negatives = kept[QUESTION]["negatives"]
    assert chain[2] not in negatives
    assert len(negatives) >= 30
    assert sum(chain[2] in row["negatives"] for row in kept.values()) == 0
    assert any(text.startswith(chain[0]) for row in kept.values() for text in row["negatives"])
