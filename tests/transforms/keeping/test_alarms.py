"""Alarms: who loses an alarming share of its rows is found, for every reason, and no sound dataset is."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.errors import CurationError
from schemas.manifest import AlarmRecord
from schemas.reasons import RejectReason
from transforms.keeping.alarm_words import check_alarms
from transforms.keeping.alarms import OF_EXAMPLES, UNREADABLE, AlarmError, find_alarms
from transforms.keeping.params import AlarmParams


def _counts(read: int, **rejected: int) -> dict[str, Any]:
    return {"read": read, "kept": read - sum(rejected.values()), "rejected": rejected}


def _found(counts: dict[str, Any], stage: str = "prepare", **params: Any) -> list[tuple[str, str | None, int, int]]:
    """``(alarm, reason, rows, of)`` of each alarm of one dataset."""
    alarms = find_alarms(stage, {"toy": counts}, lambda _: AlarmParams(**params)).get("toy", [])
    assert all(alarm.stage == stage for alarm in alarms)
    return [(alarm.alarm, alarm.reason, alarm.rows, alarm.of) for alarm in alarms]


@pytest.mark.parametrize("reason", [r for r in RejectReason if r not in (*UNREADABLE, "DANGLING_ID", "CAPPED")])
def test_every_reason_has_a_share_beyond_which_it_is_alarming(reason: RejectReason) -> None:
    allowed = round(1000 * AlarmParams().share_of(reason))
    assert _found(_counts(1000, **{reason: allowed})) == []
    assert _found(_counts(1000, **{reason: allowed + 1})) == [("LOST", reason, allowed + 1, 1000)]


def test_a_cap_is_never_alarming() -> None:
    assert _found(_counts(1_000_000, CAPPED=999_999)) == []


def test_what_cannot_be_read_is_one_alarm_whatever_is_wrong_with_it() -> None:
    assert _found(_counts(100, MALFORMED_ROW=10, INVALID_UTF8=10, WRONG_TYPE=10)) == []
    counts = _counts(100, MALFORMED_ROW=10, INVALID_UTF8=11, WRONG_TYPE=10)
    assert _found(counts) == [("UNREADABLE", "INVALID_UTF8", 31, 100)]
    assert _found(counts, unreadable=0.5) == []


def test_judgments_that_dangle_are_an_alarm() -> None:
    assert _found(_counts(100, DANGLING_ID=31)) == [("DANGLING", "DANGLING_ID", 31, 100)]
    assert _found(_counts(100, DANGLING_ID=31), dangling=0.4) == []


@pytest.mark.parametrize("read", [1, 2, 401])
def test_a_dataset_that_keeps_nothing_is_one_alarm_however_small_it_is(read: int) -> None:
    assert _found(_counts(read, INVALID_UTF8=read)) == [("NOTHING_KEPT", "INVALID_UTF8", read, read)]


def test_of_several_reasons_that_left_nothing_the_worst_is_named() -> None:
    assert _found(_counts(10, DANGLING_ID=6, NO_POSITIVE=4)) == [("NOTHING_KEPT", "DANGLING_ID", 10, 10)]


def test_a_dataset_without_a_row_is_an_alarm_once() -> None:
    nothing = _counts(0)
    assert _found(nothing) == [("NOTHING_KEPT", None, 0, 0)]
    assert _found(nothing, "mine") == [], "prepare said so"


def test_what_mining_leaves_nothing_of_is_an_alarm() -> None:
    assert _found(_counts(9, LONELY_LABEL=9), "mine") == [("NOTHING_KEPT", "LONELY_LABEL", 9, 9)]
    assert _found(_counts(100, INCONSISTENT=91), "mine") == [("LOST", "INCONSISTENT", 91, 100)]


def test_each_reason_is_held_to_the_share_by_itself() -> None:
    counts = _counts(10, NEAR_DUPLICATE=4, EXACT_DUPLICATE=4)
    assert _found(counts) == []
    assert [found[1] for found in _found(counts, share=0.3)] == ["NEAR_DUPLICATE", "EXACT_DUPLICATE"]


def test_rows_that_were_no_examples_do_not_hide_a_loss() -> None:
    """Judgments that went into the example of their query, rows that a filter took, and those beyond a cap."""
    grouped = {"read": 1000, "kept": 4, "merged": 900, "rejected": {"NEAR_DUPLICATE": 16, "NO_POSITIVE": 80}}
    assert _found(grouped) == [("LOST", "NEAR_DUPLICATE", 16, 20)]
    capped = _counts(100, NEAR_DUPLICATE=40, CAPPED=50, CONFLICTING_LABEL=1, TOO_SHORT=5)
    assert _found(capped) == []
    assert _found(capped, share=0.4) == [("LOST", "NEAR_DUPLICATE", 40, 95)]


def test_a_few_rows_are_chance() -> None:
    assert _found(_counts(3, TIE=2), by_reason={"TIE": 0.5}) == []
    assert _found(_counts(5, TIE=3), by_reason={"TIE": 0.5}) == [("LOST", "TIE", 3, 5)]
    assert _found(_counts(3, TIE=2), by_reason={"TIE": 0.5}, min_rows=1) == [("LOST", "TIE", 2, 3)]


def test_a_dataset_that_lost_nothing_needs_no_reasons() -> None:
    assert _found({"read": 3, "kept": 3}) == []


def test_each_dataset_may_have_shares_of_its_own_and_they_come_by_name() -> None:
    strict, mild = AlarmParams(share=0.1), AlarmParams()
    counts = {"b": _counts(100, TOO_LONG=20), "a": _counts(100, TOO_LONG=20), "c": _counts(100, TOO_LONG=20)}
    assert list(find_alarms("prepare", counts, lambda name: mild if name == "c" else strict)) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("nli-zh", _counts(5231, BELOW_THRESHOLD=3856, QUERY_IS_POSITIVE=48)),
        ("afqmc", _counts(20000, BELOW_THRESHOLD=13848, REPETITIVE=2)),
        ("multinli", _counts(3000, NO_POSITIVE=1922, NEUTRAL=12, QUERY_IS_POSITIVE=7, TOO_SHORT=3)),
        ("trecqa", {"read": 4718, "kept": 96, "merged": 4529, "rejected": {"NO_POSITIVE": 93}}),
        ("trecqa with LIMIT=60", {"read": 60, "kept": 3, "merged": 6, "rejected": {"NO_POSITIVE": 51}}),
        ("ocnli with LIMIT=60", _counts(60, NO_POSITIVE=42)),
    ],
)
def test_a_sound_dataset_that_loses_much_by_design_raises_none(name: str, counts: dict[str, Any]) -> None:
    assert _found(counts) == [], name


def test_of_a_reason_that_is_not_known_the_default_holds() -> None:
    assert _found(_counts(10, OF_A_LATER_VERSION=6)) == [("LOST", "OF_A_LATER_VERSION", 6, 10)]


def test_shares_by_reason_add_to_the_defaults_and_survive_a_file() -> None:
    params = AlarmParams(by_reason={RejectReason.TIE: 0.1})
    assert (params.share_of("TIE"), params.share_of("NO_POSITIVE"), params.share_of("TOO_LONG")) == (0.1, 0.95, 0.5)
    adapter = TypeAdapter(AlarmParams)
    assert adapter.validate_json(adapter.dump_json(params)) == params
    with pytest.raises(ValidationError, match="by_reason"):
        adapter.validate_python({"by_reason": {"TIES": 0.1}})


@pytest.mark.parametrize(
    "wrong", [{"share": 0.0}, {"unreadable": 1.1}, {"dangling": -0.1}, {"by_reason": {"TIE": 2.0}}, {"min_rows": 0}]
)
def test_shares_are_shares(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"^{name}"):
        AlarmParams(**wrong)


def test_an_alarm_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in CurationError.__subclasses__()]
    assert codes.count(AlarmError.exit_code) == 1


def test_reasons_of_reading_are_not_of_examples() -> None:
    assert not set(UNREADABLE) & set(OF_EXAMPLES)
    assert AlarmRecord(alarm="LOST", stage="mine", rows=1, of=2).example is None


def _mined(**account: Any) -> dict[str, Any]:
    return {"a": {"read": 100, "kept": 100, "rejected": {}, "mining": {"rows": 100, **account}}}


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({"short": 10, "none": 1}, []),
        ({"short": 11, "none": 3}, [("NO_NEGATIVES", 3, 100), ("SHORT", 11, 100)]),
        ({"filled": 10}, []),
        ({"filled": 11}, [("FILLED", 11, 100)]),
        ({"labelled": 50, "doubtful": 13}, [("DOUBTFUL_LABELS", 13, 50)]),
        ({"alike": {"Yes | yes": 7}}, [("ALIKE_LABELS", 7, 100)]),
    ],
)
def test_what_mining_leaves_short_is_told_where_it_is_more_than_its_share(
    account: dict[str, Any], expected: list[tuple[str, int, int]]
) -> None:
    found = find_alarms("mine", _mined(**account), lambda _: AlarmParams()).get("a", [])
    assert [(alarm.alarm, alarm.rows, alarm.of) for alarm in found] == expected
    check_alarms({"a": found}, 1, "here", allowed=False)  # told, and stops nothing


def test_what_mining_leaves_short_follows_the_parameters() -> None:
    assert find_alarms("mine", _mined(short=11), lambda _: AlarmParams(short=0.2)) == {}
