"""What a run would read: planned as a run plans it, from listings and Parquet footers alone; nothing is written."""

import posixpath
from collections.abc import Iterator, Sequence

from catalog.table import print_table
from pipelines.display import Display
from pipelines.options import Command
from pipelines.selection import chosen_entries
from schemas.catalog import LocatedEntry
from transforms.layout import wanted_of
from transforms.planning import Plan
from transforms.sources import open_source
from transforms.units import Role, Unit

COLUMNS = ("dataset", "role", "config", "split", "files", "bytes", "rows", "stated", "revision", "path")
NUMBERS = frozenset({"files", "bytes", "rows", "stated"})


def dry_run(command: Command) -> None:
    """Print, for each configuration that would be read, its files, bytes and rows; then what is absent, and why."""
    config = command.config
    located, _ = chosen_entries(config)
    source = open_source(config.source, limit=config.limit, digests=False)
    plans = {each.entry.name: source.plan(each) for each in located}
    print_table(COLUMNS, (row for each in located for row in _rows(each, plans[each.entry.name])), numbers=NUMBERS)
    display = Display(command.quiet)
    for name, plan in plans.items():
        for detail in plan.absent:
            display.say(f"absent: {name}: {detail}")
    display.say(_total(list(plans.values()), config.source, config.limit))


def _rows(located: LocatedEntry, plan: Plan) -> Iterator[list[str]]:
    """The table's rows of a dataset, one for each role and configuration; its stated rows stand in the first."""
    splits = {wanted.role: wanted.split for wanted in wanted_of(located)}
    groups: dict[tuple[Role, str], list[Unit]] = {}
    for unit in plan.units:
        groups.setdefault((unit.role, unit.config), []).append(unit)
    stated = str(located.entry.rows or "")
    for (role, config), units in groups.items():
        files = list(dict.fromkeys(unit.file for unit in units))
        size = sum(plan.sizes[file] for file in files)
        facts = [str(len(files)), str(size), known_rows(units), stated, plan.revision or "", _path(files)]
        yield [located.entry.name, role, config, splits[role], *facts]
        stated = ""


def known_rows(units: Sequence[Unit]) -> str:
    """The rows of units as Parquet footers state them; empty where only reading can tell."""
    return "" if any(unit.format != "parquet" for unit in units) else str(sum(unit.rows or 0 for unit in units))


def _path(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{posixpath.commonpath(files)}/**"


def _total(plans: Sequence[Plan], source: str, limit: int | None) -> str:
    there = [plan for plan in plans if plan.units]
    sizes = {file: size for plan in there for file, size in plan.sizes.items()}
    at_most = f", at most {limit:,} rows of each" if limit else ""
    return (
        f"dry run: {len(there)} of {len(plans)} datasets are in {source}: {len(sizes):,} files, "
        f"{sum(sizes.values()):,} bytes{at_most}; no row was read, nothing was written"
    )
