"""What the stages are built from, and what their folders are keyed by, on the bundled sample."""

from pathlib import Path
from typing import Any

import pytest

from catalog import BUNDLED
from mining.cross_encoder import find_cross_encoder
from pipelines.curate import plan
from pipelines.graphs import parts_of
from pipelines.jobs import StageJob, embed_job, mine_job, pack_job, prepare_job
from pipelines.options import parse
from pipelines.reuse import Reused
from pipelines.workplace import Workplace
from schemas.errors import ConfigError
from tests.mining.cross import make_cross_encoder
from transforms.duplicates.scopes import DedupScope
from transforms.sources.units import Unit

PAIR = "csl-clustering,banking77"


def _run(out: Path, *flags: str) -> Any:
    run, absent = plan(parse([f"--category={PAIR}", *flags]), Workplace(str(out), None))
    assert absent == []
    return run


def _job(job: StageJob) -> Any:
    """What the stage's graph is built from."""
    return job.make(Reused()).keywords["job"]  # type: ignore[attr-defined]


def _manifest(kept: int = 3, mined: int = 3) -> dict[str, Any]:
    """A manifest of prepared or mined rows, all of one dataset; the other lost all of its rows."""
    counts = {"banking77": {"read": 5, "kept": kept}, "csl-clustering": {"read": 2, "kept": 0}}
    files = {
        "kept": [{"path": "kept/00000000000000ff.parquet", "rows": kept, "dataset": "banking77"}],
        "corpus": [{"path": "corpus/0000000000000010.parquet", "rows": 4, "dataset": "banking77"}],
        "mined": [{"path": "mined/000000000000000a.parquet", "rows": mined, "dataset": "banking77"}],
    }
    return {"key": "k", "keys": {"banking77": "b", "csl-clustering": "c"}, "counts": counts, "files": files}


def test_a_run_is_keyed_by_what_its_output_follows_from(tmp_path: Path) -> None:
    keys = [
        prepare_job(_run(tmp_path / out, *flags)).folder.key
        for out, flags in (("a", []), ("b", []), ("a", ["--workers=2"]), ("a", ["--limit=5"]), ("a", ["--limit=6"]))
    ]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3


def test_prepare_reads_every_unit_of_every_dataset(tmp_path: Path) -> None:
    run = _run(tmp_path)
    job = _job(prepare_job(run))
    units = [Unit.from_json(text) for text in job.units]
    assert {unit.dataset for unit in units} == set(run.entries) == {"banking77", "csl-clustering"}
    assert set(job.read.entries) == set(job.exact.scopes) == set(run.entries)


def test_near_duplicates_are_told_how_many_rows_there_are_at_most(tmp_path: Path) -> None:
    spec, limited = (_near(_run(tmp_path, *flags)) for flags in ([], ["--limit=5"]))
    assert spec.rows > limited.rows == 10


