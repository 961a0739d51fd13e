"""Alarms: a dataset that loses an alarming share of its rows, for any reason, is looked at before it is trained on.

Others measured sources that fell from 859 thousand documents to 2 by unverified clusters; we verify, and still say so.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from schemas.errors import CurationError
from schemas.manifest import AlarmRecord
from schemas.reasons import RejectReason
from transforms.keeping.params import AlarmParams


class AlarmKind(StrEnum):
    """What an alarm says of a dataset, the worst first."""

    NOTHING_KEPT = "NOTHING_KEPT"
    UNREADABLE = "UNREADABLE"
    DANGLING = "DANGLING"
    LOST = "LOST"
    NO_NEGATIVES = "NO_NEGATIVES"
    SHORT = "SHORT"
    FILLED = "FILLED"
    DOUBTFUL_LABELS = "DOUBTFUL_LABELS"
    ALIKE_LABELS = "ALIKE_LABELS"


#: What stops a run unless it was allowed; the rest is told, since nothing is lost by it.
FATAL = (AlarmKind.NOTHING_KEPT, AlarmKind.UNREADABLE, AlarmKind.DANGLING, AlarmKind.LOST)

#: Rows that no reader could make sense of: one alarm for all of them.
UNREADABLE = (RejectReason.MALFORMED_ROW, RejectReason.INVALID_UTF8, RejectReason.WRONG_TYPE)
#: Reasons of examples: whatever an adapter or a filter refused never came to deduplication.
OF_EXAMPLES = (
    RejectReason.CONFLICTING_LABEL,
    RejectReason.EXACT_DUPLICATE,
    RejectReason.NEAR_DUPLICATE,
    RejectReason.PUBLISHED_DUPLICATE,
    RejectReason.LEAKED_EVALUATION,
    RejectReason.CAPPED,
)


class AlarmError(CurationError):
    """A dataset lost more of its rows than is allowed without a person's word."""

    exit_code = 7


Counts = Mapping[str, Any]


def find_alarms(
    stage: str, counts: Mapping[str, Counts], params_of: Callable[[str], AlarmParams]
) -> dict[str, list[AlarmRecord]]:
    """The alarms of a stage by dataset, in the order of names; ``counts`` are those of the stage's manifest.

    A dataset that keeps nothing has that one alarm. One of which an earlier stage left nothing is not told again.
    """
    found = {name: list(_alarms(stage, counts[name], params_of(name))) for name in sorted(counts)}
    return {name: alarms for name, alarms in found.items() if alarms}


def _alarms(stage: str, counts: Counts, params: AlarmParams) -> Iterator[AlarmRecord]:
    read = counts["read"]
    if counts["kept"]:
        yield from _losses(stage, counts, params)
        yield from _of_mining(stage, counts.get("mining") or {}, params)
    elif read or stage == "prepare":
        worst = _worst(counts.get("rejected", {}))
        yield AlarmRecord(alarm=AlarmKind.NOTHING_KEPT, stage=stage, reason=worst, rows=read, of=read)


def _losses(stage: str, counts: Counts, params: AlarmParams) -> Iterator[AlarmRecord]:
    rejected: Mapping[str, int] = counts.get("rejected", {})
    read = counts["read"]
    unreadable = {str(reason): rejected[reason] for reason in UNREADABLE if reason in rejected}
    lost = [(AlarmKind.UNREADABLE, _worst(unreadable), sum(unreadable.values()), read, params.unreadable)]
    for reason, rows in rejected.items():
        if reason == RejectReason.DANGLING_ID:
            lost.append((AlarmKind.DANGLING, reason, rows, read, params.dangling))
        elif reason not in UNREADABLE:
            of = _examples(counts) if reason in OF_EXAMPLES else read
            lost.append((AlarmKind.LOST, reason, rows, of, params.share_of(reason)))
    for kind, worst, rows, of, share in lost:
        if rows >= params.min_rows and rows > share * of:
            yield AlarmRecord(alarm=kind, stage=stage, reason=worst, rows=rows, of=of)


def _of_mining(stage: str, account: Mapping[str, Any], params: AlarmParams) -> Iterator[AlarmRecord]:
    """What mining left short, and labels that look wrong: by the account of its counts (``MiningCounts``)."""
    rows, labelled = account.get("rows", 0), account.get("labelled", 0)
    for kind, number, of, share in (
        (AlarmKind.NO_NEGATIVES, account.get("none", 0), rows, params.no_negatives),
        (AlarmKind.SHORT, account.get("short", 0), rows, params.short),
        (AlarmKind.FILLED, account.get("filled", 0), rows, params.filled),
        (AlarmKind.DOUBTFUL_LABELS, account.get("doubtful", 0), labelled, params.doubtful_labels),
    ):
        if number >= params.min_rows and number > share * of:
            yield AlarmRecord(alarm=kind, stage=stage, rows=number, of=of)
    for labels, number in sorted((account.get("alike") or {}).items()):
        yield AlarmRecord(alarm=AlarmKind.ALIKE_LABELS, stage=stage, rows=number, of=rows, example=labels)


def _worst(rejected: Mapping[str, int]) -> str | None:
    return max(rejected, key=lambda reason: (rejected[reason], reason), default=None)


def _examples(counts: Counts) -> int:
    """Examples that came to deduplication. Of the rows read a loss among them would be less, and nothing would be
    heard of a dataset whose rows make one example in ten.
    """
    rejected: Mapping[str, int] = counts["rejected"]
    return int(counts["kept"]) + sum(rejected.get(reason, 0) for reason in OF_EXAMPLES)
