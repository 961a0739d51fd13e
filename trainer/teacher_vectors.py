"""The teachers' vectors of a run's texts, from the vector stores that curation left: they give a batch its soft
labels.

Vectors and keys are copied once into files without a name beside the model, in the order of the keys, and mapped from
there: nothing of them stands in memory but the pages that are in use. Letters: U vectors, D dimensions of the teacher,
Q queries, P distinct passages of a batch, K texts.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.content_names import content_name
from schemas.errors import OutputError, SourceError
from schemas.filesystems import filesystem_of
from schemas.manifest import Manifest, VectorsRecord, record_of_language
from schemas.vectors import (
    SCALE,
    key_range,
    num_store_partitions,
    store_files,
    vector_key,
    vector_schema,
    vectors_of_range,
)
from trainer.rows import Ints, Row, Rows

_KEY_BYTES = 16
_QUOTED = 80
_OTHERWISE = "or train with a row's own candidates alone (--soft_labels=row)"


@dataclass(frozen=True, kw_only=True)
class StoredVectors:
    """The vectors of one store. ``keys``: S16 ``[U]``, sorted; ``vectors``: int16 ``[U, D]`` at scale 32767; ``store``:
    its name, which says which teacher this is and how it was asked.
    """

    keys: npt.NDArray[np.bytes_]
    vectors: npt.NDArray[np.int16]
    store: str

    def places(self, keys: Sequence[bytes]) -> Ints:
        """Where the vectors with these keys stand, int64 ``[K]``; -1 for one that is not there."""
        wanted = np.frombuffer(b"".join(keys), f"S{_KEY_BYTES}")
        found = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[found] == wanted, found, -1)

    def cosines(self, queries: Sequence[bytes], passages: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """The teacher's cosine of each query with each passage, by their keys, float32 ``[Q, P]``: what mining writes
        into shards, to the bit (``mining.fixed_point`` says why the sums are exact).

        Raises SourceError where one is not there.
        """
        sides = []
        for keys in (queries, passages):
            places = self.places(keys)
            if (places < 0).any():
                raise SourceError(
                    f"{int((places < 0).sum())} texts of a batch are not in the vector store {self.store}"
                )
            sides.append(self.vectors[places].astype(np.float64))
        return (sides[0] @ sides[1].T / SCALE**2).astype(np.float32)


class SoftLabels(Protocol):
    """What gives a batch the scores of its teachers, and says where a row's vectors are."""

    @property
    def store(self) -> str:
        """The name of the store, or of all."""

    def stored(self, row: Row) -> StoredVectors:
        """The vectors of the row's teacher."""

    def query_key(self, row: Row) -> bytes:
        """The key of a row's query."""

    def passage_key(self, row: Row, text: str) -> bytes:
        """The key of a positive or negative of a row."""

    def soft_labels(
        self, batch: Sequence[Row], chosen: Sequence[int], positives: Sequence[int], negatives: Sequence[Sequence[int]]
    ) -> npt.NDArray[np.float32]:
        """Cosines of a batch's queries with its distinct passages, float32 ``[Q, P]``; NaN where no teacher has both.

        ``chosen``: the place of each row's positive among its positives; ``positives``, ``negatives``: the columns of
        these and of a row's hard negatives (-1: none).
        """


@dataclass(frozen=True, kw_only=True)
class TeacherVectors(StoredVectors):
    """The vectors of a run with one teacher. ``records``: where each dataset of the rows has its vectors; all of them
    in one store.
    """

    records: Sequence[VectorsRecord]

    def stored(self, row: Row) -> StoredVectors:
        """These, whichever the row."""
        return self

    def query_key(self, row: Row) -> bytes:
        """The key of a row's query."""
        return vector_key(self.records[row.dataset].query_prompt, row.query)

    def passage_key(self, row: Row, text: str) -> bytes:
        """The key of a positive or negative of a row."""
        return vector_key(self.records[row.dataset].passage_prompt, text)

    def soft_labels(
        self, batch: Sequence[Row], chosen: Sequence[int], positives: Sequence[int], negatives: Sequence[Sequence[int]]
    ) -> npt.NDArray[np.float32]:
        """``cosines`` of a batch's queries with its distinct passages. A text that stands in several datasets counts as
        the first row's.
        """
        holders = holders_of(batch, chosen, positives, negatives)
        keys = [self.passage_key(*holders[column][0]) for column in sorted(holders)]
        return self.cosines([self.query_key(row) for row in batch], keys)


