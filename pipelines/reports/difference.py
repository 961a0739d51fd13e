"""How two runs differ, and why: from their manifests alone.

What made a difference is told by what else differs. Before the teacher everything is exact, so where no cause is
recorded and the rows differ, the data at the source did; where only the choice of negatives differs, the vectors did.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipelines.against import told
from pipelines.publish import STAGES
from pipelines.reports.row_changes import RowChanges
from schemas.manifest import DatasetRecord, Manifest, StageCounts

#: Where a run stands, not what it makes; ``datasets``, ``readmit`` and ``against`` stand with each dataset, as they
#: hold for it.
_NO_CAUSE = frozenset({"out", "work", "category", "datasets", "readmit", "against"})
_SOURCE = "the data at the source: rows differ although code, libraries, configuration and revision are the same"
_VECTORS = "the teacher's vectors (another kind of machine or backend): nothing else that is recorded differs"


class Change(NamedTuple):
    """A dataset that differs: what differs in it, and every recorded cause."""

    dataset: str
    what: list[str]
    why: list[str]


class Difference(NamedTuple):
    """``left``, ``right``: datasets that only one run has; ``same``: how many are the same to the byte; ``why``: what
    differs of the runs as a whole.
    """

    left: list[str]
    right: list[str]
    same: int
    changed: list[Change]
    why: list[str]


def difference(left: Manifest, right: Manifest, rows: Mapping[str, RowChanges] | None = None) -> Difference:
    """From ``left`` to ``right``; ``rows``: how the rows of datasets differ, where they were compared."""
    rows = rows or {}
    before, after = ({record.name: record for record in manifest.datasets} for manifest in (left, right))
    both = sorted(before.keys() & after.keys())
    why = list(_run_causes(left, right))
    compared = {name: _compared(left, right, name) for name in both}
    changed = [
        Change(name, what, list(_causes(before[name], after[name], why, rows.get(name), compared[name])))
        for name in both
        if (what := list(_changes(before[name], after[name], rows.get(name))))
    ]
    return Difference(
        left=sorted(before.keys() - after.keys()),
        right=sorted(after.keys() - before.keys()),
        same=len(both) - len(changed),
        changed=changed,
        why=why,
    )


def _run_causes(left: Manifest, right: Manifest) -> Iterator[str]:
    if left.code != right.code:
        yield f"code: {left.code} -> {right.code}"
    yield from _each("library", left.libraries, right.libraries)
    yield from _each("teacher", *map(_teachers, (left, right)))
    kept = [{k: v for k, v in manifest.config.items() if k not in _NO_CAUSE} for manifest in (left, right)]
    yield from _each("configuration", flat(kept[0]), flat(kept[1]))
    sets = [{s.name: [s.revision, s.queries, s.passages] for s in m.evaluation_sets} for m in (left, right)]
    yield from _each("evaluation set", sets[0], sets[1])


def _teachers(manifest: Manifest) -> dict[str, Any]:
    """What is recorded of the teacher, or of each by the languages that it has."""
    if not manifest.teachers:
        return manifest.teacher.model_dump() if manifest.teacher else {}
    own = {record.words: record.model_dump(include={"name", "digest", "dims"}) for record in manifest.teachers}
    return {f"of {words} {key}": value for words, facts in own.items() for key, value in facts.items()}


def _each(kind: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            yield f"{kind} {key}: {_said(left.get(key))} -> {_said(right.get(key))}"


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys joined by dots."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{above}{key}.") if isinstance(inner, dict) and inner else {f"{above}{key}": inner}
    return found


def _changes(before: DatasetRecord, after: DatasetRecord, found: RowChanges | None) -> Iterator[str]:
    for stage in STAGES:
        counts = [record.stages.get(stage, StageCounts()) for record in (before, after)]
        yield from (f"{stage} {line}" for line in _counts(*counts))
    digests = [[shard.sha256 for shard in record.shards] for record in (before, after)]
    if digests[0] != digests[1]:
        rows = [record.num_rows for record in (before, after)]
        yield f"shards: rows {rows[0]:,} -> {rows[1]:,}, other bytes"
    if found is not None:
        yield f"rows: {found.gone:,} gone, {found.new:,} new, {found.other:,} with other positives or negatives"
        yield from found.examples


def _counts(before: StageCounts, after: StageCounts) -> Iterator[str]:
    for what in ("read", "merged", "kept"):
        pair = (getattr(before, what), getattr(after, what))
        if pair[0] != pair[1]:
            yield _arrow(*pair, what)
    for reason in sorted(before.rejected.keys() | after.rejected.keys()):
        pair = (before.rejected.get(reason, 0), after.rejected.get(reason, 0))
        if pair[0] != pair[1]:
            yield _arrow(*pair, reason)
    stayed = [counts.readmitted or {} for counts in (before, after)]
    for reason in sorted(stayed[0].keys() | stayed[1].keys()):
        pair = (stayed[0].get(reason, 0), stayed[1].get(reason, 0))
        if pair[0] != pair[1]:
            yield _arrow(*pair, f"re-admitted {reason}")


def _arrow(before: int, after: int, what: str) -> str:
    return f"{what} {before:,} -> {after:,} ({after - before:+,})"


def _compared(left: Manifest, right: Manifest, name: str) -> list[str]:
    """What the rows of a dataset were compared with that was published before, where that differs."""
    pair = []
    for manifest in (left, right):
        words = {record.digest: f"{told(record)} (digest {record.digest[:8]})" for record in manifest.against}
        pair.append({"with": words.get(manifest.dataset(name).against or "")})
    return list(_each("compared", *pair))


def _causes(
    before: DatasetRecord, after: DatasetRecord, run: list[str], found: RowChanges | None, compared: list[str]
) -> Iterator[str]:
    own = [*_dataset_causes(before, after), *compared]
    # What holds for a dataset is said with it; of the run's configuration the rest counts.
    said = {line.partition(":")[0] for line in own}
    rest = [line for line in run if line.partition(":")[0] not in said]
    yield from own
    yield from rest
    if not own and not rest:
        same = _prepared(before) == _prepared(after) and (found is None or found.same_input)
        yield _VECTORS if same else _SOURCE


def _dataset_causes(before: DatasetRecord, after: DatasetRecord) -> Iterator[str]:
    facts = ("revision", "limited", "readmit", "stage", "task_type", "symmetric", "instruction", "compare", "priority")
    yield from _each("its", *({key: getattr(record, key) for key in facts} for record in (before, after)))
    if before.source != after.source:
        yield f"its source: {before.source} -> {after.source}"
    configs = [{k: v for k, v in record.config.items() if k not in facts} for record in (before, after)]
    yield from _each("configuration", flat(configs[0]), flat(configs[1]))


def _prepared(record: DatasetRecord) -> dict[str, Any]:
    return record.stages.get("prepare", StageCounts()).model_dump()


def lines(found: Difference) -> Iterator[str]:
    """The difference in words, a line for each thing."""
    if found.left:
        yield f"only in the first: {', '.join(found.left)}"
    if found.right:
        yield f"only in the second: {', '.join(found.right)}"
    yield f"{found.same} datasets are the same to the byte, {len(found.changed)} differ"
    for line in found.why:
        yield f"differs for all: {line}"
    for change in found.changed:
        yield ""
        yield f"{change.dataset}:"
        yield from (f"  {line}" for line in change.what)
        yield from (f"  because of {line}" for line in change.why if line not in found.why)
        if not set(change.why) - set(found.why):
            yield "  because of what differs for all"
