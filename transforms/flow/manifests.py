"""Stage manifests: what a stage read, kept and wrote; there is one only when every dataset balances."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from schemas.errors import BalanceError
from schemas.manifest import StageCounts
from transforms.flow.content import KnownFile
from transforms.flow.counts import Count, overlap_counts, remarks, stage_counts
from transforms.flow.files import exists, read_json

MANIFEST = "manifest.json"
_SEAL = "seal"


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file that a stage published: what kind it is, its path below the stage's folder, and its rows."""

    kind: str
    path: str
    rows: int
    dataset: str = ""
    sha256: str = ""

    def to_json(self) -> str:
        """As it travels in Beam."""
        return json.dumps(asdict(self), sort_keys=True)


def stage_manifest(
    totals: Sequence[Count], records: Iterable[str], datasets: Iterable[str], facts: dict[str, Any]
) -> dict[str, Any]:
    """The stage's manifest as a JSON value: facts about the run, counts by dataset, files by kind, what was seen of
    evaluation sets and what was noticed of the sources, if anything was. Order-free. What ``facts`` hold under
    ``reused`` (counts by dataset, files by kind) was made by an earlier run and stands beside what this one made.

    Raises BalanceError when rows of a dataset are neither kept, merged nor rejected.
    """
    counts = stage_counts(totals, datasets)
    check_balance(facts["stage"], counts)
    files: dict[str, list[dict[str, Any]]] = {}
    for text in sorted(set(records)):
        record = json.loads(text)
        files.setdefault(record.pop("kind"), []).append({key: value for key, value in record.items() if value != ""})
    facts, reused = dict(facts), facts.get("reused", {"counts": {}, "files": {}})
    facts.pop("reused", None)
    for kind, known in reused["files"].items():
        files[kind] = sorted([*files.get(kind, []), *known], key=lambda record: str(record["path"]))
    overlaps = overlap_counts(totals)
    found = {"evaluation": overlaps} if overlaps else {}
    values = {name: c.model_dump(exclude_none=True) for name, c in counts.items()} | reused["counts"]
    return facts | {"counts": dict(sorted(values.items())), "files": files} | found | remarks(totals)


def check_balance(stage: str, counts: dict[str, StageCounts]) -> None:
    """Raise BalanceError unless read = kept + merged + rejected for every dataset."""
    lost = {name: c.missing for name, c in counts.items() if c.missing}
    if lost:
        raise BalanceError(
            f"{stage}: rows are unaccounted for ({', '.join(f'{name}: {rows}' for name, rows in lost.items())}); "
            "read must equal kept + merged + rejected. No manifest was written; please report this as a fault"
        )


class DamagedManifest(ValueError):
    """A stage's manifest that is not as it was written; the message says what is wrong with it."""


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with a digest of itself, by which damage to it is known."""
    rest = {key: value for key, value in manifest.items() if key != _SEAL}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False)
    return rest | {_SEAL: hashlib.sha256(text.encode()).hexdigest()[:32]}


def read_stage_manifest(folder: str) -> dict[str, Any] | None:
    """The manifest in a stage's folder; None while the stage has not been completed.

    Raises DamagedManifest for one that is no JSON, or not what was written.
    """
    try:
        found = read_json(f"{folder}/{MANIFEST}")
    except (ValueError, RecursionError, OSError) as error:  # no JSON, not UTF-8, nested beyond measure, unreadable
        raise DamagedManifest(f"{MANIFEST} cannot be read ({error})") from error
    if found is None and not exists(f"{folder}/{MANIFEST}"):
        return None
    if not isinstance(found, dict) or sealed(found) != found:
        raise DamagedManifest(f"{MANIFEST} is not what was written")
    return found


def stage_files(folder: str, manifest: Mapping[str, Any], store: str) -> list[KnownFile]:
    """Every file that a stage's manifest names: below its folder, of kind ``vectors`` below the store."""
    return [
        KnownFile(path=f"{below}/{record['path']}", shown=str(record["path"]), sha256=record.get("sha256", ""))
        for kind, records in manifest["files"].items()
        for below in ({"vectors": store, "rejections": f"{folder}/rejections"}.get(kind, folder),)
        for record in records
    ]
