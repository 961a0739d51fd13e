"""Rebuild shards and compare them with what is committed: the same data, config and code must give the same bytes.

    kalm regenerate [--update | --set=teacher.backend=openvino]
    kalm regenerate --config=regenerate.yaml [--update]

With a configuration, its datasets are made again and compared with the manifest that was kept of the last time
(``regenerate.json`` beside it); what differs is told as ``kalm diff`` tells it, with its causes.

Without one it is the bundled sample, in three comparisons, from strict to lenient. The rows that prepare keeps are
exact on any machine. Shards of the datasets whose vectors are committed are exact to the byte on any machine, since
everything after the vectors is integers. Where a machine embeds anew, floating point may differ in its last bits
between kinds of CPU; there the chosen negatives must agree within ``TOLERANCE``. A difference is explained by what else
differs: code, libraries, teacher, configuration.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mining.teacher import find_teacher
from pipelines.curate import curate
from pipelines.display import Display
from pipelines.options import parse
from pipelines.reporting import report_errors
from pipelines.reports.diff import compare, open_compared
from pipelines.reports.difference import lines
from pipelines.verb_parser import verb_parser
from pipelines.workplace import absolute, digest, shown_some
from schemas.errors import ConfigError, CurationError
from schemas.manifest import Manifest
from transforms.flow.files import exists, parquet_bytes, publish, read_json, write_json
from transforms.flow.manifests import MANIFEST
from transforms.sources.opening import SAMPLE_ROOT
from transforms.vectors.vector_store import write_vectors

GOLDEN = SAMPLE_ROOT / "golden"
#: Datasets whose vectors are committed: small ones of four kinds, under a megabyte together.
COMMITTED = ("banking77", "trecqa", "scifact", "webgpt-comparisons")
#: Least share of rows that are kept alike, and of negatives that are chosen alike, where texts were embedded anew.
TOLERANCE = 0.97


class RegenerationError(CurationError):
    """The rebuilt shards differ from the committed ones."""

    exit_code = 8


def regenerate(update: bool, out: Path, settings: Sequence[str] = ()) -> None:
    """Rebuild into ``out`` and compare, or commit what was built. ``settings``: values of the configuration
    (``teacher.backend=openvino``), to see what depends on them. Raises RegenerationError with every difference,
    ConfigError where such a run is to be committed.
    """
    if update and settings:
        raise ConfigError("--update with --set: what is committed is a run with the defaults; leave --set out")
    display = Display(quiet=False)
    command = parse(["--category=all", "--source=sample", f"--out={out}", *(f"--set={each}" for each in settings)])
    teacher = find_teacher(command.config.teacher, command.configuration.config.teacher.params)
    store = out / ".work" / "store" / teacher.key
    if not update:
        write_vectors(str(store), 0, 1, pq.read_table(GOLDEN / "vectors.parquet"))
    manifest = curate(command)
    found = description(manifest)
    if update:
        commit(manifest, found, out, store)
        display.say(f"committed to {GOLDEN}: look at the change before you do")
        return
    golden = read_json(str(GOLDEN / "golden.json"))
    embedded_anew = lenient(pq.read_table(GOLDEN / "rows.parquet"), golden, found, chosen(manifest, out))
    differences = [*strict(golden, found), *embedded_anew.beyond]
    if differences:
        raise RegenerationError("\n".join([*differences, *explanations(golden, found)]))
    for line in embedded_anew.within:
        display.say(f"within the tolerance, for texts that were embedded anew: {line}")
    if names := embedded_anew.scores:
        display.say(f"the same rows and negatives, with other scores or ranks, in {len(names)}: {shown_some(names)}")
    equal = len(golden["shards"].items() & found["shards"].items())
    display.say(
        f"regenerated: {equal} of {len(found['shards'])} shards agree with {GOLDEN / 'golden.json'} to the byte"
    )


def description(manifest: Manifest) -> dict[str, Any]:
    """What is committed of a manifest: counts of prepare, shards, and what they were made with."""
    return {
        "prepared": {d.name: d.stages["prepare"].model_dump(exclude_none=True) for d in manifest.datasets},
        "shards": {shard.path: shard.sha256 for d in manifest.datasets for shard in d.shards},
        "code": manifest.code,
        "config": digest({key: value for key, value in manifest.config.items() if key not in ("out", "work")}),
        "libraries": manifest.libraries,
        "teacher": manifest.teacher.model_dump()
        if manifest.teacher
        else [t.model_dump() for t in manifest.teachers] or None,
    }


def strict(golden: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Differences where none is allowed: rows after prepare, and shards whose vectors are committed."""
    names = sorted(golden["prepared"].keys() | found["prepared"].keys())
    lines = [
        f"{name}: prepare gave {found['prepared'].get(name)}, committed is {golden['prepared'].get(name)}"
        for name in names
        if golden["prepared"].get(name) != found["prepared"].get(name)
    ]
    paths = sorted(golden["shards"].keys() | found["shards"].keys())
    return lines + [
        f"{path}: sha256 {found['shards'].get(path)}, committed is {golden['shards'].get(path)}"
        for path in paths
        if path.split("/")[2] in COMMITTED and golden["shards"].get(path) != found["shards"].get(path)
    ]


