"""Row accounting in the graph: small keyed numbers that are summed and written into the stage's manifest.

Beam's own counters are for the display; they are attempted counts and would double after a retry.
"""

from collections.abc import Iterable
from typing import Any

from schemas.manifest import MiningCounts, StageCounts

READ, KEPT, MERGED, REJECTED = "read", "kept", "merged", "rejected"
#: Rows that a person wanted, by the reason that was overruled. They are among the kept; it changes no balance.
READMITTED = "readmitted"
DISTINCT, TRUNCATED = "distinct_texts", "truncated_texts"
#: Stands where the reason of a rejection does: how many it is of a dataset is not known, whatever others say of it.
UNKNOWN = "unknown"

#: Numbers about what mining did; the name of each stands where the reason of a rejection does.
MINING = "mining"

_EVALUATION = "evaluation"
_NOTE, _LEAST_ID, _MET = "note", "least_id", "met"

#: Longer ids are cut off where they are shown.
_ID_CHARACTERS = 80

Count = tuple[str, int]


def count(dataset: str, what: str, rows: int, reason: str = "") -> Count:
    """One keyed number: ``rows`` rows of a dataset were read, kept, merged or rejected for a reason."""
    return f"{dataset}\t{what}\t{reason}", rows


def overlap_count(dataset: str, evaluation_set: str, what: str, number: int) -> Count:
    """One keyed number about a training dataset and an evaluation set (about the set alone: the dataset is empty)."""
    return f"{dataset}\t{_EVALUATION}\t{evaluation_set}\t{what}", number


def note_count(dataset: str, note: str, number: int) -> Count:
    """What was noticed about a dataset, in words, and how many rows or files it concerns. It changes no balance."""
    return _told(dataset, _NOTE, note), number


def least_id(dataset: str, kind: str, text: str) -> Count:
    """An id of a kind (``corpus``, ``judged_passages``); ``remarks`` gives the first of each in the order of texts."""
    return _told(dataset, _LEAST_ID, kind, text[:_ID_CHARACTERS]), 1


def met_count(dataset: str, row_id: str) -> Count:
    """That a row with an id was there which a person wants kept."""
    return _told(dataset, _MET, row_id), 1


def _told(*fields: str) -> str:
    return "\t".join(field.replace("\t", " ") for field in (*fields, *[""] * (4 - len(fields))))


def stage_counts(totals: Iterable[Count], datasets: Iterable[str]) -> dict[str, StageCounts]:
    """Totals as the manifest's records, one for each dataset, in the order of names; datasets without rows count 0."""
    stages, unknown = {name: StageCounts() for name in sorted(datasets)}, set()
    for key, rows in sorted(totals):
        dataset, what, reason, *more = key.split("\t")
        if more:
            continue
        stage = stages.setdefault(dataset, StageCounts())
        if what == REJECTED:
            stage.rejected[reason] = stage.rejected.get(reason, 0) + rows
        elif what == READMITTED:
            there = stage.readmitted or {}
            stage.readmitted = there | {reason: there.get(reason, 0) + rows}
        elif what == MINING:
            stage.mining = (stage.mining or MiningCounts()).plus(reason, rows)
        elif reason == UNKNOWN:
            unknown.add((dataset, what))
        else:
            setattr(stage, what, (getattr(stage, what) or 0) + rows)
    for dataset, what in unknown:
        setattr(stages[dataset], what, None)
    return stages


def overlap_counts(totals: Iterable[Count]) -> dict[str, dict[str, dict[str, int]]]:
    """Totals about evaluation sets: training dataset -> evaluation set -> what -> number, in the order of names."""
    overlaps: dict[str, dict[str, dict[str, int]]] = {}
    for key, number in sorted(totals):
        dataset, what, *pair = key.split("\t")
        if what == _EVALUATION:
            found = overlaps.setdefault(dataset, {}).setdefault(pair[0], {})
            found[pair[1]] = found.get(pair[1], 0) + number
    return overlaps


def remarks(totals: Iterable[Count]) -> dict[str, dict[str, Any]]:
    """What was noticed: ``notes`` (dataset -> words -> number of rows or files), ``ids`` (dataset -> kind -> the first
    id of that kind in the order of texts) and ``met`` (dataset -> ids of rows that a person wants kept and that were
    there); empty where there is nothing.
    """
    notes: dict[str, dict[str, Any]] = {}
    ids: dict[str, dict[str, Any]] = {}
    met: dict[str, list[str]] = {}
    for key, number in sorted(totals):
        dataset, what, name, *text = key.split("\t")
        if what == _NOTE:
            notes.setdefault(dataset, {})[name] = number
        elif what == _LEAST_ID:
            ids.setdefault(dataset, {}).setdefault(name, text[0])
        elif what == _MET:
            met.setdefault(dataset, []).append(name)
    told: tuple[tuple[str, dict[str, Any]], ...] = (("notes", notes), ("ids", ids), ("met", met))
    return {name: found for name, found in told if found}
