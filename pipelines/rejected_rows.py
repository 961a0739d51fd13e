"""Rows that earlier runs rejected once they had been compared with others: as in one run, new rows are compared with
them too. They are read from OUT's rejections, which hold their texts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipelines.publish import REJECTIONS, rejection_files
from pipelines.workplace import digest, shown_some
from schemas.manifest import DatasetRecord
from transforms.duplicates.published import AFTER_COMPARING
from transforms.flow.content import KnownFile
from transforms.flow.files import read_parquet

_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class RejectedRows:
    """Rejected rows of a dataset that new ones are compared with.

    ``files``: for each file of them how many rows it has, by reason. ``lacking``: why none can be compared with, empty
    where nothing lacks.
    """

    files: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    lacking: str = ""

    @property
    def rows(self) -> int:
        """How many rows they are."""
        return sum(rows for reasons in self.files.values() for rows in reasons.values())

    @property
    def digest(self) -> str:
        """A digest of them; files are named by what they hold."""
        return digest(sorted([path.rsplit("/", 1)[-1], sorted(rows.items())] for path, rows in self.files.items()))


def counted(record: DatasetRecord) -> Counter[str]:
    """How many rows of a dataset its manifest says were rejected once they had been compared, by reason."""
    found: Counter[str] = Counter()
    for counts in record.stages.values():
        found.update({reason: rows for reason, rows in counts.rejected.items() if reason in AFTER_COMPARING})
    return found


def known_files(out: str, record: DatasetRecord) -> list[KnownFile]:
    """The files of a dataset's rejected rows, if any of these is to be compared with."""
    paths = rejection_files(out, record.name) if counted(record) else []
    return [KnownFile(path=path, shown=path.removeprefix(f"{out}/")) for path in paths]


def find_rejected(place: str, record: DatasetRecord, files: Sequence[KnownFile]) -> RejectedRows:
    """The rows in these files that new ones are compared with; ``place``: the folder as a person knows it.

    Where they are not those that the manifest counts, or of a form that does not tell enough, none is.
    """
    wanted = counted(record)
    with ThreadPoolExecutor(_THREADS) as pool:
        by_file = dict(zip([file.path for file in files], pool.map(_rows_by_reason, files), strict=True))
    old = sorted(path for path, rows in by_file.items() if rows is None)
    there = {path: rows for path, rows in by_file.items() if rows}
    held = sum(there.values(), Counter[str]())
    where = f"{place}/{REJECTIONS}/{record.name}"
    if old:
        return RejectedRows(lacking=f"{where} is of an older form, without ids")
    if held != wanted:
        reasons = shown_some([f"{held[name]} of {wanted[name]} {name}" for name in sorted(held | wanted)])
        return RejectedRows(lacking=f"{where} does not hold the rows that the manifest counts ({reasons})")
    return RejectedRows(files=there)


def _rows_by_reason(file: KnownFile) -> Counter[str] | None:
    """How many rows of a file are compared with, by reason; None where it does not say which rows they are."""
    table = read_parquet(file.path, ["id", "reason"])
    if table.column_names != ["id", "reason"]:
        return None
    return Counter(reason for reason in table.column("reason").to_pylist() if reason in AFTER_COMPARING)
