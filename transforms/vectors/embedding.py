"""Around the encoder: which texts the store lacks, in which order they are encoded, and where the vectors go."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import ConfigError
from schemas.vectors import unique_by, vector_schema
from transforms.flow import progress
from transforms.flow.batches import by_partition, first_words, partitions_of, split_batches
from transforms.flow.counts import DISTINCT, KEPT, READ, TRUNCATED, UNKNOWN, count
from transforms.flow.manifests import FileRecord
from transforms.flow.parts import read_part
from transforms.flow.tagged import COUNTS_TAG, FILES_TAG
from transforms.text.part_texts import Prompts, texts_of_corpus, texts_of_rows
from transforms.vectors.row_share import RowShare
from transforms.vectors.vector_store import is_unreadable, read_vectors, stored_files, write_vectors

#: A text to be encoded: its key in the store, the dataset that counts it, and what the teacher sees (prompt and text).
TO_ENCODE = pa.schema(
    [
        pa.field("key", pa.binary(16), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)
#: Texts that the store holds are only asked for their length, in blocks of this many.
_KNOWN_BLOCK = 8192
#: Characters of a text that an error quotes.
_QUOTED = 120


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """Where prepared rows lie, which datasets are mined, and how their texts reach the teacher.

    ``kept`` and ``corpus`` are folders of parts; ``mined`` names the datasets that get teacher scores at all.
    ``share``: which of their rows are this teacher's, where there are several; None: all. ``prefix``: stands before
    the store's files in a stage's manifest.
    """

    kept: str
    corpus: str
    mined: frozenset[str]
    prompts: Prompts
    store: str
    dims: int
    num_store_partitions: int
    progress: str | None
    share: RowShare | None = None
    prefix: str = ""

    def own(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows of a part are the teacher's, or are not mined: those are counted with them."""
        unmined = pc.invert(pc.is_in(rows.column("dataset"), pa.array(sorted(self.mined), pa.string())))
        if self.share is None:
            return pc.or_(unmined, True)
        return pc.or_(unmined, self.share.own(rows.column("language")))


def part_element(kind: str, part: int) -> str:
    """A part as it travels to its reader: ``kept`` or ``corpus`` and its number."""
    return f"{kind}\t{part}"


def read_texts(spec: TextSpec, element: str) -> tuple[str, int, pa.Table, pa.Table]:
    """``(kind, part, rows, texts)`` of a part: its rows as they rest, and the texts (TEXT_ROWS) of those of mined
    datasets that are the teacher's; passages of a corpus are any teacher's.
    """
    kind, number = element.split("\t")
    part = int(number)
    if kind == "corpus":
        passages = read_part(spec.corpus, part)
        return kind, part, passages, _of_mined(texts_of_corpus(passages, part, spec.prompts), spec)
    rows = read_part(spec.kept, part)
    texts = _of_mined(texts_of_rows(rows, part, spec.prompts), spec)
    if spec.share is not None:
        texts = texts.filter(spec.own(rows).take(texts.column("row")))
    return kind, part, rows, texts


def _of_mined(texts: pa.Table, spec: TextSpec) -> pa.Table:
    return texts.filter(pc.is_in(texts.column("dataset"), pa.array(sorted(spec.mined), pa.string())))


@beam.typehints.with_input_types(str)
class GatherTexts(beam.DoFn):
    """A part -> its distinct texts by range of keys, and counts: embed keeps every row it reads."""

    def __init__(self, spec: TextSpec) -> None:
        self._spec = spec

    def process(self, element: str) -> Iterator[Any]:
        kind, _, rows, texts = read_texts(self._spec, element)
        if kind == "kept":
            own = rows.column("dataset").filter(self._spec.own(rows))
            for item in pc.value_counts(own).to_pylist():
                yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], READ, item["counts"]))
                yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], KEPT, item["counts"]))
            progress.report(self._spec.progress, read=len(own), kept=len(own))
        seen = pc.binary_join_element_wise(texts.column("prompt"), texts.column("text"), "")
        wanted = pa.table([texts.column("key"), texts.column("dataset"), seen], schema=TO_ENCODE)
        distinct = _each_once(wanted)
        progress.report(self._spec.progress, texts_expected=distinct.num_rows)
        partitions = partitions_of(first_words(distinct.column("key")), self._spec.num_store_partitions)
        yield from by_partition(distinct, partitions)


def _each_once(texts: pa.Table) -> pa.Table:
    """Each text once, in the order of keys, with the first by name of the datasets that hold it."""
    return unique_by(texts.sort_by([("key", "ascending"), ("dataset", "ascending")]), "key")


