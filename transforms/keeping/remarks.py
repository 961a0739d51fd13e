"""What a prepared run noticed about its sources, as lines for a person: notes of readers, and ids that do not meet."""

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.reasons import RejectReason

#: More lines than these are counted only; all stand in the stage's manifest.
SHOWN = 20
#: Above this share of dangling judgments the first ids of each side are shown.
DANGLING_SHARE = 0.1


def remark_lines(manifest: Mapping[str, Any]) -> list[str]:
    """A line for each note of a stage's manifest and for each dataset of which many judgments dangle."""
    notes = [
        f"{dataset}: {note} ({number:,})"
        for dataset, found in sorted(manifest.get("notes", {}).items())
        for note, number in sorted(found.items(), key=lambda item: -item[1])
    ]
    lines = [*notes, *_unmet_ids(manifest)]
    more = [f"{len(lines) - SHOWN} more; all stand in the manifest of the stage"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


def _unmet_ids(manifest: Mapping[str, Any]) -> Iterator[str]:
    for dataset, ids in sorted(manifest.get("ids", {}).items()):
        counts = manifest["counts"][dataset]
        dangling = counts.get("rejected", {}).get(RejectReason.DANGLING_ID, 0)
        if dangling > DANGLING_SHARE * counts["read"]:
            shown = ", ".join(f"{kind.replace('_', ' ')} {text!r}" for kind, text in sorted(ids.items()))
            of = f"{dangling:,} of {counts['read']:,} judgments"
            yield f"{dataset}: {of} name an id that is not there; the first ids are {shown}"
