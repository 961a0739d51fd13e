"""Reject reasons: each says what it means, and its name is its value."""

from schemas.reasons import DESCRIPTIONS, RejectReason


def test_every_reason_is_described_in_the_order_of_the_steps() -> None:
    assert list(DESCRIPTIONS) == list(RejectReason)
    assert all(DESCRIPTIONS.values())


def test_a_reason_is_written_as_it_is_named() -> None:
    assert [reason.value for reason in RejectReason] == [reason.name for reason in RejectReason]


def test_no_two_reasons_say_the_same() -> None:
    assert len(set(DESCRIPTIONS.values())) == len(DESCRIPTIONS)