def to_encode(spec: TextSpec, partition: int, texts: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """``(those of a partition's distinct texts that the store has a vector of, those that the teacher cannot read,
    those that the store lacks)``, the last by length.

    Length is in bytes, which across scripts is nearer to tokens than characters are, so that texts of one block have
    about as many tokens; then by key. Which texts share a block changes no vector (``mining.forward``). The dataset
    that counts a text is the first by name of those that hold it.
    """
    distinct = _each_once(texts)
    stored = read_vectors(spec.store, partition, spec.num_store_partitions, spec.dims)
    refused = stored.filter(is_unreadable(stored.column("vector"))).column("key").combine_chunks()
    is_known = pc.is_in(distinct.column("key"), value_set=stored.column("key").combine_chunks())
    is_refused = pc.is_in(distinct.column("key"), value_set=refused)
    lacking = distinct.filter(pc.invert(is_known))
    lengths = pc.binary_length(lacking.column("text"))
    ordered = lacking.append_column("length", lengths).sort_by([("length", "ascending"), ("key", "ascending")])
    known = distinct.filter(pc.and_not(is_known, is_refused))
    return known, distinct.filter(is_refused), ordered.drop_columns("length")


class Encode(Protocol):
    """The teacher, as the pipeline hands it over, since only ``mining`` knows models."""

    @property
    def name(self) -> str:
        """What a person called it."""

    def __call__(self, texts: Sequence[str]) -> tuple[pa.FixedSizeBinaryArray, pa.BooleanArray]:
        """Packed 16-bit vectors, ``fixed_size_binary(2 * dims)``, null where it gives none, zeros where it cannot read
        the text (its tokenizer raises, or ends the process); and ``truncated``.
        """

    def truncated(self, texts: Sequence[str]) -> pa.BooleanArray:
        """Which texts are longer than the teacher reads, without encoding them; null where that is not known.

        Of texts that it cannot read it is not asked.
        """


class EncodePartition(beam.DoFn):
    """All texts of a range of keys -> vectors in the store for those that it lacks.

    Each block of texts is written as soon as it is encoded, so that a run which ends early has lost one at most. The
    records name every file of the store that holds a text of the range, so that one that is missing later is missed.
    """

    def __init__(self, spec: TextSpec, encode: Encode, block: int = 512) -> None:
        self._spec, self._encode, self._block = spec, encode, block

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        partition, batches = keyed
        spec, texts = self._spec, pa.Table.from_batches(list(batches), schema=TO_ENCODE)
        known, refused, lacking = to_encode(spec, partition, texts)
        progress.report(spec.progress, texts_expected=lacking.num_rows - texts.num_rows)
        distinct: Counter[str] = Counter()
        for table in (known, refused, lacking):
            distinct.update(table.column("dataset").to_pylist())
        cuts = [
            (block.column("dataset"), self._encode.truncated(block.column("text").to_pylist()))
            for block in split_batches(known, _KNOWN_BLOCK)
        ]
        cuts += [
            (block.column("dataset"), self._store(partition, block)) for block in split_batches(lacking, self._block)
        ]
        truncated = count_cut(distinct, cuts)
        for name, rows in stored_files(spec.store, partition, spec.num_store_partitions):
            yield _tagged(FILES_TAG, FileRecord(kind="vectors", path=f"{spec.prefix}{name}", rows=rows).to_json())
        for what, numbers in ((DISTINCT, distinct), (TRUNCATED, truncated)):
            for dataset, number in numbers.items():
                yield _tagged(COUNTS_TAG, count(dataset, what, number))
        for dataset in distinct.keys() - truncated.keys():
            yield _tagged(COUNTS_TAG, count(dataset, TRUNCATED, distinct[dataset], UNKNOWN))

    def _store(self, partition: int, texts: pa.RecordBatch) -> pa.BooleanArray:
        """Encode a block and write what came of it; gives which of its texts were cut."""
        vectors, cut = self._encode(texts.column("text").to_pylist())
        progress.report(self._spec.progress, texts=texts.num_rows)
        there = vectors.is_valid()
        found = pa.table(
            [texts.column("key").filter(there), vectors.filter(there)], schema=vector_schema(self._spec.dims)
        )
        write_vectors(self._spec.store, partition, self._spec.num_store_partitions, found.sort_by("key"))
        _refuse_without_vector(self._encode.name, texts.filter(pc.invert(there)))
        return cut


def _tagged(tag: str, value: Any) -> Any:
    return beam.pvalue.TaggedOutput(tag, value)


def count_cut(datasets: Iterable[str], cuts: Iterable[tuple[pa.Array, pa.BooleanArray]]) -> dict[str, int]:
    """How many texts of each dataset the teacher cuts, from blocks of ``(dataset, whether it is cut)`` of each text.

    A dataset with a text of which that is not known (null) has no number, rather than one that is too low.
    """
    numbers, unknown = Counter(dict.fromkeys(datasets, 0)), set()
    for names, cut in cuts:
        numbers.update(names.filter(cut).to_pylist())
        unknown.update(names.filter(pc.is_null(cut)).to_pylist())
    return {dataset: number for dataset, number in numbers.items() if dataset not in unknown}


def _refuse_without_vector(teacher: str, texts: pa.RecordBatch) -> None:
    """Raises ConfigError that names the first of texts that the teacher gave no vector for, if there are any."""
    if texts.num_rows:
        first = texts.slice(0, 1).to_pylist()[0]
        raise ConfigError(
            f"teacher {teacher!r} gives no direction (a vector that is not finite, or of length 0) for "
            f"{texts.num_rows} of a block of texts; the first is of dataset {first['dataset']!r} and begins "
            f"{first['text'][:_QUOTED]!r}. It overflows in its precision, its weights are damaged, or it knows none of "
            "the text's words: set teacher.precision=float32, check its files, take another teacher, or take "
            "the text out of the source. What was encoded before is kept and is not encoded again"
        )