class Differences(NamedTuple):
    """A line for each dataset that was embedded anew and whose rows differ: beyond ``TOLERANCE``, and within it;
    ``scores``: names of those in which scores or ranks alone do.
    """

    beyond: list[str]
    within: list[str]
    scores: list[str]


def lenient(golden_rows: pa.Table, golden: Mapping[str, Any], found: Mapping[str, Any], rows: pa.Table) -> Differences:
    """How datasets that were embedded anew differ; equal shards need no second look."""
    differences = Differences([], [], [])
    for name in sorted({path.split("/")[2] for path in golden["shards"]} - set(COMMITTED)):
        paths = [path for path in golden["shards"] if path.split("/")[2] == name]
        if all(golden["shards"][path] == found["shards"].get(path) for path in paths):
            continue
        agreed = agreement(_of(golden_rows, name), _of(rows, name))
        if not agreed.differing:
            differences.scores.append(name)
        else:
            is_beyond = min(agreed.kept, agreed.alike) < TOLERANCE
            (differences.beyond if is_beyond else differences.within).append(f"{name}: {_told(agreed)}")
    return differences


def _of(rows: pa.Table, name: str) -> dict[bytes, set[bytes]]:
    chosen_rows = rows.filter(pc.equal(rows.column("dataset"), name))
    pairs = zip(chosen_rows.column("id").to_pylist(), chosen_rows.column("negatives").to_pylist(), strict=True)
    return {id_: set(negatives) for id_, negatives in pairs}


class Agreement(NamedTuple):
    """Shares, each of the union: of rows in both, and of negatives in both among those rows. ``differing``: ids of rows
    that only one side has, or with other negatives.
    """

    kept: float
    alike: float
    differing: list[bytes]


def agreement(golden: Mapping[bytes, set[bytes]], found: Mapping[bytes, set[bytes]]) -> Agreement:
    """How far two sides' rows, negatives by id, agree."""
    both, either = golden.keys() & found.keys(), golden.keys() | found.keys()
    union = sum(len(golden[id_] | found[id_]) for id_ in both)
    common = sum(len(golden[id_] & found[id_]) for id_ in both)
    differing = sorted(id_ for id_ in either if id_ not in both or golden[id_] != found[id_])
    kept = len(both) / len(either) if either else 1.0
    return Agreement(kept, common / union if union else 1.0, differing)


def _told(agreed: Agreement) -> str:
    shares = f"{agreed.kept:.1%} of rows and {agreed.alike:.1%} of negatives agree (at least {TOLERANCE:.0%} must)"
    return f"{shares}; rows that differ: {shown_some([id_.hex() for id_ in agreed.differing])}"


def chosen(manifest: Manifest, out: Path) -> pa.Table:
    """Which negatives each row got: dataset, id and 8 bytes of each negative's hash."""
    tables = [
        pq.read_table(out / shard.path, columns=["dataset", "id", "negative_ids"])
        for record in manifest.datasets
        for shard in record.shards
    ]
    rows = pa.concat_tables(tables)
    negatives = [[bytes.fromhex(id_[:16]) for id_ in ids] for ids in rows.column("negative_ids").to_pylist()]
    columns = {
        "dataset": rows.column("dataset"),
        "id": pa.array([bytes.fromhex(id_) for id_ in rows.column("id").to_pylist()], pa.binary(16)),
        "negatives": pa.array(negatives, pa.list_(pa.binary(8))),
    }
    return pa.table(columns).sort_by([("dataset", "ascending"), ("id", "ascending")])


