"""Near-duplicates among the passages of a pool, so that no edited copy of a positive becomes a negative.

parts -> band hashes, packed, by range -> star edges -> components -> the forms of candidates alone, by range of
components -> verification -> the passage that each copy stands behind (NEAR), by range of store keys. Proposal and
proof are those of rows (``transforms.duplicates``), over one text in place of two: exact Jaccard with a representative,
equal numbers, and texts that fill a template with something else stay apart. Prepare compares rows, and keeps two of
them with different questions however alike their passages are; therefore passages are compared here.

A passage that resembles two representatives links them (``verification.chains``): what resembles a copy of a positive
is no negative, though it does not resemble the positive itself. So do the passages of rows that prepare removed as
near-duplicates, which are compared, but found by nobody.

Only passages of one dataset are compared, so that what is mined for it does not depend on the rest of a run. Labelled
texts take no part: their labels say which of them are no negatives.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from apache_beam.pvalue import PCollection

from schemas.reasons import RejectReason
from schemas.rows import ID
from transforms.duplicates.component_rounds import ComponentsInRounds
from transforms.duplicates.components import LABELS, ComponentsInOneWorker, address_partitions
from transforms.duplicates.exact import Keyed, run_lengths, run_starts
from transforms.duplicates.minhash import band_hashes
from transforms.duplicates.near import LinkRows, is_question, numbers_in, pack_bands
from transforms.duplicates.params import NearDuplicateParams
from transforms.duplicates.scopes import DedupScope, Words, mixed, scope_tags
from transforms.duplicates.verification import chains
from transforms.flow.batches import by_partition, first_words, partitions_of
from transforms.flow.counts import MINING, count
from transforms.flow.files import read_parquet
from transforms.flow.parts import MAX_PART_ROWS
from transforms.flow.tagged import COUNTS_TAG, KEYED_BATCHES, typed
from transforms.text.matching import matching_forms, text_hashes
from transforms.text.part_texts import AS_PASSAGE, QUERY, cluster_hashes, texts_of_rows
from transforms.vectors.embedding import TextSpec, read_texts

PIECES_TAG = "pieces"
#: The count of passages that another one stands for.
COPIES = "near_duplicates"
#: The kind of an element that is a file of rejected rows, and what is read of these.
_REMOVED = "removed"
_REMOVED_COLUMNS = ["dataset", "query", "positives", "negatives"]

#: The passages of a part are cut into pieces, each with addresses of its own; travels beside the labels of these.
PIECES = pa.schema([pa.field("element", pa.string(), nullable=False), pa.field("piece", pa.int32(), nullable=False)])

#: A passage that may be a near-duplicate, by its form for matching, and a word of what must be equal besides.
CANDIDATES = pa.schema(
    [
        *list(LABELS),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("key", ID, nullable=False),
        pa.field("cluster", ID, nullable=False),
        pa.field("must_match", pa.uint64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("form", pa.large_string(), nullable=False),
        pa.field("removed", pa.bool_(), nullable=False),
    ]
)
#: A passage, by its store key, that is a near-duplicate of another; ``near`` is the cluster of that one.
NEAR = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("key", ID, nullable=False),
        pa.field("near", ID, nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class NearPassageSpec:
    """What the steps need to know. ``symmetric``: datasets whose passages are as their queries, so that short ones must
    be equal (``VerificationParams.question_width``); ``passages``: how many there are at most, 0 where it is not known;
    ``rejections``: the folder of the rows that prepare rejected.
    """

    texts: TextSpec
    params: NearDuplicateParams = field(default_factory=NearDuplicateParams)
    symmetric: frozenset[str] = frozenset()
    passages: int = 0
    rejections: str = ""

    def components(self) -> beam.PTransform[Any, Any]:
        """How components are found, as among rows."""
        if self.params.in_rounds(self.passages):
            num_partitions = self.texts.num_store_partitions
            return ComponentsInRounds(num_partitions=num_partitions, rounds=self.params.component_rounds)
        return ComponentsInOneWorker()

    def tags(self, passages: pa.Table) -> Words:
        """A word for the dataset of each passage."""
        return mixed(scope_tags(passages, {name: DedupScope(across=False) for name in self.texts.mined}))


def removed_element(path: str) -> str:
    """A file of rejected rows (its path in the folder of rejections) as it travels to its reader."""
    return f"{_REMOVED}\t{path}"


def _is_removed(element: str) -> bool:
    return element.startswith(f"{_REMOVED}\t")


def read_passages(spec: NearPassageSpec, element: str) -> pa.Table:
    """The passages (TEXT_ROWS) of a part or of a file of rejected rows that are compared, each once."""
    if not _is_removed(element):
        return compared(read_texts(spec.texts, element)[3])
    path = element.split("\t")[1]
    rows = read_parquet(f"{spec.rejections}/{path}", [*_REMOVED_COLUMNS, "reason"])
    rows = rows.filter(pc.equal(rows["reason"], RejectReason.NEAR_DUPLICATE.value)).select(_REMOVED_COLUMNS)
    return compared(texts_of_rows(rows, 0, spec.texts.prompts))


def compared(texts: pa.Table) -> pa.Table:
    """The passages among a part's texts (TEXT_ROWS) that are compared, each once, in their order."""
    is_passage = pc.and_(pc.equal(texts["role"], AS_PASSAGE), pc.not_equal(texts["field"], QUERY))
    passages = texts.filter(is_passage)
    return passages.take(_first_of_each(passages, "hash"))


