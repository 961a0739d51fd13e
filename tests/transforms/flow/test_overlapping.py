"""Steps that overlap: everything comes out, in windows and under tags; errors arrive; grouped values are in hand."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.windowed_value import WindowedValue

from transforms.flow import overlapping as overlap
from transforms.flow import progress
from transforms.flow.overlapping import OverlappingDoFn


@beam.typehints.with_input_types(tuple[int, Any])
class Spell(OverlappingDoFn):
    """Gives a key as often as it says, and under a tag what it was grouped with."""

    def work(self, element: Any) -> Iterator[Any]:
        key, values = element
        assert isinstance(values, list)
        for _ in range(key):
            yield key
        yield beam.pvalue.TaggedOutput("sums", sum(values))


def test_everything_comes_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "at_a_time", lambda: 2)
    with beam.Pipeline(runner="BundleBasedDirectRunner") as pipeline:
        grouped = pipeline | beam.Create([(k, v) for k in range(7) for v in (1, 10)]) | beam.GroupByKey()
        out = grouped | beam.ParDo(Spell()).with_outputs("sums", main="keys")
        assert_that(out["keys"], equal_to([k for k in range(7) for _ in range(k)]), label="keys")
        assert_that(out["sums"], equal_to([11] * 7), label="sums")


class Fail(OverlappingDoFn):
    """Fails on one element."""

    def work(self, element: int) -> Iterator[int]:
        if element == 3:
            raise ValueError("element 3 is bad")
        yield element


@pytest.mark.parametrize("elements", [[3], [1, 2, 3, 4, 5, 6]])
def test_an_error_fails_the_bundle(elements: list[int]) -> None:
    step = Fail()

    def bundle() -> None:
        step.start_bundle()
        for element in elements:
            list(step.process(element))
        list(step.finish_bundle())

    with pytest.raises(ValueError, match="element 3 is bad"):
        bundle()


class Meet(OverlappingDoFn):
    """Waits until another element is at work too."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2)

    def work(self, element: int) -> Iterator[int]:
        self._barrier.wait(timeout=30)
        yield element


@pytest.mark.skipif(overlap.at_a_time() < 2, reason="one numba thread, so one element at a time")
def test_two_elements_are_worked_on_at_a_time() -> None:
    step = Meet()
    step.start_bundle()
    given = [value for element in (1, 2) for value in step.process(element)]
    last = [windowed.value for windowed in step.finish_bundle()]
    assert given + last == [1, 2]


def test_what_comes_last_is_in_the_global_window() -> None:
    step = Fail()
    step.start_bundle()
    assert list(step.process(1)) == []
    (output,) = step.finish_bundle()
    assert isinstance(output, WindowedValue)
    assert list(step.finish_bundle()) == []


def test_a_batch_is_no_group() -> None:
    batch = pa.record_batch({"a": [1, 2]})
    assert overlap._held((1, batch)) == (1, batch)
    assert overlap._held((1, iter([1, 2]))) == (1, [1, 2])
    assert overlap._held(5) == 5


class Many(OverlappingDoFn):
    """Gives batches, and notes how many it has made."""

    def __init__(self, number: int) -> None:
        self._number, self.made = number, 0

    def work(self, element: int) -> Iterator[Any]:
        for _ in range(self._number):
            self.made += 1
            yield element, pa.record_batch({"a": list(range(1000))})


def test_an_element_waits_when_it_is_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_MAX_AHEAD", 3)
    step = Many(100)
    step.start_bundle()
    assert list(step.process(1)) == []
    time.sleep(0.2)
    assert step.made <= 4
    assert len(list(step.finish_bundle())) == 100
    step.teardown()


def test_work_that_nobody_waits_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_MAX_AHEAD", 1)
    before = set(threading.enumerate())
    step = Many(100)
    step.start_bundle()
    list(step.process(1))
    step.start_bundle()  # the bundle before it failed
    list(step.process(2))
    assert [windowed.value[0] for windowed in step.finish_bundle()] == [2] * 100
    step.teardown()
    deadline = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


@beam.typehints.with_input_types(tuple[int, pa.RecordBatch])
class Again(OverlappingDoFn):
    """Gives a batch many times."""

    def work(self, element: Any) -> Iterator[Any]:
        for _ in range(50):
            yield element[0]


def test_steps_behind_each_other_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_MAX_AHEAD", 2)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        batches = pipeline | beam.Create(range(8)).with_output_types(int) | "Many" >> beam.ParDo(Many(5))
        assert_that(batches | "Again" >> beam.ParDo(Again()), equal_to([n for n in range(8) for _ in range(250)]))


class Scale(OverlappingDoFn):
    """Multiplies by a side input."""

    def work(self, element: int, factor: int) -> Iterator[int]:
        yield element * factor


def test_side_inputs_arrive() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        factor = pipeline | "Factor" >> beam.Create([7])
        scaled = pipeline | "Elements" >> beam.Create([1, 2, 3]) | beam.ParDo(Scale(), beam.pvalue.AsSingleton(factor))
        assert_that(scaled, equal_to([7, 14, 21]))


class Tell(OverlappingDoFn):
    """Reports as steps do, from whichever thread works."""

    def work(self, element: int) -> Iterator[int]:
        progress.report(None, read=element)
        yield element


def test_what_work_reports_is_counted_by_beam_in_its_step() -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    numbers = pipeline | beam.Create([1, 2, 3, 4]) | "Tell" >> beam.ParDo(Tell())
    numbers | "Plain" >> beam.Map(lambda _: progress.report(None, kept=1))
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query(MetricsFilter().with_namespace(progress.NAMESPACE))["counters"]
    found = {(counter.key.step, counter.key.metric.name): counter.attempted for counter in counters}
    assert found == {("Tell", "read"): 10, ("Plain", "kept"): 4}
