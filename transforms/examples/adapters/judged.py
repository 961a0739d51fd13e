"""Adapters whose rows are members of a group, which ``examples.grouping`` finishes: ``nli scored_pair graded``."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from schemas.rows import ID
from transforms.cleaning.normalise import normalise_texts
from transforms.examples.adapters.adapted import Adapted, Draft, Refusal, finish, judge, reject
from transforms.examples.adapters.labels import label_texts
from transforms.examples.adapters.lists import as_lists, empty_lists, lists_of
from transforms.examples.adapters.pairs import malformed_number
from transforms.examples.adapters.source import Source
from transforms.examples.adapters.texts import is_blank
from transforms.examples.group_membership import MEMBERS, NEGATIVE, OTHER, POSITIVE, content_hashes, group_hashes

_NULL_TEXT = pa.scalar(None, pa.string())
_LABELS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Judged pairs, one for each source row: what they group by, the judged text, and what the judgment makes of it.

    ``positive`` and ``negative`` are masks (null counts as false); rows with neither have ``unused`` as their reason
    in a group that has a positive. ``orphan`` is the reason of every row of a group that has none. ``shown`` is the
    judgment in words, for whoever reads a rejection.
    """

    query: pa.StringArray
    text: pa.StringArray
    positive: pa.BooleanArray
    negative: pa.BooleanArray
    label: pa.StringArray
    score: pa.Array
    shown: pa.StringArray
    unused: RejectReason
    orphan: RejectReason
    refusals: Sequence[Refusal]


def members_of(source: Source, pairs: Pairs) -> Adapted:
    """Members with their group's hash and their content's; rows without a query, a text or a judgment are rejected."""
    keys, contents = normalise_texts(pairs.query), normalise_texts(pairs.text)
    refusals = [
        Refusal(is_blank(keys), RejectReason.EMPTY_QUERY, "the text that rows are grouped by is null or blank"),
        Refusal(is_blank(contents), RejectReason.EMPTY_POSITIVE, "the judged text is null or blank"),
        *pairs.refusals,
    ]
    verdicts = judge(len(source), refusals)
    stays = verdicts.reason.is_null()
    columns = _columns(source, pairs) | {
        "group": group_hashes(source.entry.name, pc.fill_null(keys, "")),
        "content": content_hashes(pc.fill_null(contents, "")),
    }
    members = pa.RecordBatch.from_arrays([columns[name] for name in MEMBERS.names], schema=MEMBERS)
    return Adapted(members=members.filter(stays), rejections=reject(source, _rejectable(pairs), verdicts))


def _columns(source: Source, pairs: Pairs) -> dict[str, pa.Array]:
    size = len(source)
    positive, negative = pc.fill_null(pairs.positive, False), pc.fill_null(pairs.negative, False)
    used = pc.or_(positive, negative)
    return {
        "dataset": source.constant(source.entry.name),
        "role": pc.if_else(positive, POSITIVE, pc.if_else(negative, NEGATIVE, OTHER)),
        "reason_if_kept": pc.if_else(used, _NULL_TEXT, pairs.unused.value),
        "reason_if_orphan": source.constant(pairs.orphan.value),
        "query": pairs.query,
        "text": pairs.text,
        "passage": pa.nulls(size, ID),
        "label": pairs.label,
        "score": pairs.score,
        "detail": pc.fill_null(pairs.shown, ""),
        "language": source.languages(),
        "provenance": source.provenance(),
    }


def _rejectable(pairs: Pairs) -> pa.RecordBatch:
    columns = [pairs.query, as_lists(pairs.text), empty_lists(len(pairs.text)), pairs.label]
    return pa.RecordBatch.from_arrays(columns, names=["query", "positives", "negatives", "label"])


