"""The end of a run: totals, alarms, the datasets that lost most, evaluation sets, what is absent; on one screen."""

import pytest

from pipelines.display import Display
from pipelines.summary import losses, most_lost, total_line
from schemas.manifest import AbsentRecord, AlarmRecord, DatasetRecord, Manifest, MiningCounts, OverlapRecord
from schemas.reasons import RejectReason
from tests.schemas.records import SHARDS, manifest, record, stages


def _summary(capsys: pytest.CaptureFixture[str], of: Manifest, names: list[str]) -> list[str]:
    Display(quiet=False).summary(of, names, "out")
    return [line.rstrip() for line in capsys.readouterr().err.splitlines()]


def test_totals_come_first_then_what_became_of_the_datasets_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    of = manifest(
        record("toy", stages(1200, 100, 1000, TOO_SHORT=10, TIE=60), SHARDS),
        record("earlier", stages(5, 0, 5), SHARDS),
        absent=[AbsentRecord(name="gone", detail="no such folder [here]")],
    )
    lines = _summary(capsys, of, ["toy"])
    assert lines[:2] == [
        "",
        "kept 1,000 of 1,200 rows of 1 dataset; 100 merged into others, 100 rejected; 3 shards in out/",
    ]
    assert lines[2].split() == ["dataset", "read", "kept", "merged", "lost", "to"]
    assert lines[3].split(maxsplit=5) == [
        *("toy", "1,200", "1,000", "100", "8%"),
        "60 answers of equal score, 30 positive ranked too low, 10 too short",
    ]
    assert lines[4:] == [
        "all numbers: out/manifest.json; each rejected row with its reason: out/rejections/",
        "no evaluation sets were kept out",
        "absent: gone: no such folder [here]",
    ]


def test_of_many_datasets_the_ten_that_lost_most_are_shown_and_all_fits_a_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    many = [record(f"d{n:02}", stages(100, 0, 100 - n, TOO_SHORT=n), SHARDS) for n in range(83)]
    absent = [AbsentRecord(name=f"gone{n}", detail="no folder " * 50) for n in range(50)]
    lines = _summary(capsys, manifest(*many, absent=absent), [of.name for of in many])
    shown = [line.split()[0] for line in lines if line.startswith("d") and line[1].isdigit()]
    assert shown == [f"d{n}" for n in range(82, 72, -1)]
    assert any(
        line.startswith("and 73 more datasets, which lost less; all numbers: out/manifest.json") for line in lines
    )
    assert len(lines) <= 20


def test_a_loss_is_a_share_of_rows_read_and_merged_rows_are_no_loss() -> None:
    of = [
        record("small", stages(10, 0, 1, TIE=9), []),
        record("large", stages(1000, 900, 50, TIE=50), []),
        record("none", stages(7, 7, 0), []),
        record("sound", stages(5, 0, 5), []),
    ]
    assert [found.name for found in most_lost(of)] == ["small", "large", "none"]
    assert losses(of[1]) == {"TIE": 50}


def test_many_reasons_of_one_dataset_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = {reason.value: 2 for reason in list(RejectReason)[:6]}
    lines = _summary(capsys, manifest(record("toy", stages(100, 0, 88, **reasons), SHARDS)), ["toy"])
    assert lines[3].endswith(", 6 other")


def test_a_dataset_that_lost_all_its_rows_is_in_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _summary(capsys, manifest(record("toy", stages(7, 0, 0, TIE=7), [])), ["toy"])
    assert lines[3].split(maxsplit=5) == ["toy", "7", "0", "0", "100%", "7 answers of equal score"]


def test_alarms_that_were_allowed_come_before_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = AlarmRecord(alarm="LOST", stage="prepare", reason="TIE", rows=95, of=100, example="a.csv#3: equal")
    of = [record(f"d{n}", stages(100, 0, 5, TIE=95), []).model_copy(update={"alarms": [alarm]}) for n in range(5)]
    lines = _summary(capsys, manifest(*of), [found.name for found in of])
    assert lines[2] == "alarms, which were allowed:"
    assert lines[3] == "d0 lost 95 of 100 rows (95%) to TIE (answers of equal score)"
    assert lines[5] == "  for example a.csv#3: equal"
    assert lines[12] == "and 2 more alarms: d3, d4"