@dataclass(frozen=True, kw_only=True)
class SeveralTeachers:
    """The vectors of a run whose rows have different teachers, each in a store of its own.

    ``stores``: by name; ``records``: for each dataset of the rows the records of its teachers.
    """

    stores: Mapping[str, StoredVectors]
    records: Sequence[Sequence[VectorsRecord]]

    @property
    def store(self) -> str:
        """The names of all stores."""
        return "+".join(sorted(self.stores))

    def record(self, row: Row) -> VectorsRecord:
        """That of the row's own teacher."""
        return record_of_language(self.records[row.dataset], row.language or "")

    def stored(self, row: Row) -> StoredVectors:
        """The vectors of the row's teacher."""
        return self.stores[self.record(row).store]

    def query_key(self, row: Row) -> bytes:
        """The key of a row's query."""
        return vector_key(self.record(row).query_prompt, row.query)

    def passage_key(self, row: Row, text: str) -> bytes:
        """The key of a positive or negative of a row."""
        return vector_key(self.record(row).passage_prompt, text)

    def soft_labels(
        self, batch: Sequence[Row], chosen: Sequence[int], positives: Sequence[int], negatives: Sequence[Sequence[int]]
    ) -> npt.NDArray[np.float32]:
        """Each query's cosines with the passages of the batch that its own teacher has a vector of; NaN elsewhere, as
        scores of two teachers cannot be compared.
        """
        holders = holders_of(batch, chosen, positives, negatives)
        found = np.full((len(batch), len(holders)), np.nan, np.float32)
        of_row = [self.record(row).store for row in batch]
        for store in sorted(set(of_row)):
            rows = [number for number, own in enumerate(of_row) if own == store]
            keys = {column: key for column in holders if (key := self._key_in(store, holders[column]))}
            columns = sorted(keys)
            there = self.stores[store].places([keys[column] for column in columns]) >= 0
            known = [column for column, is_there in zip(columns, there, strict=True) if is_there]
            queries = [self.query_key(batch[number]) for number in rows]
            found[np.ix_(rows, known)] = self.stores[store].cosines(queries, [keys[column] for column in known])
        return found

    def _key_in(self, store: str, holders: Sequence[tuple[Row, str]]) -> bytes | None:
        """The key that a passage would have in a store, as the first row's that has it and whose dataset is there."""
        for row, text in holders:
            for record in (self.record(row), *self.records[row.dataset]):
                if record.store == store:
                    return vector_key(record.passage_prompt, text)
        return None


def holders_of(
    batch: Sequence[Row], chosen: Sequence[int], positives: Sequence[int], negatives: Sequence[Sequence[int]]
) -> dict[int, list[tuple[Row, str]]]:
    """For each distinct passage of a batch, by its column, the rows that have it and the text, in the order of rows."""
    holders: dict[int, list[tuple[Row, str]]] = {}
    for row, place, positive, own in zip(batch, chosen, positives, negatives, strict=True):
        holders.setdefault(positive, []).append((row, row.positives[place]))
        for column, text in zip(own, row.negatives, strict=False):
            if column >= 0:
                holders.setdefault(column, []).append((row, text))
    return holders


def open_teacher(manifest: Manifest, folder: Path, scratch: Path, rows: Rows, num_negatives: int) -> SoftLabels:
    """The teachers' vectors of all texts of the rows, mapped from nameless files in ``scratch``.

    Raises SourceError where the manifest names no store, where one is not there, damaged or of other dimensions, and
    where a text is not in it; OutputError where ``scratch`` cannot hold them.
    """
    records = _records(manifest, rows.names)
    places = {record.store: find_store(manifest, folder, record.store) for own in records for record in own}
    dims = {record.store: record.dims for own in records for record in own}
    stores = {name: _open_store(place, name, dims[name], scratch) for name, place in places.items()}
    teacher: SoftLabels = SeveralTeachers(stores=stores, records=records)
    if len(stores) == 1 and max(map(len, records)) == 1:
        teacher = TeacherVectors(**vars(next(iter(stores.values()))), records=[own[0] for own in records])
    _check_texts(teacher, rows, num_negatives, " or ".join(places.values()))
    return teacher


def _open_store(place: str, name: str, dims: int, scratch: Path) -> StoredVectors:
    try:
        keys, vectors = _map_store(place, dims, scratch)
    except OSError as error:
        raise OutputError(
            f"cannot copy the teacher's vectors from {place} to {scratch}: {error}; about as much room is needed as "
            f"the store takes: make room, choose another disk (--output=<folder>), {_OTHERWISE}"
        ) from error
    return StoredVectors(keys=keys, vectors=vectors, store=name)


def find_store(manifest: Manifest, folder: Path, name: str) -> str:
    """The place of a store: in the work folder that the manifest names, or in that beside the manifest.

    Raises SourceError where it is in neither.
    """
    places = [f"{work}/store" for work in (manifest.config.get("work"), f"{folder}/.work") if work]
    for place in places:
        if any(store_files(f"{place}/{name}")):
            return f"{place}/{name}"
    others = [other for place in places for other in _folders(place) if other != name]
    hint = f"; there are stores of other teachers ({', '.join(sorted(others))})" if others else ""
    raise SourceError(
        f"the teacher's vectors are not in {' or '.join(f'{place}/{name}' for place in places)}{hint}: copy the store "
        f"there, curate again, {_OTHERWISE}"
    )


