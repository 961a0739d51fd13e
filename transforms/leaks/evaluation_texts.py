"""What evaluation sets hold: queries and other scored texts, and the passages of their corpora."""

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import SourceError
from schemas.rows import QUERIES
from transforms.cleaning.normalise import normalise_texts
from transforms.leaks.evaluation_sets import ID_COLUMN, JUDGED_COLUMN, TEXT_COLUMN, SetPlan
from transforms.sources.footers import read_footer
from transforms.sources.readers import read_unit
from transforms.sources.units import Unit

_OTHER_ID, _TITLE = "id", "title"


def read_queries(plan: SetPlan) -> pa.Table:
    """QUERIES of a set: the texts of its columns, else those that its judgments name, else all of its queries.

    Raises SourceError for a file that is damaged or has other columns, and where no query is judged.
    """
    if plan.columns:
        texts = [text for unit in plan.of("rows") for text in _row_texts(unit, plan.columns)]
    else:
        judged = set(_judged(plan.of("qrels"))) if plan.of("qrels") else None
        found = [text for unit in plan.of("queries") for text in _query_texts(unit, judged)]
        if judged is not None and not found:
            raise SourceError(f"evaluation set {plan.name}: {plan.place}: none of its queries is judged; is it whole?")
        texts = [pa.array(found, pa.string())]
    own = normalise_texts(pa.chunked_array(texts, pa.string()).combine_chunks())
    return pa.table([pa.repeat(plan.name, len(own)), own, pa.repeat(plan.whole, len(own))], schema=QUERIES)


def _row_texts(unit: Unit, patterns: Sequence[str]) -> Iterator[pa.Array]:
    """The texts of the columns that some globs name, each once in its batch."""
    known = column_names(unit) if unit.format == "parquet" else frozenset(patterns)
    wanted = sorted(name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns))
    if not wanted:
        raise SourceError(
            f"evaluation set {unit.dataset}: {unit.path} has no column {' or '.join(patterns)}; it has "
            f"{', '.join(sorted(known))}"
        )
    for raw in read_unit(unit, dict.fromkeys(wanted, unit.path)):
        for name in wanted:
            texts = raw.rows.column(name)
            while pa.types.is_list(texts.type) or pa.types.is_large_list(texts.type):
                texts = pc.list_flatten(texts)
            said = pc.drop_null(_strings(texts)).unique()
            yield said.filter(pc.not_equal(said, ""))


def _judged(units: Collection[Unit]) -> Iterator[tuple[str, str]]:
    """``(language or nothing, query id)`` of every judgment."""
    for unit in units:
        for raw in read_unit(unit, {JUDGED_COLUMN: unit.path}):
            yield from (
                (_subset(unit), key) for key in _strings(raw.rows.column(JUDGED_COLUMN)).unique().to_pylist() if key
            )


def _query_texts(unit: Unit, judged: Collection[tuple[str, str]] | None) -> Iterator[str]:
    names = column_names(unit)
    id_column = _OTHER_ID if ID_COLUMN not in names and _OTHER_ID in names else ID_COLUMN
    wanted = (TEXT_COLUMN,) if judged is None else (id_column, TEXT_COLUMN)
    for raw in read_unit(unit, dict.fromkeys(wanted, unit.path)):
        texts = _strings(raw.rows.column(TEXT_COLUMN)).to_pylist()
        ids = texts if judged is None else _strings(raw.rows.column(id_column)).to_pylist()
        for key, text in zip(ids, texts, strict=True):
            if text and (judged is None or (_subset(unit), key) in judged):
                yield text


def _subset(unit: Unit) -> str:
    """``de`` for ``de-queries``, nothing for ``queries``."""
    return unit.config.rpartition("-")[0]


def column_names(unit: Unit) -> frozenset[str]:
    """Columns of a unit's file, as far as they are known without reading it: of other formats those of BEIR."""
    if unit.format != "parquet":
        return frozenset({ID_COLUMN, _TITLE, TEXT_COLUMN})
    return frozenset(read_footer(unit.path, unit.ranges).schema.to_arrow_schema().names)


def _strings(values: pa.Array) -> pa.Array:
    return pc.cast(values, pa.string())


def read_passages(unit: Unit) -> Iterator[tuple[pa.Array, list[pa.Array]]]:
    """Batches of a corpus: numbers of its passages in their file, and the texts by which each is known.

    A passage is known by its text, and by its title and text together where it has a title.
    """
    has_title = _TITLE in column_names(unit)
    for raw in read_unit(unit, dict.fromkeys([TEXT_COLUMN, *([_TITLE] if has_title else [])], unit.path)):
        texts = _normalised(raw.rows, TEXT_COLUMN)
        known = [texts]
        if has_title:
            titled = pc.binary_join_element_wise(_normalised(raw.rows, _TITLE), texts, "\n")
            known.append(pc.utf8_trim_whitespace(titled))
        yield raw.numbers, known


def _normalised(rows: pa.RecordBatch, column: str) -> pa.Array:
    return normalise_texts(pc.fill_null(_strings(rows.column(column)), ""))
