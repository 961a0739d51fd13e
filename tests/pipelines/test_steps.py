"""Steps of a stage: every label of the graphs has words, and the time left follows the pace."""

import pytest

from pipelines.steps import STEPS, fraction, spoken, step_of, time_left


@pytest.mark.parametrize(
    ("stage", "labels", "words"),
    [
        ("prepare", ["ref_PCollection_1/Read", "Read/ParDo(ReadRows)", "Members"], "reading and cleaning"),
        ("prepare", ["Overlap/Spread corpora/AddRandomKeys", "Overlap/Key"], "reading the passages of evaluation sets"),
        ("prepare", ["Written/Read", "Overlap/Key training texts"], "counting what evaluation sets share"),
        ("prepare", ["Near duplicates/By part/Read", "Near duplicates/Sign"], "finding near-duplicates"),
        ("prepare", ["Parts/Read", "Exact duplicates/Key rows", "Near duplicates/Parts/Write"], "finding exact"),
        ("prepare", ["Near duplicates/By range/Read", "Near duplicates/Verify"], "finding near-duplicates: comparing"),
        ("embed", ["By key range/Read", "Encode/ParDo(EncodePartition)"], "embedding texts"),
        ("embed", ["Teacher 1 of 2, zh/By key range/Read", "Teacher 1 of 2, zh/Encode/ParDo(E)"], "embedding texts"),
        ("mine", ["Teacher 2 of 2, de, en and others/Near passages/Sign"], "finding near-duplicates among passages"),
        ("mine", ["Rows by part/Read", "Score rows/ParDo(ScoreRows)", "Reject/Flatten/Write/1"], "scoring what rows"),
    ],
)
def test_a_group_of_transforms_is_named_by_the_first_label_that_says_something(
    stage: str, labels: list[str], words: str
) -> None:
    step = step_of(stage, labels)
    assert step is not None
    assert step.words.startswith(words)


def test_what_only_moves_data_has_no_name() -> None:
    assert step_of("prepare", ["Parts and decisions/Read", "By part/Write"]) is None
    assert step_of("prepare", ["Reading/Read"]) is None, "a label is whole"
    assert step_of("elsewhere", ["Read"]) is None


@pytest.mark.parametrize("stage", STEPS)
def test_the_shares_of_a_stage_add_up(stage: str) -> None:
    assert sum(step.share for step in STEPS[stage]) == pytest.approx(1.0, abs=0.01)
    ends = [fraction(stage, step, {}) for step in STEPS[stage]]
    assert ends == sorted(ends, key=lambda end: end or 0.0)
    assert ends[0] == 0.0


def test_a_step_that_counts_moves_the_bar() -> None:
    encode = step_of("embed", ["Encode"])
    assert fraction("embed", encode, {}) == pytest.approx(0.01)
    assert fraction("embed", encode, {"texts": 50, "texts_expected": 100}) == pytest.approx(0.5)
    assert fraction("embed", encode, {"texts": 200, "texts_expected": 100}) == pytest.approx(0.99)
    assert fraction("embed", None, {}) is None


def test_the_time_left_follows_the_pace_of_the_later_half() -> None:
    loading = [(1.0, 0.01), (80.0, 0.02)]
    working = [*loading, *((80.0 + 2 * n, 0.02 + 0.01 * n) for n in range(1, 31))]
    assert time_left(working, 140.0) == pytest.approx((1 - 0.32) / 0.005, rel=0.05)


@pytest.mark.parametrize("samples", [[], [(1.0, 0.5)], [(0.0, 0.001), (1.0, 0.002)], [(9.0, 0.1), (9.5, 0.2)]])
def test_of_too_little_no_time_is_told(samples: list[tuple[float, float]]) -> None:
    assert time_left(samples, 10.0) is None


def test_a_stage_that_stands_still_is_expected_to_take_longer() -> None:
    samples = [(1.0, 0.1), (10.0, 0.5)]
    assert (time_left(samples, 60.0) or 0) > (time_left(samples, 12.0) or 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (98.0, "98 s"),
        (99.9, "1 min 40 s"),
        (599.0, "9 min 59 s"),
        (599.9, "10 min"),
        (11_100.0, "3 h 05 min"),
    ],
)
def test_time_is_told_as_a_person_would(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
