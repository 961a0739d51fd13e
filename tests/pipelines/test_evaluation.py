"""Which evaluation sets a run keeps out: what EVALUATION may say, what must be there, and what is read but once."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.evaluation_sets import load_evaluation
from pipelines.curate import plan
from pipelines.evaluation import EvaluationSets, open_evaluation, overlap_records
from pipelines.options import parse
from pipelines.workplace import Workplace
from schemas.config import RunConfig
from schemas.errors import ConfigError, CurationError, SourceError
from transforms.flow.files import read_parquet


def _open(tmp_path: Path, evaluation: str | None, source: str = "sample", catalog: str | None = None) -> EvaluationSets:
    config = RunConfig(evaluation=evaluation, source=source)
    return open_evaluation(config, load_evaluation(catalog), Workplace(str(tmp_path / "out"), None))


def _write(path: Path, **columns: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """A directory in hub layout with two of the catalog's sets, and no folder ``eval``."""
    for name in ("arguana", "scifact"):
        folder = tmp_path / "mirror" / "datasets" / "mteb" / name
        _write(folder / "corpus" / "corpus-0.parquet", _id=["d"], title=["t"], text=[f"{name} passage"])
        _write(folder / "queries" / "queries-0.parquet", _id=["q", "r"], text=[f"{name} query", "not judged"])
        _write(folder / "default" / "test-0.parquet", **{"query-id": ["q"], "corpus-id": ["d"], "score": ["1"]})
    return str(tmp_path / "mirror")


@pytest.fixture
def collections(tmp_path: Path) -> str:
    """A folder of two collections."""
    for name in ("alpha", "beta"):
        _write(tmp_path / "collections" / name / "queries.parquet", _id=["q"], text=[f"{name} query"])
    return str(tmp_path / "collections")


def _names(found: EvaluationSets) -> list[str]:
    return [plan.name for plan in found.plans]


def _texts(found: EvaluationSets) -> list[str]:
    assert found.queries is not None
    texts: list[str] = read_parquet(found.queries).column("text").to_pylist()
    return texts


def test_the_samples_sets_are_kept_out_if_nothing_is_said(tmp_path: Path) -> None:
    found = _open(tmp_path, None)
    assert _names(found) == ["sample-en", "sample-zh"]
    records = found.records({"": {"sample-en": {"passages": 60}}})
    assert [(record.name, record.source, record.queries, record.passages) for record in records] == [
        ("sample-en", "sample/eval/sample-en", 40, 60),
        ("sample-zh", "sample/eval/sample-zh", 30, 0),
    ]
    assert (found.num_passages, len(found.corpora)) == (100, 2)
    assert found.queries is not None


@pytest.mark.parametrize("evaluation", ["none", " none "])
def test_none_keeps_nothing_out(tmp_path: Path, evaluation: str) -> None:
    found = _open(tmp_path, evaluation)
    assert (_names(found), found.corpora, found.records({})) == ([], [], [])
    assert found.queries is None


def test_a_source_without_sets_of_its_own_keeps_nothing_out(tmp_path: Path, mirror: str) -> None:
    assert _open(tmp_path, None, mirror).queries is None


def test_a_set_of_the_catalog_is_read_from_the_source(tmp_path: Path, mirror: str) -> None:
    found = _open(tmp_path, "SciFact", mirror)
    assert (_names(found), _texts(found), found.absent) == (["SciFact"], ["scifact query"], [])
    assert found.plans[0].place == f"{mirror}/datasets/mteb/scifact"


def test_a_benchmark_is_kept_out_as_far_as_it_is_there(tmp_path: Path, mirror: str) -> None:
    found = _open(tmp_path, "mteb-english-v2", mirror)
    assert (_names(found), _texts(found)) == (["ArguAna"], ["arguana query"])
    assert len(found.absent) == 40
    assert all(name.startswith("evaluation/") for name, _ in found.absent)
    assert dict(found.absent)["evaluation/FiQA2018"].startswith("catalog/evaluation/mteb-english-v2.yaml:")


@pytest.mark.parametrize("words", ["", ",A*,S*"])
def test_a_mirror_that_is_named_is_where_sets_are_read(tmp_path: Path, mirror: str, words: str) -> None:
    assert _names(_open(tmp_path, mirror + words)) == ["ArguAna", "SciFact"]