def explanations(golden: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What else differs, for whoever looks for the cause."""
    lines = [
        f"{what} differs: {found[what]}, committed with {golden[what]}"
        for what in ("code", "config", "teacher")
        if golden[what] != found[what]
    ]
    for name in sorted(golden["libraries"].keys() | found["libraries"].keys()):
        here, there = found["libraries"].get(name), golden["libraries"].get(name)
        if here != there:
            lines.append(f"library {name} differs: {here}, committed with {there}")
    hint = "if the change is meant, commit it with: make regenerate ACCEPT=1"
    return [*(lines or ["code, config, teacher and libraries are the committed ones: look at the data"]), hint]


def commit(manifest: Manifest, found: Mapping[str, Any], out: Path, store: Path) -> None:
    """Write the golden files: the description, the rows' negatives, and the vectors of ``COMMITTED`` datasets."""
    write_json(str(GOLDEN / "golden.json"), dict(found))
    publish(str(GOLDEN / "rows.parquet"), parquet_bytes(chosen(manifest, out)))
    with tempfile.TemporaryDirectory() as folder:
        # A run of these datasets alone has exactly their texts in its store.
        curate(parse([f"--category={','.join(COMMITTED)}", "--source=sample", f"--out={folder}", "--quiet"]))
        files = sorted((Path(folder) / ".work" / "store").rglob("*.parquet"))
        wanted = pa.concat_tables([pq.read_table(path, columns=["key"]) for path in files]).column("key")
    vectors = pa.concat_tables([pq.read_table(path) for path in sorted(store.rglob("*.parquet"))]).sort_by("key")
    kept = vectors.filter(pc.is_in(vectors.column("key"), value_set=wanted.combine_chunks()))
    publish(str(GOLDEN / "vectors.parquet"), parquet_bytes(kept))


def regenerate_own(config: str, kept: str, out: str, update: bool) -> None:
    """Make a configuration's datasets again in ``out`` and compare with the manifest ``kept``, or keep the new one.

    Raises ConfigError, before anything is made, where there is nothing to compare with; RegenerationError with what
    differs and why.
    """
    display = Display(quiet=False)
    command = parse([f"--config={config}", f"--out={out}"])
    if not update:
        _check_kept(kept, config)
    curate(command)
    if update:
        write_json(absolute(kept), read_json(f"{absolute(out)}/{MANIFEST}"))
        display.say(f"kept as {kept}: commit it, and later runs are compared with it")
        return
    found = compare(kept, out)
    if found.left or found.right or found.changed:
        hint = f"if the change is meant, keep it with: make regenerate CONFIG={config} ACCEPT=1"
        raise RegenerationError("\n".join([*lines(found), hint]))
    display.say(f"regenerated: {found.same} datasets agree with {kept}")


def _check_kept(kept: str, config: str) -> None:
    if not exists(absolute(kept)):
        raise ConfigError(
            f"there is no {kept} to compare with: keep what a first run makes (make regenerate CONFIG={config} "
            "ACCEPT=1, or --update), and commit it"
        )
    open_compared(kept)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = verb_parser("regenerate", __doc__)
    parser.add_argument("--update", action="store_true", help="keep what is built instead of comparing with it")
    parser.add_argument("--config", metavar="FILE", help="make the datasets of this configuration, not the sample")
    parser.add_argument("--kept", metavar="FILE", help="with --config: what to compare with (default: its .json)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="without --config: one value of the run, to see what depends on it, such as teacher.backend=openvino",
    )  # fmt: skip
    parser.add_argument("--out", help="where to build (default: a temporary folder; with --config: out)")
    given = parser.parse_args(argv)
    if given.config:
        kept = given.kept or str(Path(given.config).with_suffix(".json"))
        return report_errors(lambda: regenerate_own(given.config, kept, given.out or "out", given.update))
    with tempfile.TemporaryDirectory() as folder:
        return report_errors(lambda: regenerate(given.update, Path(given.out or folder), given.set))
