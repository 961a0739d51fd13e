"""Writes any entry of the catalog from its recipe: one function for each family of adapters."""

from collections.abc import Callable, Sequence
from typing import Any

from catalog.sample_writer.desk import Desk
from catalog.sample_writer.facts import Drawn
from catalog.sample_writer.formats import Row
from catalog.sample_writer.grammar import read_lines
from catalog.sample_writer.pairs import fields
from catalog.sample_writer.planting import cut_short, disguised, garbled, lightly_edited
from schemas.catalog import Adapter

#: Lines of ``foreign.txt`` that are in none of an entry's languages.
_FOREIGN = {"en": (0, 1, 2, 3, 6, 7, 8, 9), "zh": (0, 1, 2, 3, 4, 5, 6)}
_WORDS = {"zh": "何", "ja": "何"}
#: Negatives of a row that keeps a list of them; they answer the queries of other rows.
_NEGATIVES = 7
_GRADES = ("Exact", "Substitute", "Complement", "Irrelevant")
_EDITABLE = frozenset({"en", "de", "zh", "ja"})


def foreign_pair(desk: Desk) -> tuple[str, str] | None:
    """Returns a question and a passage in a language that the entry does not declare; None where it has several."""
    lines = _FOREIGN.get(desk.monolingual)
    if not lines:
        return None
    query, text = fields(read_lines("foreign.txt")[lines[desk.number % len(lines)]])
    return query, text


def near_copy(texts: Sequence[str], language: str) -> tuple[int, str] | None:
    """Returns the place of the longest text that a light edit leaves similar enough, and the edited text."""
    base = language.split("-")[0]
    for at in sorted(range(len(texts)), key=lambda i: -len(texts[i])) if base in _EDITABLE else ():
        try:
            return at, lightly_edited(texts[at], base, at)
        except ValueError:
            continue
    return None


def pairs(desk: Desk) -> None:
    """``pair`` and ``triplet``: a query, its positive, negatives that answer other queries."""
    drawn = desk.take(desk.size)
    lead = desk.entry.options.query == "lead"

    def row(item: Drawn, at: int, **other: Any) -> Row:
        text = other.get("positive", item.positive)
        whole = f"{other.get('query', item.query)}\n{text}" if lead and text is not None else text
        others = (drawn[(at + step) % len(drawn)] for step in range(3, 3 + _NEGATIVES))
        negatives = [
            other.negative or other.positive for other in (item, *others) if other.negative or other is not item
        ]
        return desk.example(item, negatives[:_NEGATIVES], **{**other, "positive": whole})

    rows = [row(item, i) for i, item in enumerate(drawn)]
    desk.planter.keep(*rows)
    if desk.first:
        _plant_in_pairs(desk, drawn, rows, row)


def _plant_in_pairs(desk: Desk, drawn: Sequence[Drawn], rows: Sequence[Row], row: Callable[..., Row]) -> None:
    planter, spare = desk.planter, desk.take(3)
    lead, at = desk.entry.options.query == "lead", desk.number % len(rows)
    is_disguised = desk.number % 3 == 0 and not lead
    planter.reject(
        "EXACT_DUPLICATE", row(drawn[at], at, query=disguised(drawn[at].query)) if is_disguised else rows[at]
    )
    if desk.number % 2 and not lead:
        planter.reject("EMPTY_QUERY", row(spare[0], 0, query=None))
    else:
        planter.reject("EMPTY_POSITIVE", row(spare[0], 0, positive=None))
    if lead:
        planter.reject(
            "NO_LEAD", desk.example(spare[1], positive=spare[1].positive.replace("\n", " ").split(_stop(desk))[0])
        )
    if found := near_copy([item.positive for item in drawn], desk.language):
        planter.reject("NEAR_DUPLICATE", row(drawn[found[0]], found[0], positive=found[1]))
    if pair := foreign_pair(desk):
        planter.reject("WRONG_LANGUAGE", row(spare[1], 1, query=pair[0], positive=pair[1]))
    if not lead:
        _plant_by_turns(desk, spare[2], row)


def _stop(desk: Desk) -> str:
    return "。" if desk.language.startswith("zh") else ". "


def _plant_by_turns(desk: Desk, item: Drawn, row: Callable[..., Row]) -> None:
    """Plants one more defect, another for each entry; broken lines where the format has lines."""
    planter = desk.planter
    turn = desk.number % 6
    if turn == 0:
        planter.reject("TOO_SHORT", row(item, 0, query=_WORDS.get(desk.language, "Why")))
    elif turn == 1:
        planter.reject("QUERY_IS_POSITIVE", row(item, 0, positive=f"{item.query} "))
    elif turn == 2:
        planter.reject("REPETITIVE", row(item, 0, query="ha ha ha ha ha ha ha ha ha ha ha ha"))
    elif ".jsonl" in desk.ending:
        _plant_broken_line(desk, row(item, 0), row(item, 0, query=4711), turn)
    elif desk.ending.startswith(("csv", "tsv")):
        planter.reject("MALFORMED_ROW", b"one field only")


