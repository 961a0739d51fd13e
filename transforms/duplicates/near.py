"""Near-duplicates: bands propose, components gather, exact similarity decides, the best of each cluster stays.

parts -> band hashes, packed, by range -> star edges -> components -> the texts of candidates alone, by range of
what is compared -> verification in survival order -> decisions by part. Rows that were decided before take no part.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from schemas.reasons import RejectReason
from transforms.duplicates.component_rounds import ComponentsInRounds
from transforms.duplicates.components import (
    LABELS,
    ComponentsInOneWorker,
    NodeNumbers,
    address_words,
    forest_table,
    star_edges,
)
from transforms.duplicates.exact import (
    DECIDED,
    Keyed,
    decisions_by_part,
    reasons_by_survivor,
    run_starts,
)
from transforms.duplicates.minhash import Hashes, band_hashes
from transforms.duplicates.params import MinHashParams, NearDuplicateParams, VerificationParams
from transforms.duplicates.published import (
    CONTRADICT,
    LINK,
    Published,
    is_published,
    read_rows,
    scopes_at,
    stands_in,
    was_rejected,
)
from transforms.duplicates.scopes import (
    RANKED,
    RANKS,
    SURVIVAL,
    Scopes,
    Words,
    is_compared,
    label_words,
    mixed,
    rank_columns,
    scope_tags,
)
from transforms.duplicates.verification import Verdicts, verify
from transforms.flow.batches import MAX_BYTES, by_partition, partitions_of, split_batches
from transforms.flow.kernels import Offsets
from transforms.flow.overlapping import OverlappingDoFn
from transforms.flow.parts import split_addresses
from transforms.text.matching import matching_forms, text_hashes
from transforms.text.part_texts import first_texts

#: Band hashes of rows of one part in one range, packed into one row: 6 bytes for each band of a document.
BANDS = pa.schema(
    [
        pa.field("part", pa.int64(), nullable=False),
        pa.field("hashes", pa.list_(pa.uint32()), nullable=False),
        pa.field("rows", pa.list_(pa.uint16()), nullable=False),
    ]
)
_MAX_BANDS = (MAX_BYTES - 1024) // 6
#: Edges of a batch of EDGES, 24 bytes each.
_MAX_EDGES = MAX_BYTES // 24

#: A candidate with what verification compares: two fields, and a word of all that must be equal besides.
CANDIDATES = pa.schema(
    [
        *list(LABELS),
        *RANKS,
        pa.field("must_match", pa.uint64(), nullable=False),
        pa.field("query", pa.large_string(), nullable=False),
        pa.field("positive", pa.large_string(), nullable=False),
    ]
)


def compared_fields(rows: pa.Table, scopes: Scopes) -> tuple[pa.LargeStringArray, pa.LargeStringArray]:
    """Forms of the query and of the first positive; empty where a row has none or its scope does not compare it."""
    firsts = first_texts(rows.column("positives").combine_chunks())
    has_query, has_positive = is_compared(rows, scopes, "query"), is_compared(rows, scopes, "positives")
    query, positive = matching_forms(rows.column("query")), matching_forms(firsts)
    return pc.if_else(pa.array(has_query), query, ""), pc.if_else(pa.array(has_positive), positive, "")


def pack_bands(hashes: Hashes, rows: npt.NDArray[np.int64], part: int, num_partitions: int) -> Iterator[Keyed]:
    """BANDS under their range. The range is the upper half of a hash, the lower half tells bands apart within it.

    Two bands that differ share range and lower half with probability 2^-32 / num_partitions; such a pair is refuted by
    verification like any other.
    """
    if not len(rows):
        return
    flat = hashes.ravel()
    partitions = partitions_of(flat, num_partitions)
    order = np.argsort(partitions.astype(np.uint16 if num_partitions <= 1 << 16 else np.uint32), kind="stable")
    words, numbers = flat[order].astype(np.uint32), (rows[order // hashes.shape[1]]).astype(np.uint16)
    starts = run_starts(partitions[order])
    for start, end in zip(starts, np.r_[starts[1:], len(order)], strict=True):
        for at in range(start, end, _MAX_BANDS):
            cut = slice(at, min(end, at + _MAX_BANDS))
            columns = {"part": [part], "hashes": [words[cut]], "rows": [numbers[cut]]}
            yield int(partitions[order[start]]), pa.RecordBatch.from_pydict(columns, schema=BANDS)


def sign_rows(
    rows: pa.Table,
    part: int,
    decided: npt.NDArray[np.int32],
    scopes: Scopes,
    params: MinHashParams,
    num_partitions: int,
) -> Iterator[Keyed]:
    """BANDS of the rows of a part that are not decided yet and whose compared text is long enough."""
    free = np.setdiff1d(np.arange(rows.num_rows), decided)
    chosen = rows.take(pa.array(free))
    text = pc.binary_join_element_wise(*compared_fields(chosen, scopes), pa.scalar(" ", pa.large_string()))
    hashes, enough = band_hashes(text, params)
    salted = hashes[enough] ^ mixed(scope_tags(chosen, scopes)[enough])[:, None]
    yield from pack_bands(salted, free[enough], part, num_partitions)


def link_rows(bands: Iterable[pa.RecordBatch]) -> pa.Table:
    """The forest (EDGES) of the rows that share a band, from all BANDS of a range."""
    batches = list(bands)
    parts = np.array([batch.column("part")[0].as_py() for batch in batches], np.int64)
    sizes = [len(batch.column("hashes").flatten()) for batch in batches]
    keys, rows = (np.concatenate([batch.column(name).flatten() for batch in batches]) for name in ("hashes", "rows"))
    numbers = NodeNumbers([parts])
    return forest_table(numbers, *star_edges(keys, numbers.numbers(np.repeat(parts, sizes), rows)))


def is_question(forms: pa.Array, question_width: int) -> pa.BooleanArray:
    """Which texts are narrower than so many columns, in which an East Asian character takes two."""
    may_be = pc.less(pc.utf8_length(forms), question_width)  # most are longer already in characters
    short = forms.filter(may_be)
    wide = pc.replace_substring_regex(short, r"[^\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]+", "")
    are = pc.less(pc.add(pc.utf8_length(short), pc.utf8_length(wide)), question_width)
    return pc.replace_with_mask(may_be, may_be, are)


def numbers_in(forms: pa.Array) -> pa.Array:
    """What a text has of numbers, in order; near-duplicates have the same."""
    return pc.replace_substring_regex(forms, r"\P{Nd}+", " ")


def must_match(
    rows: pa.Table, scopes: Scopes, query: pa.Array, positive: pa.Array, params: VerificationParams
) -> Words:
    """A word of what must be equal for rows to be near-duplicates: scope, labels, and of a pair's query and positives,
    where these are compared, the numbers in them; of a query that is a question all of it, and of a labelled text that
    is short (``VerificationParams``).
    """
    is_pair = pc.greater(pc.list_value_length(rows.column("positives")), 0).combine_chunks()
    is_short = pc.if_else(is_pair, is_question(query, params.question_width), is_question(query, params.labelled_width))
    said = mixed(text_hashes(pc.if_else(is_short, query, numbers_in(query)))[:, 0])
    figures = mixed(text_hashes(numbers_in(positive))[:, 0])
    words = mixed(scope_tags(rows, scopes)) + label_words(rows)
    pairs, compared = (mask.to_numpy(zero_copy_only=False) for mask in (is_pair, pc.or_(is_pair, is_short)))
    return mixed(words) + np.where(compared, said, 0) + np.where(pairs, figures, 0)


def candidate_rows(rows: pa.Table, labels: pa.Table, scopes: Scopes, params: VerificationParams) -> pa.Table:
    """CANDIDATES: the labelled rows of a part with what verification needs to know about them."""
    chosen = rows.take(labels.column("row"))
    query, positive = compared_fields(chosen, scopes)
    words = must_match(chosen, scopes, query, positive, params)
    columns = [*labels.select(LABELS.names).columns, *rank_columns(chosen, scopes), words, query, positive]
    return pa.table(columns, schema=CANDIDATES)


def group_partitions(candidates: pa.Table, num_partitions: int) -> npt.NDArray[np.int64]:
    """The range of each of CANDIDATES by what it is compared with: rows of its component that must match it.

    So a template of very many rows that ask different questions does not meet in one place.
    """
    component = address_words(candidates.column("component_part"), candidates.column("component_row"))
    return partitions_of(mixed(component + candidates.column("must_match").to_numpy()), num_partitions)


def verify_candidates(
    candidates: pa.Table, params: NearDuplicateParams, published: Published | None = None
) -> pa.Table:
    """Decisions (DECIDED) on candidates, all of each component that must match each other; ``published``: what negative
    parts stand for.

    A published row is named where a new one would stay in its place, to be counted; else rows of earlier runs are not
    spoken of.
    """
    published = published or {}
    groups = ["component_part", "component_row", "must_match"]
    ordered = candidates.sort_by([*((name, "ascending") for name in groups), *SURVIVAL])
    starts = run_starts(*(ordered.column(name).to_numpy() for name in groups))
    verdicts = _verified(ordered, np.r_[starts, ordered.num_rows], params, published)
    old, stands = is_published(ordered.column("part")), verdicts.representatives
    spoken = ~(old & old[stands]) & ~was_rejected(ordered.column("part"), published)
    gone = np.flatnonzero((stands != np.arange(ordered.num_rows)) & spoken)
    removed, kept = (ordered.take(pa.array(rows)) for rows in (gone, verdicts.representatives[gone]))
    rule = f"of shingles of {params.minhash.shingle_size} characters, at least {params.jaccard}"
    parts = kept.column("part").to_pylist()
    details = [
        f"jaccard {jaccard:.3f} {rule}{f', of a row of {published[part].dataset}' if part < 0 else ''}"
        f"{stands_in(part, published)}"
        for jaccard, part in zip(verdicts.jaccards[gone].tolist(), parts, strict=True)
    ]
    told = [reasons_by_survivor(parts, RejectReason.NEAR_DUPLICATE, published), details]
    columns = [removed.column("part"), removed.column("row"), *(pa.array(words, pa.string()) for words in told)]
    return pa.table([*columns, kept.column("id")], schema=DECIDED)


def _verified(ordered: pa.Table, groups: Offsets, params: NearDuplicateParams, published: Published) -> Verdicts:
    """Who stands for whom among candidates in groups.

    Near-duplicates that an earlier run rejected stand for nobody: where one would, its group is judged without them.
    Published rows stay, so a new row that would stay is compared once more, with those of them that another one stands
    for: two folders may hold near-duplicates of each other.
    """
    fields, parts = [ordered.column(name).combine_chunks() for name in ("query", "positive")], ordered.column("part")
    found, every = verify(fields, groups, params, params.minhash), np.arange(ordered.num_rows)
    old, links = is_published(parts), was_rejected(parts, published, LINK)
    misled = ~old & links[found.representatives]
    if misled.any():
        group = np.searchsorted(groups, every, side="right")
        chosen = np.flatnonzero(~links & np.isin(group, group[misled]))
        found.representatives[chosen], found.jaccards[chosen] = _verified_among(chosen, fields, groups, params)
    stays = found.representatives == every
    hidden = old & ~stays & old[found.representatives] & ~was_rejected(parts, published)
    if hidden.any():
        chosen = np.flatnonzero(hidden | (stays & ~old))
        again = _verified_among(chosen, fields, groups, params)
        lost = ~old[chosen] & old[again.representatives]
        found.representatives[chosen[lost]] = again.representatives[lost]
        found.jaccards[chosen[lost]] = again.jaccards[lost]
    return found


def _verified_among(
    chosen: npt.NDArray[np.int64], fields: Sequence[pa.Array], groups: Offsets, params: NearDuplicateParams
) -> Verdicts:
    """Who stands for whom among some rows of the groups."""
    starts = run_starts(np.searchsorted(groups, chosen, side="right"))
    taken = [texts.take(pa.array(chosen)) for texts in fields]
    found = verify(taken, np.r_[starts, len(chosen)], params, params.minhash)
    return Verdicts(chosen[found.representatives], found.jaccards)


@dataclass(frozen=True, kw_only=True)
class NearSpec:
    """What the steps need to know: where the parts lie, the scope of each dataset, and the numbers.

    ``rows``: as many as the sources' metadata promise at most; 0 where nothing is known. ``published``: what addresses
    of published rows stand for.
    """

    folder: str
    scopes: Scopes
    params: NearDuplicateParams
    num_partitions: int
    rows: int = 0
    published: Published = field(default_factory=dict)

    def components(self) -> beam.PTransform[Any, Any]:
        """How components are found: the one choice that the shape of the graph depends on."""
        if self.params.in_rounds(self.rows):
            return ComponentsInRounds(num_partitions=self.num_partitions, rounds=self.params.component_rounds)
        return ComponentsInOneWorker()


class _Step(OverlappingDoFn):
    def __init__(self, spec: NearSpec) -> None:
        self._spec = spec


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class SignRows(_Step):
    """A part's address and earlier decisions -> BANDS by range."""

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        spec, (part, batches) = self._spec, element
        decided = split_addresses(batches).decisions.column("row").to_numpy()
        if part < 0:  # published rows stay, whatever is said of them
            decided = decided[:0]
            if spec.published[part].rejected in CONTRADICT:
                return  # these went before near-duplicates were sought
        rows = read_rows(spec.folder, part, ["dataset", "query", "positives"], spec.published)
        scopes = scopes_at(part, spec.scopes, spec.published)
        yield from sign_rows(rows, part, decided, scopes, spec.params.minhash, spec.num_partitions)


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class LinkRows(OverlappingDoFn):
    """All BANDS of a range -> EDGES, all under one key."""

    def __init__(self) -> None:
        """Needs nothing: what it works on travels in the batches."""

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        for batch in split_batches(link_rows(element[1]), _MAX_EDGES):
            yield 0, batch


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class FetchCandidates(_Step):
    """LABELS of a part -> CANDIDATES by range of groups."""

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        spec, (part, labels) = self._spec, element
        rows = read_rows(spec.folder, part, [*RANKED, "label"], spec.published)
        labelled = pa.Table.from_batches(list(labels), schema=LABELS)
        candidates = candidate_rows(rows, labelled, scopes_at(part, spec.scopes, spec.published), spec.params)
        yield from by_partition(candidates, group_partitions(candidates, spec.num_partitions))


