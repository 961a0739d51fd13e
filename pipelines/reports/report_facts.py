"""What a report says, as one JSON value: numbers of the manifest, distributions, and samples of rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.publish import STAGES, rejection_files
from pipelines.reports.report_samples import Kept, Rejected, find_kept
from pipelines.summary import losses, share_lost
from schemas.manifest import DatasetRecord, Manifest, MiningCounts
from schemas.reasons import DESCRIPTIONS, words_of
from transforms.keeping.alarm_words import advice, alarm_line

Facts = dict[str, Any]


def facts(out: str, manifest: Manifest, samples: int) -> Facts:
    """Everything that the page shows; ``samples``: rows of each dataset, and of each reject reason of a dataset."""
    datasets = [_dataset(out, record, samples) for record in manifest.datasets]
    lost = [row for facts_ in datasets for row in facts_["rejected_rows"] if row["kept_id"]]
    kept = find_kept(out, manifest.datasets, (row["kept_id"] for row in lost))
    for row in lost:
        row["kept"] = kept.get(row["kept_id"])
    return {
        "code": manifest.code,
        "teacher": _teachers(manifest),
        "funnel": _funnel(manifest.datasets),
        "alarms": [
            {"what": alarm_line(r.name, a), "advice": advice(a), "example": a.example}
            for r in manifest.datasets
            for a in r.alarms
        ],
        "absent": [[absent.name, absent.detail] for absent in manifest.absent],
        "reasons": {reason.value: [words_of(reason), text] for reason, text in DESCRIPTIONS.items()},
        "overlaps": [
            overlap.model_dump() | {"dataset": record.name, "rejected": overlap.rejected}
            for record in manifest.datasets
            for overlap in record.overlaps
        ],
        "checked": len(manifest.evaluation_sets),
        "datasets": datasets,
    }


def _teachers(manifest: Manifest) -> str | None:
    told = [record.name.rsplit("/", 1)[-1] for record in manifest.every_teacher]
    if manifest.teachers:
        told = [f"{name} ({record.words})" for name, record in zip(told, manifest.teachers, strict=True)]
    return ", ".join(told) or None


def _funnel(records: Sequence[DatasetRecord]) -> list[list[Any]]:
    """``[what, rows]``: read, merged, each reject reason from the largest, kept."""
    read = sum(record.stages["prepare"].read for record in records if "prepare" in record.stages)
    merged = sum(counts.merged for record in records for counts in record.stages.values())
    total = sum((losses(record) for record in records), start=Counter[str]())
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return [
        ["read", read],
        ["merged", merged],
        *map(list, ranked),
        ["kept", sum(record.num_rows for record in records)],
    ]


def _dataset(out: str, record: DatasetRecord, samples: int) -> Facts:
    kept, rejected = Kept(out, record, samples), Rejected(rejection_files(out, record.name), samples)
    prepared = record.stages.get("prepare")
    return {
        "name": record.name,
        "stage": record.stage,
        "task_type": record.task_type,
        "languages": " ".join(record.about.languages) if record.about else "",
        "licence": (record.about.licence or "not stated") if record.about else "not stated",
        "limited": record.limited,
        "read": prepared.read if prepared else 0,
        "merged": sum(counts.merged for counts in record.stages.values()),
        "kept": record.num_rows,
        "lost": round(share_lost(record), 4) if prepared else 0.0,
        "rejected": {s: record.stages[s].rejected for s in STAGES if s in record.stages and record.stages[s].rejected},
        "readmitted": {
            s: record.stages[s].readmitted for s in STAGES if s in record.stages and record.stages[s].readmitted
        },
        "mining": _mining(record.stages["mine"].mining if "mine" in record.stages else None),
        "unreadable": kept.unreadable + rejected.unreadable,
        "kept_rows": kept.samples,
        "rejected_rows": rejected.samples,
        "by_language": _by_language(kept, rejected, record.about.languages if record.about else []),
    } | _distributions(kept, rejected)


def _by_language(kept: Kept, rejected: Rejected, declared: Sequence[str]) -> list[tuple[str, int, int]]:
    """For each language the rows before and after, the most frequent first.

    A rejected row has no language of its own: it counts as the dataset's where that declares one alone, else as "".
    """
    before = kept.languages + Counter({declared[0] if len(declared) == 1 else "": rejected.number})
    found = [(name, number, kept.languages[name]) for name, number in before.items()]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _distributions(kept: Kept, rejected: Rejected) -> Facts:
    return {
        "labels": kept.most_labels(),
        "negatives": sorted(kept.negatives.items()),
        "query_lengths": [(kept.queries + rejected.queries).tolist(), kept.queries.tolist()],
        "positive_lengths": [(kept.positives + rejected.positives).tolist(), kept.positives.tolist()],
        "scores": [kept.positive_scores.tolist(), kept.negative_scores.tolist()],
        "ranks": kept.ranks.tolist(),
    }


def _mining(counts: MiningCounts | None) -> Mapping[str, Any] | None:
    if counts is None:
        return None
    return {
        "rows": counts.rows,
        "given": counts.given,
        "mined": counts.mined,
        "random": counts.random,
        "short": counts.short,
        "none": counts.none,
        "dropped": counts.dropped,
        "doubtful": counts.doubtful,
        "hardness": _rounded(counts.hardness),
        "positive": _rounded(counts.mean_positive),
        "negative": _rounded(counts.mean_negative),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
