"""What holds for each dataset: the most specific override wins, key by key."""

import pytest
import yaml

from catalog import load_catalog
from pipelines.configuration.layers import Configuration, Layer, resolve
from pipelines.configuration.overrides import effective
from schemas.errors import ConfigError

ENTRIES = load_catalog()


def _configuration(text: str) -> Configuration:
    return resolve([Layer(values=yaml.safe_load(text), where=lambda path: f"c.yaml {path[-1]}")])


def _negatives(text: str, name: str) -> int:
    return effective(_configuration(text), ENTRIES)[name].config.mining.num_negatives


PATTERNS = {"fever": 1, "fev*": 2, "task:retrieval": 3, "stage:finetune": 4}


@pytest.mark.parametrize("start", range(5))
def test_a_name_wins_over_a_glob_over_a_task_type_over_a_stage(start: int) -> None:
    given = list(PATTERNS.items())[start:]
    text = "mining: {num_negatives: 5}\ndatasets:\n" + "".join(
        f"  '{pattern}': {{mining: {{num_negatives: {number}}}}}\n" for pattern, number in given
    )
    if not given:
        text = "mining: {num_negatives: 5}\n"
    assert _negatives(text, "fever") == start + 1


def test_keys_are_taken_one_by_one() -> None:
    text = "datasets: {'task:retrieval': {cap: 9, mining: {num_negatives: 3}}, fever: {mining: {num_negatives: 4}}}"
    found = effective(_configuration(text), ENTRIES)
    assert (found["fever"].config.cap, found["fever"].config.mining.num_negatives) == (9, 4)
    assert found["fever"].located.entry.cap == 9
    assert (found["hotpotqa"].config.cap, found["hotpotqa"].config.mining.num_negatives) == (9, 3)
    assert found["tnews"].config.mining.num_negatives == 7
    assert found["tnews"].located is ENTRIES["tnews"]


def test_what_holds_for_all_holds_below_an_override() -> None:
    text = "mining: {class_pool: 150}\ndatasets: {fever: {mining: {num_negatives: 4}}}"
    assert effective(_configuration(text), ENTRIES)["fever"].config.mining.class_pool == 150


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datasets: {fevr: {cap: 1}}", "datasets.fevr: matches no dataset of the catalog: did you mean fever"),
        ("datasets: {classification: {cap: 1}}", "did you mean .*task:classification"),
        ("datasets: {'task:sorting': {cap: 1}}", "datasets.task:sorting: matches no dataset"),
        (
            "datasets: {'fev*': {cap: 1}, '*ever': {cap: 2}}",
            r"datasets.fev\*.cap: 1 disagrees with 2 at c.yaml cap: datasets.\*ever.cap; both patterns match fever",
        ),
        ("datasets: {fever: {cap: none}}", "c.yaml cap: datasets.fever: cap: Input should be a valid integer"),
        ("datasets: {fever: {mining: {rank_range: [5, 9]}}}", "c.yaml rank_range: datasets.fever: mining: rank_range="),
        ("datasets: {tnews: {compare: query}}", "c.yaml compare: tnews: compare is for rows with positives"),
    ],
)
def test_an_override_that_cannot_hold_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        effective(_configuration(text), ENTRIES)


def test_overrides_of_equal_weight_may_agree() -> None:
    text = "datasets: {'fev*': {cap: 1}, '*ever': {cap: 1}}"
    assert effective(_configuration(text), ENTRIES)["fever"].config.cap == 1
