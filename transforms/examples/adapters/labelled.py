"""Adapters for texts with a label: ``labeled`` (a class) and ``choice`` (which of several texts is meant)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from string import ascii_uppercase
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

from schemas.reasons import RejectReason
from schemas.rows import TEXTS
from transforms.examples.adapters.adapted import Adapted, Draft, Refusal, finish
from transforms.examples.adapters.lists import as_lists, first_and_rest
from transforms.examples.adapters.source import Source

#: Names of other classes that a text gets as negatives: more than any row is trained with.
_MOST_NAMES = 32


def adapt_labeled(source: Source) -> Adapted:
    """``text, label``: a text with the name of its class; positives and negatives are left to mining.

    Where the entry is labelled by names, these are the positives, and names of other classes the negatives.
    """
    labels = source.labels("label")
    if source.entry.options.label == "first_token":
        if pa.types.is_list(labels.type):
            raise source.error(("label",), "option label: first_token needs one text, but the path gives a list")
        labels = pc.utf8_split_whitespace(labels)
    elif not pa.types.is_list(labels.type):
        labels = as_lists(labels)
    label, others = first_and_rest(labels)
    refusals = [Refusal(label.is_null(), RejectReason.UNLABELLED, "the label is missing or -1")]
    draft = Draft(query=source.text("text"), label=label, other_labels=others, refusals=refusals)
    return finish(source, _by_names(source, draft) if source.entry.labelled_by == "names" else draft)


def _by_names(source: Source, draft: Draft) -> Draft:
    """The names of a text's classes as positives, and of the others' as negatives, in an order drawn by its hash."""
    names = source.class_names("label")
    if names is None:
        raise source.error(
            ("label",),
            "labelled_by: names takes the names of other classes for negatives, and nothing says what classes there "
            "are: write their names as label_names into the entry, or leave labelled_by out",
        )
    own = [[label, *others] if label is not None else [] for label, others in zip(*_labels(draft), strict=True)]
    texts = draft.query.to_pylist()
    negatives = [_drawn(text or "", names, set(labels)) for text, labels in zip(texts, own, strict=True)]
    return replace(draft, positives=pa.array(own, TEXTS), negatives=pa.array(negatives, TEXTS))


def _labels(draft: Draft) -> tuple[list[str | None], list[list[str]]]:
    """The first label of each row, and its other ones."""
    assert draft.label is not None
    assert draft.other_labels is not None
    return draft.label.to_pylist(), [others or [] for others in draft.other_labels.to_pylist()]


def _drawn(text: str, names: Sequence[str], own: Collection[str]) -> list[str]:
    """Names of classes that a text is not of, as its hash deals them."""
    others = [name for name in names if name not in own]
    return sorted(others, key=lambda name: xxh3_64_intdigest(f"{name}\n{text}".encode()))[:_MOST_NAMES]


class Chosen(NamedTuple):
    """The choice that a label names, the others, and whether it named one."""

    positive: list[str | None]
    others: list[str | None]
    found: bool


def choose(label: str | None, names: Mapping[str, int], texts: tuple[str | None, ...], by_text: bool) -> Chosen:
    """The choice that a label means: by its text where ``by_text`` and one has just this text, else by its name."""
    if by_text and label is not None and texts.count(label) == 1:
        index: int | None = texts.index(label)
    else:
        index = names.get(label or "")
    if index is None:
        return Chosen([], list(texts), False)
    return Chosen([texts[index]], [text for number, text in enumerate(texts) if number != index], True)


def adapt_choice(source: Source) -> Adapted:
    """``query, choices, label``: the choice that the label names is the positive, the others are given negatives."""
    labels = source.labels("label")
    if pa.types.is_list(labels.type):
        raise source.error(("label",), "one label is wanted for each row, but the path gives a list")
    chosen = _named_choices(source, labels) if isinstance(source.spec("choices"), Mapping) else _choices(source, labels)
    unnamed = pa.array([not choice.found for choice in chosen], pa.bool_())
    detail = pc.binary_join_element_wise("no choice is named", pc.fill_null(labels, "by a missing label"), " ")
    draft = Draft(
        query=source.text("query"),
        positives=pa.array([choice.positive for choice in chosen], TEXTS),
        negatives=pa.array([choice.others for choice in chosen], TEXTS),
        refusals=[Refusal(unnamed, RejectReason.UNLABELLED, detail)],
    )
    return finish(source, draft)


def _named_choices(source: Source, labels: pa.StringArray) -> list[Chosen]:
    """Choices under names of their own, each with its path."""
    columns = source.each_text("choices")
    names = {name: number for number, name in enumerate(columns)}
    rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    return [choose(label, names, texts, False) for label, texts in zip(labels.to_pylist(), rows, strict=True)]


def _choices(source: Source, labels: pa.StringArray) -> list[Chosen]:
    """Choices in a list: a number or a letter names one by its place, a text by what it says."""
    if isinstance(source.spec("choices"), str):
        rows = [tuple(texts or ()) for texts in source.texts("choices").to_pylist()]
    else:
        rows = list(zip(*(column.to_pylist() for column in source.each_text("choices").values()), strict=True))
    by_text = pa.types.is_string(source.values("label").type)
    return [
        choose(label, _places(len(texts)), texts, by_text)
        for label, texts in zip(labels.to_pylist(), rows, strict=True)
    ]


@lru_cache(maxsize=256)
def _places(size: int) -> dict[str, int]:
    letters = {letter: number for number, letter in enumerate(ascii_uppercase[:size])}
    return letters | {str(number): number for number in range(size)}