def test_alarms_that_stop_nothing_are_told_by_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    lost = AlarmRecord(alarm="LOST", stage="prepare", reason="TIE", rows=95, of=100)
    short = AlarmRecord(alarm="SHORT", stage="mine", rows=50, of=100)
    one, two = (record(name, stages(100, 0, 5, TIE=95), []) for name in ("one", "two"))
    one = one.model_copy(update={"alarms": [lost, short]})
    lines = _summary(capsys, manifest(one, two.model_copy(update={"alarms": [short]})), ["one", "two"])
    allowed, told = lines.index("alarms, which were allowed:"), lines.index("alarms, which stop nothing:")
    assert [line.split()[0] for line in lines[allowed + 1 : told] if not line.startswith(" ")] == ["one"]
    assert [line.split(":")[0] for line in lines[told + 1 : told + 5] if not line.startswith(" ")] == ["one", "two"]


def _mined(of: DatasetRecord, truncated: int = 0, **numbers: int) -> DatasetRecord:
    """The same dataset with an account of mining, and texts that the teacher did not read to their ends."""
    mined = of.stages["mine"].model_copy(update={"mining": MiningCounts(rows=100, **numbers)})
    embedded = of.stages["embed"].model_copy(update={"truncated_texts": truncated})
    return of.model_copy(update={"stages": of.stages | {"mine": mined, "embed": embedded}})


def test_what_mining_gave_and_could_not_give_takes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    full, half, small = (record(name, stages(100, 0, 100), SHARDS) for name in ("full", "half", "small"))
    one = 32767**2
    of = manifest(
        _mined(full, mined=700, positive_score=80 * one, negative_score=280 * one),
        _mined(
            half,
            truncated=1234,
            mined=350,
            given=7,
            short=50,
            none=9,
            positive_score=50 * one,
            negative_score=140 * one,
        ),
        _mined(small, truncated=1, mined=10, random=20, filled=4, short=1, positive_score=100 * one),
    )
    lines = _summary(capsys, of, ["full", "half", "small"])
    told = [
        "negatives: 1,060 mined, 7 given, 20 random in 4 rows; 51 of 300 rows lack some (half 50, small 1), 9 of them "
        "all; they score 0.00 (small) to 0.80 (half) of what positives do",
        "1,235 texts longer than the teacher reads (half 1,234, small 1)",
    ]
    assert [line for line in told if line not in lines] == []
    lines = _summary(capsys, of, ["full"])
    assert "negatives: 700 mined; they score 0.50 of what positives do" in lines
    assert not any("longer than the teacher" in line for line in lines)


def test_what_was_found_of_evaluation_sets_takes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    found = OverlapRecord(
        evaluation_set="SciFact", exact=2, contained=1, edited=19, queries=21, positives=550, corpus=5183
    )
    toy = record("toy", stages(5, 0, 5), SHARDS)
    checked = toy.model_copy(update={"checked": ["NQ", "SciFact"], "training_datasets": ["Toy", "Boy"]})
    overlapping = checked.model_copy(update={"overlaps": [found]})
    lines = _summary(capsys, manifest(overlapping), ["toy"])
    assert lines[-2:] == [
        "evaluation: 22 rows with a query of 1 of 2 sets rejected (SciFact 22); 5,733 passages of theirs found, which "
        "stay",
        "training_datasets of a model card, as out/manifest.json has them (Boy, Toy)",
    ]
    assert "nothing was found of 2 evaluation sets" in _summary(capsys, manifest(checked), ["toy"])


def test_much_that_is_absent_takes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    absent = [AbsentRecord(name=f"gone{n:02}", detail="no folder") for n in range(9)]
    absent += [AbsentRecord(name="toy", detail=f"no files of config {n}") for n in "ab"]
    lines = _summary(capsys, manifest(record("toy", stages(5, 0, 5), SHARDS), absent=absent), ["toy"])
    assert [line for line in lines if "absent" in line] == [
        "absent: 9 datasets (gone00, gone01, gone02, gone03, gone04, gone05 and 3 more); 2 configurations of toy; "
        "why: out/manifest.json"
    ]


def test_absent_evaluation_sets_take_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    absent = [AbsentRecord(name=f"evaluation/{name}", detail=d) for name, d in (("A", "x"), ("A", "y"), ("B", "z"))]
    lines = _summary(capsys, manifest(record("toy", stages(5, 0, 5), SHARDS), absent=absent), ["toy"])
    assert [line for line in lines if "absent" in line] == ["absent: 2 evaluation sets (A, B); why: out/manifest.json"]


def test_one_of_each_is_said_in_the_singular() -> None:
    line = total_line([record("toy", stages(5, 0, 5), SHARDS[:1])], "out")
    assert line.endswith("1 dataset; 0 merged into others, 0 rejected; 1 shard in out/")
