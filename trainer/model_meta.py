"""``model_meta.json``: what mteb asks of a model, so that whoever evaluates it need not guess.

The fields are those of ``mteb.ModelMeta`` (2.26). What is not known is null: mteb takes ``training_datasets`` of null
for unknown, and an empty list for none of its own.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.manifest import Manifest
from trainer.config import BUNDLED, PRESETS, STATIC, TrainConfig

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NAME = "model_meta.json"
_BUNDLED_ID = "sentence-transformers/all-MiniLM-L6-v2"


def write_model_meta(
    folder: Path, model: "SentenceTransformer", config: TrainConfig, student: str, manifest: Manifest
) -> None:
    """Write ``model_meta.json`` beside the model. ``student``: what training began with."""
    weights = sum(parameter.numel() for parameter in model.parameters())
    length = model.max_seq_length
    meta: dict[str, Any] = {
        "loader": None,
        "name": f"local/{config.stage}-from-{Path(student).name}",
        "revision": None,
        "release_date": None,
        "languages": None,
        "n_parameters": weights,
        "memory_usage_mb": round(weights * 4 / 2**20),
        "max_tokens": length if isinstance(length, int) else None,
        "embed_dim": model.get_embedding_dimension(),
        "license": None,
        "open_weights": None,
        "public_training_code": None,
        "public_training_data": None,
        "framework": ["Sentence Transformers", "PyTorch"],
        "similarity_fn_name": "cosine",
        "use_instructions": any(model.prompts.values()),
        "training_datasets": training_datasets(student, manifest.training_datasets),
        "adapted_from": _BUNDLED_ID if student in (BUNDLED, STATIC) else None,
    }
    (folder / NAME).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def training_datasets(student: str, own: Iterable[str]) -> list[str] | None:
    """mteb's names of all that a model has seen, or None where that is not known.

    A folder brings what its own ``model_meta.json`` says; without one nobody knows what it was trained on. What the
    bundled model has seen mteb itself knows (``adapted_from``).
    """
    if student in PRESETS:
        return sorted(own)
    before = read_training_datasets(Path(student).expanduser())
    return None if before is None else sorted({*before, *own})


def read_training_datasets(folder: Path) -> list[str] | None:
    """What a model's folder says that it was trained on; None where it says nothing."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        names = json.loads(path.read_text("utf-8")).get("training_datasets")
    except (ValueError, AttributeError):
        return None
    return names if isinstance(names, list) else None


def zero_shot_percentage(trained_on: Iterable[str] | None, tasks: Iterable[str]) -> int | None:
    """Share of tasks in percent whose data were not trained on, rounded down as mteb does; None where unknown.

    Names are compared without case and hyphens, as folders write them. Tasks that mteb counts as like a training
    dataset (translations, subsets) are not known here.
    """
    asked = {plain(task) for task in tasks}
    if trained_on is None or not asked:
        return None
    overlap = asked & {plain(name) for name in trained_on}
    return int(100 - 100 * len(overlap) / len(asked))


def plain(name: str) -> str:
    """A name of a collection or task without case, hyphens and underscores, by which it is compared."""
    return name.casefold().replace("-", "").replace("_", "")