def adapt_nli(source: Source) -> Adapted:
    """``premise, hypothesis, label``: what a premise entails is positive, what contradicts it a given negative."""
    options = source.entry.options
    labels = _one_label(source, "label")
    positive_name, negative_name = options.positive_label or "entailment", options.negative_label or "contradiction"
    _require_names(source, labels, positive_name, negative_name)
    folded = pc.utf8_lower(labels)
    texts = source.text("premise"), source.text("hypothesis")
    meanings = pc.equal(folded, positive_name.lower()), pc.equal(folded, negative_name.lower())
    pairs = _marked_pairs(texts, labels, meanings, word="label", unused=RejectReason.NEUTRAL)
    return members_of(source, pairs)


def _marked_pairs(
    texts: tuple[pa.Array, pa.Array],
    marks: pa.Array,
    meanings: tuple[pa.Array, pa.Array],
    *,
    word: str,
    unused: RejectReason,
) -> Pairs:
    """Pairs of a query and a text with a mark, which says positive, negative (``meanings``) or neither (``unused``)."""
    return Pairs(
        query=texts[0],
        text=texts[1],
        positive=meanings[0],
        negative=meanings[1],
        label=marks,
        score=pa.nulls(len(marks), pa.float64()),
        shown=pc.binary_join_element_wise(word, marks, " "),
        unused=unused,
        orphan=RejectReason.NO_POSITIVE,
        refusals=[Refusal(marks.is_null(), RejectReason.UNLABELLED, f"the {word} is missing or -1")],
    )


def _one_label(source: Source, key: str) -> pa.StringArray:
    labels = source.labels(key)
    if pa.types.is_list(labels.type):
        raise source.error((key,), "one label is wanted for each row, but the path gives a list")
    return labels


#: A label beside the positive and the negative one that an inference set may well have alone in a part of it.
_NEUTRAL = "neutral"


def _require_names(source: Source, labels: pa.StringArray, positive: str, negative: str) -> None:
    """Refuse labels among which the entry's are not: class ids without names, or only other names.

    Class ids mean nothing by themselves: their order differs from dataset to dataset.
    """
    names, found = source.class_names("label"), pc.unique(labels.drop_null()).to_pylist()
    folded = {label.lower() for label in found}
    if folded & {positive.lower(), negative.lower()}:
        return
    if names is None and any(label.isdigit() for label in found):
        raise source.error(
            ("label",),
            f"labels are class ids ({', '.join(sorted(found)[:_LABELS_SHOWN])}), and neither the entry nor the file "
            f"says which id is {positive!r}; add `label_names` to the entry, in the order of the ids",
        )
    unnamed = names is not None and positive.lower() not in {name.lower() for name in names}
    if found and (unnamed or (len(found) > 1 and _NEUTRAL not in folded)):
        raise source.error(("label",), _other_labels(names if unnamed and names else sorted(found), positive))


def _other_labels(names: Sequence[str], wanted: str) -> str:
    return (
        f"no label is {wanted!r}; the labels there are {', '.join(names[:_LABELS_SHOWN])}. Say with the options "
        "`positive_label` and `negative_label` which of them make a positive and a given negative"
    )


def adapt_scored_pair(source: Source) -> Adapted:
    """``text_a, text_b, score``: positive from ``positive_min`` up, a given negative from ``negative_max`` down."""
    positive_min = threshold(source, "positive_min")
    if positive_min is None:
        raise source.error(
            ("score",), "adapter scored_pair needs the option `positive_min` (for this configuration, or '*')"
        )
    negative_max = threshold(source, "negative_max")
    scores = source.numbers_of("score").values
    nothing = pa.repeat(pa.scalar(False), len(source))
    pairs = Pairs(
        query=source.text("text_a"),
        text=source.text("text_b"),
        positive=pc.greater_equal(scores, positive_min),
        negative=nothing if negative_max is None else pc.less_equal(scores, negative_max),
        label=source.constant(None),
        score=scores,
        shown=pc.binary_join_element_wise("score", pc.cast(scores, pa.string()), " "),
        unused=RejectReason.BELOW_THRESHOLD,
        orphan=RejectReason.BELOW_THRESHOLD,
        refusals=[malformed_number(source, "score"), unscored(source, scores)],
    )
    return members_of(source, pairs)


