"""Stages that are kept by dataset: what an earlier run made of a dataset is taken over where nothing changed for it.

So another number for one dataset makes that one anew, and a dataset more costs itself alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.publish import REJECTIONS, place
from pipelines.workplace import StageFolder, Workplace, code_digest, digest
from transforms.flow.content import find_faults
from transforms.flow.files import write_json
from transforms.flow.manifests import MANIFEST, sealed, stage_files, stage_manifest


@dataclass(frozen=True, kw_only=True)
class Reused:
    """Counts by dataset, and records of files by kind, as an earlier run's manifest holds them."""

    counts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    def rest(self, datasets: Collection[str]) -> list[str]:
        """The datasets that are still to be made, by name."""
        return sorted(set(datasets) - self.counts.keys())

    def facts(self) -> dict[str, Any]:
        """What a stage's manifest takes over."""
        return {"reused": {"counts": dict(self.counts), "files": dict(self.files)}} if self.counts else {}


def dataset_key(stage: str, facts: Mapping[str, Any]) -> str:
    """A key of what a stage makes of one dataset, from everything that it follows from."""
    return digest([stage, code_digest(), dict(facts)])


def take_over(workplace: Workplace, folder: StageFolder, keys: Mapping[str, str]) -> Reused:
    """Put the files that earlier runs made of datasets with these keys into a stage's folder.

    A dataset of which a file is gone, or is not as it was written, is left to be made anew.
    """
    counts: dict[str, Any] = {}
    files: dict[str, list[dict[str, Any]]] = {}
    for path, manifest in workplace.finished(folder.name):
        there = manifest.get("keys", {})
        wanted = {name for name, key in keys.items() if name not in counts and there.get(name) == key}
        for name in sorted(wanted):
            records = {kind: _of(name, every) for kind, every in manifest["files"].items()}
            if find_faults(stage_files(path, {"files": records}, store="")):
                continue
            for kind, own in records.items():
                for record in own:
                    inner = f"{REJECTIONS}/{record['path']}" if kind == REJECTIONS else record["path"]
                    place(f"{path}/{inner}", f"{folder.path}/{inner}")
                files.setdefault(kind, []).extend(own)
            counts[name] = manifest["counts"][name]
    return Reused(counts=counts, files=files)


def _of(dataset: str, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record.get("dataset") == dataset]


def write_reused(folder: StageFolder, facts: dict[str, Any], reused: Reused) -> None:
    """The manifest of a stage for which nothing is left to be made."""
    write_json(f"{folder.path}/{MANIFEST}", sealed(stage_manifest([], [], [], facts | reused.facts())))
