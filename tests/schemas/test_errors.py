"""Errors that a person can mend: their message is found again in whatever a runner makes of them."""

import multiprocessing
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import (
    BalanceError,
    CatalogError,
    ConfigError,
    CurationError,
    OutputError,
    SourceError,
    find_message,
)

KINDS = [CurationError, ConfigError, CatalogError, SourceError, OutputError, BalanceError]
#: What a message may hold: anything but the marks that frame it.
MESSAGES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u27e6\u27e7"), max_size=80)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_to_another_process(kind: type[CurationError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a\nb: ü")))
    assert type(error) is kind
    assert (error.message, error.exit_code, str(error)) == ("a\nb: ü", kind.exit_code, str(kind("a\nb: ü")))


def _fail() -> None:
    raise SourceError("file x is cut short")


def test_an_error_is_raised_again_where_a_worker_process_was_waited_for() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(SourceError) as caught:
        pool.apply(_fail)
    assert caught.value.message == "file x is cut short"


def test_every_kind_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert not {0, 70, 130} & set(codes), "success, a fault of the program, an interrupt"
    assert set(KINDS[1:]) <= set(CurationError.__subclasses__())


@given(MESSAGES, st.sampled_from(KINDS))
def test_a_message_is_found_in_a_traceback(message: str, kind: type[CurationError]) -> None:
    try:
        raise kind(message)
    except CurationError:
        text = traceback.format_exc()
    assert find_message(f"java.lang.RuntimeException: {text}\n\tat org.example.Main(Main.java:1)") == (
        message,
        kind.exit_code,
    )


def test_a_message_is_found_below_the_tracebacks_of_others() -> None:
    try:
        try:
            _fail()
        except SourceError as error:
            raise RuntimeError(f"bundle 7 failed: {traceback.format_exc()}") from error
    except RuntimeError:
        text = traceback.format_exc()
    assert find_message(text) == ("file x is cut short", SourceError.exit_code)


def test_an_error_that_quotes_another_is_found_whole() -> None:
    inner = CatalogError("catalog/x.yaml:3: no column 'q'")
    assert find_message(str(SourceError(f"cannot read x: {inner}"))) == (
        "cannot read x: catalog/x.yaml:3: no column 'q'",
        SourceError.exit_code,
    )


def test_a_message_that_quotes_a_text_with_the_marks_is_found_whole() -> None:
    error = SourceError("row 3 holds '\u27e6x\u27e7': not a number")
    found = find_message(str(error))
    assert found is not None
    assert found[0].startswith("row 3 holds")
    assert found[0].endswith("not a number")


def test_a_traceback_of_somebody_else_holds_no_message() -> None:
    assert find_message('Traceback (most recent call last):\n  File "x.py", line 1\nValueError: 2 is not 3') is None
