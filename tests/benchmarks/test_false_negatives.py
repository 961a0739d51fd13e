"""The count of false negatives: what is hidden from mining, what counts as false, and what must hold of the default."""

import numpy as np
import pytest

from benchmarks._judged import Found, judged_rows, mine_judged
from benchmarks.false_negatives import broken, lines_of, main
from mining.fixed_point import Fixed
from mining.params import MiningParams
from tests.mining.tables import at_cosines
from trainer.evaluation_sets import Retrieval
from transforms.duplicates.params import NearDuplicateParams

LONG = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon"
NAMES = [LONG, LONG.replace("kappa", "kappo"), "a judged passage", "another one", "a third passage", "a fourth"]
TOP = MiningParams(num_negatives=2, rank_range=(0, 2), sampling="top", consistency_rank=None, max_relative_score=None)


def collection(judged: list[dict[int, int]]) -> tuple[Retrieval, Fixed, Fixed]:
    query, passages = at_cosines([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    queries = np.repeat(query, len(judged), axis=0)
    names = [f"question {number}" for number in range(len(judged))]
    return Retrieval(name="made", queries=names, passages=NAMES, judged=judged), queries, passages


def test_what_is_judged_relevant_and_hidden_counts_when_it_is_mined() -> None:
    rows = judged_rows(*collection([{2: 1, 3: 1, 4: 0}]), NearDuplicateParams())
    nearest = MiningParams(**vars(TOP) | {"num_negatives": 1, "rank_range": (0, 1)})
    for params, expected in ((nearest, (2, 2, 0)), (TOP, (2, 4, 2))):  # a row for each judgment above 0
        found = mine_judged(rows, params)
        assert (found.counts["rows"], found.counts["mined"], found.judged) == expected


def test_an_edited_copy_of_the_positive_is_masked_by_its_cluster_and_counted_where_it_is_not() -> None:
    masked = mine_judged(judged_rows(*collection([{0: 1}]), NearDuplicateParams()), TOP)
    assert (masked.copies, masked.judged, masked.counts["mined"]) == (0, 0, 2)
    rows = judged_rows(*collection([{0: 1}]), NearDuplicateParams())
    blind = rows.corpus.drop_columns(["near"])
    assert mine_judged(type(rows)(**vars(rows) | {"corpus": blind}), TOP).copies == 1


def test_questions_of_one_form_share_what_is_relevant() -> None:
    made, queries, passages = collection([{0: 1}, {2: 1}])
    made = Retrieval(name="made", queries=["One?", "one"], passages=made.passages, judged=made.judged)
    rows = judged_rows(made, queries, passages, NearDuplicateParams())
    assert rows.relevant[0] == rows.relevant[1]
    assert len(rows.relevant[0]) == 3  # an edited copy of one of the two is relevant too
    assert mine_judged(rows, TOP).judged == 2


def of(judged: int, mined: int, copies: int = 0) -> Found:
    counts = {"rows": 10, "mined": mined, "positive_score": 100, "negative_score": 40 * mined // 10}
    return Found(counts=counts, judged=judged, copies=copies)


@pytest.mark.parametrize(
    ("default", "told"),
    [
        (of(10, 100), []),
        (of(11, 100), ["made: more than half of top's"]),
        (of(0, 100, 1), ["made: copies of a positive"]),
    ],
)
def test_what_must_hold_of_the_default(default: Found, told: list[str]) -> None:
    assert broken({"made": {"top": of(40, 200), "default": default}}) == told


def test_a_line_says_how_many_of_a_thousand_and_how_hard() -> None:
    (line,) = lines_of("made", {"top": of(40, 200)})
    assert line[:8] == ("made", "`top`", "10", "200", "40", "200.0", "0", "0.40")


def test_a_folder_without_collections_is_told(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main([f"--evaluation={tmp_path}", "--sets=none"]) != 0
    assert "holds no evaluation collection" in capsys.readouterr().err
