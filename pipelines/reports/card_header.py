"""The YAML header of the data card, which the hub and ``datasets.load_dataset`` read.

Keys as the hub's dataset cards have them: ``configs`` names the files of each configuration, ``dataset_info`` the
features. Each dataset is a configuration, each training stage one, ``default`` holds all rows and ``rejections`` what
was left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from schemas.catalog import TaskType
from schemas.manifest import DatasetRecord, Manifest

#: Ours until this line is gone: then a person keeps the card, and no run replaces it.
MARK = "# Written by kalm curate, which replaces this file. Remove this line to keep what you change here."

#: Licences by the names that the hub knows. Anything else that an entry says is ``other``; its words are in the table.
_LICENCES = frozenset(
    {"apache-2.0", "mit", "odc-by", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"}
    | {"cc-by-nc-2.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "gfdl", "bsd-3-clause", "cc-by-nd-4.0"}
)
#: The hub's task categories for what each kind of example trains.
_CATEGORIES = {
    TaskType.RETRIEVAL: "text-retrieval",
    TaskType.RERANKING: "text-ranking",
    TaskType.CLASSIFICATION: "text-classification",
}
_REJECTIONS = "rejections"
_RESERVED = frozenset({"default", "pretrain", "finetune", _REJECTIONS})

#: What ``datasets`` makes of ``schemas.rows.SHARD``; a test compares the two.
FEATURES: Sequence[dict[str, str]] = [
    *({"name": name, "dtype": "string"} for name in ("id", "dataset", "task_type", "language", "instruction", "query")),
    {"name": "positives", "list": "string"},
    {"name": "negatives", "list": "string"},
    {"name": "positive_scores", "list": "float32"},
    {"name": "negative_scores", "list": "float32"},
    {"name": "negative_ranks", "list": "int32"},
    {"name": "label", "dtype": "string"},
    {"name": "cluster_id", "dtype": "string"},
    {"name": "positive_ids", "list": "string"},
    {"name": "negative_ids", "list": "string"},
]


def header(manifest: Manifest) -> str:
    """The header with its fences; the same text for the same datasets."""
    records = manifest.with_rows()
    stages = sorted({record.stage for record in records})
    facts: dict[str, Any] = {
        "pretty_name": "Curated training data for text embeddings",
        "language": languages(records),
        "license": licences(records),
        "task_categories": sorted({_CATEGORIES.get(TaskType(r.task_type), "sentence-similarity") for r in records}),
        "tags": ["text-embeddings", "hard-negatives", "sentence-transformers"],
        "size_categories": [size_category(sum(record.num_rows for record in records))] if records else None,
        "configs": list(_configs(manifest, records, stages)),
        "dataset_info": [
            {"config_name": n, "features": list(FEATURES)} for n in (("default", *stages) if stages else ())
        ],
    }
    return f"---\n{MARK}\n{_yaml({key: value for key, value in facts.items() if value})}---\n"


def _yaml(value: Any) -> str:
    class Dumper(yaml.SafeDumper):
        """Lists that occur twice are written twice: an alias in a card is hard to read."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _configs(manifest: Manifest, records: Sequence[DatasetRecord], stages: Sequence[str]) -> Iterator[dict[str, Any]]:
    if records:
        yield _config("default", [f"{stage}/*/*/part-*.parquet" for stage in stages]) | {"default": True}
    yield from (_config(stage, [f"{stage}/*/*/part-*.parquet"]) for stage in stages)
    for record in records:
        yield _config(config_name(record.name), [f"{record.stage}/{record.task_type}/{record.name}/part-*.parquet"])
    if any(counts.rejected for record in manifest.datasets for counts in record.stages.values()):
        yield _config(_REJECTIONS, [f"{_REJECTIONS}/*/*.parquet"])


def _config(name: str, paths: Sequence[str]) -> dict[str, Any]:
    return {"config_name": name, "data_files": [{"split": "train", "path": list(paths)}]}


def config_name(dataset: str) -> str:
    """The configuration of a dataset: its name, unless that is one of the configurations of several datasets."""
    return f"dataset-{dataset}" if dataset in _RESERVED else dataset


def languages(records: Iterable[DatasetRecord]) -> list[str]:
    """Codes of ISO 639 without scripts and countries, as the hub takes them; ``code`` is no language."""
    declared = {language for record in records if record.about for language in record.about.languages}
    return sorted({language.replace("_", "-").split("-")[0] for language in declared} - {"code"})


def licences(records: Iterable[DatasetRecord]) -> list[str]:
    """The hub's names of all licences: ``other`` for one that it has no name for, ``unknown`` where none is stated."""
    return sorted({_licence(record) for record in records})


def _licence(record: DatasetRecord) -> str:
    about = record.about
    if about is None or about.licence is None or (about.licence_class == "unknown" and about.licence not in _LICENCES):
        return "unknown"
    return about.licence if about.licence in _LICENCES else "other"


def size_category(rows: int) -> str:
    """The hub's words for a number of rows, such as ``10K<n<100K``."""
    names = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    place = next((n for n in range(len(names)) if rows < 10 ** (n + 3)), len(names))
    if place == 0:
        return "n<1K"
    return f"{names[place - 1]}<n<{names[place]}" if place < len(names) else "n>1T"
