"""What is made once in a process although several threads ask for it at the same time: tables, models, indexes."""

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def once(function: Callable[P, R]) -> Callable[P, R]:
    """``functools.cache`` whose value one thread makes while the others wait; alone it lets each of them make it."""
    cached, turn = cast(Callable[P, R], functools.cache(function)), threading.RLock()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with turn:
            return cached(*args, **kwargs)

    return call
