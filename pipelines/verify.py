"""Whether OUT is as its manifest says: every shard, every rejected row, every count.

    kalm verify OUT

What is found is printed, a line for each thing, and the exit code is 9; 0 where all is sound. Nothing is changed: the
command that made OUT puts back what is missing or damaged. Datasets that were compared with rows of others which have
changed since are told of, and are no fault.
"""

import argparse
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from pipelines.against import stale_lines
from pipelines.publish import REJECTIONS, STAGES, faults_of, named_files, open_manifest, read_manifest
from pipelines.reporting import report_errors
from pipelines.verb_parser import add_out
from pipelines.workplace import absolute, shown_some
from schemas.errors import DamageError
from schemas.manifest import DatasetRecord, Manifest
from transforms.flow.content import Fault, KnownFile, find_faults
from transforms.flow.files import read_parquet
from transforms.flow.manifests import MANIFEST


class Finding(NamedTuple):
    """What is not as the manifest says: the dataset (empty where it is the manifest itself), the path, the fault."""

    dataset: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


def verify(out: str) -> list[Finding]:
    """Everything below OUT that is not as its manifest says, in the order of datasets; empty for a sound OUT.

    Compares the sha256 of each shard and document, and the number of rows with the counts; each rejection with the
    content that its name states, and the rejected rows of each stage and reason with the counts. Raises ConfigError
    where there is no manifest, and OutputError for one that cannot be read.
    """
    place, manifest = absolute(out), open_manifest(out)
    faults = shard_faults(place, manifest, download=True)
    found = [Finding("", MANIFEST, f"does not balance: {line}") for line in manifest.unbalanced()]
    found += [Finding("", path, what) for path, what in faults_of(place, manifest.documents, download=True).items()]
    for record in manifest.datasets:
        found += [Finding(record.name, path, what) for path, what in faults.items() if path in _paths(record)]
        found += _shard_counts(record)
        found += _rejection_findings(place, record)
    return found


def shard_faults(out: str, manifest: Manifest | None = None, *, download: bool = False) -> dict[str, str]:
    """What is wrong with the shards that OUT's manifest names, by path; nothing where there is no manifest yet.

    ``download``: those in an object store are read too, which else are only looked for.
    """
    manifest = manifest or read_manifest(out)
    shards = (shard for record in manifest.datasets for shard in record.shards) if manifest else ()
    return faults_of(out, shards, download=download)


def damage_elsewhere(faults: Mapping[str, str], made: Collection[str]) -> list[str]:
    """What a run says of damaged shards in OUT of datasets that it does not make, and so does not put back."""
    others = {path: what for path, what in faults.items() if _dataset_of(path) not in made}
    if not others:
        return []
    names = ",".join(sorted({_dataset_of(path) for path in others}))
    said = shown_some([f"{path} {what}" for path, what in others.items()])
    return [f"damaged in OUT: {said}; not of this run: CATEGORY={names} puts them back"]


def _dataset_of(path: str) -> str:
    """``<stage>/<task type>/<dataset>/part-*``."""
    return path.split("/")[-2]


def _paths(record: DatasetRecord) -> frozenset[str]:
    return frozenset(shard.path for shard in record.shards)


def _shard_counts(record: DatasetRecord) -> Iterator[Finding]:
    """Each stage reads what the one before it kept, and shards hold what the last one kept."""
    counts = [(name, record.stages[name]) for name in STAGES if name in record.stages]
    for (before, kept), (name, read) in pairwise(counts):
        if kept.kept != read.read:
            what = f"says that {before} kept {kept.kept} rows of {record.name}, and that {name} read {read.read}"
            yield Finding(record.name, MANIFEST, what)
    if counts and counts[-1][1].kept != record.num_rows:
        what = f"counts {counts[-1][1].kept} rows of {record.name}; shards hold {record.num_rows}"
        yield Finding(record.name, MANIFEST, what)


def _rejection_findings(out: str, record: DatasetRecord) -> list[Finding]:
    folder = f"{REJECTIONS}/{record.name}"
    files = [KnownFile(path=f"{out}/{path}", shown=path) for path in named_files(out, folder)]
    faults = find_faults(files, download=True)
    found = [Finding(record.name, fault.file.shown, fault.what) for fault in faults]
    counted = Counter(
        {(stage, reason): rows for stage, c in record.stages.items() for reason, rows in c.rejected.items()}
    )
    there = _rows_by_reason(_whole(files, faults), f"{folder}/")
    for stage, reason in sorted(counted.keys() | there.keys()):
        wanted, held = counted[stage, reason], there[stage, reason]
        if wanted != held:
            what = f"holds {held} rows that {stage} rejected as {reason}; the manifest counts {wanted}"
            found.append(Finding(record.name, folder, what))
    return found


def _whole(files: Sequence[KnownFile], faults: Iterable[Fault]) -> list[KnownFile]:
    damaged = {fault.file for fault in faults}
    return [file for file in files if file not in damaged]


def _rows_by_reason(files: Iterable[KnownFile], folder: str) -> Counter[tuple[str, str]]:
    """Rejected rows by stage and reason. Files in deeper folders hold what is no row of the dataset."""
    rows: Counter[tuple[str, str]] = Counter()
    for file in files:
        if "/" not in file.shown.removeprefix(folder):
            stages, reasons = (column.to_pylist() for column in read_parquet(file.path, ["stage", "reason"]).columns)
            rows.update(zip(stages, reasons, strict=True))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="kalm verify", description=__doc__, allow_abbrev=False)
    add_out(parser)
    arguments = parser.parse_args(argv)
    return report_errors(lambda: _report(arguments.out))


def _report(out: str) -> None:
    findings = verify(out)
    for finding in findings:
        print(finding)
    for line in stale_lines(open_manifest(out)):
        print(f"noticed: {line}")
    if findings:
        raise DamageError(
            f"{len(findings)} things in {out} are not as its manifest says; the command that made it puts them back"
        )
    shards = sum(len(record.shards) for record in open_manifest(out).datasets)
    print(f"{out}: {shards} shards and all rejections are as the manifest says")
