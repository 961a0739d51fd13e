"""Puts values into a source row under the paths of a catalog entry: the inverse of reading them (docs/adapters.md)."""

import re
from collections.abc import Sequence
from typing import Any

from catalog.sample_writer.formats import Row

_NAME = r"[^.\[\]{}]+"
_STEP = re.compile(rf"\.({_NAME})|\[(\d*)\]")
_CODE = re.compile(r"\{code_([ab])\}")
_PATH = re.compile(rf"{_NAME}(?:\.{_NAME}|\[\d*\])*")

Step = str | int | None
Columns = str | Sequence[str]


def steps_of(path: str, config: str = "") -> tuple[Step, ...]:
    """Returns the steps of a path: a name, ``*`` for the values of a map, a number for ``[i]``, None for ``[]``.

    Raises:
        ValueError: the text is no path.
    """
    path = _CODE.sub(lambda match: config.split("-")["ab".index(match[1])], path)
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no path: a name, then .name, [] or [number]")
    head = re.match(_NAME, path)
    assert head is not None
    rest = (match[1] or (int(match[2]) if match[2] else None) for match in _STEP.finditer(path, head.end()))
    return (head[0], *rest)


def is_path(text: str) -> bool:
    """Says whether a text is a path; entries name some of their unused columns in prose."""
    return _PATH.fullmatch(text) is not None and " (" not in text


def put(row: Row, columns: Columns, value: Any, config: str = "") -> None:
    """Puts a value into the row under a path, or its parts under several.

    A path through ``[]`` or ``.*`` takes a list; one value alone is a list of one. Several paths take a tuple with as
    many parts, or a list of such tuples; any other value goes under the last path and leaves the others empty.
    """
    if isinstance(columns, str):
        steps = steps_of(columns, config)
        is_many = None in steps or "*" in steps[1:]
        row[str(steps[0])] = _put(row.get(str(steps[0])), steps[1:], _listed(value) if is_many else value)
        return
    for number, column in enumerate(columns):
        put(row, column, _part(value, number, len(columns)), config)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


def _part(value: Any, number: int, size: int) -> Any:
    if isinstance(value, list):
        return [_part(item, number, size) for item in value]
    if isinstance(value, tuple):
        return value[number]
    return value if number == size - 1 or value is None else ""


def _put(old: Any, steps: Sequence[Step], value: Any) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step is None:
        before = old or []
        return value and [_put(before[i] if i < len(before) else None, rest, item) for i, item in enumerate(value)]
    if step == "*":
        before = old or {}
        return {**before, **{str(i): _put(before.get(str(i)), rest, item) for i, item in enumerate(value or [])}}
    if isinstance(step, int):
        items = [*(old or []), *[""] * (step + 1 - len(old or []))]
        items[step] = _put(items[step] or None, rest, value)
        return items
    return {**(old or {}), step: _put((old or {}).get(step), rest, value)}
