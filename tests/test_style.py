"""What no linter checks: the length of functions, names that shadow the standard library, unfinished work."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE_FOLDERS = ("catalog", "schemas", "transforms", "mining", "pipelines", "trainer")
OTHER_FOLDERS = ("tests", "benchmarks")

MAX_BODY_LINES = 40
MAX_BODY_LINES_P90 = 25
SHADOWING_NAMES = {"select.py", "io.py", "types.py", "queue.py"}

FUNCTION_TYPES = (ast.FunctionDef, ast.AsyncFunctionDef)


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last; 0 if there is nothing but a docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(paths: list[Path]) -> Iterator[tuple[str, int]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, FUNCTION_TYPES):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", body_lines(node)


def test_body_lines_leaves_out_signature_and_docstring() -> None:
    source = 'def f(\n    a,\n):\n    """Say\n    more."""\n    b = a\n\n    return b\n'
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 3


def test_no_function_is_long() -> None:
    found = list(functions(modules(*SOURCE_FOLDERS, *OTHER_FOLDERS)))
    assert len(found) > 5
    assert [(name, lines) for name, lines in found if lines > MAX_BODY_LINES] == []


def test_the_tail_of_function_length_is_short() -> None:
    lengths = sorted(lines for _, lines in functions(modules(*SOURCE_FOLDERS)))
    assert lengths[int(0.9 * len(lengths))] <= MAX_BODY_LINES_P90


def test_no_module_shadows_the_standard_library() -> None:
    assert [path for path in modules(*SOURCE_FOLDERS) if path.name in SHADOWING_NAMES] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\b(TODO|FIXME|XXX)\b", "unfinished work belongs in the tracker"),
        (r"\bNotImplementedError\b", "a stub is not a part"),
        (r"^\s*(import|from) (pickle|dill|cloudpickle)\b", "data is never pickled"),
        (r"trust_remote_code\s*=\s*True", "no code comes from a hub"),
    ],
)
def test_source_is_free_of(pattern: str, why: str) -> None:
    lines = (
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules(*SOURCE_FOLDERS)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    )
    assert list(lines) == [], why


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in modules(*SOURCE_FOLDERS) if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []
