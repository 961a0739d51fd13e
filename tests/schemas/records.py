"""Small manifests for tests of what is shown of them."""

from schemas.manifest import AbsentRecord, DatasetRecord, Manifest, ShardRecord, StageCounts

Stages = dict[str, StageCounts]
SHARDS = [ShardRecord(path=f"finetune/sts/toy/{n}.parquet", rows=1, sha256="0") for n in range(3)]


def record(name: str, counts: Stages, shards: list[ShardRecord]) -> DatasetRecord:
    """A dataset with these counts and shards."""
    return DatasetRecord(
        name=name,
        stage="finetune",
        task_type="sts",
        source="sample",
        revision=None,
        symmetric=False,
        instruction=None,
        stages=counts,
        shards=shards,
    )


def stages(read: int, merged: int, kept: int, **rejected: int) -> Stages:
    """Counts of four stages: prepare rejects what is given, mine what is then still too much."""
    ready = read - merged - sum(rejected.values())
    mined = {"INCONSISTENT": ready - kept} if ready > kept else {}
    return {
        "prepare": StageCounts(read=read, kept=ready, merged=merged, rejected=rejected),
        "embed": StageCounts(read=ready, kept=ready),
        "mine": StageCounts(read=ready, kept=kept, rejected=mined),
        "pack": StageCounts(read=kept, kept=kept),
    }


def manifest(*records: DatasetRecord, absent: list[AbsentRecord] | None = None) -> Manifest:
    """A manifest of these datasets."""
    return Manifest(config={}, code="c", libraries={}, datasets=list(records), absent=absent or [])
