"""The README's few numbers, taken from the blocks of ``docs/measured.md``, so that the two say the same.

Two blocks: ``headlines``, one line for each part, and ``curation``, what each step of curation was worth to a student.

python -m benchmarks.headlines [--measured=docs/measured.md] [--write=README.md]
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks._report import block, fill, table

HEADER = ("what", "measured", "beside it")
_OF_ARMS = ("trained on", "rows", "mean of unseen", "less the arm before")


def headlines(measured: str) -> str:
    """The table of headline numbers. Raises ValueError for a block that is not there or does not say what is wanted."""
    return table(HEADER, [line(block(measured, name)) for name, line in _LINES.items()])


def curation(measured: str) -> str:
    """The table of what steps of curation are worth: of the block ``ablation``, its arms, rows and mean of unseen sets.

    Raises ValueError for a block that is not there or has other columns.
    """
    header, _, *arms = _rows(block(measured, "ablation").split("\n\n")[0])
    if missing := [column for column in _OF_ARMS if column not in header]:
        raise ValueError(f"the block ablation has no column {missing[0]!r}: measure again, or mend this script")
    columns = [header.index(column) for column in _OF_ARMS]
    return table(_OF_ARMS, [[row[column] for column in columns] for row in arms])


def _rows(text: str) -> list[list[str]]:
    """The cells of all rows of the tables of a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _cells(text: str, *first: str) -> list[str]:
    """The cells of the last row of a table that begins with these cells."""
    found = [row for row in _rows(text) if tuple(row[: len(first)]) == first]
    if not found:
        raise ValueError(f"no row of the tables begins with {' | '.join(first)}: measure again, or mend this script")
    return found[-1]


def _said(text: str, pattern: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"the notes do not say {pattern!r}: measure again, or mend this script")
    return tuple(word.rstrip(".,") for word in found.groups())


def _dedup(text: str) -> tuple[str, str, str]:
    ours = _cells(text, "**this project**", "1,000,000")
    peers = [_cells(text, name, "1,000,000") for name in ("rensa", "datasketch", "datatrove")]
    beside = ", ".join(f"{name} {speed} ({recall} / {precision})" for name, _, speed, _, _, recall, precision in peers)
    return "deduplication of 1,000,000 texts, texts/s (recall / precision)", _of(ours), beside


def _of(row: Sequence[str]) -> str:
    return f"**{row[2]}** ({row[5]} / {row[6]})"


def _edits(text: str) -> tuple[str, str, str]:
    recall, precision = _said(text, r"([\d.]+) are found \(recall\); of the removed texts ([\d.]+) are")
    return "edited copies of real texts found; removed texts that are copies", f"**{recall}**; {precision}", ""


def _language(text: str) -> tuple[str, str, str]:
    datasets, sound, alone = _said(
        text, r"Of (\d+) datasets (\d+) lose at most 1 % of their rows; langdetect alone: (\d+)"
    )
    return "datasets that lose at most 1 % to the language check", f"**{sound} of {datasets}**", f"langdetect {alone}"


def _leaks(text: str) -> tuple[str, str, str]:
    recall, precision = _said(
        text, r"([\d.]+) are found \(recall\); of [\d,]+ rows that were found ([\d.]+) are copies"
    )
    return "copies of evaluation queries found; found rows that are copies", f"**{recall}**; {precision}", ""


def _stages(text: str) -> tuple[str, str, str]:
    ours, script = (
        _cells(text, "**prepare**"),
        _cells(text, "script: `datasets` and `datasketch`, one in 7 of those rows"),
    )
    return "prepare, all steps, rows/s on two cores", f"**{ours[3]}**", f"a script that does less {script[3]}"


_LINES: dict[str, Callable[[str], tuple[str, str, str]]] = {
    "dedup": _dedup,
    "stages": _stages,
    "edits": _edits,
    "leaks": _leaks,
    "language": _language,
}


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.headlines", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--measured", type=Path, default=Path("docs/measured.md"), help="document of all measurements")
    parser.add_argument("--write", type=Path, help="document whose blocks are filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = build_parser().parse_args(argv)
    measured = arguments.measured.read_text("utf-8")
    for name, text in (("headlines", headlines(measured)), ("curation", curation(measured))):
        print(text)
        if arguments.write:
            fill(arguments.write, name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