def threshold(source: Source, name: str) -> float | None:
    """An option that holds one number, or one for each configuration with ``*`` for the others."""
    value: float | dict[str, float] | None = getattr(source.entry.options, name)
    return value.get(source.unit.config, value.get("*")) if isinstance(value, dict) else value


def unscored(source: Source, scores: pa.Array) -> Refusal:
    """Pairs without a score. -1 means none, unless the entry's score range reaches down to it."""
    ranges = source.entry.score_range
    declared = ranges.get(source.unit.config, ranges.get("*")) if isinstance(ranges, dict) else ranges
    missing = scores.is_null()
    if declared is None or declared[0] > -1:
        missing = pc.or_(missing, pc.fill_null(pc.equal(scores, -1), False))
    return Refusal(missing, RejectReason.UNLABELLED, "the score is missing or -1")


def adapt_graded(source: Source) -> Adapted:
    """``query, candidate, grade``: grades in ``positive_grades`` make positives, in ``negative_grades`` negatives.

    Where candidates and grades are lists, each row has all candidates of its query and becomes an example of its own.
    """
    options = source.entry.options
    if not options.positive_grades:
        raise source.error(("grade",), "adapter graded needs the option `positive_grades`")
    grades, numbers = source.labels("grade"), label_texts(source.values("grade"))
    if pa.types.is_list(grades.type):
        return _adapt_graded_lists(source)
    texts = source.text("query"), source.text("candidate")
    positive = _among(grades, numbers, options.positive_grades)
    negative = _among(grades, numbers, options.negative_grades)
    pairs = _marked_pairs(texts, grades, (positive, negative), word="grade", unused=RejectReason.UNUSED_GRADE)
    return members_of(source, pairs)


def _among(grades: pa.StringArray, numbers: pa.StringArray, wanted: Sequence[str | int]) -> pa.BooleanArray:
    """Grades that are wanted by their name or by their number."""
    values = pa.array([str(grade) for grade in wanted], pa.string())
    return pc.or_(pc.is_in(grades, values), pc.is_in(numbers, values))


def _adapt_graded_lists(source: Source) -> Adapted:
    """Each row's candidates by their grades; those without a grade, or with another one, are neither."""
    options = source.entry.options
    candidates, values = source.texts("candidate"), source.values("grade")
    uneven = pc.fill_null(pc.not_equal(pc.list_value_length(candidates), pc.list_value_length(values)), True)
    sizes = pc.if_else(uneven, 0, pc.list_value_length(candidates))
    texts, flat = candidates.filter(pc.invert(uneven)).flatten(), values.filter(pc.invert(uneven)).flatten()
    grades, numbers = label_texts(flat, source.class_names("grade")), label_texts(flat)
    there = pc.invert(is_blank(texts))
    positives, negatives = (
        lists_of(sizes, texts, pc.and_(there, _among(grades, numbers, wanted)))
        for wanted in (options.positive_grades, options.negative_grades)
    )
    refusals = [
        Refusal(uneven, RejectReason.WRONG_TYPE, "there are not as many grades as candidates"),
        Refusal(is_blank(source.text("query")), RejectReason.EMPTY_QUERY, "the query is null or blank"),
        Refusal(pc.equal(pc.list_value_length(positives), 0), RejectReason.NO_POSITIVE, _seen(sizes, grades)),
    ]
    query = source.text("query")
    return finish(source, Draft(query=query, positives=positives, negatives=negatives, refusals=refusals))


def _seen(sizes: pa.Array, grades: pa.StringArray) -> pa.StringArray:
    """The grades of each row in words."""
    lists = lists_of(sizes, pc.fill_null(grades, "missing"), pa.repeat(pa.scalar(True), len(grades)))
    return pc.binary_join_element_wise("no candidate has a positive grade; grades:", pc.binary_join(lists, ", "), " ")
