"""The same rows give the same bytes: whoever runs, how often, with how many workers, from whichever files."""

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curate_command import main
from pipelines.options import parse
from pipelines.runners import flags_of
from schemas.manifest import Manifest
from tests.e2e.running import (
    SMALL,
    WORK,
    curate,
    flags,
    manifest_of,
    published,
    rejected_by_reason,
    shard_digests,
    shard_rows,
    start,
)
from tests.e2e.sources import shuffled_source
from tests.pipelines.test_command import HEAVY, imported

pytestmark = pytest.mark.slow

NAMES = SMALL.split(",")


def counts_of(manifest: Manifest) -> dict[str, object]:
    return {record.name: (record.stages, record.shards) for record in manifest.datasets}


def source_folders(manifest: Manifest) -> list[str]:
    return [record.source.partition("/datasets/")[2] for record in manifest.datasets]


@pytest.fixture(scope="module")
def other_files(tmp_path_factory: pytest.TempPathFactory, small_out: Path) -> Path:
    """The source of ``SMALL`` with its rows in other files."""
    return shuffled_source(tmp_path_factory.mktemp("other files"), source_folders(manifest_of(small_out)))


def test_a_run_elsewhere_gives_the_same_bytes_also_without_its_work_folder(
    small_out: Path, teacher: Path, tmp_path: Path
) -> None:
    first = curate(tmp_path / "a", teacher, SMALL, work=tmp_path / "work")
    assert shard_digests(tmp_path / "a") == shard_digests(small_out)
    assert counts_of(first) == counts_of(manifest_of(small_out))
    shutil.rmtree(tmp_path / "work")
    assert curate(tmp_path / "a", teacher, SMALL, work=tmp_path / "work") == first
    assert shard_digests(tmp_path / "a") == shard_digests(small_out)


def test_two_processes_give_the_same_bytes_as_one(small_out: Path, teacher: Path, tmp_path: Path) -> None:
    run = start([*flags(tmp_path / "out", teacher, SMALL, workers=2), "-q"])
    _, errors = run.communicate(timeout=600)
    assert run.returncode == 0, errors
    assert not errors, "quiet is quiet with several processes too"
    assert shard_digests(tmp_path / "out") == shard_digests(small_out)
    assert counts_of(manifest_of(tmp_path / "out")) == counts_of(manifest_of(small_out))


def test_beams_own_flags_for_two_processes_do_the_same(small_out: Path, teacher: Path, tmp_path: Path) -> None:
    """They are what ``--workers=2`` becomes; a stage's folder is taken from a run without them."""
    own = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    assert flags_of(parse(["--workers=2"])) == flags_of(parse(own)) == own
    shutil.copytree(small_out, tmp_path / "out")
    for folder in (tmp_path / "out" / WORK).glob("pack-*"):
        shutil.rmtree(folder)
    run = start([*flags(tmp_path / "out", teacher, SMALL), *own, "-q"])
    _, errors = run.communicate(timeout=600)
    assert run.returncode == 0, errors
    assert shard_digests(tmp_path / "out") == shard_digests(small_out)


def test_the_names_and_the_order_of_files_do_not_matter(
    small_out: Path, teacher: Path, tmp_path: Path, other_files: Path
) -> None:
    manifest = curate(tmp_path, teacher, SMALL, source=other_files)
    assert shard_digests(tmp_path) == shard_digests(small_out)
    assert counts_of(manifest) == counts_of(manifest_of(small_out))
    for name in NAMES:
        assert rejected_by_reason(tmp_path, name) == rejected_by_reason(small_out, name)


def test_a_limit_takes_the_same_rows_from_other_files(teacher: Path, tmp_path: Path, other_files: Path) -> None:
    runs = [
        curate(tmp_path / name, teacher, SMALL, source=source, limit=25)
        for name, source in (("a", "sample"), ("b", other_files))
    ]
    assert shard_digests(tmp_path / "a") == shard_digests(tmp_path / "b")
    assert counts_of(runs[0]) == counts_of(runs[1])
    reads = {record.name: record.stages["prepare"].read for record in runs[0].datasets}
    assert 25 <= reads.pop("scifact") < 60  # the judgments of 25 queries
    whole_groups = {reads.pop(name) for name in ("multinli", "trecqa")}  # rows of one query stay together
    assert all(25 <= read < 35 for read in whole_groups)
    assert set(reads.values()) == {25}
    assert all(record.limited == 25 for record in runs[0].datasets)


def test_how_work_is_cut_up_does_not_matter(small_out: Path, teacher: Path, tmp_path: Path) -> None:
    pieces = [
        "partitions.rows_per_partition=450",
        "partitions.passages_per_pool_shard=60",
        "shards.rows_per_shard=20",
    ]
    manifest = curate(tmp_path, teacher, SMALL, pieces)
    for name in NAMES:
        record, whole = manifest.dataset(name), manifest_of(small_out).dataset(name)
        assert record.stages == whole.stages
        assert len(record.shards) > 1
        assert sum(shard.rows for shard in record.shards) == whole.shards[0].rows
        joined = pa.concat_tables([pq.read_table(tmp_path / shard.path) for shard in record.shards])
        assert joined.combine_chunks().equals(pq.read_table(small_out / whole.shards[0].path).combine_chunks()), name


