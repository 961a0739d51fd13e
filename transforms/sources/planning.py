"""A plan: the units that a dataset is read by, and what it asked for and did not find."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import xxhash

from schemas.catalog import LocatedEntry
from transforms.flow.retry import status_of
from transforms.sources.file_errors import file_error
from transforms.sources.footers import READ_ERRORS, read_footer
from transforms.sources.layout import Wanted
from transforms.sources.params import AS_USUAL, RangeParams
from transforms.sources.units import Unit, split_name

#: Row groups next to each other are one unit up to so many rows and uncompressed bytes.
UNIT_ROWS = 65_536
UNIT_BYTES = 64 << 20
_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What reading a dataset comes to.

    ``place`` says where it is read from. ``revision`` is the commit it was pinned to, None where there are no commits.
    ``absent`` holds one line for each configuration, or for the dataset, that the source does not have, with what is
    there instead. ``digests`` maps each file to a digest of its content, so that output can be keyed by its input;
    ``sizes`` maps each to its bytes.
    """

    place: str
    units: tuple[Unit, ...] = ()
    revision: str | None = None
    absent: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


class Source(Protocol):
    """Where datasets are read from."""

    def plan(self, located: LocatedEntry) -> Plan:
        """The units of an entry's files. Raises SourceError where the source is broken or cannot be reached."""
        ...


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file that belongs to a configuration and split: where it is opened, its provenance name, its size in bytes, and
    how its bytes are asked for.
    """

    wanted: Wanted
    place: str
    file: str
    size: int
    ranges: RangeParams = AS_USUAL.ranges


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """The size of a row group in rows and uncompressed bytes."""

    rows: int
    size: int


def unit_of(dataset: str, file: SourceFile) -> Unit:
    """The unit of a whole file; of Parquet without its row groups, which ``units_of`` fills in."""
    parts = split_name(file.file.rsplit("/", 1)[-1])
    if parts is None:
        raise ValueError(f"{file.file} is of no format that we read")
    _, form, compression = parts
    return Unit(
        dataset=dataset,
        config=file.wanted.config,
        role=file.wanted.role,
        path=file.place,
        file=file.file,
        format=form,
        compression=compression,
        row_groups=() if form == "parquet" else None,
        ranges=file.ranges,
    )


def row_groups(unit: Unit) -> list[RowGroup]:
    """The sizes of a Parquet file's row groups.

    Raises SourceError for a file that is damaged or gone, and an answer of the hub's that forbids it as it is.
    """
    try:
        metadata = read_footer(unit.path, unit.ranges)
    except READ_ERRORS as error:
        if status_of(error) is not None:
            raise
        raise file_error(unit, error) from error
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return [RowGroup(rows=group.num_rows, size=group.total_byte_size) for group in groups]


def consecutive(groups: Sequence[RowGroup], chosen: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Chosen row groups in runs of neighbours of at most ``UNIT_ROWS`` rows and ``UNIT_BYTES`` bytes, one at least."""
    run: list[int] = []
    rows = size = 0
    for index in sorted(chosen):
        group = groups[index]
        full = rows + group.rows > UNIT_ROWS or size + group.size > UNIT_BYTES
        if run and (index != run[-1] + 1 or full):
            yield tuple(run)
            run, rows, size = [], 0, 0
        run.append(index)
        rows, size = rows + group.rows, size + group.size
    if run:
        yield tuple(run)


def units_of_groups(whole: Unit, groups: Sequence[RowGroup], chosen: Sequence[int]) -> Iterator[Unit]:
    """Units of some row groups of a Parquet file; groups without rows are left out."""
    starts = [0]
    for group in groups:
        starts.append(starts[-1] + group.rows)
    for run in consecutive(groups, [index for index in chosen if groups[index].rows]):
        rows = starts[run[-1] + 1] - starts[run[0]]
        yield replace(whole, row_groups=run, first_row=starts[run[0]], rows=rows)


def units_of(dataset: str, file: SourceFile) -> list[Unit]:
    """All units of a file; none where it is known to hold no rows."""
    unit = unit_of(dataset, file)
    if unit.format == "parquet":
        groups = row_groups(unit)
        return list(units_of_groups(unit, groups, range(len(groups))))
    return [unit] if file.size else []


def empty_lines(files: Sequence[SourceFile], units: Sequence[Sequence[Unit]]) -> list[str]:
    """A line for each configuration whose files are all known to hold no rows."""
    read = {file.wanted for file, found in zip(files, units, strict=True) if found}
    empty: dict[Wanted, list[str]] = {}
    for file in files:
        if file.wanted not in read:
            empty.setdefault(file.wanted, []).append(f"{file.file} ({file.size:,} bytes)")
    return [f"{wanted.where}: {wanted}: its files hold no rows: {_some(names)}" for wanted, names in empty.items()]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def choice_hash(file: str, number: int) -> int:
    """By which LIMIT chooses row groups of a source that is too large to read: xxh3-64 of (file, number)."""
    return xxhash.xxh3_64_intdigest(f"{file}\t{number}".encode())