def test_an_entry_says_what_is_compared_and_who_survives(tmp_path: Path) -> None:
    text = (BUNDLED / "extra" / "trecqa.yaml").read_text("utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("priority: 10", "priority: 7\ncompare: query"), "utf-8")
    run = _run(tmp_path, "--category=trecqa,bigpatent,banking77", f"--catalog={tmp_path}")
    job = _job(prepare_job(run))
    assert job.exact.scopes == job.near._spec.scopes
    assert job.exact.scopes == {
        "trecqa": DedupScope(compare="query", pool="finetune", priority=7),
        "bigpatent": DedupScope(compare="both", pool="pretrain", priority=run.entries["bigpatent"].priority),
        "banking77": DedupScope(across=False, pool="finetune", priority=run.entries["banking77"].priority),
    }


def _near(run: Any) -> Any:
    """What the search for near-duplicates is built from."""
    return _job(prepare_job(run)).near._spec


def test_parts_travel_by_kind_and_number() -> None:
    assert parts_of(_manifest(), ["banking77"]) == ["kept\t255", "corpus\t16"]
    assert parts_of(_manifest(), ["csl-clustering"]) == []


def test_what_follows_is_keyed_by_dataset(tmp_path: Path) -> None:
    """Another number of one dataset changes its own keys alone, and nothing before."""
    run, other = _run(tmp_path), _run(tmp_path, "--set=datasets.banking77.mining.num_negatives=3")
    one, two = (mine_job(each, prepare_job(each), _manifest()) for each in (run, other))
    assert prepare_job(run).folder.key == prepare_job(other).folder.key
    assert {name for name in one.keys if one.keys[name] != two.keys[name]} == {"banking77"}
    packed, again = (pack_job(each, prepare_job(each), one, _manifest()) for each in (run, other))
    assert packed.keys == again.keys
    bigger = _run(tmp_path, "--set=datasets.csl-clustering.shards.rows_per_shard=9")
    changed = pack_job(bigger, prepare_job(bigger), one, _manifest()).keys
    assert {name for name in changed if changed[name] != packed.keys[name]} == {"csl-clustering"}


def test_only_what_was_not_taken_over_is_made(tmp_path: Path) -> None:
    run = _run(tmp_path)
    job = mine_job(run, prepare_job(run), _manifest())
    made = job.make(Reused(counts={"banking77": {"read": 3, "kept": 3}})).keywords["job"]  # type: ignore[attr-defined]
    assert (list(made.datasets), list(made.parts)) == (["csl-clustering"], [])
    assert made.facts["reused"]["counts"] == {"banking77": {"read": 3, "kept": 3}}


@pytest.mark.parametrize("seed", [0, 7])
def test_the_seed_reaches_what_is_drawn_and_the_key_of_what_follows(tmp_path: Path, seed: int) -> None:
    run = _run(tmp_path, f"--seed={seed}")
    job = mine_job(run, prepare_job(run), _manifest())
    assert _job(job).mining.default.seed == seed
    other = _run(tmp_path, "--seed=8")
    assert mine_job(other, prepare_job(other), _manifest()).folder.key != job.folder.key
    assert prepare_job(other).folder.key == prepare_job(run).folder.key


def test_both_sides_of_a_symmetric_task_are_queries(tmp_path: Path) -> None:
    run = _run(tmp_path, "--category=afqmc,scifact")
    prompts = _job(embed_job(run, prepare_job(run), _manifest() | {"counts": {}, "files": {}})).texts.prompts
    assert run.entries["afqmc"].symmetric
    assert prompts.passages["afqmc"] == prompts.queries["afqmc"]
    assert prompts.passages["scifact"] == run.teachers[0].teacher.prompt_for_passage()


def test_a_dataset_without_rows_has_no_shards_and_is_counted_all_the_same(tmp_path: Path) -> None:
    run = _run(tmp_path)
    prepared = prepare_job(run)
    job = _job(pack_job(run, prepared, mine_job(run, prepared, _manifest()), _manifest()))
    assert set(job.pack.places) == {"banking77"}
    assert set(job.datasets) == {"banking77", "csl-clustering"}
    assert job.parts == ["10"]


def test_only_what_is_fine_tuned_on_gets_teacher_scores(tmp_path: Path) -> None:
    run = _run(tmp_path, "--category=csl-pretrain,csl-finetune")
    assert run.mined == {"csl-finetune"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([], {"en"}), (["--teacher_languages=en, zh"], {"en", "zh"}), (["--teacher_languages=zh"], {"zh"})],
)
def test_mining_is_told_which_languages_the_teacher_knows(tmp_path: Path, flags: list[str], expected: set[str]) -> None:
    run = _run(tmp_path, *flags)
    spec = _job(mine_job(run, prepare_job(run), _manifest())).mining
    assert spec.languages == run.teachers[0].knows == expected


def test_rows_to_come_are_told_where_every_file_tells_its_own(tmp_path: Path) -> None:
    assert prepare_job(_run(tmp_path, "--category=onlineshopping")).expected == 62
    assert prepare_job(_run(tmp_path, "--category=onlineshopping,banking77")).expected is None
    assert prepare_job(_run(tmp_path, "--category=onlineshopping", "--limit=3")).expected is None


def test_the_files_of_a_cross_encoder_are_in_the_key_of_its_dataset_alone(tmp_path: Path) -> None:
    folder = make_cross_encoder(tmp_path / "cross")
    flags = [f"--set=datasets.{name}.mining.cross_encoder={folder}" for name in ("scifact", "csl-pretrain")]
    run = _run(tmp_path / "out", "--category=scifact,afqmc,csl-pretrain", *flags)
    one = mine_job(run, prepare_job(run), _manifest() | {"counts": {}, "files": {}})
    assert set(run.cross_scorers) == set(_job(one).mining.checks) == {"scifact"}
    find_cross_encoder.cache_clear()
    make_cross_encoder(folder, seed=1)
    two = mine_job(run, prepare_job(run), _manifest() | {"counts": {}, "files": {}})
    assert {name for name in one.keys if one.keys[name] != two.keys[name]} == {"scifact"}


def test_a_cross_encoder_that_is_not_here_is_told_before_any_row_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cross-encoder '/no/such' is not on this machine"):
        _run(tmp_path, "--set=mining.cross_encoder=/no/such")
