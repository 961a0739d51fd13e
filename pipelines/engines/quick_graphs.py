"""What Beam works out again and again while it builds and runs a graph, worked out once.

A view of the options is a parser with all flags of its class, and Beam 2.77 makes one some nine hundred times. Each
time that it asks whether a DoFn has state, some five hundred times, it inspects every method of the DoFn.
"""

import functools
from types import FunctionType, MethodType
from typing import Any, TypeVar

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core

View = TypeVar("View", bound=PipelineOptions)
#: Names and defaults of a function's arguments.
Arguments = tuple[list[str], list[Any]]


class OptionsWithViews(PipelineOptions):
    """Options that keep each view of themselves: all views share one dictionary of values, so none is ever old."""

    def view_as(self, cls: type[View]) -> View:
        views: dict[type[PipelineOptions], Any] = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        view: View = views[cls]
        return view

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which can be made again."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name != "_views"}


def remember_arguments() -> None:
    """Let Beam inspect each method once, whatever objects it is bound to, until the end of the process.

    Beam has no public place for this. Where a later Beam asks elsewhere nothing is remembered, and a test says so.
    """
    if not hasattr(core.get_function_args_defaults, "__wrapped__"):
        core.get_function_args_defaults = _remembering(core.get_function_args_defaults)


def _remembering(inspect: Any) -> Any:
    """The same for methods by their function: to which object one is bound says nothing of its arguments."""
    of_method = functools.cache(lambda function: inspect(MethodType(function, object())))

    @functools.wraps(inspect)
    def remembered(function: Any) -> Arguments:
        if not (isinstance(function, MethodType) and isinstance(function.__func__, FunctionType)):
            found: Arguments = inspect(function)
            return found
        names, defaults = of_method(function.__func__)
        return list(names), list(defaults)

    return remembered