def _records(manifest: Manifest, names: Sequence[str]) -> list[Sequence[VectorsRecord]]:
    """For each dataset the records of its teachers. Raises SourceError where one has none."""
    found = {name: manifest.dataset(name).every_vectors for name in names}
    lacking = ", ".join(name for name, records in found.items() if not records)
    if lacking:
        raise SourceError(
            f"the manifest does not say where the teacher's vectors of {lacking} are: it is of an earlier version, or "
            f"of data that was not embedded; curate again, {_OTHERWISE}"
        )
    return list(found.values())


def _folders(place: str) -> list[str]:
    filesystem, inner = filesystem_of(place)
    listed = filesystem.ls(inner, detail=False) if filesystem.isdir(inner) else []
    return [path.rstrip("/").rsplit("/", 1)[-1] for path in listed]


def _map_store(store: str, dims: int, scratch: Path) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int16]]:
    """Keys and vectors of a store, mapped; one range of keys at a time is in memory."""
    number = 0
    with tempfile.TemporaryFile(dir=scratch) as keys, tempfile.TemporaryFile(dir=scratch) as vectors:
        for table in _ranges(store, dims):
            number += len(table)
            for file, column in ((keys, "key"), (vectors, "vector")):
                _append(file, table.column(column))
        if not number:
            raise SourceError(f"the vector store {store} is empty: curate again, {_OTHERWISE}")
        keys.flush()
        vectors.flush()
        return (
            np.memmap(keys, f"S{_KEY_BYTES}", "r", shape=(number,)),
            np.memmap(vectors, "<i2", "r", shape=(number, dims)),
        )


def _append(file: IO[bytes], column: pa.ChunkedArray) -> None:
    for chunk in filter(len, column.chunks):
        width = chunk.type.byte_width
        start = chunk.offset * width
        file.write(chunk.buffers()[1][start : start + len(chunk) * width])


def _ranges(store: str, dims: int) -> Iterator[pa.Table]:
    """A store's vectors in the order of keys, range by range: as many ranges as a run over so many texts works in."""
    filesystem, root = filesystem_of(store)
    size = sum(int(filesystem.size(f"{root}/{name}") or 0) for name in store_files(store))
    ranges = num_store_partitions(size // (2 * dims + _KEY_BYTES))
    for partition in range(ranges):
        low, high = key_range(partition, ranges)
        tables = (_read(store, name, dims) for name in store_files(store, low, high))
        yield vectors_of_range(tables, low, high, vector_schema(dims))


def _read(store: str, name: str, dims: int) -> pa.Table:
    """One file of a store. Raises SourceError where it does not hold what its name and the manifest say."""
    filesystem, root = filesystem_of(store)
    data = filesystem.cat_file(f"{root}/{name}")
    if not name.endswith(f"/{content_name(data)}.parquet"):
        raise SourceError(
            f"{store}/{name} holds other bytes than it was written with: curate again, which makes it anew, "
            f"{_OTHERWISE}"
        )
    table = pq.read_table(pa.BufferReader(data))
    if not table.schema.equals(vector_schema(dims)):
        raise SourceError(
            f"{store}/{name} does not hold vectors of {dims} dimensions, as the manifest says: the store was filled by "
            f"something else; remove it and curate again, {_OTHERWISE}"
        )
    return table


def _check_texts(teacher: SoftLabels, rows: Rows, num_negatives: int, store: str) -> None:
    """Raises SourceError where a text that training reads has no vector, with their number and the first."""
    missing, total, first = 0, 0, ""
    for batch in rows.batches:
        number, absent = _absent(teacher, batch, num_negatives)
        if absent and not first:
            row, text = absent[0]
            first = f"the first is of dataset {rows.names[row.dataset]} and begins {text[:_QUOTED]!r}"
        missing, total = missing + len(absent), total + number
    if missing:
        raise SourceError(
            f"{missing:,} of the shards' {total:,} texts have no vector in {store}; {first}: the store lost files, or "
            f"the shards are of another one; curate again, {_OTHERWISE}"
        )


def _absent(teacher: SoftLabels, batch: pa.RecordBatch, num_negatives: int) -> tuple[int, list[tuple[Row, str]]]:
    """How many texts the rows of a batch have, and those without a vector, each with its row."""
    asked: dict[str, tuple[StoredVectors, list[tuple[Row, str]], list[bytes]]] = {}
    for row in (Row(**values) for values in batch.to_pylist()):
        stored = teacher.stored(row)
        _, texts, keys = asked.setdefault(stored.store, (stored, [], []))
        passages = [*row.positives, *row.negatives[:num_negatives]]
        texts += [(row, text) for text in [row.query, *passages]]
        keys += [teacher.query_key(row), *(teacher.passage_key(row, text) for text in passages)]
    absent = [
        texts[place] for stored, texts, keys in asked.values() for place in np.flatnonzero(stored.places(keys) < 0)
    ]
    return sum(len(keys) for _, _, keys in asked.values()), absent