def piece_address(element: str, piece: int) -> int:
    """The part of the addresses of a piece's passages."""
    return xxhash.xxh3_64_intdigest(f"{element}\t{piece}".encode()) >> 1


def sign_passages(passages: pa.Table, element: str, spec: NearPassageSpec) -> Iterator[Keyed]:
    """BANDS of the passages of a part that are long enough."""
    forms = matching_forms(passages["text"].combine_chunks())
    hashes, enough = band_hashes(forms, spec.params.minhash)
    enough &= ~_are_questions(passages, forms, spec)
    salted, numbers = hashes[enough] ^ spec.tags(passages)[enough][:, None], np.flatnonzero(enough)
    for piece in np.unique(numbers // MAX_PART_ROWS).tolist():
        inside = numbers // MAX_PART_ROWS == piece
        address, rows = piece_address(element, piece), numbers[inside] % MAX_PART_ROWS
        yield from pack_bands(salted[inside], rows, address, spec.texts.num_store_partitions)


def _are_questions(passages: pa.Table, forms: pa.Array, spec: NearPassageSpec) -> np.typing.NDArray[np.bool_]:
    symmetric = pc.is_in(passages["dataset"].combine_chunks(), pa.array(sorted(spec.symmetric), pa.string()))
    short: np.typing.NDArray[np.bool_] = pc.and_(symmetric, is_question(forms, spec.params.question_width)).to_numpy(
        zero_copy_only=False
    )
    return short


def candidate_passages(passages: pa.Table, labels: pa.Table, spec: NearPassageSpec, removed: bool) -> pa.Table:
    """CANDIDATES: the labelled passages of a piece with what verification needs to know about them."""
    chosen = passages.take(labels["row"]).combine_chunks()
    forms = matching_forms(chosen["text"].combine_chunks())
    must_match = spec.tags(chosen) + mixed(text_hashes(numbers_in(forms))[:, 0])
    columns = {
        "dataset": chosen["dataset"],
        "key": chosen["key"],
        "cluster": cluster_hashes(chosen["text"]),
        "must_match": pa.array(must_match),
        "length": pc.utf8_length(forms).cast(pa.int64()),
        "form": forms.cast(pa.large_string()),
        "removed": pa.repeat(removed, len(chosen)),
    } | {name: labels[name] for name in LABELS.names}
    return pa.table([columns[name] for name in CANDIDATES.names], schema=CANDIDATES)


def verify_passages(candidates: pa.Table, params: NearDuplicateParams) -> pa.Table:
    """NEAR of whole components of candidates; the longest text of each chain of copies stands for it."""
    groups = ["component_part", "component_row", "must_match"]
    order = [(name, "ascending") for name in groups] + [("removed", "ascending"), ("length", "descending")]
    known = _only_removed(candidates).sort_by([*order, ("cluster", "ascending"), ("key", "ascending")])
    ordered = known.combine_chunks()
    words = [ordered[name].to_numpy() for name in groups]
    texts = run_starts(*words, first_words(ordered["cluster"]))
    distinct = ordered.take(pa.array(texts))
    starts = run_starts(*(column[texts] for column in words))
    found = chains([distinct["form"].combine_chunks()], np.append(starts, len(texts)), params, params.minhash)
    representatives = np.repeat(found, run_lengths(texts, len(ordered)))
    near = distinct["cluster"].take(pa.array(representatives)).combine_chunks()
    table = pa.table([ordered["dataset"], ordered["key"], near], schema=NEAR)
    stays = pc.invert(ordered["removed"].combine_chunks())
    copies = table.filter(pc.and_(stays, pc.not_equal(near, ordered["cluster"].combine_chunks())))
    return copies.take(_first_of_each(copies, "key"))  # a text that stands in several parts is told once


def _only_removed(candidates: pa.Table) -> pa.Table:
    """Candidates without the passages of removed rows that stand in rows which stay, too."""
    pairs = _with_dataset(candidates, "cluster")
    there = pc.is_in(pairs, value_set=pairs.filter(pc.invert(candidates["removed"])).combine_chunks())
    return candidates.filter(pc.invert(pc.and_(candidates["removed"], there)))


def _with_dataset(rows: pa.Table, column: str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["dataset"].cast(pa.binary()), rows[column].cast(pa.binary()), b"\t")


def _first_of_each(rows: pa.Table, column: str) -> pa.Array:
    """Where each value of a column stands first in its dataset, ascending."""
    codes = _with_dataset(rows, column).combine_chunks().dictionary_encode().indices.to_numpy()
    return pa.array(np.sort(np.unique(codes, return_index=True)[1]))


@beam.typehints.with_input_types(str)
class SignPassages(beam.DoFn):
    """A part, or a file of rejected rows -> BANDS of its passages by range; the pieces that hold them, by address
    (tagged ``PIECES_TAG``).
    """

    def __init__(self, spec: NearPassageSpec) -> None:
        self._spec = spec

    def process(self, element: str) -> Iterator[Any]:
        passages = read_passages(self._spec, element)
        for piece in range(-(-len(passages) // MAX_PART_ROWS)):
            told = pa.RecordBatch.from_pylist([{"element": element, "piece": piece}], schema=PIECES)
            yield beam.pvalue.TaggedOutput(PIECES_TAG, (piece_address(element, piece), told))
        yield from sign_passages(passages, element, self._spec)


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class FetchPassages(beam.DoFn):
    """A piece and the LABELS of its passages -> CANDIDATES by range of components."""

    def __init__(self, spec: NearPassageSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        batches = list(keyed[1])
        labels = pa.Table.from_batches([b for b in batches if b.schema.names == LABELS.names], schema=LABELS)
        if not len(labels):
            return
        (told,) = (batch.to_pylist()[0] for batch in batches if batch.schema.names == PIECES.names)
        passages = read_passages(self._spec, told["element"])
        piece = passages.slice(told["piece"] * MAX_PART_ROWS, MAX_PART_ROWS)
        candidates = candidate_passages(piece, labels, self._spec, _is_removed(told["element"]))
        part, row = (candidates[f"component_{name}"] for name in ("part", "row"))
        yield from by_partition(candidates, address_partitions(part, row, self._spec.texts.num_store_partitions))


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
class VerifyPassages(beam.DoFn):
    """All CANDIDATES of a range of components -> NEAR by range of store keys; their number is counted (tagged)."""

    def __init__(self, spec: NearPassageSpec) -> None:
        self._spec = spec

    def process(self, keyed: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Any]:
        near = verify_passages(pa.Table.from_batches(list(keyed[1]), schema=CANDIDATES), self._spec.params)
        for item in pc.value_counts(near["dataset"]).to_pylist():
            yield beam.pvalue.TaggedOutput(COUNTS_TAG, count(item["values"], MINING, item["counts"], COPIES))
        yield from by_partition(near, partitions_of(first_words(near["key"]), self._spec.texts.num_store_partitions))


class FindNearPassages(beam.PTransform[Any, Any]):
    """Parts -> ``(NEAR by range of store keys, what it counted)``."""

    def __init__(self, spec: NearPassageSpec) -> None:
        super().__init__()
        self._spec = spec

    def expand(self, parts: PCollection[str]) -> Any:
        signed = parts | "Sign" >> beam.ParDo(SignPassages(self._spec)).with_outputs(PIECES_TAG, main="bands")
        labels = (
            typed(signed["bands"], KEYED_BATCHES)
            | "By range of bands" >> beam.GroupByKey()
            | "Link" >> beam.ParDo(LinkRows())
            | "Components" >> self._spec.components()
        )
        pieces = typed(signed[PIECES_TAG], KEYED_BATCHES)
        return (
            (pieces, labels)
            | "Pieces and labels" >> beam.Flatten()
            | "By piece" >> beam.GroupByKey()
            | "Fetch" >> beam.ParDo(FetchPassages(self._spec))
            | "By range of components" >> beam.GroupByKey()
            | "Verify" >> beam.ParDo(VerifyPassages(self._spec)).with_outputs(COUNTS_TAG, main="near")
        )
