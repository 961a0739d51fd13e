"""What Beam works out again and again is worked out once, and is what Beam works out."""

import inspect
import pickle
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions, TypeOptions
from apache_beam.transforms import core, userstate

from pipelines.engines.quick_graphs import OptionsWithViews, remember_arguments
from transforms.examples.read_rows import ReadRows
from transforms.keeping.decisions import CapRows, KeepRows

FLAGS = ["--direct_num_workers=3", "--streaming"]
COUNTER = userstate.CombiningValueStateSpec("counter", sum)


class Plain(beam.DoFn):
    def process(self, element: int, factor: int = 2) -> Iterator[int]:
        yield element * factor


class Stateful(beam.DoFn):
    def process(self, element: tuple[int, int], state: object = beam.DoFn.StateParam(COUNTER)) -> Iterator[int]:
        yield element[1]


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> object:
    """What Beam does by itself; afterwards the process is as it was."""
    plain = inspect.unwrap(core.get_function_args_defaults)
    monkeypatch.setattr(core, "get_function_args_defaults", plain)
    return plain


@pytest.mark.parametrize("kind", [DirectOptions, StandardOptions, TypeOptions])
def test_views_say_what_beams_own_say_and_are_made_once(kind: type[PipelineOptions]) -> None:
    options = OptionsWithViews(FLAGS)
    assert options.view_as(kind).get_all_options() == PipelineOptions(FLAGS).view_as(kind).get_all_options()
    assert options.view_as(kind) is options.view_as(kind)


def test_what_is_set_in_one_view_is_seen_in_all() -> None:
    options = OptionsWithViews(FLAGS)
    options.view_as(StandardOptions).view_as(DirectOptions).direct_num_workers = 7
    assert options.view_as(DirectOptions).direct_num_workers == 7
    assert pickle.loads(pickle.dumps(options)).view_as(DirectOptions).direct_num_workers == 7


@pytest.mark.parametrize(
    "dofn", [Plain(), Stateful(), CapRows({}), ReadRows(None), KeepRows(None), beam.Map(len).fn], ids=repr
)
def test_a_dofn_has_the_arguments_and_the_state_that_beam_finds(dofn: beam.DoFn, original: object) -> None:
    names = [name for name in dir(dofn) if inspect.ismethod(getattr(dofn, name, None))]
    found = [core.get_function_arguments(dofn, name) for name in names], userstate.get_dofn_specs(dofn)
    remember_arguments()
    assert core.get_function_args_defaults is not original
    assert ([core.get_function_arguments(dofn, name) for name in names], userstate.get_dofn_specs(dofn)) == found
    assert userstate.is_stateful_dofn(dofn) == isinstance(dofn, Stateful)


def test_a_method_is_inspected_once_whatever_it_is_bound_to(original: object, monkeypatch: pytest.MonkeyPatch) -> None:
    remember_arguments()
    userstate.get_dofn_specs(Plain())

    def refused(function: object) -> object:
        raise AssertionError(f"{function} is inspected again")

    monkeypatch.setattr(core, "get_signature", refused)
    assert userstate.get_dofn_specs(Plain()) == (set(), set())
    assert core.get_function_arguments(Plain(), "process") == (["element", "factor"], [2])