def test_another_seed_draws_other_negatives_of_the_same_rows(small_out: Path, teacher: Path, tmp_path: Path) -> None:
    shutil.copytree(small_out, tmp_path / "out")
    curate(tmp_path / "out", teacher, SMALL, seed=7)
    rows, before = shard_rows(tmp_path / "out", "scifact"), shard_rows(small_out, "scifact")
    assert [row["id"] for row in rows] == [row["id"] for row in before]
    assert [row["negatives"] for row in rows] != [row["negatives"] for row in before]


def test_another_number_of_one_dataset_makes_that_one_anew(
    small_out: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other datasets are taken over, and the bytes are those of a run that starts with nothing."""
    setting = ["datasets.scifact.mining.num_negatives=3"]
    shutil.copytree(small_out, tmp_path / "out")
    assert main([*flags(tmp_path / "out", teacher, SMALL, setting)]) == 0
    said = capsys.readouterr().err
    assert re.search(r"prepare .*already there", said)
    assert re.search(r"embed .*already there", said)
    rest = len(NAMES) - 1
    assert all(
        f"{stage:<8} {rest} of {rest + 1} datasets are as an earlier run left them" in said
        for stage in ("mine", "pack")
    )
    curate(tmp_path / "fresh", teacher, SMALL, setting)
    assert shard_digests(tmp_path / "out") == shard_digests(tmp_path / "fresh")
    before, after = manifest_of(small_out), manifest_of(tmp_path / "out")
    assert {r.name for r in after.datasets if r.shards != before.dataset(r.name).shards} == {"scifact"}
    assert after.dataset("scifact").config["mining"]["num_negatives"] == 3


def test_a_run_whose_stages_are_there_imports_neither_beam_nor_a_model(
    small_out: Path, teacher: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_out, tmp_path / "out")
    assert main(flags(tmp_path / "out", teacher, SMALL)) == 0  # manifest, card and report are this folder's now
    modules, run = imported("curate", *flags(tmp_path / "out", teacher, SMALL))
    assert run.returncode == 0
    assert run.stderr.count("already there") == 4
    assert modules & HEAVY == set()


def test_a_second_run_does_nothing(
    small_out: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small_out, tmp_path / "out")
    monkeypatch.setattr("pipelines.runners.run_pipeline", None)  # calling it would fail
    assert main(flags(tmp_path / "out", teacher, SMALL)) == 0  # the manifest names this folder now
    before = {path: path.stat().st_mtime_ns for path in published(tmp_path / "out")}
    capsys.readouterr()
    assert main(flags(tmp_path / "out", teacher, SMALL)) == 0
    assert capsys.readouterr().err.count("already there") == 4
    after = {path: path.stat().st_mtime_ns for path in published(tmp_path / "out")}
    assert after == before
    assert counts_of(manifest_of(tmp_path / "out")) == counts_of(manifest_of(small_out))


def test_a_second_category_adds_to_the_first(small_out: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_out, out)
    before = {path: path.stat() for path in published(out) if path.suffix == ".parquet"}
    curate(out, teacher, "tnews,waimai")
    manifest, first = manifest_of(out), manifest_of(small_out)
    assert [record.name for record in manifest.datasets] == sorted([*NAMES, "tnews", "waimai"])
    assert [record for record in manifest.datasets if record.name in NAMES] == first.datasets
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in before} == {
        path: (facts.st_ino, facts.st_mtime_ns) for path, facts in before.items()
    }


def test_a_dataset_that_is_made_anew_leaves_nothing_of_the_old_one(
    small_out: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_out, out)
    curate(out, teacher, "multinli,webgpt-comparisons", limit=40)
    manifest = manifest_of(out)
    assert shard_digests(out) == {s.path: s.sha256 for record in manifest.datasets for s in record.shards}
    assert manifest.dataset("scifact") == manifest_of(small_out).dataset("scifact")
    for name in ("multinli", "webgpt-comparisons"):
        record = manifest.dataset(name)
        assert (record.limited, record.stages["prepare"].read) == (40, 40)
        rejected = {stage: counts.rejected for stage, counts in record.stages.items() if counts.rejected}
        assert rejected_by_reason(out, name) == rejected


def test_what_the_store_held_before_changes_no_byte(tmp_path: Path) -> None:
    """Of real vectors: the bundled teacher's, for few rows and then for more, against more at once."""
    name, teacher = "webgpt-comparisons", Path("minilm")
    curate(tmp_path / "grown", teacher, name, limit=10)
    grown = curate(tmp_path / "grown", teacher, name, limit=40)
    fresh = curate(tmp_path / "fresh", teacher, name, limit=40)
    assert shard_digests(tmp_path / "grown") == shard_digests(tmp_path / "fresh")
    assert counts_of(grown) == counts_of(fresh)
    assert fresh.dataset(name).stages["embed"].truncated_texts is not None
