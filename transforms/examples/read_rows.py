"""From units of the sources to canonical rows at rest: read, adapt, clean, and write parts.

The dataset is a value of the unit, so one ParDo serves the whole catalog. Rows of grouping adapters leave as members
under a partition of their group; passages of corpora go to parts of their own, and their addresses to whoever judges
them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalog import LocatedEntry
from schemas.readmission import NOBODY, Readmission
from schemas.rows import ID, PASSAGES, fields_hash
from transforms.cleaning.clean import Cleaned, clean_rows
from transforms.cleaning.normalise import normalise_texts
from transforms.cleaning.params import CleanParams
from transforms.examples.adapters import GROUPED_BY, Adapted, adapt, limit_keys, read_options, source_columns
from transforms.flow import progress
from transforms.flow.batches import by_partition, first_words, partitions_of
from transforms.flow.counts import READ, count, least_id, note_count
from transforms.flow.manifests import FileRecord
from transforms.flow.overlapping import OverlappingDoFn
from transforms.flow.parts import PartWriter, address
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG, count_readmitted, publish_rejections
from transforms.sources.limit import Threshold, limit_key, offer, row_hashes, text_hashes, unit_number
from transforms.sources.readers import Notes, RawBatch, read_unit
from transforms.sources.units import Unit
from transforms.text.matching import text_hashes as content_words

MEMBERS_TAG, JUDGMENTS_TAG, PASSAGES_TAG = "members", "judgments", "passages"

#: Where a passage rests, for those who judge it: the hash of (dataset, passage id), its address, a hash of its text.
PASSAGE_ADDRESSES = pa.schema(
    [
        pa.field("passage", ID, nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("content", pa.uint64(), nullable=False),
    ]
)

#: A corpus part: passages with whether mining may draw on them (under LIMIT only a share of them).
CORPUS = PASSAGES.append(pa.field("sampled", pa.bool_(), nullable=False))


@dataclass(frozen=True, kw_only=True)
class ReadSpec:
    """What reading needs to know: the entries by name (as JSON, so that it ships small), places and numbers.

    ``readmission``: rows that no filter rejects.
    """

    entries: Mapping[str, str]
    folder: str
    progress: str | None
    clean: Mapping[str, CleanParams]
    num_partitions: int
    limit: int | None = None
    readmission: Readmission = NOBODY

    @cached_property
    def located(self) -> dict[str, LocatedEntry]:
        """The entries, parsed once for each worker."""
        return {name: LocatedEntry.model_validate_json(text) for name, text in self.entries.items()}

    def cleaned(self, adapted: pa.RecordBatch, dataset: str) -> Cleaned:
        """Adapted rows of a dataset, cleaned as it says."""
        return clean_rows(adapted, self.located[dataset], self.clean[dataset], self.readmission)

    @property
    def parts(self) -> str:
        """Folder of canonical parts before deduplication."""
        return f"{self.folder}/parts"

    @property
    def corpus(self) -> str:
        """Folder of corpus parts."""
        return f"{self.folder}/corpus"

    @property
    def rejections(self) -> str:
        """Folder of rejected rows."""
        return f"{self.folder}/rejections"


def read_raw(spec: ReadSpec, unit: Unit, notes: Notes | None = None) -> Iterator[RawBatch]:
    """The raw batches of a unit, with the columns that its entry maps; ``notes`` takes what was noticed."""
    located = spec.located[unit.dataset]
    options = read_options(located, unit.role, unit.config)
    yield from read_unit(unit, source_columns(located, unit.role, unit.config), options, notes=notes)


def raw_hashes(spec: ReadSpec, unit: Unit, raw: RawBatch) -> tuple[Any, Any]:
    """Hashes by which LIMIT chooses: of well-formed rows and of broken ones."""
    broken = text_hashes(raw.broken.column("raw").to_pylist())
    keys = limit_keys(spec.located[unit.dataset], unit, raw)
    return (row_hashes(raw.rows) if keys is None else text_hashes(keys.to_pylist())), broken


@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(tuple[str, pa.RecordBatch])
class OfferHashes(beam.DoFn):
    """A unit -> the smallest hashes of its rows, for LIMIT."""

    def __init__(self, spec: ReadSpec) -> None:
        self._spec = spec

    def process(self, unit_json: str) -> Iterator[tuple[str, pa.RecordBatch]]:
        unit = Unit.from_json(unit_json)
        if unit.role == "queries" or self._spec.limit is None:
            return
        found = [np.concatenate(raw_hashes(self._spec, unit, raw)) for raw in read_raw(self._spec, unit)]
        if found:
            yield from offer(unit, np.concatenate(found), self._spec.limit, _is_grouped(self._spec, unit))


def _is_grouped(spec: ReadSpec, unit: Unit) -> bool:
    return unit.role == "rows" and spec.located[unit.dataset].entry.adapter in GROUPED_BY


def passage_keys(passages: pa.RecordBatch) -> pa.Array:
    """Hash of (dataset, passage id), the key under which judgments find a passage."""
    pairs = zip(passages.column("dataset").to_pylist(), passages.column("passage_id").to_pylist(), strict=True)
    return pa.array([fields_hash(pair) for pair in pairs], type=ID)


class ReadRows(OverlappingDoFn):
    """A unit -> parts of canonical rows (main output: their addresses), members, judgments, passages, counts, files."""

    def __init__(self, spec: ReadSpec) -> None:
        self._spec = spec

    def work(self, element: str, thresholds: dict[str, str]) -> Iterator[Any]:
        unit = Unit.from_json(element)
        limited = _Limiter(self._spec, unit, thresholds.get(limit_key(unit, _is_grouped(self._spec, unit))))
        rows, rejected, passages = PartWriter(self._spec.parts), [], _CorpusWriter(self._spec)
        unusable: list[pa.RecordBatch] = []
        noticed = _Noticed(unit)
        for raw in read_raw(self._spec, unit, noticed.notes):
            raw, sampled = limited.take(raw)
            adapted = adapt(self._spec.located[unit.dataset], unit, raw)
            cleaned = self._spec.cleaned(adapted.rows, unit.dataset)
            rejected += [adapted.rejections, cleaned.rejected]
            unusable.append(adapted.unusable)
            noticed.add(adapted)
            yield from self._announce(rows.add(cleaned.kept))
            yield from count_readmitted(unit.dataset, cleaned.readmitted)
            yield from self._keyed_members(adapted.members)
            yield from passages.add(adapted.passages, sampled)
            yield from self._count_read(unit, raw, adapted.rejections.num_rows + cleaned.rejected.num_rows)
        yield from self._announce(rows.close())
        yield from passages.close()
        yield from publish_rejections(self._spec.rejections, rejected)
        yield from publish_rejections(self._spec.rejections, unusable, "corpus/")
        progress.report(self._spec.progress, units=1)
        yield from noticed.counts()

    def _announce(self, parts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, pa.RecordBatch]]:
        for part, size in parts:
            yield address(part, size)

    def _keyed_members(self, members: pa.RecordBatch) -> Iterator[Any]:
        judged = pc.is_valid(members.column("passage"))
        for tag, key, rows in (
            (MEMBERS_TAG, "group", members.filter(pc.invert(judged))),
            (JUDGMENTS_TAG, "passage", members.filter(judged)),
        ):
            partitions = partitions_of(first_words(rows.column(key)), self._spec.num_partitions)
            for keyed in by_partition(rows, partitions):
                yield beam.pvalue.TaggedOutput(tag, keyed)

    def _count_read(self, unit: Unit, raw: RawBatch, rejected: int) -> Iterator[Any]:
        if unit.role not in ("corpus", "queries"):
            read = raw.rows.num_rows + raw.broken.num_rows
            progress.report(self._spec.progress, read=read, rejected=rejected)
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(unit.dataset, READ, read))


class _Noticed:
    """What is worth telling of one unit, beside its rows."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._ids: dict[str, str] = {}
        self.notes: Notes = Counter()

    def add(self, adapted: Adapted) -> None:
        """Take note of the ids of a batch, and of its rows outside the count that cannot be used."""
        for kind, text in adapted.least_ids.items():
            self._ids[kind] = min(text, self._ids.get(kind, text))
        for reason in adapted.unusable.column("reason").to_pylist():
            self.notes[f"rows of the {self._unit.role} cannot be used: {reason}"] += 1

    def counts(self) -> Iterator[Any]:
        """All of it, as counts that change no balance."""
        told = [note_count(self._unit.dataset, note, number) for note, number in sorted(self.notes.items())]
        ids = [least_id(self._unit.dataset, kind, text) for kind, text in sorted(self._ids.items())]
        for item in (*told, *ids):
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, item)


