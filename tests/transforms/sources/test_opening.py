import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from catalog import load_catalog
from schemas.errors import SourceError
from tests.transforms.sources.readers.files import write
from tests.transforms.sources.readers.test_readers import HUB
from tests.transforms.sources.test_layout import BEIR, located
from transforms.sources import opening as sources
from transforms.sources.hub import HubSource
from transforms.sources.opening import DirectorySource, open_source
from transforms.sources.readers import read_unit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with org/toy in the configurations en and de, and beside it another dataset."""
    for config, rows in (("en", 30), ("de", 20)):
        folder = tmp_path / "datasets/org/toy" / config
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"q": [f"{config}{n}" for n in range(rows)]}), folder / "train-00000-of-00001.parquet")
    other = tmp_path / "datasets/org/other/default"
    other.mkdir(parents=True)
    write(other / "train.jsonl.gz", b'{"q": "x"}\n')
    (tmp_path / "eval").mkdir()
    return tmp_path


def test_a_directory_gives_units_and_digests(root: Path) -> None:
    plan = open_source(str(root)).plan(located(configs=("en", "de")))
    file = "datasets/org/toy/{}/train-00000-of-00001.parquet"
    assert [(unit.config, unit.file, unit.rows) for unit in plan.units] == [
        ("en", file.format("en"), 30),
        ("de", file.format("de"), 20),
    ]
    assert plan.digests == {
        file.format(config): xxhash.xxh3_128_hexdigest((root / file.format(config)).read_bytes())
        for config in ("en", "de")
    }
    assert (plan.revision, plan.absent, plan.place) == (None, (), f"{root}/datasets/org/toy")
    rows = [row["q"] for unit in plan.units for batch in read_unit(unit, {"q": "?"}) for row in batch.rows.to_pylist()]
    assert sorted(rows) == sorted([f"en{n}" for n in range(30)] + [f"de{n}" for n in range(20)])


def test_a_plan_without_digests_is_the_same_otherwise(root: Path) -> None:
    entry = located(configs=("en", "de"))
    quick, whole = open_source(str(root), digests=False).plan(entry), open_source(str(root)).plan(entry)
    assert (quick.units, quick.sizes) == (whole.units, whole.sizes)
    assert quick.digests == {}
    assert whole.digests.keys() == whole.sizes.keys()
    assert quick.sizes == {file: (root / file).stat().st_size for file in whole.digests}


def test_an_absent_configuration_is_told_and_the_others_are_read(root: Path) -> None:
    plan = open_source(str(root)).plan(located(configs=("en", "fr"), split="train"))
    assert {unit.config for unit in plan.units} == {"en"}
    assert plan.absent == (
        f"catalog/toy.yaml:9: no files of config fr, split train; {root}/datasets/org/toy holds de/train, en/train",
    )


def test_what_the_sample_leaves_out_of_a_dataset_on_purpose_is_not_absent(root: Path) -> None:
    source = open_source("sample", sample_root=str(root))
    plan = source.plan(located(configs=("en", "fr"), split="train"))
    assert ({unit.config for unit in plan.units}, plan.absent) == ({"en"}, ())
    assert source.plan(located(configs=("fr",), split="train")).absent
    assert source.plan(located(hub="org/tay")).absent


def test_an_absent_dataset_is_told_with_those_that_are_there(root: Path) -> None:
    (line,) = open_source(str(root)).plan(located(hub="org/tay")).absent
    assert line == (
        f"catalog/toy.yaml:6: {root} holds no datasets/org/tay; of the 2 datasets there the nearest are "
        f"org/toy, org/other"
    )
    (line,) = open_source(str(root)).plan(located(hub=None, access="manual", note="ask")).absent
    assert "holds no datasets/toy; of the 2 datasets" in line
    assert line.endswith("(access: manual; ask)")


def test_beir_needs_all_its_roles(root: Path) -> None:
    folder = root / "datasets/org/toy"
    shutil.rmtree(folder)
    folder.mkdir()
    write(folder / "corpus.jsonl", b'{"_id": "1", "text": "a"}\n')
    write(folder / "queries.jsonl", b'{"_id": "2", "text": "b"}\n')
    entry = located(BEIR, "beir")
    plan = open_source(str(root)).plan(entry)
    assert (plan.units, len(plan.absent)) == ((), 1)
    assert "catalog/toy.yaml:20: no files of qrels: config default, split train" in plan.absent[0]
    (folder / "qrels").mkdir()
    write(folder / "qrels/train.tsv", b"q\tc\ts\n2\t1\t1\n")
    plan = open_source(str(root)).plan(entry)
    assert [(unit.role, unit.format) for unit in plan.units] == [
        ("corpus", "jsonl"),
        ("queries", "jsonl"),
        ("qrels", "tsv"),
    ]


def test_an_empty_configuration_is_told(root: Path) -> None:
    (root / "datasets/org/toy/fr").mkdir()
    (root / "datasets/org/toy/fr/train.csv").touch()
    plan = open_source(str(root)).plan(located(configs=("en", "fr")))
    assert plan.absent == (
        "catalog/toy.yaml:9: config fr, split train: its files hold no rows: datasets/org/toy/fr/train.csv (0 bytes)",
    )
    assert len(plan.units) == 1


def test_a_damaged_file_and_one_that_cannot_be_read_are_errors(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise PermissionError("no")

    with monkeypatch.context() as patch:
        patch.setattr(sources, "file_digest", refuse)
        with pytest.raises(SourceError, match=r"datasets/org/toy/en/.* cannot be opened: no permission"):
            open_source(str(root)).plan(located(configs=("en",)))
    path = root / "datasets/org/toy/en/train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"datasets/org/toy/en/.* is not a whole parquet file.*download it again"):
        open_source(str(root)).plan(located(configs=("en",)))


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("nothing", "there is nothing of that name"),
        ("file.txt", "that is a file"),
        ("eval", "it holds nothing"),
        ("datasets", "it holds org"),
    ],
)
def test_what_is_no_directory_in_hub_layout_is_refused_in_words(root: Path, name: str, there: str) -> None:
    (root / "file.txt").touch()
    with pytest.raises(SourceError) as caught:
        open_source(str(root / name))
    for part in (
        f"SOURCE={root / name} is not",
        f"looked for {root / name}/datasets, but {there}. ",
        "sample, hub, or",
    ):
        assert part in caught.value.message


def test_a_url_is_a_directory_too(root: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(root / "datasets"), "/mirror/datasets", recursive=True)
    there, here = open_source("memory://mirror"), open_source(str(root))
    for configs in (("en", "de"), ("en", "fr")):
        far, near = there.plan(located(configs=configs)), here.plan(located(configs=configs))
        assert [unit.file for unit in far.units] == [unit.file for unit in near.units]
        assert len(far.absent) == len(near.absent)
        assert far.digests.keys() == near.digests.keys()
        for one, other in zip(far.units, near.units, strict=True):
            rows = [
                [row for raw in read_unit(unit, {"q": "?"}) for row in raw.rows.to_pylist()] for unit in (one, other)
            ]
            assert rows[0] == rows[1]


def test_names_of_sources(root: Path) -> None:
    assert isinstance(open_source("hub", limit=5), HubSource)
    sample = open_source("sample", sample_root=str(root))
    assert isinstance(sample, DirectorySource)
    assert sample.plan(located(configs=("en",))).place == "sample/datasets/org/toy"


def test_the_bundled_sample_is_the_default() -> None:
    plan = open_source("sample").plan(load_catalog()["scifact"])
    assert {unit.role for unit in plan.units} == {"corpus", "queries", "qrels"}
    assert plan.absent == ()


@pytest.mark.skipif(not HUB.is_dir(), reason="no directory of real data in hub layout (KALM_SHARED)")
def test_real_entries_resolve_to_all_rows_of_their_files() -> None:
    source = open_source(str(HUB))
    entries = load_catalog()
    for name in ("scifact", "amazoncounterfactual", "csl-pretrain", "ntrex"):
        plan = source.plan(entries[name])
        assert plan.absent == ()
        for file in plan.digests:
            rows = sum(unit.rows or 0 for unit in plan.units if unit.file == file)
            assert rows == pq.read_metadata(HUB / file).num_rows
    plan = source.plan(entries["nli-zh"])
    assert {unit.config for unit in plan.units} == {"STS-B"}
    assert [line.split(" of ")[1].split(",")[0] for line in plan.absent] == [
        f"config {config}" for config in ("ATEC", "BQ", "LCQMC", "PAWSX")
    ]
