"""Alarms in words, and the table of the documentation, which is that of the code."""

from pathlib import Path

import pytest

from schemas.manifest import AlarmRecord
from schemas.reasons import RejectReason
from transforms.keeping.alarm_words import LOOK_AT, advice, alarm_line, alarm_lines, alarm_table, check_alarms
from transforms.keeping.alarms import AlarmError, AlarmKind

DOCUMENT = Path(__file__).parents[3] / "docs" / "pipelines.md"
COPIES = AlarmRecord(alarm="LOST", stage="prepare", reason="EXACT_DUPLICATE", rows=3, of=5)


def _nothing(**values: object) -> AlarmRecord:
    return AlarmRecord.model_validate({"alarm": "NOTHING_KEPT", "stage": "prepare", "rows": 401, "of": 401} | values)


@pytest.mark.parametrize(
    ("alarm", "line"),
    [
        (COPIES, "toy lost 3 of 5 examples (60%) to EXACT_DUPLICATE (duplicate)"),
        (
            AlarmRecord(alarm="LOST", stage="mine", reason="LONELY_LABEL", rows=1999, of=2000),
            "toy lost 1,999 of 2,000 rows (100%) to LONELY_LABEL (only text of its label)",
        ),
        (
            _nothing(reason="INVALID_UTF8"),
            "toy keeps none of 401 rows after prepare; most went to INVALID_UTF8 (not UTF-8)",
        ),
        (_nothing(rows=0, of=0), "toy keeps none of 0 rows after prepare"),
        (
            AlarmRecord(alarm="UNREADABLE", stage="prepare", reason="MALFORMED_ROW", rows=30, of=100),
            "toy: 30 of 100 rows (30%) cannot be read; most are MALFORMED_ROW (not a row of the format)",
        ),
        (
            AlarmRecord(alarm="DANGLING", stage="prepare", reason="DANGLING_ID", rows=30, of=100),
            "toy: 30 of 100 judgments (30%) name a query or a passage that is not in the source",
        ),
    ],
)
def test_an_alarm_is_said_in_a_line(alarm: AlarmRecord, line: str) -> None:
    assert alarm_line("toy", alarm) == line


def test_every_reason_says_what_to_look_at_but_the_cap() -> None:
    assert set(RejectReason) - set(LOOK_AT) == {RejectReason.CAPPED}
    assert len(set(LOOK_AT.values())) == len(LOOK_AT)


def test_of_an_unknown_reason_the_rejections_say_more() -> None:
    assert advice(COPIES.model_copy(update={"reason": "OF_A_LATER_VERSION"})).startswith("the rejected rows")
    assert advice(_nothing(rows=0, of=0)).startswith("the files, which hold no row at all")


def test_many_alarms_are_cut() -> None:
    shown = alarm_lines({f"d{n}": [COPIES.model_copy(update={"example": "a#1: b"})] for n in range(5)}, 2)
    assert [line for line in shown if not line.startswith("  ")] == [
        alarm_line("d0", COPIES),
        alarm_line("d1", COPIES),
        "and 3 more alarms: d2, d3, d4",
    ]
    assert shown[1:3] == [f"  look at: {advice(COPIES)}", "  for example a#1: b"]


def test_an_alarm_stops_the_run_with_what_to_do() -> None:
    with pytest.raises(AlarmError) as error:
        check_alarms({"toy": [COPIES]}, 2, "out/.work/prepare-1/rejections", allowed=False)
    first, look, remedy = error.value.message.splitlines()
    assert (first, look) == (alarm_line("toy", COPIES), f"  look at: {advice(COPIES)}")
    assert remedy.startswith("Nothing was published. Look at the rejected rows in out/.work/prepare-1/rejections/<data")
    assert "ARGS=--allow_alarms" in remedy


def test_a_run_that_keeps_nothing_says_so_first() -> None:
    with pytest.raises(AlarmError) as error:
        check_alarms({"a": [_nothing()], "b": [_nothing()]}, 2, "x", allowed=False)
    assert error.value.message.startswith("The run keeps no row at all.\na keeps none of 401 rows")


def test_no_alarm_and_one_that_is_allowed_let_the_run_go_on() -> None:
    check_alarms({}, 2, "x", allowed=False)
    check_alarms({"toy": [COPIES]}, 2, "x", allowed=True)


def test_the_table_of_the_documentation_is_that_of_the_code() -> None:
    assert alarm_table() in DOCUMENT.read_text("utf-8"), f"put this into {DOCUMENT}:\n{alarm_table()}"
    assert all(f"`{kind}`" in alarm_table() for kind in AlarmKind)
