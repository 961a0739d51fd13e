"""Row accounting in the graph: small keyed numbers that are summed and written into the stage's manifest.

Beam's own counters are for the display; they are attempted counts and would double after a retry.
"""

from collections.abc import Iterable

from schemas.manifest import StageCounts

READ, KEPT, MERGED, REJECTED, DISTINCT = "read", "kept", "merged", "rejected", "distinct_texts"

_EVALUATION = "evaluation"

Count = tuple[str, int]


def count(dataset: str, what: str, rows: int, reason: str = "") -> Count:
    """One keyed number: ``rows`` rows of a dataset were read, kept, merged or rejected for a reason."""
    return f"{dataset}\t{what}\t{reason}", rows


def overlap_count(dataset: str, evaluation_set: str, what: str, number: int) -> Count:
    """One keyed number about a training dataset and an evaluation set (about the set alone: the dataset is empty)."""
    return f"{dataset}\t{_EVALUATION}\t{evaluation_set}\t{what}", number


def stage_counts(totals: Iterable[Count], datasets: Iterable[str]) -> dict[str, StageCounts]:
    """Totals as the manifest's records, one for each dataset, in the order of names; datasets without rows count 0."""
    stages = {name: StageCounts() for name in sorted(datasets)}
    for key, rows in sorted(totals):
        dataset, what, reason, *more = key.split("\t")
        if more:
            continue
        stage = stages.setdefault(dataset, StageCounts())
        if what == REJECTED:
            stage.rejected[reason] = stage.rejected.get(reason, 0) + rows
        else:
            setattr(stage, what, (getattr(stage, what) or 0) + rows)
    return stages


def overlap_counts(totals: Iterable[Count]) -> dict[str, dict[str, dict[str, int]]]:
    """Totals about evaluation sets: training dataset -> evaluation set -> what -> number, in the order of names."""
    overlaps: dict[str, dict[str, dict[str, int]]] = {}
    for key, number in sorted(totals):
        dataset, _, *pair = key.split("\t")
        if len(pair) == 2:
            found = overlaps.setdefault(dataset, {}).setdefault(pair[0], {})
            found[pair[1]] = found.get(pair[1], 0) + number
    return overlaps
