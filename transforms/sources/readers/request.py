"""What is asked of a reader: the columns, how the files are written, and where it says what it noticed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas.catalog import CsvDialect
from schemas.errors import SourceError
from transforms.sources.readers.raw import NAMES_SHOWN, excerpt
from transforms.sources.units import Unit

#: What a reader noticed that no row says, in words -> how many rows, or files, it concerns.
Notes = Counter[str]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How an entry's files are to be read.

    ``records``: the entry's option of that name. ``encoding``, ``csv``: of its ``source``. ``optional``: columns that a
    file may lack, which then are null. ``ids``: columns of ids, which are texts in the end: numbers and texts may meet
    there, and bytes of a fixed number are UUIDs or hexadecimal.
    """

    records: str | None = None
    encoding: str | None = None
    csv: CsvDialect = field(default_factory=CsvDialect)
    optional: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Request:
    """``columns``: each wanted top-level column with the place of the catalog that asks for it."""

    columns: Mapping[str, str]
    options: ReadOptions = ReadOptions()
    notes: Notes = field(default_factory=Counter)

    def present(self, unit: Unit, there: list[str], remedy: str = "") -> "Request":
        """The request without the optional columns that a file does not have, which is noted.

        Raises SourceError when another column is not there: says which, what is there, and the line to mend.
        """
        missing = [name for name in self.columns if name not in there]
        if required := [name for name in missing if name not in self.options.optional]:
            wanted = "; ".join(f"{name!r} (asked for in {self.columns[name]})" for name in required)
            raise SourceError(
                f"{unit.file} has no column {wanted}. The columns there: {_shown(there)}. {remedy or _RENAMED}"
            )
        for name in missing:
            self.notes[f"column {name!r} ({self.columns[name]}) is not in every file; where it is not, it is null"] += 1
        return replace(self, columns={name: where for name, where in self.columns.items() if name not in missing})


_RENAMED = (
    "If the source was renamed upstream, name the new column there; if not, the file is not the one the entry means"
)


def _shown(there: list[str]) -> str:
    more = f" and {len(there) - NAMES_SHOWN} more" if len(there) > NAMES_SHOWN else ""
    return (excerpt(", ".join(there[:NAMES_SHOWN])) or "none") + more
