"""The model card: what a model was trained on, what was kept out, and with which numbers; all from the manifest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.manifest import DatasetRecord, Manifest, rejected_by_set
from trainer.config import TrainConfig

if TYPE_CHECKING:
    from trainer.train import Trained

_HEAD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- sentence-similarity
- feature-extraction
---
"""


def write_card(folder: Path, text: str) -> None:
    """Write ``README.md`` beside the model."""
    (folder / "README.md").write_text(text, encoding="utf-8")


def card(config: TrainConfig, trained: "Trained", manifest: Manifest) -> str:
    """The card's text: data with counts, evaluation sets kept out, mteb's training datasets, configuration, loss."""
    records = manifest.with_rows(config.data_stage)
    parts = [
        "# Text-embedding model",
        f"Stage `{config.stage}`, trained from `{Path(trained.student).name}` on "
        f"{trained.num_examples:,} examples of {trained.num_datasets} datasets.",
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer("<this folder>")\nmodel.encode_query(["what is a shard?"])\n'
        'model.encode_document(["A shard is a file."])\n```',
        "## Training data",
        _table(
            ("dataset", "task type", "rows", "licence", "source", "revision"), [_facts(record) for record in records]
        ),
        _told(manifest),
        "## Evaluation sets that were kept out",
        _kept_out(manifest, records),
        "## Training",
        f"The loss went from {trained.losses[0][1]:.3f} to {trained.losses[-1][1]:.3f} in {trained.losses[-1][0]:,} "
        "steps.",
        "![Loss over steps](loss.svg)",
        "```json\n" + json.dumps(_told_of(config), indent=1, sort_keys=True) + "\n```",
    ]
    return _HEAD + "\n" + "\n\n".join(parts) + "\n"


def _told_of(config: TrainConfig) -> dict[str, object]:
    """The effective configuration without where things stand on the machine that trained."""
    told = config.effective()
    return told | {"model": Path(str(told["model"])).name}


def _facts(record: DatasetRecord) -> tuple[str, ...]:
    licence = (record.about and record.about.licence) or "unknown"
    return (
        record.name,
        record.task_type,
        f"{record.num_rows:,}",
        licence,
        Path(record.source).name,
        record.revision or "-",
    )


def _told(manifest: Manifest) -> str:
    names = ", ".join(f"`{name}`" for name in manifest.training_datasets) or "none that mteb has"
    return f"mteb's `training_datasets`: {names}."


def _kept_out(manifest: Manifest, records: Sequence[DatasetRecord]) -> str:
    if not manifest.evaluation_sets:
        return "None was checked: the data may hold queries of evaluation sets."
    found = rejected_by_set(records)
    rows = [(each.name, f"{each.queries:,}", f"{found[each.name]:,}") for each in manifest.evaluation_sets]
    return _table(("evaluation set", "queries", "rows rejected for them"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
