"""Alarms: who loses an alarming share of its rows is named, and the run stops unless that was allowed."""

from typing import Any

import pytest

from schemas.errors import CurationError
from transforms.keeping.alarms import AlarmError, check_alarms, find_alarms


def _counts(read: int, **rejected: int) -> dict[str, Any]:
    return {"read": read, "kept": read - sum(rejected.values()), "rejected": rejected}


COUNTS = {
    "calm": _counts(100, NEAR_DUPLICATE=50, EXACT_DUPLICATE=30),
    "copied": _counts(1000, EXACT_DUPLICATE=900, TIE=10),
    "leaky": _counts(10, LEAKED_EVALUATION=6),
    "short": _counts(10, TOO_SHORT=9),
    "empty": _counts(0),
    "contradictory": _counts(10, CONFLICTING_LABEL=7),
}


def test_only_duplicates_contradictions_and_leaks_beyond_the_share_raise_an_alarm() -> None:
    assert find_alarms(COUNTS, 0.5) == [
        "contradictory lost 7 of 10 examples (70%) to CONFLICTING_LABEL",
        "copied lost 900 of 990 examples (91%) to EXACT_DUPLICATE",
        "leaky lost 6 of 10 examples (60%) to LEAKED_EVALUATION",
    ]


def test_each_reason_is_held_to_the_share_by_itself() -> None:
    assert find_alarms({"a": _counts(10, NEAR_DUPLICATE=4, EXACT_DUPLICATE=4)}, 0.3) == [
        "a lost 4 of 10 examples (40%) to NEAR_DUPLICATE",
        "a lost 4 of 10 examples (40%) to EXACT_DUPLICATE",
    ]


def test_rows_that_were_no_examples_do_not_hide_a_loss() -> None:
    """Judgments that went into the example of their query, rows that a filter took, and those beyond a cap."""
    grouped = {"read": 1000, "kept": 4, "merged": 900, "rejected": {"NEAR_DUPLICATE": 16, "NO_POSITIVE": 80}}
    capped = _counts(100, NEAR_DUPLICATE=40, CAPPED=50, CONFLICTING_LABEL=1, TOO_SHORT=5)
    assert find_alarms({"capped": capped, "grouped": grouped}, 0.5) == [
        "grouped lost 16 of 20 examples (80%) to NEAR_DUPLICATE"
    ]
    assert find_alarms({"capped": capped}, 0.4) == ["capped lost 40 of 95 examples (42%) to NEAR_DUPLICATE"]


def test_a_dataset_that_lost_nothing_needs_no_reasons() -> None:
    assert find_alarms({"a": {"read": 3, "kept": 3}}, 0.5) == []


def test_an_alarm_stops_the_run_with_what_to_do() -> None:
    with pytest.raises(AlarmError) as error:
        check_alarms(COUNTS, 0.5, allowed=False)
    *lines, remedy = error.value.message.splitlines()
    assert lines == find_alarms(COUNTS, 0.5)
    assert remedy.startswith("More than 50% is alarming.")
    assert remedy.endswith("ARGS=--allow_alarms")


def test_an_alarm_that_is_allowed_is_said_and_goes_on() -> None:
    assert check_alarms(COUNTS, 0.5, allowed=True) == find_alarms(COUNTS, 0.5)
    assert check_alarms({"calm": COUNTS["calm"]}, 0.5, allowed=False) == []


def test_an_alarm_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in CurationError.__subclasses__()]
    assert codes.count(AlarmError.exit_code) == 1
