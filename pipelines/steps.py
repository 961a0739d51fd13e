"""What a running stage is doing, in words, and how far it is: its steps by the labels of its graph.

Beam's in-process runner works on one group of transforms after the other, in the order in which they stand here. The
share of each step was measured on a mirror of 151,377 rows; it only serves the bar and the estimate of the time left.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: the label that it begins with in the graph, in words, and its usual share of the stage's time.

    ``done``, ``of``: the numbers of ``transforms.flow.progress`` whose ratio says how far the step itself is;
    ``units_expected`` is known to whoever shows them.
    """

    label: str
    words: str
    share: float
    done: tuple[str, ...] = ()
    of: str = ""


STEPS: Mapping[str, Sequence[Step]] = {
    "prepare": (
        Step("Units", "starting", 0.0),
        Step("Overlap/Corpora", "starting", 0.0),
        Step("Overlap/Spread corpora", "reading the passages of evaluation sets", 0.04),
        Step("Offer hashes", "choosing the rows that LIMIT leaves", 0.01),
        Step("Threshold", "choosing the rows that LIMIT leaves", 0.0),
        Step("Read", "reading and cleaning", 0.6, ("units",), "units_expected"),
        Step("Judge", "joining judgments with passages", 0.02),
        Step("Group", "grouping rows", 0.04),
        Step("Exact duplicates", "finding exact duplicates", 0.03),
        Step("Near duplicates/Sign", "finding near-duplicates: signatures", 0.08),
        Step("Near duplicates/Link", "finding near-duplicates: candidates", 0.01),
        Step("Near duplicates/Verify", "finding near-duplicates: comparing candidates", 0.03),
        Step("Near duplicates", "finding near-duplicates", 0.0),
        Step("Apply", "looking for evaluation queries, writing what is kept", 0.11, ("kept", "rejected"), "read"),
        Step("Cap", "cutting datasets to their caps", 0.0),
        Step("Keep", "cutting datasets to their caps", 0.0),
        Step("Overlap", "counting what evaluation sets share", 0.02),
        Step("Manifest", "writing the manifest", 0.01),
    ),
    "embed": (
        Step("Parts", "starting", 0.0),
        Step("Gather texts", "gathering texts", 0.01),
        Step("Encode", "embedding texts", 0.98, ("texts",), "texts_expected"),
        Step("Manifest", "writing the manifest", 0.01),
    ),
    "mine": (
        Step("Parts", "starting", 0.0),
        Step("Near passages", "finding near-duplicates among passages", 0.05),
        Step("Gather pools", "gathering passages", 0.05),
        Step("Attach vectors", "fetching vectors", 0.08),
        Step("Score rows", "scoring what rows name", 0.0),
        Step("Search", "searching", 0.6, ("searches",), "searches_expected"),
        Step("Choose", "choosing negatives", 0.2, ("kept", "rejected"), "read"),
        Step("Reject", "writing rejections", 0.01),
        Step("Manifest", "writing the manifest", 0.01),
    ),
    "pack": (
        Step("Mined parts", "starting", 0.0),
        Step("All shards", "starting", 0.0),
        Step("Ask for texts", "asking for texts", 0.25),
        Step("Fetch texts", "fetching texts", 0.35),
        Step("Write pieces", "putting pieces of shards together", 0.0),
        Step("Write shards", "writing shards", 0.35, ("kept",), "read"),
        Step("Manifest", "writing the manifest", 0.05),
    ),
}


#: What the steps of one teacher of several stand below in the graph.
_BRANCH = re.compile(r"Teacher \d+ of \d+, [^/]*/")


def branch_label(number: int, of: int, languages: str) -> str:
    """What the steps of one teacher of several are called: ``Teacher 1 of 2, zh``."""
    return f"Teacher {number} of {of}, {languages}"


def step_of(stage: str, labels: Sequence[str]) -> Step | None:
    """The step of transforms that run together; None for what only moves data.

    The first of them that belongs to a step decides, and of the steps of its composite the one that says most. The
    steps of several teachers are told alike.
    """
    steps = STEPS.get(stage, ())
    plain = [_BRANCH.sub("", f"{label}/", count=1) for label in labels]
    found = [step for label in plain for step in steps if label.startswith(f"{step.label}/")]
    same = [step for step in found if _composite(step) == _composite(found[0])]
    return max(same, key=lambda step: len(step.label), default=None)


def _composite(step: Step) -> str:
    return step.label.split("/")[0]


def fraction(stage: str, step: Step | None, numbers: Mapping[str, int]) -> float | None:
    """How much of a stage is done, from 0 to 1; None before its first step is known."""
    steps = STEPS.get(stage, ())
    if step is None or step not in steps:
        return None
    before = sum(other.share for other in steps[: steps.index(step)])
    whole = sum(other.share for other in steps)
    expected = numbers.get(step.of, 0)
    inside = min(1.0, sum(numbers.get(name, 0) for name in step.done) / expected) if expected > 0 else 0.0
    return (before + step.share * inside) / whole


def time_left(samples: Sequence[tuple[float, float]], seconds: float) -> float | None:
    """Seconds that the rest takes at the pace of the later half of the time so far; None where too little is known.

    ``samples``: ``(seconds, fraction done)`` whenever the fraction had grown. What a stage does first (loading a model,
    listing files) would otherwise be taken for its pace.
    """
    if len(samples) < 2:
        return None
    done = samples[-1][1]
    base = next(i for i, (when, _) in enumerate(samples) if when >= seconds / 2 or i == len(samples) - 2)
    when, before = samples[min(base, len(samples) - 2)]
    if done < 0.02 or seconds - when < 2:
        return None
    return (1 - done) * (seconds - when) / (done - before)


def spoken(seconds: float) -> str:
    """A length of time as a person says it: ``40 s``, ``3 min 20 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 599.5:
        return f"{round(seconds) // 60} min {round(seconds) % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
