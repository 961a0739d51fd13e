"""Reject reasons: each says what it means, and its name is its value."""

from schemas.reasons import DESCRIPTIONS, WORDS, RejectReason, words_of


def test_every_reason_is_described_in_the_order_of_the_steps() -> None:
    assert list(DESCRIPTIONS) == list(RejectReason)
    assert all(DESCRIPTIONS.values())


def test_a_reason_is_written_as_it_is_named() -> None:
    assert [reason.value for reason in RejectReason] == [reason.name for reason in RejectReason]


def test_no_two_reasons_say_the_same() -> None:
    assert len(set(DESCRIPTIONS.values())) == len(DESCRIPTIONS)


def test_every_reason_has_a_few_words_for_a_table() -> None:
    assert list(WORDS) == list(RejectReason)
    assert len(set(WORDS.values())) == len(WORDS)
    assert all(0 < len(words) <= 28 for words in WORDS.values())


def test_a_reason_of_a_later_version_is_spelt_out() -> None:
    assert (words_of("TIE"), words_of("OF_LATER"), words_of(None)) == ("answers of equal score", "of later", "")
