"""Writes entries of labelled texts from their recipe: the same number of texts for each of some classes."""

from collections.abc import Callable, Sequence
from typing import Any

from catalog.sample_writer.desk import Desk
from catalog.sample_writer.facts import Drawn
from catalog.sample_writer.formats import Row
from catalog.sample_writer.generic import foreign_pair
from catalog.sample_writer.planting import Ledger, Planter, cut_short

#: What a pair lacks and a labelled text, which both columns make together, does without.
_NO_FAULTS = ("EMPTY_QUERY", "EMPTY_POSITIVE", "TOO_SHORT", "QUERY_IS_POSITIVE", "REPETITIVE")


def as_labelled(ledger: Ledger, *, short: bool) -> Ledger:
    """Returns the account of rows of pairs for an entry that reads both texts as one, with a label.

    ``short``: these are so short that a near copy is another text.
    """
    without = (*_NO_FAULTS, "NEAR_DUPLICATE") if short else _NO_FAULTS
    rejected = {reason: n for reason, n in ledger.rejected.items() if reason not in without}
    seen = Ledger(rows=ledger.rows)
    seen.rejected.update(rejected)
    return seen


def labelled(desk: Desk) -> dict[str, Planter]:
    """``labeled``: returns the rows by class where each has a file of its own, else all under an empty name."""
    is_by_file = desk.entry.columns["label"] == "@stem"
    planters: dict[str, Planter] = {}
    each = max(2, desk.size // len(desk.recipe.labels))
    drawn: list[tuple[str, Drawn]] = []
    for label, names in desk.recipe.labels.items():
        drawn += [(label, item) for item in desk.supply.take(desk.domains_of(names), each)]

    def at(label: str) -> Planter:
        return planters.setdefault(label if is_by_file else "", Planter(ledger=desk.planter.ledger))

    def row(label: Any, text: Any, item: Drawn | None = None) -> Row:
        return desk.row(item, text=text, **({} if is_by_file else {"label": desk.class_of(label)}))

    for label, item in drawn:
        at(label).keep(row(label, _text(desk, item), item))
    if desk.first:
        _plant(desk, drawn, at, row, is_by_file)
    return planters


def _text(desk: Desk, item: Drawn) -> Any:
    columns = desk.entry.columns["text"]
    return (item.title, item.query) if isinstance(columns, list | tuple) else item.query


def _plant(
    desk: Desk,
    drawn: Sequence[tuple[str, Drawn]],
    at: Callable[[str], Planter],
    row: Callable[..., Row],
    is_by_file: bool,
) -> None:
    (first, other), (label, item) = list(desk.recipe.labels)[:2], drawn[desk.number % len(drawn)]
    conflicting, unlabelled = desk.supply.take(desk.domains_of(desk.recipe.labels[first]), 2)
    at(label).reject("EXACT_DUPLICATE", row(label, _text(desk, item), item))
    for name in (first, other):
        at(name).reject("CONFLICTING_LABEL", row(name, _text(desk, conflicting), conflicting))
    if pair := foreign_pair(desk):
        text = pair[1] if isinstance(_text(desk, item), str) else pair
        at(first).reject("WRONG_LANGUAGE", row(first, text))
    if is_by_file:
        return
    at(first).reject("EMPTY_QUERY", row(first, None))
    at(first).reject("UNLABELLED", row(None, _text(desk, unlabelled)))
    if ".jsonl" in desk.ending:
        at(first).reject("MALFORMED_ROW", cut_short(row(label, _text(desk, item)), 0.7))
    elif desk.ending.startswith(("csv", "tsv")):
        at(first).reject("MALFORMED_ROW", b"one field only")
