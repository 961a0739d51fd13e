"""The configuration of a run, and validation errors in words."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.config import RunConfig, explain


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate: float


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: _Inner
    names: tuple[int, ...] = ()


def _lines(model: type[BaseModel], value: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return explain(caught.value, "run.yaml").split("\n")


def test_an_unknown_key_is_named_with_its_path_and_value() -> None:
    assert _lines(_Outer, {"inner": {"rate": 1, "speed": 7}}) == ["run.yaml: inner.speed: unknown key (got 7)"]


def test_a_missing_key_has_no_value_to_show() -> None:
    assert _lines(_Outer, {"inner": {}}) == ["run.yaml: inner.rate: Field required"]


def test_every_mistake_gets_a_line_of_its_own() -> None:
    lines = _lines(_Outer, {"inner": {"rate": "fast"}, "names": [1, "two"]})
    assert [line.split(": ")[1] for line in lines] == ["inner.rate", "names.1"]
    assert lines[0].endswith("(got 'fast')")


def test_what_is_wrong_as_a_whole_is_at_the_top() -> None:
    (line,) = _lines(_Outer, 5)
    assert line.startswith("run.yaml: (top level): ")


def test_a_long_value_is_cut() -> None:
    (line,) = _lines(_Outer, {"inner": {"rate": "x" * 1000}})
    assert len(line) < 250


def test_the_defaults_are_the_bundled_sample() -> None:
    config = RunConfig()
    assert (config.category, config.source, config.out, config.teacher) == ("retrieval", "sample", "out", "minilm")
    assert config.limit is None


@pytest.mark.parametrize(
    ("key", "value"), [("limit", 0), ("limit", -3), ("limit", "many"), ("seed", "x"), ("colour", 1)]
)
def test_a_run_configuration_refuses_what_it_does_not_know(key: str, value: Any) -> None:
    (line,) = _lines(RunConfig, {key: value})
    assert line.startswith(f"run.yaml: {key}: ")


def test_every_field_says_what_it_means() -> None:
    assert [name for name, field in RunConfig.model_fields.items() if not field.description] == []