class _Limiter:
    """Applies a LIMIT threshold to the raw batches of one unit."""

    def __init__(self, spec: ReadSpec, unit: Unit, text: str | None) -> None:
        self._spec, self._unit = spec, unit
        self._threshold = None if text is None else Threshold.from_json(text)
        self._number, self._taken = unit_number(unit), 0

    def take(self, raw: RawBatch) -> tuple[RawBatch, pa.Array]:
        """The rows that the limit leaves; passages all stay (judged ones are needed), with whether they were drawn."""
        if self._threshold is None:
            return raw, pa.array(np.ones(raw.rows.num_rows, np.bool_))
        hashes, broken = raw_hashes(self._spec, self._unit, raw)
        mask = self._mask(np.concatenate([hashes, broken]))
        kept, kept_broken = pa.array(mask[: len(hashes)]), pa.array(mask[len(hashes) :])
        if self._unit.role == "corpus":
            return raw, kept
        return (
            RawBatch(
                rows=raw.rows.filter(kept), numbers=raw.numbers.filter(kept), broken=raw.broken.filter(kept_broken)
            ),
            kept.filter(kept),
        )

    def _mask(self, hashes: Any) -> Any:
        assert self._threshold is not None
        mask = self._threshold.mask(hashes, self._number, self._taken)
        self._taken += int(np.count_nonzero(mask & (hashes == np.uint64(self._threshold.hash))))
        return mask


