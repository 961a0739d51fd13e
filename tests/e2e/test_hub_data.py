"""Real data: what was read is what the files hold, and nothing of it is lost."""

import os
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from catalog import BUNDLED, load_catalog
from pipelines.curate import plan, run_stage
from pipelines.display import Display
from pipelines.jobs import Run, prepare_job
from pipelines.options import parse
from pipelines.workplace import Workplace
from schemas.manifest import StageCounts
from schemas.reasons import RejectReason
from tests.e2e.negatives import check_negatives, stored_vectors
from tests.e2e.running import ROOT, curate, flags, manifest_of, rejected_by_reason, shard_digests, shard_rows
from transforms.sources.opening import DATASETS

pytestmark = pytest.mark.slow

HUB = Path(os.environ.get("KALM_SHARED", ROOT.parent / "shared")) / "hub"
if not (HUB / DATASETS).is_dir():
    pytest.skip(
        f"no real data: {HUB} is no directory in hub layout (KALM_SHARED names another)", allow_module_level=True
    )

#: Through every kind of adapter that has real data, in six languages.
WHOLE = (
    "all-nli,amazoncounterfactual,csl-finetune,iflytek,jaquad,multinli,natural-questions,nli-zh,ntrex,scifact,"
    "trecqa,tnews"
)
LIMITED = "csl-pretrain,jaquad,multinli,scifact,trecqa,waimai"
LIMIT = 60

#: Reasons that may take more than a tenth of a dataset's rows, since its kind of data is like that.
FORESEEN = {
    "amazoncounterfactual": {"EXACT_DUPLICATE"},  # 3,188 of the 4,018 rows of `en` stand in `en-ext` too
    "multinli": {"NEUTRAL", "NO_POSITIVE"},
    "nli-zh": {"BELOW_THRESHOLD"},
    "trecqa": {"NO_POSITIVE"},
}


#: Entries of our own: name -> the bundled entry that it is made from, and what of its source is another. Three add to
#: the catalog, three override what it has.
OWN: dict[str, tuple[str, dict[str, object]]] = {
    "cmnli-validation": ("cmnli", {"split": "validation"}),
    "pubmedqa-labeled": ("pubmedqa", {"configs": ["pqa_labeled"]}),
    "snli-validation": ("snli", {"split": "validation"}),
    "cmrc-2018": ("cmrc-2018", {"split": "validation"}),
    "drcd": ("drcd", {"split": "test"}),
    "paws-x": ("paws-x", {"configs": ["zh"], "split": "test"}),
}


def prepare(out: Path, teacher: Path, category: str, **options: object) -> tuple[Run, dict[str, StageCounts]]:
    """Run the prepare stage alone; gives its run and its counts."""
    command = parse([*flags(out, teacher, category, source=HUB, **options), "--quiet"])
    workplace = Workplace(command.config.out, None)
    run, absent = plan(command, workplace)
    assert {name for name, _ in absent} <= {"nli-zh"}
    job = prepare_job(run)
    manifest = run_stage(run, job, command, Display(quiet=True))
    (out / "rejections").symlink_to(Path(job.folder.path) / "rejections")
    return run, {name: StageCounts.model_validate(value) for name, value in manifest["counts"].items()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> tuple[Path, Run, dict[str, StageCounts]]:
    out = tmp_path_factory.mktemp("hub")
    return out, *prepare(out, teacher, WHOLE)


def rows_of_files(run: Run, name: str) -> int:
    """Rows as the footers of the dataset's files state them; of a corpus with judgments those of the judgments."""
    files = {unit.path for unit in run.plans[name].units if unit.role in ("rows", "qrels")}
    return sum(pq.read_metadata(path).num_rows for path in files)


def test_read_is_what_the_files_hold(prepared: tuple[Path, Run, dict[str, StageCounts]]) -> None:
    _, run, counts = prepared
    assert {name: c.read for name, c in counts.items()} == {name: rows_of_files(run, name) for name in WHOLE.split(",")}
    assert sum(c.read for c in counts.values()) > 50_000


def test_every_row_is_kept_merged_or_rejected(prepared: tuple[Path, Run, dict[str, StageCounts]]) -> None:
    out, _, counts = prepared
    assert {name: c.missing for name, c in counts.items() if c.missing} == {}
    for name, c in counts.items():
        assert rejected_by_reason(out, name).get("prepare", {}) == c.rejected, name


def test_kept_rows_are_those_counted(prepared: tuple[Path, Run, dict[str, StageCounts]]) -> None:
    _, run, counts = prepared
    kept: Counter[str] = Counter()
    for path in Path(prepare_job(run).folder.path, "kept").glob("*.parquet"):
        kept.update(pq.ParquetFile(path).read(columns=["dataset"]).column("dataset").to_pylist())
    assert kept == {name: c.kept for name, c in counts.items()}


def test_no_reason_takes_more_than_is_foreseen(prepared: tuple[Path, Run, dict[str, StageCounts]]) -> None:
    _, _, counts = prepared
    much = {
        (name, reason): f"{rows / c.read:.1%}"
        for name, c in counts.items()
        for reason, rows in c.rejected.items()
        if rows > 0.1 * c.read and reason not in FORESEEN.get(name, set())
    }
    assert much == {}
    lost = {name: c.rejected.get(RejectReason.WRONG_LANGUAGE, 0) / c.read for name, c in counts.items()}
    assert {name: share for name, share in lost.items() if share > 0.01} == {}


def own_catalog(folder: Path) -> Path:
    """A folder with the entries of ``OWN``, a file each."""
    folder.mkdir()
    for name, (base, source) in OWN.items():
        entry = yaml.safe_load((BUNDLED / "finetune" / f"{base}.yaml").read_text("utf-8"))
        if "configs" in source and "config_languages" in entry:
            there = entry["config_languages"]
            entry["config_languages"] = {config: there[config] for config in source["configs"]}
        entry |= {"name": name, "source": entry["source"] | source}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(entry, allow_unicode=True), "utf-8")
    return folder


