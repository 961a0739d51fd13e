"""Running the command as a person does, and looking at what it left."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.curate_command import main
from schemas.manifest import Manifest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "catalog" / "sample"
WORK = ".work"
STAGES = ("prepare", "embed", "mine", "pack")
#: A few hundred rows through most kinds of adapters and all formats of files: triplets, groups, labels, a corpus.
SMALL = "amazoncounterfactual,multinli,nli-zh,scifact,trecqa,webgpt-comparisons"


def flags(out: Path, teacher: Path, category: str, settings: Sequence[str] = (), **options: object) -> list[str]:
    """A command line: ``--category=.. --teacher=.. --out=..``, ``--set`` values, one flag for each further option."""
    values = {"category": category, "teacher": teacher, "out": out} | options
    return [*(f"--set={setting}" for setting in settings), *(f"--{name}={value}" for name, value in values.items())]


def curate(out: Path, teacher: Path, category: str, settings: Sequence[str] = (), **options: object) -> Manifest:
    """Run in this process; gives the manifest of a run that succeeded."""
    assert main([*flags(out, teacher, category, settings, **options), "--quiet"]) == 0
    return manifest_of(out)


def start(arguments: list[str], **options: Any) -> subprocess.Popen[str]:
    """Run in a process group of its own, which can be killed as a whole."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", "curate", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def manifest_of(out: Path) -> Manifest:
    """OUT's manifest, validated."""
    return Manifest.model_validate_json((out / "manifest.json").read_text("utf-8"))


def published(out: Path) -> list[Path]:
    """All files below OUT but those of the work folder."""
    return sorted(path for path in out.rglob("*") if path.is_file() and WORK not in path.relative_to(out).parts)


def shard_digests(out: Path) -> dict[str, str]:
    """sha256 of every shard that lies below OUT, by its path there, whatever the manifest says."""
    paths = [path for path in published(out) if path.relative_to(out).parts[0] in ("pretrain", "finetune")]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def shard_rows(out: Path, dataset: str) -> list[dict[str, Any]]:
    """Rows of all shards of a dataset, in the manifest's order."""
    tables = [pq.read_table(out / shard.path) for shard in manifest_of(out).dataset(dataset).shards]
    return pa.concat_tables(tables).to_pylist() if tables else []


def rejections(out: Path, dataset: str) -> list[dict[str, Any]]:
    """Rejected rows of a dataset (``<OUT>/rejections/<dataset>/*.parquet``; folders below hold what is no row)."""
    paths = sorted((out / "rejections" / dataset).glob("*.parquet"))
    return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]


def rejected_by_reason(out: Path, dataset: str) -> dict[str, dict[str, int]]:
    """``stage -> reason -> rows`` as they lie in the rejections."""
    counts = Counter((row["stage"], row["reason"]) for row in rejections(out, dataset))
    found: dict[str, dict[str, int]] = {}
    for (stage, reason), rows in counts.items():
        found.setdefault(stage, {})[reason] = rows
    return found


def planted() -> dict[str, dict[str, Any]]:
    """What the sample's writer planted: for each dataset rows, kept, merged and rejected by reason."""
    path = ROOT / "tests" / "data" / "planted.json"
    value: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return value
