"""Adapter ``beir``: a corpus, queries and relevance judgments in files of their own.

The rows that are counted are the judgments. They know a query and a passage by id alone; queries come to them as
members of their group, passages by ``passage``, the hash of (dataset, passage id).
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from schemas.rows import PASSAGES, TEXTS
from transforms.cleaning.normalise import normalise_texts
from transforms.examples.adapters.adapted import Adapted, Refusal, judge, reject
from transforms.examples.adapters.labels import label_texts
from transforms.examples.adapters.pairs import malformed_number
from transforms.examples.adapters.source import Source
from transforms.examples.group_membership import MEMBERS, NEGATIVE, OTHER, POSITIVE, QUERY, content_hashes, group_hashes
from transforms.sources.column_paths import PathError

_NULL_TEXT = pa.scalar(None, pa.string())


def adapt_beir(source: Source) -> Adapted:
    """A batch of the role that its unit has: ``corpus``, ``queries`` or ``qrels``."""
    adapters: dict[str, Callable[[Source], Adapted]] = {
        "corpus": _adapt_corpus,
        "queries": _adapt_queries,
        "qrels": _adapt_qrels,
    }
    return adapters[source.unit.role](source)


def ids_of(source: Source, role: str, key: str) -> pa.StringArray:
    """Ids as texts, whether the file keeps them as numbers or texts; null where blank."""
    return source.checked((role, key), _as_ids, source.values(role, key))


def _as_ids(values: pa.Array) -> pa.StringArray:
    kind = values.type
    if pa.types.is_string(kind):
        trimmed = pc.utf8_trim_whitespace(values)
        return pc.if_else(pc.equal(trimmed, ""), _NULL_TEXT, trimmed)
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return values.cast(pa.string())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return label_texts(values)
    raise PathError(
        f"an id is wanted (text, number or bytes), but the column holds {kind}; name the field or column that holds it"
    )


def _least(**ids: pa.StringArray) -> dict[str, str]:
    """The first id of each kind in the order of texts, where there is any."""
    found = {kind: pc.min_max(array.drop_null())["min"].as_py() for kind, array in ids.items()}
    return {kind: least for kind, least in found.items() if least is not None}


def _adapt_corpus(source: Source) -> Adapted:
    """One passage for each row; a row without an id has the empty one, which no judgment names."""
    ids = ids_of(source, "corpus", "id")
    texts = pc.fill_null(source.text("corpus", "text"), "")
    columns = [source.constant(source.entry.name), pc.fill_null(ids, ""), texts]
    passages = pa.RecordBatch.from_arrays(columns, schema=PASSAGES)
    return Adapted(passages=passages, unusable=_without_id(source, ids, texts), least_ids=_least(corpus=ids))


def _without_id(source: Source, ids: pa.StringArray, texts: pa.StringArray) -> pa.RecordBatch:
    verdicts = judge(len(source), [Refusal(ids.is_null(), RejectReason.DANGLING_ID, "the row has no id")])
    return reject(source, _rejectable(texts, source.constant(None)), verdicts)


def _rejectable(query: pa.StringArray, label: pa.StringArray) -> pa.RecordBatch:
    lists = pa.nulls(len(query), TEXTS)
    return pa.RecordBatch.from_arrays([query, lists, lists, label], names=["query", "positives", "negatives", "label"])


def _adapt_queries(source: Source) -> Adapted:
    """A member with the query's text for the group of each query that has an id."""
    ids = ids_of(source, "queries", "id")
    texts = pc.fill_null(source.text("queries", "text"), "")
    columns = _empty_columns(source) | {
        "group": group_hashes(source.entry.name, pc.fill_null(ids, "")),
        "role": source.constant(QUERY),
        "query": texts,
        "content": content_hashes(normalise_texts(texts)),
    }
    members = pa.RecordBatch.from_arrays([columns[name] for name in MEMBERS.names], schema=MEMBERS)
    return Adapted(
        members=members.filter(ids.is_valid()),
        unusable=_without_id(source, ids, texts),
        least_ids=_least(queries=ids),
    )


def _empty_columns(source: Source) -> dict[str, pa.Array]:
    nulls = {field.name: pa.nulls(len(source), field.type) for field in MEMBERS if field.nullable}
    return nulls | {
        "dataset": source.constant(source.entry.name),
        "detail": source.constant(""),
        "language": source.languages(),
        "provenance": source.provenance(),
    }


def _adapt_qrels(source: Source) -> Adapted:
    """A member for each judgment: a positive from ``min_score`` up, a negative at 0 or less, else neither."""
    query_ids, passage_ids = ids_of(source, "qrels", "query_id"), ids_of(source, "qrels", "corpus_id")
    scores, refusals = _scores(source)
    nameless = pc.or_(query_ids.is_null(), passage_ids.is_null())
    refusals = [Refusal(nameless, RejectReason.DANGLING_ID, "the judgment has no query id or no passage id"), *refusals]
    verdicts = judge(len(source), refusals)
    columns = _empty_columns(source) | _judgments(source, query_ids, passage_ids, scores)
    members = pa.RecordBatch.from_arrays([columns[name] for name in MEMBERS.names], schema=MEMBERS)
    rejectable = _rejectable(source.constant(None), source.constant(None))
    return Adapted(
        members=members.filter(verdicts.reason.is_null()),
        rejections=reject(source, rejectable, verdicts),
        least_ids=_least(judged_queries=query_ids, judged_passages=passage_ids),
    )


def _scores(source: Source) -> tuple[pa.Array, list[Refusal]]:
    """The judgments' scores; a layout that lists relevant passages alone has no score column, and all are 1."""
    if not source.has("qrels", "score"):
        return pa.repeat(pa.scalar(1.0), len(source)), []
    scores = source.numbers_of("qrels", "score").values
    return scores, [
        malformed_number(source, "qrels", "score"),
        Refusal(scores.is_null(), RejectReason.UNLABELLED, "the judgment has no score"),
    ]


def _judgments(
    source: Source, query_ids: pa.StringArray, passage_ids: pa.StringArray, scores: pa.Array
) -> dict[str, pa.Array]:
    positive = pc.fill_null(pc.greater_equal(scores, source.entry.options.min_score), False)
    negative = pc.fill_null(pc.less_equal(scores, 0), False)
    shown = [pc.fill_null(column, "") for column in (query_ids, passage_ids, pc.cast(scores, pa.string()))]
    return {
        "group": group_hashes(source.entry.name, shown[0]),
        "role": pc.if_else(positive, POSITIVE, pc.if_else(negative, NEGATIVE, OTHER)),
        "reason_if_kept": pc.if_else(pc.or_(positive, negative), _NULL_TEXT, RejectReason.BELOW_THRESHOLD.value),
        "reason_if_orphan": source.constant(RejectReason.NO_POSITIVE.value),
        "passage": group_hashes(source.entry.name, shown[1]),
        "score": scores,
        "detail": pc.binary_join_element_wise("query", shown[0], "passage", shown[1], "score", shown[2], " "),
    }
