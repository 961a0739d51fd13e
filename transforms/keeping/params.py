"""Which losses of a dataset are alarming."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.reasons import RejectReason

#: Shares of reasons that are large by design, or (WRONG_LANGUAGE) tiny in every sound dataset. Of real datasets nli-zh
#: loses 74 % and AFQMC 69 % to BELOW_THRESHOLD, MultiNLI 64 % to NO_POSITIVE; under LIMIT, which cuts groups and
#: classes apart, trecqa 85 % to NO_POSITIVE and IFLYTEK 62 % to LONELY_LABEL. No other reason took more than 21 %.
#: INCONSISTENT follows the teacher: one with random weights drops 51 to 77 % of rows with small pools, of large ones
#: nearly all.
BY_REASON: Mapping[RejectReason, float] = {
    RejectReason.UNANSWERABLE: 0.9,
    RejectReason.ANSWER_NOT_IN_CONTEXT: 0.9,
    RejectReason.TIE: 0.9,
    RejectReason.NO_POSITIVE: 0.95,
    RejectReason.NEUTRAL: 0.9,
    RejectReason.BELOW_THRESHOLD: 0.95,
    RejectReason.UNUSED_GRADE: 0.9,
    RejectReason.LOW_QUALITY: 0.9,
    RejectReason.WRONG_LANGUAGE: 0.3,
    RejectReason.CAPPED: 1.0,
    RejectReason.INCONSISTENT: 0.9,
    RejectReason.LONELY_LABEL: 0.95,
}


@dataclass(frozen=True, kw_only=True)
class AlarmParams:
    """Which losses of a dataset are alarming. A share is that of the rows read; for reasons of deduplication, leaks and
    the cap that of the examples which came there; for reasons of mining that of the rows which mining read.

    share
        A dataset that loses more than this share to one reason raises an alarm; 1 turns it off.
    by_reason
        The same for reasons where another share is right, by name; what is given here adds to the defaults.
    unreadable
        Share of rows that cannot be read (MALFORMED_ROW, INVALID_UTF8 and WRONG_TYPE together) which is alarming.
    dangling
        Share of judgments whose query or passage is not in the source (DANGLING_ID) which is alarming.
    no_negatives
        Share of mined rows without any negative which is told.
    short
        Share of mined rows with fewer negatives than asked for which is told.
    filled
        Share of mined rows with random negatives (``mining.random_fill``) which is told.
    doubtful_labels
        Share of labelled rows with only texts of other labels near them which is told.
    min_rows
        Fewer lost rows than this are chance and raise no alarm, unless nothing is kept.
    """

    share: float = 0.5
    by_reason: Mapping[RejectReason, float] = field(default_factory=dict)
    unreadable: float = 0.3
    dangling: float = 0.3
    no_negatives: float = 0.01
    short: float = 0.1
    filled: float = 0.1
    doubtful_labels: float = 0.25
    min_rows: int = 3

    def __post_init__(self) -> None:
        given = {RejectReason(name): share for name, share in self.by_reason.items()}
        object.__setattr__(self, "by_reason", {**BY_REASON, **given})
        names = ("share", "unreadable", "dangling", "no_negatives", "short", "filled", "doubtful_labels")
        shares = {name: getattr(self, name) for name in names}
        for name, share in [*shares.items(), *((f"by_reason.{reason}", s) for reason, s in self.by_reason.items())]:
            if not 0 < share <= 1:
                raise ValueError(f"{name}={share} must be a share of rows in (0, 1]; 1 turns the alarm off")
        if self.min_rows < 1:
            raise ValueError(f"min_rows={self.min_rows} must be at least 1")

    def share_of(self, reason: str) -> float:
        """The share that a reason may take; one that this version does not know gets the default."""
        return next((share for known, share in self.by_reason.items() if known == reason), self.share)
