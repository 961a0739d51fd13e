"""Plants defects among genuine rows and keeps the account of what a curation run must find."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.sample_writer.formats import Row
from catalog.sample_writer.variety import jaccard, shingles

NEAR_RANGE = (0.88, 0.98)
_ASIDES = {
    "en": (" (see below)", " (as noted)", " (in part)", " (so it is said)"),
    "de": (" (siehe unten)", " (wie erwähnt)"),
    "zh": ("（待考）", "（据称）", "（存疑）"),
    "ja": ("（後述）", "（諸説あり）", "（推定）"),
}
_STOPS = {"zh": "。", "ja": "。"}


@dataclass(kw_only=True)
class Ledger:
    """What one dataset must show after prepare: rows = kept + merged + rejected by reason."""

    rows: int = 0
    merged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: dict[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Returns the account as a JSON object."""
        kept = self.rows - self.merged - self.rejected.total()
        rejected = {reason: n for reason, n in sorted(self.rejected.items()) if n}
        notes = dict(sorted(self.notes.items()))
        return {"rows": self.rows, "kept": kept, "merged": self.merged, "rejected": rejected, "notes": notes}


@dataclass(kw_only=True)
class Planter:
    """Collects the rows of one dataset and counts what becomes of them."""

    rows: list[Row | bytes] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    def keep(self, *rows: Row, note: str = "") -> None:
        """Adds rows that a run keeps; a note is counted beside the account."""
        self._add(rows)
        if note:
            self.ledger.notes[note] = self.ledger.notes.get(note, 0) + len(rows)

    def merge(self, *rows: Row) -> None:
        """Adds rows whose text goes into another row's example."""
        self._add(rows)
        self.ledger.merged += len(rows)

    def reject(self, reason: str, *rows: Row | bytes) -> None:
        """Adds rows that a run rejects for the reason."""
        self._add(rows)
        self.ledger.rejected[reason] += len(rows)

    def shuffled(self, seed: str) -> list[Row | bytes]:
        """Returns the rows in an order drawn from the seed."""
        rows = list(self.rows)
        random.Random(seed).shuffle(rows)
        return rows

    def _add(self, rows: Sequence[Row | bytes]) -> None:
        self.rows += rows
        self.ledger.rows += len(rows)


def longest(rows: Sequence[Row], name: str, count: int) -> list[Row]:
    """Returns the ``count`` rows with the longest text in the named column."""
    return sorted(rows, key=lambda row: -len(row[name]))[:count]


def lightly_edited(text: str, language: str, number: int = 0) -> str:
    """Returns the text with a short aside before its second full stop.

    Raises:
        ValueError: the Jaccard of both over character 5-grams is outside ``NEAR_RANGE``: the text is too short.
    """
    stop = _STOPS.get(language, ".")
    at = text.find(stop, text.find(stop) + 1)
    asides = _ASIDES[language]
    edited = text[:at] + asides[number % len(asides)] + text[at:]
    score = jaccard(shingles(text), shingles(edited))
    if not NEAR_RANGE[0] <= score <= NEAR_RANGE[1]:
        raise ValueError(f"edit of {text[:40]!r} has Jaccard {score:.3f}, outside {NEAR_RANGE}: take a longer text")
    return edited


def cut_short(row: Row, keep: float = 0.5) -> bytes:
    """Returns the beginning of the row's JSON line, cut between two characters: valid UTF-8, broken JSON."""
    line = json.dumps(row, ensure_ascii=False)
    return line[: int(len(line) * keep)].encode()


def garbled(row: Row, column: str, garbage: bytes) -> bytes:
    """Returns the row's JSON line with bytes before the column's text that are not UTF-8."""
    opening = f'"{column}": "'.encode()
    return json.dumps(row, ensure_ascii=False).encode().replace(opening, opening + garbage, 1)


def disguised(text: str) -> str:
    """Returns the text with other case, spacing and punctuation, the same once these are normalised."""
    swapped = text.upper() if text.isascii() else text
    for mark, other in (("，", ", "), ("。", " . "), ("、", " "), ("? ", "?  "), (". ", " .  "), (", ", " ,  ")):
        swapped = swapped.replace(mark, other)
    return f"  {swapped} "


def retyped(row: Row, edit: Callable[[str], str], *names: str) -> Row:
    """Returns a copy of the row with the edit applied to the named columns."""
    return {**row, **{name: edit(row[name]) for name in names}}
