"""The work of a run that is there: what its manifest counted, and the bytes of text that its shards' footers tell."""

from collections.abc import Sequence

from pipelines.costs.model import Datasets, Measured, Work
from schemas.errors import ConfigError
from schemas.manifest import DatasetRecord, Manifest
from transforms.duplicates.params import NearDuplicateParams
from transforms.sources.footers import column_bytes, read_footer

#: Columns of a shard that hold a row's own texts; its negatives are those of other rows.
_TEXTS = ("query", "positives")


def work_like(manifest: Manifest, out: str, rows: int | None, measured: Measured) -> Work:
    """What a run of ``rows`` source rows does whose datasets are those of a run in ``out``, each in its share; of as
    many rows where None are given.

    Raises ConfigError where that run read or kept nothing, and what ``read_footer`` raises for a shard that is gone.
    """
    records = [record for record in manifest.datasets if "prepare" in record.stages]
    read, kept = (sum(getattr(record.stages["prepare"], name) for record in records) for name in ("read", "kept"))
    if not kept:
        raise ConfigError(f"--like={out}: that run read {read} rows and kept {kept}; name one that kept some")
    factor = 1.0 if rows is None else rows / read
    mined = [record for record in records if record.every_vectors]
    return Work(
        datasets=[
            Datasets(
                rows=factor * record.stages["prepare"].read,
                text_bytes=text_bytes(record, out),
                mined=bool(record.every_vectors),
            )
            for record in records
        ],
        kept=kept / read,
        texts=_texts(mined) or measured.texts,
        dims=next((vectors.dims for record in mined for vectors in record.every_vectors), 1),
        in_rounds=NearDuplicateParams().in_rounds(int(factor * read)),
    )


def text_bytes(record: DatasetRecord, out: str) -> float:
    """Bytes of a row's texts, as Parquet counts them before it compresses; 0 for a dataset without shards."""
    size = sum(column_bytes(read_footer(f"{out}/{shard.path}"), _TEXTS) for shard in record.shards)
    return size / max(record.num_rows, 1)


def _texts(mined: Sequence[DatasetRecord]) -> float:
    """Distinct texts of a kept row: those of the teacher."""
    texts = sum(record.stages["embed"].distinct_texts or 0 for record in mined if "embed" in record.stages)
    return texts / max(sum(record.stages["prepare"].kept for record in mined), 1)
