"""Markdown from texts that anybody may have written: nothing in them is taken for a mark, a link or a tag."""

import re
from collections.abc import Sequence

_MARKS = re.compile(r"[\\`*_{}\[\]<>|#~&]")


def plain(text: str) -> str:
    """A text on one line whose marks of Markdown and HTML are escaped."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