def _plant_broken_line(desk: Desk, row: Row, mistyped: Row, turn: int) -> None:
    texts = [name for name, value in row.items() if isinstance(value, str) and value]
    if turn == 3:
        desk.planter.reject("MALFORMED_ROW", cut_short(row))
    elif turn == 4 and texts:
        desk.planter.reject("INVALID_UTF8", garbled(row, texts[0], b"\xff\xfe "))
    elif not isinstance(desk.entry.columns["query"], list | tuple):
        desk.planter.reject("WRONG_TYPE", mistyped)


def answers(desk: Desk) -> None:
    """``qa_context``: a question, a context or several, and an answer that stands in one."""
    several = desk.entry.options.context == "passages"
    drawn = [item for item in desk.take(desk.size + 8) if _holds(item.positive, item.fact.answer)]
    kept, spare = drawn[: desk.size], drawn[desk.size :]

    def row(item: Drawn, at: int, **other: Any) -> Row:
        context = other.get("context", item.positive)
        if several and context is not None:
            context = [*_without(kept, item, at), context]
        elif context is not None and "[]" in str(desk.entry.columns["context"]):
            context = list(item.fact.sentences) if context == item.positive else [context]
        answer = other.get("answers", item.fact.answer)
        made = desk.row(question=other.get("question", item.query), context=context, answers=answer)
        _mark_start(made, item.positive, answer)
        return made

    rows = [row(item, i) for i, item in enumerate(kept)]
    desk.planter.keep(*rows)
    if desk.first:
        _plant_in_answers(desk, kept, spare, row)


def _holds(text: str, answer: str) -> bool:
    return bool(answer) and answer.casefold() in text.casefold()


def _without(kept: Sequence[Drawn], item: Drawn, at: int) -> list[str]:
    """Two passages that do not hold the answer."""
    order = [kept[(at + step) % len(kept)].positive for step in range(1, len(kept))]
    return [text for text in order if not _holds(text, item.fact.answer)][:2]


def _mark_start(row: Row, context: str, answer: Any) -> None:
    found = row.get("answers")
    if isinstance(found, dict) and "text" in found:
        found["answer_start"] = [context.find(answer)] if answer else []


def _plant_in_answers(desk: Desk, kept: Sequence[Drawn], spare: Sequence[Drawn], row: Callable[..., Row]) -> None:
    planter = desk.planter
    planter.reject("EXACT_DUPLICATE", row(kept[2], 2))
    nothing: Any = [] if "[]" in str(desk.entry.columns["answers"]) else None
    planter.reject("UNANSWERABLE", row(spare[0], 0, answers=nothing))
    planter.reject("EMPTY_QUERY", row(spare[1], 1, question=None))
    if desk.entry.options.context == "passages":
        planter.reject("ANSWER_NOT_IN_CONTEXT", row(spare[2], 2, context=spare[0].positive, answers="Zyxwick Qarrow"))
        return
    found = near_copy([item.positive for item in kept], desk.language)
    if found and "[]" not in str(desk.entry.columns["context"]):
        planter.reject("NEAR_DUPLICATE", row(kept[found[0]], found[0], context=found[1]))
    if pair := foreign_pair(desk):
        planter.reject("WRONG_LANGUAGE", row(spare[2], 2, question=pair[0], context=pair[1]))


def inference(desk: Desk) -> None:
    """``nli``: a premise with what follows from it, and what clashes with it or does neither."""
    planter, names = desk.planter, desk.entry.label_names or ()

    def row(premise: Any, hypothesis: Any, label: str | None) -> Row:
        number = -1 if label is None else names.index(label) if names and not desk.recipe.named else label
        return desk.row(premise=premise, hypothesis=hypothesis, label=number)

    drawn = desk.take(desk.size + 3)
    for at, item in enumerate(drawn[:-3]):
        planter.keep(row(item.query, item.positive, "entailment"))
        if at % 2:
            planter.merge(row(item.query, item.negative, "contradiction"))
        elif at % 4:
            planter.reject("NEUTRAL", row(item.query, item.neutral, "neutral"))
    first, second, third = drawn[-3:]
    planter.merge(row(drawn[1].query, drawn[1].positive, "entailment"))
    planter.reject("NO_POSITIVE", row(first.query, first.neutral, "neutral"))
    planter.reject("UNLABELLED", row(first.query, first.positive, None))
    planter.reject("EMPTY_QUERY", row(None, second.positive, "entailment"))
    planter.reject("QUERY_IS_POSITIVE", row(third.query, third.query, "entailment"))


