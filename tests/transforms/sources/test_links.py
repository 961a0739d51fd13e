"""Links in a source: what they lead to outside of it is not read unless asked for."""

from pathlib import Path

import pytest

from pipelines.evaluation import plan_evaluation
from schemas.catalog import CatalogEntry, LocatedEntry
from schemas.config import RunConfig
from schemas.errors import SourceError
from schemas.evaluation import EvaluationCatalog
from transforms.sources.links import refuse_links_out
from transforms.sources.opening import open_source

ROW = '{"question": "a", "answer": "b"}\n'
SETS = EvaluationCatalog(sets={}, benchmarks={}, training_datasets={})


def _located() -> LocatedEntry:
    fields = {"name": "toy", "title": "Toy", "stage": "finetune", "task_type": "retrieval", "languages": ["en"]}
    more = {"source": {"hub": "me/toy"}, "adapter": "pair", "columns": {"query": "question", "positive": "answer"}}
    return LocatedEntry(entry=CatalogEntry.model_validate(fields | more), file="toy.yaml")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A dataset's folder that is not in the source."""
    (tmp_path / "outside" / "default").mkdir(parents=True)
    (tmp_path / "outside" / "default" / "train.jsonl").write_text(ROW)
    return tmp_path / "outside"


@pytest.mark.parametrize("level", ["file", "configuration", "dataset", "owner"])
def test_a_link_that_leads_out_is_named_and_followed_where_asked(tmp_path: Path, outside: Path, level: str) -> None:
    link = {
        "file": "datasets/me/toy/default/train.jsonl",
        "configuration": "datasets/me/toy/default",
        "dataset": "datasets/me/toy",
        "owner": "datasets/me",
    }[level]
    target = {"file": outside / "default" / "train.jsonl", "configuration": outside / "default", "dataset": outside}
    if level == "owner":
        (tmp_path / "owners").mkdir()
        outside.rename(tmp_path / "owners" / "toy")
        target["owner"] = tmp_path / "owners"
    place = tmp_path / "source" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(target[level])
    source = str(tmp_path / "source")
    with pytest.raises(SourceError, match=rf"that leads out of {source} to {tmp_path}/o.*--follow_links=true"):
        open_source(source).plan(_located())
    assert len(open_source(source, follow_links=True).plan(_located()).units) == 1


def test_links_within_a_source_and_to_it_are_followed(tmp_path: Path) -> None:
    blobs = tmp_path / "real" / "blobs"
    folder = tmp_path / "real" / "datasets" / "me" / "toy" / "default"
    for path in (blobs, folder):
        path.mkdir(parents=True)
    (blobs / "x").write_text(ROW)
    (folder / "train.jsonl").symlink_to("../../../../blobs/x")
    (tmp_path / "source").symlink_to(tmp_path / "real")
    assert len(open_source(str(tmp_path / "source")).plan(_located()).units) == 1


def test_a_link_to_a_folder_above_it_is_no_end(tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "me" / "toy" / "default"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text(ROW)
    (folder / "again").symlink_to(folder.parent)
    (unit,) = open_source(str(tmp_path)).plan(_located()).units
    assert unit.file == "datasets/me/toy/default/train.jsonl"


def test_a_name_that_only_begins_like_the_source_is_outside(tmp_path: Path) -> None:
    for name in ("source", "source-2"):
        (tmp_path / name).mkdir()
    (tmp_path / "source-2" / "x").write_text("")
    with pytest.raises(SourceError):
        refuse_links_out(str(tmp_path / "source"), [str(tmp_path / "source-2" / "x")], "source")


def test_evaluation_sets_behind_such_links_are_refused_too(tmp_path: Path) -> None:
    sample = Path(__file__).parents[3] / "catalog" / "sample" / "eval"
    one = next(path for path in sorted(sample.iterdir()) if path.is_dir())
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / one.name).symlink_to(one)
    config = RunConfig(evaluation=str(tmp_path / "eval"))
    with pytest.raises(SourceError, match=f"that leads out of {tmp_path}/eval to "):
        plan_evaluation(config, SETS, digests=False)
    assert plan_evaluation(config.model_copy(update={"follow_links": True}), SETS, digests=False).there
