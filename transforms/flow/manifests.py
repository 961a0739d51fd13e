"""Stage manifests: written last, in the graph, and only when every dataset balances."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from schemas.errors import BalanceError
from schemas.manifest import StageCounts
from transforms.flow.counts import Count, overlap_counts, stage_counts
from transforms.flow.files import write_json

MANIFEST = "manifest.json"


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
    """The stage's manifest as a JSON value: facts about the run, counts by dataset, files by kind, and what was seen of
    evaluation sets if anything was counted. Order-free.

    Raises BalanceError when rows of a dataset are neither kept, merged nor rejected.
    """
    counts = stage_counts(totals, datasets)
    check_balance(facts["stage"], counts)
    files: dict[str, list[dict[str, Any]]] = {}
    for text in sorted(set(records)):
        record = json.loads(text)
        files.setdefault(record.pop("kind"), []).append({key: value for key, value in record.items() if value != ""})
    overlaps = overlap_counts(totals)
    found = {"evaluation": overlaps} if overlaps else {}
    values = {name: c.model_dump(exclude_none=True) for name, c in counts.items()}
    return facts | {"counts": values, "files": files} | found


def check_balance(stage: str, counts: dict[str, StageCounts]) -> None:
    """Raise BalanceError unless read = kept + merged + rejected for every dataset."""
    lost = {name: c.missing for name, c in counts.items() if c.missing}
    if lost:
        raise BalanceError(
            f"{stage}: rows are unaccounted for ({', '.join(f'{name}: {rows}' for name, rows in lost.items())}); "
            "read must equal kept + merged + rejected. No manifest was written; please report this as a fault"
        )


class _Write(beam.DoFn):
    def __init__(self, folder: str, datasets: tuple[str, ...], facts: dict[str, Any]) -> None:
        self._folder, self._datasets, self._facts = folder, datasets, facts

    def process(self, _: str, totals: list[Count], records: list[str]) -> Iterable[str]:
        manifest = stage_manifest(totals, records, self._datasets, self._facts)
        write_json(f"{self._folder}/{MANIFEST}", manifest)
        yield f"{self._folder}/{MANIFEST}"


class WriteStageManifest(beam.PTransform[Any, Any]):
    """Write the manifest once all counts and all file records have come: both are side inputs, so it runs after
    them.
    """

    def __init__(self, folder: str, datasets: Iterable[str], facts: dict[str, Any]) -> None:
        super().__init__()
        self._write = _Write(folder, tuple(sorted(datasets)), facts)

    def expand(self, inputs: Any) -> PCollection[str]:
        totals, records = inputs
        written: PCollection[str] = (
            totals.pipeline
            | "Once" >> beam.Create([self._write._folder], reshuffle=False)
            | "Write"
            >> beam.ParDo(self._write, beam.pvalue.AsList(totals), beam.pvalue.AsList(records)).with_output_types(str)
        )
        return written
