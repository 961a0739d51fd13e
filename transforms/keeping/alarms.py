"""Alarms: a dataset that loses an alarming share of its rows to deduplication is looked at before it is trained on.

Others measured sources that fell from 859 thousand documents to 2 by unverified clusters; we verify, and still say so.
"""

from collections.abc import Mapping
from typing import Any

from schemas.errors import CurationError
from schemas.reasons import RejectReason

_WATCHED = (
    RejectReason.NEAR_DUPLICATE,
    RejectReason.EXACT_DUPLICATE,
    RejectReason.CONFLICTING_LABEL,
    RejectReason.LEAKED_EVALUATION,
)
#: Reasons of examples: whatever an adapter or a filter refused never came to deduplication.
_OF_EXAMPLES = (*_WATCHED, RejectReason.CAPPED)


class AlarmError(CurationError):
    """A dataset lost more of its rows than is allowed without a person's word."""

    exit_code = 7


def find_alarms(counts: Mapping[str, Mapping[str, Any]], share: float) -> list[str]:
    """One line for each dataset and watched reason that took more than ``share`` of the examples that came there.

    Of the rows read it would be less, and nothing would be heard of a dataset whose rows make one example in ten.
    """
    lines = []
    for name, stage in sorted(counts.items()):
        rejected = stage.get("rejected", {})
        examples = stage["kept"] + sum(rejected.get(reason, 0) for reason in _OF_EXAMPLES)
        lines += [
            f"{name} lost {taken:,} of {examples:,} examples ({taken / examples:.0%}) to {reason}"
            for reason in _WATCHED
            if (taken := rejected.get(reason, 0)) > share * examples
        ]
    return lines


def check_alarms(counts: Mapping[str, Mapping[str, Any]], share: float, *, allowed: bool) -> list[str]:
    """The alarms of a prepared run. Raises AlarmError when there are any and they were not allowed."""
    alarms = find_alarms(counts, share)
    if alarms and not allowed:
        remedy = (
            f"More than {share:.0%} is alarming. Look at the rejections in the prepare stage's folder below OUT/.work, "
            "and if they are right run again with ARGS=--allow_alarms"
        )
        raise AlarmError("\n".join([*alarms, remedy]))
    return alarms