@beam.typehints.with_input_types(tuple[int, Iterable[pa.RecordBatch]])
@beam.typehints.with_output_types(tuple[int, pa.RecordBatch])
class VerifyCandidates(_Step):
    """All CANDIDATES of a range of groups -> decisions by part."""

    def work(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[Keyed]:
        candidates = pa.Table.from_batches(list(element[1]), schema=CANDIDATES)
        yield from decisions_by_part(verify_candidates(candidates, self._spec.params, self._spec.published))


class FindNearDuplicates(beam.PTransform[Any, Any]):
    """(addresses of parts, earlier decisions) -> decisions by part: NEAR_DUPLICATE, with the id of the row kept."""

    def __init__(self, spec: NearSpec) -> None:
        super().__init__()
        self._spec = spec

    def expand(self, inputs: Any) -> PCollection[Keyed]:
        decided: PCollection[Keyed] = (
            inputs
            | "Parts and decisions" >> beam.Flatten()
            | "By part" >> beam.GroupByKey()
            | "Sign" >> beam.ParDo(SignRows(self._spec))
            | "By range of bands" >> beam.GroupByKey()
            | "Link" >> beam.ParDo(LinkRows())
            | "Components" >> self._spec.components()
            | "By part of a candidate" >> beam.GroupByKey()
            | "Fetch" >> beam.ParDo(FetchCandidates(self._spec))
            | "By range of groups" >> beam.GroupByKey()
            | "Verify" >> beam.ParDo(VerifyCandidates(self._spec))
        )
        return decided