def test_folders_and_sets_are_kept_out_together(tmp_path: Path, mirror: str, collections: str) -> None:
    found = _open(tmp_path, f"{collections}, SciFact", mirror)
    assert _names(found) == ["SciFact", "alpha", "beta"]
    assert _texts(found) == ["scifact query", "alpha query", "beta query"]


SETS = """\
benchmark: mine
title: My own sets
sets:
  - {name: MyClaims, hub: mteb/scifact, splits: [test], languages: [en]}
  - {name: ArguAna, hub: mteb/scifact, splits: [train], languages: [en]}
"""


@pytest.fixture
def own_catalog(tmp_path: Path) -> str:
    """A folder with a set of its own, and with one in place of ours that its mirror does not hold."""
    (tmp_path / "catalog" / "evaluation").mkdir(parents=True)
    (tmp_path / "catalog" / "evaluation" / "mine.yaml").write_text(SETS, "utf-8")
    return str(tmp_path / "catalog")


def test_sets_of_a_folder_are_kept_out_like_ours_and_in_their_place(
    tmp_path: Path, mirror: str, own_catalog: str
) -> None:
    found = _open(tmp_path, "mine", mirror, own_catalog)
    assert (_names(found), _texts(found)) == (["MyClaims"], ["scifact query"])
    ((name, line),) = found.absent
    assert name == "evaluation/ArguAna"
    assert line.startswith(f"{own_catalog}/evaluation/mine.yaml:5: no files of qrels: config default, split train")


def test_a_run_keeps_out_the_sets_of_its_catalog(tmp_path: Path, mirror: str, own_catalog: str) -> None:
    flags = [f"--catalog={own_catalog}", f"--evaluation={mirror},My*", "--category=banking77"]
    run, _ = plan(parse(flags), Workplace(str(tmp_path / "out"), None))
    assert _names(run.evaluation) == ["MyClaims"]


@pytest.mark.parametrize(
    ("evaluation", "error", "message"),
    [
        ("FiQA2018", SourceError, r"evaluation set FiQA2018: catalog/evaluation/.*holds no datasets/mteb/fiqa"),
        ("mteb-chinese", SourceError, r"evaluation set T2Retrieval: .*\n.*EVALUATION=none keeps nothing out"),
        ("scifcat", ConfigError, r"'scifcat' is no evaluation set and no folder: did you mean SciFact"),
        ("./nowhere", SourceError, r"--evaluation=./nowhere: no <set>/queries.parquet below it"),
        ("none,SciFact", ConfigError, r"give none alone"),
        (" , ", ConfigError, r"give none alone, or folders and evaluation sets"),
    ],
)
def test_what_cannot_be_kept_out_is_an_error(
    tmp_path: Path, mirror: str, evaluation: str, error: type[CurationError], message: str
) -> None:
    with pytest.raises(error) as caught:
        _open(tmp_path, evaluation, mirror)
    assert re.search(message, caught.value.message, re.DOTALL), caught.value.message


def test_two_places_for_sets_are_refused(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(ConfigError, match="sets are read from one place, not from hub and"):
        _open(tmp_path, f"hub,{mirror}")


def test_two_sets_of_one_name_are_refused(tmp_path: Path, mirror: str) -> None:
    _write(tmp_path / "mine" / "SciFact" / "queries.parquet", _id=["q"], text=["another"])
    with pytest.raises(ConfigError, match=r"the name SciFact stands for .*mine/SciFact and for .*mteb/scifact"):
        _open(tmp_path, f"{tmp_path}/mine,SciFact", mirror)


def test_queries_are_read_once_and_again_when_they_change(tmp_path: Path, collections: str) -> None:
    first = _open(tmp_path, collections)
    stamp = Path(str(first.queries)).stat().st_mtime_ns
    again = _open(tmp_path, collections)
    assert (again.digest, Path(str(again.queries)).stat().st_mtime_ns) == (first.digest, stamp)
    _write(Path(collections) / "beta" / "queries.parquet", _id=["q"], text=["changed"])
    changed = _open(tmp_path, collections)
    assert changed.digest != first.digest
    assert _texts(changed) == ["alpha query", "changed"]


def test_what_was_counted_becomes_records_by_set() -> None:
    found = {"Two": {"positives": 3, "corpus": 4}, "One": {"exact": 1, "edited": 2, "queries": 2}}
    records = overlap_records(found)
    assert [(r.evaluation_set, r.rejected, r.queries, r.positives, r.corpus) for r in records] == [
        ("One", 3, 2, 0, 0),
        ("Two", 0, 0, 3, 4),
    ]
