"""What a run would read: planned as a run plans it, from listings and Parquet footers alone; nothing is written."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from catalog.evaluation_sets import load_evaluation
from catalog.table import print_table
from pipelines.against import find_against, scopes_of
from pipelines.display import Display
from pipelines.evaluation import PlannedSets, plan_evaluation
from pipelines.options import Command
from pipelines.readmission import wanted_rows
from pipelines.selection import choose, plan_sources
from pipelines.workplace import absolute
from schemas.catalog import LocatedEntry
from schemas.manifest import EVALUATION_PREFIX
from transforms.sources.layout import wanted_of
from transforms.sources.planning import Plan
from transforms.sources.units import Role, Unit

COLUMNS = ("dataset", "role", "config", "split", "files", "bytes", "rows", "stated", "revision", "path")
NUMBERS = frozenset({"files", "bytes", "rows", "stated"})


def dry_run(command: Command) -> None:
    """Print the files, bytes and rows of each configuration that would be read; then what is absent, and why."""
    config = command.config
    wanted_rows(config.readmit)
    located, reading = choose(command.configuration).located, command.configuration.config.reading
    plans = plan_sources(command.configuration, located, digests=False)
    sets = plan_evaluation(config, load_evaluation(config.catalog), digests=False, reading=reading)
    rows = [row for each in located for row in _dataset_rows(each, plans[each.entry.name])]
    print_table(COLUMNS, [*rows, *_evaluation_rows(sets)], numbers=NUMBERS)
    display = Display(command.quiet)
    for name, detail in [*((name, line) for name, plan in plans.items() for line in plan.absent), *sets.absent]:
        display.say(f"absent: {name}: {detail}")
    if sets.plans:
        display.say(f"dry run: {_total(sets.plans, 'evaluation sets', ' and '.join(sets.places))}")
    else:
        display.say("dry run: no evaluation sets would be kept out")
    if against := _against(command, located, plans):
        display.say(f"dry run: {against}")
    at_most = f", at most {config.limit:,} rows of each" if config.limit else ""
    total = _total(list(plans.values()), "datasets", config.source)
    display.say(f"dry run: {total}{at_most}; no row was read, nothing was written")


def _against(command: Command, located: Sequence[LocatedEntry], plans: Mapping[str, Plan]) -> str | None:
    """What would be compared with that was published before."""
    entries = {each.entry.name: each.entry for each in located if plans[each.entry.name].units}
    out = absolute(command.config.out)
    return find_against(command.configuration.config.against, scopes_of(entries), out, check=False).line


def _dataset_rows(located: LocatedEntry, plan: Plan) -> Iterator[list[str]]:
    splits = {wanted.role: wanted.split for wanted in wanted_of(located)}
    return _rows(located.entry.name, plan, splits, str(located.entry.rows or ""))


def _evaluation_rows(sets: PlannedSets) -> Iterator[list[str]]:
    for plan in sets.there:
        yield from _rows(EVALUATION_PREFIX + plan.name, plan, plan.splits, "")


def _rows(name: str, plan: Plan, splits: Mapping[Role, str], stated: str) -> Iterator[list[str]]:
    """The table's rows of one plan, one for each role and configuration; its stated rows stand in the first."""
    groups: dict[tuple[Role, str], list[Unit]] = {}
    for unit in plan.units:
        groups.setdefault((unit.role, unit.config), []).append(unit)
    for (role, config), units in groups.items():
        files = list(dict.fromkeys(unit.file for unit in units))
        size = sum(plan.sizes[file] for file in files)
        facts = [str(len(files)), str(size), known_rows(units), stated, plan.revision or "", _path(files)]
        yield [name, role, config, splits.get(role, ""), *facts]
        stated = ""


def known_rows(units: Sequence[Unit]) -> str:
    """The rows of units as Parquet footers state them; empty where only reading can tell."""
    return "" if any(unit.format != "parquet" for unit in units) else str(sum(unit.rows or 0 for unit in units))


def _path(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{posixpath.commonpath(files)}/**"


def _total(plans: Sequence[Plan], what: str, source: str) -> str:
    there = [plan for plan in plans if plan.units]
    sizes = {(plan.place, file): size for plan in there for file, size in plan.sizes.items()}
    return f"{len(there)} of {len(plans)} {what} are in {source}: {len(sizes):,} files, {sum(sizes.values()):,} bytes"