class _CorpusWriter:
    """Writes the passages of one unit to corpus parts and gives their addresses."""

    def __init__(self, spec: ReadSpec) -> None:
        self._spec, self._writer = spec, PartWriter(spec.corpus)
        self._keys: list[pa.Array] = []
        self._contents: list[pa.Array] = []
        self._dataset = ""

    def add(self, passages: pa.RecordBatch, sampled: pa.Array) -> Iterator[Any]:
        """Take passages; gives what each part that filled up has to say."""
        if not passages.num_rows:
            return
        self._dataset = passages.column("dataset")[0].as_py()
        self._keys.append(passage_keys(passages))
        texts = pc.fill_null(normalise_texts(passages.column("text")), "")
        self._contents.append(pa.array(content_words(texts)[:, 0]))
        columns = [passages.column("dataset"), passages.column("passage_id"), texts, sampled]
        yield from self._addresses(self._writer.add(pa.RecordBatch.from_arrays(columns, schema=CORPUS)))

    def close(self) -> Iterator[Any]:
        """Write what is left."""
        yield from self._addresses(self._writer.close())

    def _addresses(self, parts: Iterable[tuple[int, int]]) -> Iterator[Any]:
        for part, size in parts:
            keys = pa.chunked_array(self._keys, type=ID).combine_chunks()
            contents = pa.chunked_array(self._contents, type=pa.uint64()).combine_chunks()
            self._keys, self._contents = [keys.slice(size)], [contents.slice(size)]
            places = [pa.array(np.full(size, part)), pa.array(np.arange(size, dtype=np.int32))]
            rows = pa.table([keys.slice(0, size), *places, contents.slice(0, size)], schema=PASSAGE_ADDRESSES)
            partitions = partitions_of(first_words(rows.column("passage")), self._spec.num_partitions)
            for keyed in by_partition(rows, partitions):
                yield beam.pvalue.TaggedOutput(PASSAGES_TAG, keyed)
            record = FileRecord(kind="corpus", path=f"corpus/{part:016x}.parquet", rows=size, dataset=self._dataset)
            yield beam.pvalue.TaggedOutput(FILES_TAG, record.to_json())
