"""The catalog as a table: on a terminal, as tab-separated lines where it is piped, or as a document.

kalm catalog --category=sts --languages=zh
kalm catalog --write=docs/catalog.md
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from catalog.document import document
from catalog.loading import load_catalog
from catalog.selection import ALL, select_entries
from schemas.catalog import LocatedEntry
from schemas.errors import CurationError, OutputError, tell

COLUMNS = ("name", "stage", "task type", "languages", "licence", "rows", "adapter", "evidence")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    given = _parser().parse_args(argv)
    try:
        entries = load_catalog(given.catalog)
        chosen, _ = select_entries(entries, given.category, licenses=given.licenses, languages=given.languages)
        if given.write:
            _write(Path(given.write), document(chosen))
        else:
            print_table(COLUMNS, map(cells, chosen), numbers={"rows"})
    except CurationError as error:
        return tell(error)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kalm catalog", description="List the datasets of the catalog.")
    parser.add_argument("--category", default=ALL, help="as for curate (default: all)")
    parser.add_argument("--licenses", help="only these licence classes, with commas")
    parser.add_argument("--languages", help="only datasets with one of these languages, with commas")
    parser.add_argument("--catalog", help="as for curate: folder with entries that add to or override ours")
    parser.add_argument("--write", metavar="FILE", help="write a Markdown document instead")
    return parser


def cells(located: LocatedEntry) -> list[str]:
    """An entry's row of the table."""
    entry = located.entry
    kind = (entry.stage.value, entry.task_type.value, ",".join(entry.languages), entry.licence_class)
    return [entry.name, *kind, str(entry.rows or ""), entry.adapter.value, entry.evidence]


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = ()) -> None:
    """Write rows to standard output: aligned on a terminal, else tab-separated, which a script can cut."""
    if not sys.stdout.isatty():
        _print_lines("\t".join(row) for row in (columns, *rows))
        return
    right = set(numbers)
    table = Table(box=None, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(
            *(escape(_grouped(cell) if column in right else cell) for column, cell in zip(columns, row, strict=True))
        )
    Console(highlight=False).print(table)


def _print_lines(lines: Iterable[str]) -> None:
    """Write lines; a reader such as ``head`` that has had enough is no error."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _grouped(cell: str) -> str:
    return f"{int(cell):,}" if cell.isdigit() else cell


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
