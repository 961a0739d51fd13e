"""LIMIT: the same N source rows of each dataset whatever the order and the names of its files.

The rows with the smallest content hashes are kept. Each unit offers its N smallest hashes; the smallest of all of them
give a threshold for the dataset, and the source is then read with it. Where equal rows stand at the threshold, as many
of them are taken as are missing, unit after unit (they are equal, so it does not matter which). Adapters that group
rows are limited by the hash of what they group by, and whole groups are taken, so there may be a few more rows. A
``beir`` set is limited to N queries (all judgments of those with the smallest hashes count) and 20 N passages, each by
the hash of its id.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from transforms.flow.batches import split_batches
from transforms.sources.units import Unit

PASSAGES_PER_QUERY = 20
#: The role of rows of which whole groups are taken.
GROUPS = "groups"
HASHES = pa.schema([pa.field("hash", pa.uint64(), nullable=False), pa.field("unit", pa.uint64(), nullable=False)])

Hashes = npt.NDArray[np.uint64]


def row_hashes(rows: pa.RecordBatch) -> Hashes:
    """xxh3-64 of each row's mapped columns as JSON, in the order of their names."""
    names = sorted(rows.schema.names)
    columns = [rows.column(name).to_pylist() for name in names]
    return np.array(
        [
            xxhash.xxh3_64_intdigest(json.dumps(row, ensure_ascii=False, default=str).encode())
            for row in zip(*columns, strict=True)
        ],
        dtype=np.uint64,
    )


def text_hashes(texts: Iterable[object]) -> Hashes:
    """xxh3-64 of each value's text: ids are integers in one file and strings in another."""
    return np.array([xxhash.xxh3_64_intdigest(str(text).encode()) for text in texts], dtype=np.uint64)


def unit_number(unit: Unit) -> int:
    """A number for a unit: xxh3-64 of what it is, in JSON; how its bytes are asked for changes nothing."""
    values = {name: value for name, value in dataclasses.asdict(unit).items() if name != "ranges"}
    return xxhash.xxh3_64_intdigest(json.dumps(values, ensure_ascii=False, sort_keys=True).encode())


def limit_key(unit: Unit, grouped: bool = False) -> str:
    """What is limited together: the rows, the groups of rows, the judgments or the passages of one dataset."""
    return f"{unit.dataset}\t{GROUPS if grouped else unit.role}"


def smallest(hashes: Hashes, limit: int, distinct: bool) -> Hashes:
    """The ``limit`` smallest hashes in order, equal ones once if ``distinct``."""
    ordered = np.unique(hashes) if distinct else np.sort(hashes)
    return ordered[:limit]


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Rows with a hash below ``hash`` are taken; of those at it, ``ties`` says how many each unit may take (None:
    all).
    """

    hash: int
    ties: dict[int, int] | None

    def to_json(self) -> str:
        """As it travels in a side input."""
        return json.dumps({"hash": self.hash, "ties": self.ties and {str(k): v for k, v in self.ties.items()}})

    @staticmethod
    def from_json(text: str) -> "Threshold":
        """The inverse of ``to_json``."""
        value = json.loads(text)
        return Threshold(hash=value["hash"], ties=value["ties"] and {int(k): v for k, v in value["ties"].items()})

    def mask(self, hashes: Hashes, unit: int, taken: int = 0) -> npt.NDArray[np.bool_]:
        """Which of a unit's rows are taken; ``taken`` rows at the threshold were taken from it before."""
        below: npt.NDArray[np.bool_] = hashes < np.uint64(self.hash)
        at: npt.NDArray[np.bool_] = hashes == np.uint64(self.hash)
        if self.ties is None:
            return np.logical_or(below, at)
        within: npt.NDArray[np.bool_] = np.cumsum(at) <= self.ties.get(unit, 0) - taken
        return np.logical_or(below, np.logical_and(at, within))


def threshold(table: pa.Table, limit: int, distinct: bool, whole: bool = False) -> Threshold:
    """The threshold that leaves ``limit`` rows (or distinct ids) of all that the units offer; order-free.

    ``whole``: rows of equal hash go together, so that there may be more of them than ``limit``.
    """
    hashes, units = table.column("hash").to_numpy(), table.column("unit").to_numpy()
    chosen = smallest(hashes, limit, distinct)
    boundary = int(chosen[-1])
    if distinct or whole:
        return Threshold(hash=boundary, ties=None)
    wanted = int(np.count_nonzero(chosen == chosen[-1]))
    ties: dict[int, int] = {}
    for unit, offered in zip(*np.unique(units[hashes == chosen[-1]], return_counts=True), strict=True):
        take = min(wanted, int(offered))
        ties[int(unit)], wanted = take, wanted - take
    return Threshold(hash=boundary, ties={unit: take for unit, take in ties.items() if take})


@beam.typehints.with_input_types(tuple[str, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[str, str])
class FindThreshold(beam.DoFn):
    """All hashes that were offered under a key -> the key's threshold."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def process(self, keyed: tuple[str, Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, str]]:
        key, batches = keyed
        table = pa.Table.from_batches(list(batches))
        role = key.split("\t")[1]
        found = threshold(table, role_limit(role, self._limit), distinct=role == "qrels", whole=role == GROUPS)
        yield key, found.to_json()


def role_limit(role: str, limit: int) -> int:
    """How many rows (or ids) of a role a limit means."""
    return limit * PASSAGES_PER_QUERY if role == "corpus" else limit


def offer(unit: Unit, hashes: Hashes, limit: int, grouped: bool = False) -> Iterator[tuple[str, pa.RecordBatch]]:
    """A unit's smallest hashes, keyed by what is limited together."""
    best = smallest(hashes, role_limit(unit.role, limit), distinct=unit.role == "qrels")
    columns = {"hash": best, "unit": np.full(len(best), unit_number(unit), np.uint64)}
    for batch in split_batches(pa.table(columns, schema=HASHES)):
        yield limit_key(unit, grouped), batch
