import time

import pytest

from schemas.errors import SourceError
from transforms.flow.params import RetryParams
from transforms.flow.retry import is_permanent, retrying, status_of


class Answer(OSError):
    """An HTTP error as the libraries raise it: the response hangs on it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status} for url: https://host/?signature=secret")
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_refusals_are_permanent(status: int) -> None:
    assert is_permanent(Answer(status))
    with pytest.raises(Answer):
        retrying("asking", lambda: (_ for _ in ()).throw(Answer(status)), RetryParams(first_wait=100, longest_wait=100))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_overload_passes(status: int) -> None:
    assert status_of(Answer(status)) == status
    assert not is_permanent(Answer(status))


def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    params = RetryParams(attempts=6, first_wait=1, longest_wait=5)
    with pytest.raises(SourceError, match=r"asking failed 6 times, the last time with: Answer: HTTP 503\. ") as caught:
        retrying("asking", lambda: (_ for _ in ()).throw(Answer(503)), params)
    assert pauses == [1, 2, 4, 5, 5]
    assert "secret" not in caught.value.message


def test_success_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    answers = iter([ConnectionResetError("reset"), Answer(429), "body"])

    def action() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retrying("asking", action, RetryParams(attempts=3)) == "body"


def test_other_errors_are_not_for_trying_again() -> None:
    with pytest.raises(ZeroDivisionError):
        retrying("dividing", lambda: 1 // 0, RetryParams(first_wait=100, longest_wait=100))


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first_wait": -1}, {"first_wait": 3, "longest_wait": 2}])
def test_params_refuse_what_cannot_work(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="retries need"):
        RetryParams(**wrong)  # type: ignore[arg-type]
