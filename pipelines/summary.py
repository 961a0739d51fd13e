"""The end of a run on one screen: totals, alarms, what lost most and why, evaluation sets, what is absent."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from schemas.manifest import EVALUATION_PREFIX, AbsentRecord, DatasetRecord, Manifest, MiningCounts, rejected_by_set
from schemas.reasons import words_of
from transforms.keeping.alarm_words import alarm_lines
from transforms.keeping.alarms import FATAL

MOST_DATASETS = 10
#: What is summed over datasets.
_OF_MINING = ("rows", "mined", "given", "random", "filled", "short", "none")
_MOST_ALARMS, _MOST_REASONS, _MOST_NAMES, _MOST_DETAILS, _MOST_SETS = 3, 3, 6, 3, 5


def losses(record: DatasetRecord) -> Counter[str]:
    """Rejected rows of a dataset by reason, over all stages."""
    lost: Counter[str] = Counter()
    for counts in record.stages.values():
        lost.update(counts.rejected)
    return lost


def share_lost(record: DatasetRecord) -> float:
    """The share of the rows read that was rejected; of a dataset without rows all of them."""
    read = record.stages["prepare"].read
    return losses(record).total() / read if read else 1.0


def total_line(records: Sequence[DatasetRecord], out: str) -> str:
    """``kept 96,410 of 151,377 rows of 19 datasets; 7,715 merged, 47,252 rejected; 21 shards in out/``."""
    read = sum(record.stages["prepare"].read for record in records)
    kept = sum(record.stages["pack"].kept for record in records)
    merged = sum(counts.merged for record in records for counts in record.stages.values())
    rejected = sum(losses(record).total() for record in records)
    shards = sum(len(record.shards) for record in records)
    return (
        f"kept {kept:,} of {read:,} rows of {_number(len(records), 'dataset')}; {merged:,} merged into others, "
        f"{rejected:,} rejected; {_number(shards, 'shard')} in {out}/"
    )


def alarms_of(records: Sequence[DatasetRecord]) -> list[str]:
    """The alarms that a person allowed, and those that stop nothing; of each the first few in full."""
    lines = []
    for title, fatal in (("alarms, which were allowed:", True), ("alarms, which stop nothing:", False)):
        own = {record.name: [alarm for alarm in record.alarms if (alarm.alarm in FATAL) == fatal] for record in records}
        if alarms := {name: found for name, found in own.items() if found}:
            lines += [title, *alarm_lines(alarms, _MOST_ALARMS)]
    return lines


def most_lost(records: Sequence[DatasetRecord]) -> list[DatasetRecord]:
    """The datasets that lost the largest shares of their rows, the worst first."""
    lossy = [record for record in records if losses(record) or not record.stages["pack"].kept]
    return sorted(lossy, key=lambda record: (-share_lost(record), record.name))[:MOST_DATASETS]


def loss_table(records: Sequence[DatasetRecord]) -> Table:
    """A line for each dataset: rows read, kept and merged, the share that was rejected, and the reasons in words.

    Only the reasons are cut where the screen is narrow.
    """
    header = ("dataset", "read", "kept", "merged", "lost")
    cells = [_cells(record) for record in records]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(header):
        width = max(len(row[number]) for row in [header, *cells])
        table.add_column(name, justify="right" if number else "left", no_wrap=True, min_width=width)
    table.add_column("to", no_wrap=True, overflow="ellipsis")
    for record, row in zip(records, cells, strict=True):
        table.add_row(*map(escape, row), _reasons(record))
    return table


def _cells(record: DatasetRecord) -> tuple[str, ...]:
    merged = sum(counts.merged for counts in record.stages.values())
    numbers = (record.stages["prepare"].read, record.stages["pack"].kept, merged)
    return (record.name, *(f"{number:,}" for number in numbers), _percent(share_lost(record)))


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"


def _reasons(record: DatasetRecord) -> str:
    ranked = sorted(losses(record).items(), key=lambda item: (-item[1], item[0]))
    told = [f"{rows:,} {words_of(reason)}" for reason, rows in ranked[:_MOST_REASONS]]
    more = sum(rows for _, rows in ranked[_MOST_REASONS:])
    return ", ".join([*told, *([f"{more:,} other"] if more else [])])


def readmitted_rows(records: Iterable[DatasetRecord]) -> Counter[str]:
    """Rows that stayed since a person wanted them, by the reason that was overruled, over all stages."""
    stayed: Counter[str] = Counter()
    for counts in (counts for record in records for counts in record.stages.values()):
        stayed.update(counts.readmitted or {})
    return stayed


def readmitted_lines(records: Sequence[DatasetRecord]) -> Iterator[str]:
    """How many rows were re-admitted and what for, where any were."""
    found = readmitted_rows(records)
    if found:
        reasons = [
            f"{rows:,} {words_of(reason)}" for reason, rows in sorted(found.items(), key=lambda i: (-i[1], i[0]))
        ]
        yield f"re-admitted: {', '.join(reasons)}"


def rest_line(records: Sequence[DatasetRecord], shown: int, out: str) -> str:
    """How many datasets are not in the table, and where all of them stand."""
    more = len(records) - shown
    where = f"all numbers: {out}/manifest.json; each rejected row with its reason: {out}/rejections/"
    return (
        f"and {more:,} more{' datasets, which lost less' if shown else ', which lost nothing'}; {where}"
        if more
        else where
    )


def mining_lines(records: Sequence[DatasetRecord]) -> Iterator[str]:
    """Where negatives come from, which rows lack some, how hard they are, and what the teacher read in part."""
    mined = {record.name: record.stages["mine"].mining for record in records if "mine" in record.stages}
    counts = {name: count for name, count in mined.items() if count is not None and count.rows}
    if counts:
        totals = {field: sum(getattr(count, field) for count in counts.values()) for field in _OF_MINING}
        hardness = {name: count.hardness for name, count in counts.items() if count.hardness is not None}
        yield "; ".join(filter(None, ["negatives: " + _sources(totals), _starved(totals, counts), _hardness(hardness)]))
    truncated = {record.name: record.stages["embed"].truncated_texts or 0 for record in records}
    if texts := sum(truncated.values()):
        ranked = [
            f"{name} {number:,}" for name, number in sorted(truncated.items(), key=lambda i: (-i[1], i[0])) if number
        ]
        yield f"{_number(texts, 'text')} longer than the teacher reads{_some(ranked, _MOST_NAMES)}"


def _sources(totals: Mapping[str, int]) -> str:
    told = [f"{totals[name]:,} {name}" for name in ("mined", "given") if totals[name]]
    if totals["random"]:
        told.append(f"{totals['random']:,} random in {_number(totals['filled'], 'row')}")
    return ", ".join(told) or "none"


def _starved(totals: Mapping[str, int], counts: Mapping[str, MiningCounts]) -> str:
    if not totals["short"]:
        return ""
    ranked = sorted((name for name in counts if counts[name].short), key=lambda name: (-counts[name].short, name))
    told = _some([f"{name} {counts[name].short:,}" for name in ranked], _MOST_DETAILS)
    none = f", {totals['none']:,} of them all" if totals["none"] else ""
    return f"{totals['short']:,} of {_number(totals['rows'], 'row')} lack some{told}{none}"


def _hardness(found: Mapping[str, float]) -> str:
    """The mean score of mined negatives over that of positives, of the datasets at both ends."""
    if not found:
        return ""
    easy, hard = (pick(found, key=lambda name: (found[name], name)) for pick in (min, max))
    if easy == hard:
        return f"they score {found[easy]:.2f} of what positives do"
    return f"they score {found[easy]:.2f} ({easy}) to {found[hard]:.2f} ({hard}) of what positives do"


def evaluation_lines(records: Sequence[DatasetRecord]) -> Iterator[str]:
    """What was found of evaluation sets: rejected rows and passages that stay, by set."""
    checked = {name for record in records for name in record.checked}
    found = rejected_by_set(records)
    passages = sum(overlap.positives + overlap.corpus for record in records for overlap in record.overlaps)
    if not checked:
        yield "no evaluation sets were kept out"
        return
    if not found:
        yield f"nothing was found of {_number(len(checked), 'evaluation set')}"
        return
    ranked = [f"{name} {rows:,}" for name, rows in found.most_common() if rows]
    yield (
        f"evaluation: {_number(found.total(), 'row')} with a query of {len(ranked)} of {_number(len(checked), 'set')} "
        f"rejected{_some(ranked, _MOST_SETS)}; {_number(passages, 'passage')} of theirs found, which stay"
    )


def absent_lines(manifest: Manifest, out: str) -> list[str]:
    """What was asked for and is not there: with the reasons where it is little, else by name."""
    sets = sorted({a.name for a in manifest.absent if a.name.startswith(EVALUATION_PREFIX)})
    there = {record.name for record in manifest.datasets}
    details = [absent for absent in manifest.absent if absent.name not in sets]
    if len(details) <= _MOST_DETAILS:
        lines = [f"absent: {absent.name}: {absent.detail}" for absent in details]
    else:
        lines = [_absent_names(details, there, out)]
    names = [name.removeprefix(EVALUATION_PREFIX) for name in sets]
    told = f"absent: {_number(len(sets), 'evaluation set')}{_some(names, _MOST_NAMES)}; why: {out}/manifest.json"
    return [*lines, told] if sets else lines


def _absent_names(absent: Sequence[AbsentRecord], there: set[str], out: str) -> str:
    whole = sorted({record.name for record in absent} - there)
    parts = Counter(record.name for record in absent if record.name in there)
    told = [
        f"{_number(len(whole), 'dataset')}{_some(whole, _MOST_NAMES)}" if whole else "",
        f"{parts.total()} configurations of {', '.join(sorted(parts)[:_MOST_NAMES])}" if parts else "",
    ]
    return f"absent: {'; '.join(filter(None, told))}; why: {out}/manifest.json"


def _some(names: Sequence[str], most: int) -> str:
    if not names:
        return ""
    return f" ({', '.join(names[:most])}{f' and {len(names) - most} more' if len(names) > most else ''})"


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def card_line(records: Sequence[DatasetRecord], out: str) -> str | None:
    """What a model card declares, where any of it is known."""
    names = sorted({name for record in records if record.shards for name in record.training_datasets})
    if not names:
        return None
    return f"training_datasets of a model card, as {out}/manifest.json has them{_some(names, _MOST_NAMES)}"


def of_run(manifest: Manifest, names: Sequence[str]) -> list[DatasetRecord]:
    """The records of the datasets that a run made; OUT may hold others."""
    wanted: Mapping[str, None] = dict.fromkeys(names)
    return [record for record in manifest.datasets if record.name in wanted]