def test_a_folder_of_entries_adds_splits_that_the_catalog_does_not_read(teacher: Path, tmp_path: Path) -> None:
    folder = own_catalog(tmp_path / "catalog")
    run, counts = prepare(tmp_path / "out", teacher, ",".join(OWN), catalog=folder)
    assert {located.file for located in run.located} == {f"{folder}/{name}.yaml" for name in OWN}
    assert {name: c.read for name, c in counts.items()} == {name: rows_of_files(run, name) for name in OWN}
    for name, c in counts.items():
        assert (c.missing, c.read > 900, c.kept > 400) == (0, True, True), name
        assert c.rejected.get(RejectReason.WRONG_LANGUAGE, 0) <= 0.01 * c.read, name
        assert rejected_by_reason(tmp_path / "out", name).get("prepare", {}) == c.rejected, name


def test_the_entry_that_the_instructions_for_contributors_show_works(teacher: Path, tmp_path: Path) -> None:
    (entry,) = re.findall(
        r"^```yaml\n(.+?)^```$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    name = yaml.safe_load(entry)["name"]
    assert (len(entry.splitlines()), name in load_catalog()) == (10, False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / f"{name}.yaml").write_text(entry, "utf-8")
    manifest = curate(tmp_path / "out", teacher, name, source=HUB, catalog=tmp_path / "mine", limit=500)
    counts = manifest.dataset(name).stages["prepare"]
    assert (counts.read, counts.missing, counts.kept > 450) == (500, 0, True)
    assert {row["label"] for row in shard_rows(tmp_path / "out", name)} == {"neg", "pos"}


def renamed(root: Path, names: str) -> Path:
    """The same rows in other files: each cut in two, backwards, the end of it in the file that is read first."""
    for name in names.split(","):
        folder = HUB / DATASETS / load_catalog()[name].entry.folder
        for path in folder.rglob("*.parquet"):
            target = root / path.relative_to(HUB).parent
            target.mkdir(parents=True, exist_ok=True)
            table = pq.ParquetFile(path).read()
            backwards = table.take(pa.array(range(table.num_rows - 1, -1, -1)))
            cut = table.num_rows // 3
            split = path.name.removesuffix(".parquet").partition("-0")[0]
            number = len(list(target.glob(f"{split}-*")))
            for part in (backwards.slice(0, cut), backwards.slice(cut)):
                pq.write_table(part, target / f"{split}-{number:05d}-of-00099.parquet", row_group_size=5_000)
                number += 1
    return root


@pytest.fixture(scope="module")
def limited_out(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """OUT of a run over some rows of each dataset of ``LIMITED``. Tests read it and leave it as it is."""
    out = tmp_path_factory.mktemp("limited") / "out"
    curate(out, teacher, LIMITED, source=HUB, limit=LIMIT)
    return out


@pytest.mark.parametrize("name", LIMITED.split(","))
def test_no_mined_negative_is_relevant_to_its_question_or_another_spelling_of_one(limited_out: Path, name: str) -> None:
    check_negatives(shard_rows(limited_out, name), stored_vectors(limited_out))


def test_a_limit_reads_so_many_rows_and_the_same_whatever_the_files(
    teacher: Path, tmp_path: Path, limited_out: Path
) -> None:
    first = manifest_of(limited_out)
    second = curate(tmp_path / "b", teacher, LIMITED, source=renamed(tmp_path / "files", LIMITED), limit=LIMIT)
    reads = {record.name: record.stages["prepare"].read for record in first.datasets}
    assert LIMIT <= reads.pop("scifact") < 2 * LIMIT  # the judgments of so many queries
    reached = reads.pop("trecqa")  # a question has up to a hundred answers, and they stay together
    assert LIMIT < reached < LIMIT + 100
    assert set(reads.values()) == {LIMIT}
    assert [record.stages for record in first.datasets] == [record.stages for record in second.datasets]
    assert first.unbalanced() == []
    assert shard_digests(limited_out) == shard_digests(tmp_path / "b")
    for record in first.datasets:
        rejected = {stage: c.rejected for stage, c in record.stages.items() if c.rejected}
        assert rejected_by_reason(limited_out, record.name) == rejected
