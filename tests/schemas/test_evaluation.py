"""Evaluation sets: what they must say, and what is refused."""

import pytest
from pydantic import ValidationError

from schemas.evaluation import Benchmark, EvaluationCatalog, EvaluationSet

APPLES = {"name": "Apples", "hub": "toy/apples", "splits": ["test"], "languages": ["en"]}


def test_a_set_is_of_one_language_unless_it_says_so() -> None:
    found = EvaluationSet.model_validate(APPLES)
    assert (found.subsets, found.revision, found.splits) == (False, None, ("test",))


@pytest.mark.parametrize(
    "change", [{"name": "a b"}, {"name": "a\tb"}, {"name": ""}, {"splits": []}, {"languages": []}, {"hubs": "x"}]
)
def test_what_a_set_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EvaluationSet.model_validate(APPLES | change)


def test_a_benchmark_names_a_set_once() -> None:
    with pytest.raises(ValidationError, match="named more than once: Apples"):
        Benchmark.model_validate({"benchmark": "toy", "title": "Toy", "sets": [APPLES], "shared": ["Apples"]})


def test_an_entry_that_is_no_task_has_no_names() -> None:
    catalog = EvaluationCatalog(sets={}, benchmarks={}, training_datasets={"fruit": ("Apples",)})
    assert (catalog.names_of("fruit"), catalog.names_of("stones")) == (("Apples",), ())
