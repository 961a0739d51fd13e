"""From what an adapter gives to canonical rows: normalised, filtered, with ids; the rest is rejected with reasons."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.catalog import Adapter, CatalogEntry, LocatedEntry
from schemas.readmission import NOBODY, Readmission
from schemas.reasons import RejectReason
from schemas.rows import CANONICAL, REJECTIONS, TEXTS, row_ids
from transforms.cleaning.filters import Filtered, filter_rows, scatter
from transforms.cleaning.language import is_cleared, wrong_language
from transforms.cleaning.normalise import normalise_texts
from transforms.cleaning.params import CleanParams, FilterParams, LanguageParams
from transforms.flow.rejections import rejection_columns
from transforms.text.part_texts import first_texts

STAGE = "prepare"


class Cleaned(NamedTuple):
    """Kept rows (CANONICAL, with ids) and rejections (REJECTIONS); ``readmitted``: rows that are kept since a person
    wants them, by the reason that was overruled.
    """

    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    readmitted: Counter[str]


def clean_rows(
    adapted: pa.RecordBatch, located: LocatedEntry, params: CleanParams, readmission: Readmission = NOBODY
) -> Cleaned:
    """Kept rows and rejections of adapted rows; each row is in one of the two.

    Query, positives and negatives are normalised; label and instruction stay as the source has them. Rejections hold
    the normalised texts as the row brought them, kept rows the lists without their faulty texts
    (``filters.filter_rows``). A rejection has the id that the row has where it is kept after all: then without its
    faulty texts too, but with all its positives where every one is faulty.
    """
    entry = located.entry
    rows = _normalised(adapted)
    filtered = _filtered(rows, entry, params.filters)
    reasons, details = _with_languages(rows, filtered, entry, params.language)
    fit = pc.is_null(reasons)
    kept = _filter(rows | {"positives": filtered.positives, "negatives": filtered.negatives}, fit)
    rejected = _filter(rows | {"reason": reasons, "detail": details}, pc.invert(fit))
    whole = _filter(rows | {"positives": _left(filtered, rows), "negatives": filtered.negatives}, pc.invert(fit))
    able = _able(whole, entry)
    restored = _canonical(entry.name, _filter(whole, able))
    places = np.flatnonzero(able.to_numpy(zero_copy_only=False))
    wanted = readmission.mask(restored.column("id"))
    rejected["id"] = scatter(places, [each.hex() for each in restored.column("id").to_pylist()], len(able))
    overruled = np.isin(np.arange(len(able)), places[wanted])
    return Cleaned(
        kept=_joined(_canonical(entry.name, kept), restored.filter(pa.array(wanted))),
        rejected=_rejections(entry.name, _filter(rejected, pa.array(~overruled))),
        readmitted=Counter(rejected["reason"].filter(pa.array(overruled)).to_pylist()),
    )


def _left(filtered: Filtered, rows: dict[str, pa.Array]) -> pa.ListArray:
    """The positives of rows that are kept after all: the fit ones, or, where there are none, all that hold text."""
    lists = rows["positives"]
    values, parents = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    there = pc.fill_null(pc.not_equal(values, ""), False)
    counts = np.bincount(parents[there.to_numpy(zero_copy_only=False)], minlength=len(lists))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    brought = pa.ListArray.from_arrays(offsets, values.filter(there), type=TEXTS)
    return pc.if_else(pc.greater(pc.list_value_length(filtered.positives), 0), filtered.positives.cast(TEXTS), brought)


def _able(rows: dict[str, pa.Array], entry: CatalogEntry) -> pa.BooleanArray:
    """Which rows could be examples whatever a filter says: those with a query and, but for labels, a positive."""
    has_query = pc.fill_null(pc.not_equal(rows["query"], ""), False)
    if entry.adapter is Adapter.LABELED:
        return has_query
    return pc.and_(has_query, pc.greater(pc.list_value_length(rows["positives"]), 0))


def _joined(first: pa.RecordBatch, second: pa.RecordBatch) -> pa.RecordBatch:
    if not second.num_rows:
        return first
    return pa.Table.from_batches([first, second]).combine_chunks().to_batches()[0]


def _normalised(adapted: pa.RecordBatch) -> dict[str, pa.Array]:
    rows = dict(zip(adapted.schema.names, adapted.columns, strict=True))
    lists = {name: _normalised_lists(rows[name]) for name in ("positives", "negatives")}
    return rows | {"query": normalise_texts(rows["query"])} | lists


def _normalised_lists(lists: pa.ListArray) -> pa.ListArray:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, normalise_texts(pc.list_flatten(lists)), mask=pc.is_null(lists))


def _filtered(rows: dict[str, pa.Array], entry: CatalogEntry, params: FilterParams) -> Filtered:
    is_labeled = entry.adapter is Adapter.LABELED
    return filter_rows(
        rows["query"],
        rows["positives"],
        rows["negatives"],
        min_query_units=params.min_text_units if is_labeled else params.min_query_units,
        needs_positive=not is_labeled,
        params=params,
    )


def _with_languages(
    rows: dict[str, pa.Array], filtered: Filtered, entry: CatalogEntry, params: LanguageParams
) -> tuple[pa.StringArray, pa.StringArray]:
    """Reasons and details of the filters, with those of the language check in the rows that passed them."""
    fit = pa.array(np.flatnonzero(pc.is_null(filtered.reasons).to_numpy(zero_copy_only=False)))
    query, positive = rows["query"].take(fit), first_texts(filtered.positives).take(fit)
    said = wrong_languages(query, positive, rows["language"].take(fit), entry, params)
    wrong = fit.filter(pc.is_valid(said)).to_numpy()
    size = len(filtered.reasons)
    reasons = scatter(wrong, [str(RejectReason.WRONG_LANGUAGE)] * len(wrong), size)
    details = scatter(wrong, said.drop_null().to_pylist(), size)
    return pc.coalesce(filtered.reasons, reasons), pc.coalesce(filtered.details, details)


def wrong_languages(
    query: pa.Array, positive: pa.Array, language: pa.Array, entry: CatalogEntry, params: LanguageParams
) -> pa.StringArray:
    """What is wrong with the language of each row's query or first positive; null where nothing is.

    Declared is the row's own language where it has one, else what the entry declares. The sides of parallel text
    differ, so there each side may be in any language of the entry. Any other row stays whose other text is surely in a
    declared language: a name or a headline may look like anything.
    """
    if entry.adapter is Adapter.BITEXT:
        language = pa.nulls(len(language), pa.string())
    details = np.full(len(query), None, dtype=object)
    for tag in pc.unique(language).to_pylist():
        rows = np.flatnonzero(pc.is_in(language, pa.array([tag], pa.string())).to_numpy(zero_copy_only=False))
        declared = (tag,) if tag else entry.languages
        for name, texts in (("positive", positive), ("query", query)):
            said = wrong_language(texts.take(pa.array(rows)), declared, params)
            other = positive if name == "query" else query
            for place in np.flatnonzero(pc.is_valid(said)).tolist():
                row, may_clear = int(rows[place]), entry.adapter is not Adapter.BITEXT
                if not (may_clear and is_cleared(texts[row].as_py(), other[row].as_py(), declared, params)):
                    details[row] = f"{name}: {said[place]}"
    return pa.array(details, pa.string())


def _canonical(dataset: str, rows: dict[str, pa.Array]) -> pa.RecordBatch:
    size = len(rows["query"])
    columns = rows | {
        "dataset": pa.repeat(pa.scalar(dataset), size),
        "language": pc.fill_null(rows["language"], ""),
        "other_labels": pc.fill_null(rows["other_labels"], pa.scalar([], TEXTS)),
    }
    fields = [item for item in CANONICAL if item.name != "id"]
    ids = row_ids(pa.record_batch([columns[item.name] for item in fields], names=[item.name for item in fields]))
    return pa.record_batch([(columns | {"id": ids})[name] for name in CANONICAL.names], schema=CANONICAL)


def _rejections(dataset: str, rows: dict[str, pa.Array]) -> pa.RecordBatch:
    size = len(rows["query"])
    columns = rows | {
        "dataset": pa.repeat(pa.scalar(dataset), size),
        "stage": pa.repeat(pa.scalar(STAGE), size),
    }
    return pa.record_batch(rejection_columns(columns, size), schema=REJECTIONS)


def _filter(columns: dict[str, pa.Array], mask: pa.Array) -> dict[str, pa.Array]:
    return {name: column.filter(mask) for name, column in columns.items()}