def scored(desk: Desk) -> None:
    """``scored_pair``: two texts and how alike they are, from the lowest to the highest score of the entry."""
    planter, (least, most) = desk.planter, _range_of(desk)

    def row(item: Drawn, text: Any, score: Any, *, text_a: Any = "") -> Row:
        return desk.row(text_a=item.query if text_a == "" else text_a, text_b=text, score=score)

    drawn = desk.take(desk.size + (4 if desk.first else 0))
    for at, item in enumerate(drawn[: desk.size]):
        planter.keep(row(item, item.positive, most))
        if at % 3 == 0:
            planter.merge(row(item, item.negative, least))
    if not desk.first:
        return
    spare = drawn[desk.size :]
    same = spare[3].fact.passage
    planter.merge(row(drawn[1], drawn[1].positive, most))
    planter.reject("BELOW_THRESHOLD", row(spare[0], spare[0].negative, least))
    if least >= 0:
        planter.reject("UNLABELLED", row(spare[1], spare[1].positive, -1))
    planter.reject("EMPTY_POSITIVE", row(spare[2], None, most))
    planter.reject("QUERY_IS_POSITIVE", row(spare[3], same, most, text_a=same))


def _range_of(desk: Desk) -> tuple[Any, Any]:
    found: Any = desk.entry.score_range or (0, 1)
    low, high = found[desk.config if desk.config in found else "*"] if isinstance(found, dict) else found
    return int(low), int(high)


def graded(desk: Desk) -> None:
    """``graded``: candidates with a grade; the entry's options say which grades are good and which bad."""
    planter, options = desk.planter, desk.entry.options
    good = options.positive_grades[0]
    bad = options.negative_grades[0] if options.negative_grades else None
    grades = range(3) if isinstance(good, int) else _GRADES
    unused = next(grade for grade in grades if grade not in (*options.positive_grades, *options.negative_grades))

    def row(item: Drawn, text: Any, grade: Any, **other: Any) -> Row:
        return desk.row(item, query=other.get("query", item.query), candidate=text, grade=grade)

    drawn = desk.take(desk.size + (3 if desk.first else 0))
    for at, item in enumerate(drawn[: desk.size]):
        planter.keep(row(item, item.positive, good))
        if at % 4 == 0 and bad is not None:
            planter.merge(row(item, drawn[(at + 5) % len(drawn)].positive, bad))
    if not desk.first:
        return
    spare = drawn[desk.size :]
    planter.reject("UNUSED_GRADE", row(drawn[2], spare[0].positive, unused))
    planter.reject("NO_POSITIVE", row(spare[0], drawn[3].positive, 0 if bad is None else bad))
    planter.reject("EMPTY_QUERY", row(spare[1], spare[1].positive, good, query=None))
    planter.reject("EMPTY_POSITIVE", row(spare[2], None, good))


def bitext(desk: Desk) -> None:
    """``bitext``: a text and its translation, and how sure the upstream is of that."""
    planter = desk.planter
    rated = "quality" in desk.entry.columns

    def row(first: Any, second: Any, quality: float | None) -> Row:
        values: dict[str, Any] = {"text_a": first, "text_b": second}
        return desk.row(**values, quality=quality) if rated else desk.row(**values)

    drawn = desk.take(desk.size + (3 if desk.first else 0))
    kept = [row(item.query, item.positive, 1.1 + 0.01 * (at % 9)) for at, item in enumerate(drawn[: desk.size])]
    planter.keep(*kept)
    if not desk.first:
        return
    spare = drawn[desk.size :]
    planter.reject("EXACT_DUPLICATE", kept[1])
    planter.reject("EMPTY_QUERY", row(None, None, 1.2))
    same = spare[0].query
    planter.reject("QUERY_IS_POSITIVE", row(same, same, 1.2))
    if rated:
        planter.reject("LOW_QUALITY", row(spare[1].query, spare[1].positive, 0.9))
        planter.reject("LOW_QUALITY", row(spare[2].query, spare[2].positive, None))


WRITERS: dict[Adapter, Callable[[Desk], None]] = {
    Adapter.PAIR: pairs,
    Adapter.TRIPLET: pairs,
    Adapter.QA_CONTEXT: answers,
    Adapter.NLI: inference,
    Adapter.SCORED_PAIR: scored,
    Adapter.GRADED: graded,
    Adapter.BITEXT: bitext,
}
