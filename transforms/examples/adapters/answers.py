"""Adapters for questions with answers: ``qa_context`` and ``qa_multi``."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import RejectReason
from schemas.rows import TEXTS
from transforms.examples.adapters.adapted import Adapted, Draft, Refusal, finish
from transforms.examples.adapters.labels import as_numbers
from transforms.examples.adapters.lists import present_texts
from transforms.examples.adapters.source import Source

#: At most this many passages that hold the answer become positives (option ``context: passages``).
MAX_POSITIVES = 5
_NAMES_SHOWN = 20


def adapt_qa_context(source: Source) -> Adapted:
    """``question, context, answers``: the context is the positive of a question that has an answer."""
    question = source.text("question")
    contexts, answers = present_texts(source.texts("context")), present_texts(source.texts("answers"))
    unanswered = Refusal(pc.equal(pc.list_value_length(answers), 0), RejectReason.UNANSWERABLE, "the row has no answer")
    if source.entry.options.context == "join":
        return finish(source, Draft(query=question, positives=pc.binary_join(contexts, "\n"), refusals=[unanswered]))
    positives, negatives = split_contexts(contexts.to_pylist(), answers.to_pylist())
    absent = pc.and_(pc.equal(pc.list_value_length(positives), 0), pc.greater(pc.list_value_length(contexts), 0))
    refused = [unanswered, Refusal(absent, RejectReason.ANSWER_NOT_IN_CONTEXT, "no passage holds an answer")]
    return finish(source, Draft(query=question, positives=positives, negatives=negatives, refusals=refused))


def split_contexts(
    contexts: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]
) -> tuple[pa.ListArray, pa.ListArray]:
    """``(positives, negatives)``: of each row the first 5 passages that hold an answer, and those that hold none.

    Passages beyond the fifth that hold an answer are neither: they are relevant, so they must not become negatives.
    """
    positives, negatives = [], []
    for passages, wanted in zip(contexts, answers, strict=True):
        folded = [answer.casefold().strip() for answer in wanted]
        holds = [any(answer in passage.casefold() for answer in folded) for passage in passages]
        positives.append([passage for passage, held in zip(passages, holds, strict=True) if held][:MAX_POSITIVES])
        negatives.append([passage for passage, held in zip(passages, holds, strict=True) if not held])
    return pa.array(positives, TEXTS), pa.array(negatives, TEXTS)


class Ranked(NamedTuple):
    """The answers of one question by their scores; ``reason`` says why it can give no example."""

    best: list[str]
    lower: list[str]
    reason: RejectReason | None = None


def rank_answers(answers: Sequence[str | None], scores: Sequence[float | None]) -> Ranked:
    """The best-scored answers and the lower ones. Blank answers are neither, but one below a blank one is not the best.

    All equal (and more than one): TIE. An answer without a score: UNLABELLED, for it might be the best.
    """
    scored = [(text, score) for text, score in zip(answers, scores, strict=True) if text and text.strip()]
    values = [score for _, score in scored if score is not None]
    if len(values) < len(scored):
        return Ranked([text for text, _ in scored], [], RejectReason.UNLABELLED)
    best = max((score for score in scores if score is not None), default=0.0)
    lower = [text for text, score in scored if score != best]
    reason = RejectReason.TIE if len(scored) > 1 and not lower else None
    return Ranked([text for text, score in scored if score == best], lower, reason)


def adapt_qa_multi(source: Source) -> Adapted:
    """``question, answers, scores``: the best-scored answers are the positives, lower ones given negatives."""
    answers, scores = _answer_lists(source), _score_lists(source)
    uneven = [len(texts) != len(values) for texts, values in zip(answers, scores, strict=True)]
    ranked = [
        Ranked([text for text in texts if text], []) if odd else rank_answers(texts, values)
        for texts, values, odd in zip(answers, scores, uneven, strict=True)
    ]
    reasons = pa.array([rank.reason for rank in ranked], pa.string())
    refusals = [
        Refusal(pa.array(uneven, pa.bool_()), RejectReason.WRONG_TYPE, "there are not as many scores as answers"),
        Refusal(pc.equal(reasons, RejectReason.UNLABELLED), RejectReason.UNLABELLED, "an answer has no score"),
        Refusal(pc.equal(reasons, RejectReason.TIE), RejectReason.TIE, "the answers have equal scores"),
    ]
    positives = pa.array([rank.best for rank in ranked], TEXTS)
    negatives = pa.array([rank.lower for rank in ranked], TEXTS)
    return finish(
        source, Draft(query=source.text("question"), positives=positives, negatives=negatives, refusals=refusals)
    )


def _answer_lists(source: Source) -> list[list[str | None]]:
    if isinstance(source.spec("answers"), str):
        return [texts or [] for texts in source.texts("answers").to_pylist()]
    columns = source.each_text("answers").values()
    return [list(texts) for texts in zip(*(column.to_pylist() for column in columns), strict=True)]


def _score_lists(source: Source) -> list[list[float | None]]:
    spec = source.spec("scores")
    if isinstance(spec, str) and (names := source.class_names("scores")):
        _refuse_labels(source, names)
    if isinstance(spec, str):
        values = source.values("scores")
        if not pa.types.is_list(values.type):
            raise source.error(("scores",), f"a list of scores is wanted, but the path gives {values.type}")
        return [list(scores or []) for scores in _float_lists(source, values).to_pylist()]
    if isinstance(spec, Mapping):
        raise source.error(("scores",), "a path to a list of scores, or a list of paths, is wanted, not a mapping")
    columns = [source.numbers_of("scores", str(number)).values.to_pylist() for number in range(len(spec))]
    return [list(scores) for scores in zip(*columns, strict=True)]


def _refuse_labels(source: Source, names: Sequence[str | None]) -> None:
    """Refuse classes in place of scores: their ids say nothing about which answer is the best."""
    shown = ", ".join(sorted(filter(None, names))[:_NAMES_SHOWN])
    raise source.error(
        ("scores",),
        f"scores are wanted, but these are the classes {shown}; adapter graded takes them, with `candidate`, `grade` "
        "and the options `positive_grades` and `negative_grades`",
    )


def _float_lists(source: Source, values: pa.ListArray) -> pa.ListArray:
    flat, malformed = source.checked(("scores",), lambda lists: as_numbers(lists.flatten()), values)
    if len(flat) and pc.all(malformed).as_py():
        _refuse_labels(source, pc.unique(values.flatten()).to_pylist())
    offsets = pc.subtract(values.offsets, values.offsets[0])
    return pa.ListArray.from_arrays(offsets, flat, mask=values.is_null())
