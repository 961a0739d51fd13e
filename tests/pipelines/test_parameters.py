"""Every parameter of a step reaches the step: another value in the configuration is another value where rows are."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from mining.teacher import TeacherParams
from pipelines.configuration.keys import Key, keys_of
from pipelines.configuration.layers import load
from pipelines.configuration.model import ENTRY_KEYS, CurationConfig, DatasetConfig
from pipelines.configuration.show import as_file
from pipelines.curate import plan
from pipelines.dry_run import dry_run
from pipelines.graphs import encode_of
from pipelines.jobs import Run, mine_job, pack_job, prepare_job
from pipelines.options import parse
from pipelines.reuse import Reused
from pipelines.workplace import Workplace
from schemas.errors import SourceError
from tests.mining.cross import make_cross_encoder
from transforms.sources.hub import HubSource
from transforms.sources.params import ReadingParams

#: Sections whose values a graph is made of. ``reading`` is looked at where files are read; alarms follow the counts.
SECTIONS = ("clean", "near", "decontaminate", "mining", "shards", "partitions")
#: Rows of the manifest that jobs are made from: many, so that what divides them shows.
ROWS = 10**7


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one dataset of the sample."""
    out = str(tmp_path_factory.mktemp("parameters"))
    return plan(parse(["--category=banking77", f"--out={out}"]), Workplace(out, None))[0]


def _other(key: Key) -> Any:
    """Another value of a key's type, which holds beside the defaults."""
    if get_origin(key.kind) is Literal:
        return next(value for value in get_args(key.kind) if value != key.default)
    if isinstance(key.default, bool):
        return not key.default
    if isinstance(key.default, int):
        return key.default + 1
    assert isinstance(key.default, float), f"{key.path}: name another value in OTHERS"
    return key.default * 0.99 or 0.01


#: Other values where the type alone gives none.
OTHERS: dict[str, Any] = {
    "near.minhash.rows": 2,
    "decontaminate.frames": "[say]",
    "mining.rank_range": [20, 40],
    "mining.labelled_rank_range": [20, 40],
    "mining.min_margin": 0.1,
    "mining.max_score": 0.9,
    "mining.min_score": 0.1,
    "mining.max_given": 3,
}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """``OTHERS``, and a model that has to be there."""
    return OTHERS | {"mining.cross_encoder": str(make_cross_encoder(tmp_path_factory.mktemp("cross")))}


def _leaves() -> Iterator[Key]:
    for name in SECTIONS:
        yield from keys_of(CurationConfig).children[name].leaves()


def _with(run: Run, setting: str) -> Run:
    config = load(None, [setting], {}).config
    shared = {name: getattr(config, name) for name in DatasetConfig.model_fields if name not in ENTRY_KEYS}
    plans = {
        name: replace(found, units=tuple(replace(unit, rows=ROWS) for unit in found.units))
        for name, found in run.plans.items()
    }
    return replace(run, params=config, plans=plans, datasets={name: DatasetConfig(**shared) for name in run.datasets})


def _made(run: Run) -> str:
    """What the graphs of all stages are made of."""
    counts = {"banking77": {"read": ROWS, "kept": ROWS}}
    files = {kind: [{"path": f"{kind}/0a.parquet", "rows": ROWS, "dataset": "banking77"}] for kind in ("kept", "mined")}
    manifest = {"key": "k", "keys": {"banking77": "b"}, "counts": counts, "files": files}
    prepared = prepare_job(run)
    mined = mine_job(run, prepared, manifest)
    jobs = [prepared, mined, pack_job(run, prepared, mined, manifest)]
    made = [job.make(Reused()).keywords["job"] for job in jobs]  # type: ignore[attr-defined]
    return "\n".join(repr([value for name, value in vars(job).items() if name != "facts"]) for job in made)


@pytest.mark.parametrize("name", [".".join(key.path) for key in _leaves()])
def test_another_value_reaches_a_step(name: str, run: Run, others: dict[str, Any]) -> None:
    (key,) = (key for key in _leaves() if ".".join(key.path) == name)
    other = others[name] if name in others else _other(key)
    assert _made(_with(run, f"{name}={other}")) != _made(_with(run, "limit=null"))


@pytest.mark.parametrize("leaf", [".".join(key.path) for key in keys_of(TeacherParams).leaves()])
def test_another_value_reaches_the_teacher(leaf: str, tmp_path: Path) -> None:
    (key,) = (key for key in keys_of(TeacherParams).leaves() if ".".join(key.path) == leaf)
    other = {"dims": 64, "tokens_per_pass": 2048}.get(leaf) or _other(key)
    command = parse(["--category=banking77", f"--out={tmp_path}", "--set", f"teacher.{leaf}={other!r}"])
    run, _ = plan(command, Workplace(str(tmp_path), None))
    found = encode_of(run, run.teachers[0]).params
    assert getattr(found, leaf) == other != key.default


def test_how_sources_are_read_reaches_the_files_of_training_and_evaluation(tmp_path: Path) -> None:
    command = parse(["--category=banking77", f"--out={tmp_path}", "--set=reading.ranges.gap=7"])
    found = plan(command, Workplace(str(tmp_path), None))[0]
    units = [unit for each in [*found.plans.values(), *found.evaluation.plans] for unit in each.units]
    assert {unit.dataset for unit in units} == {"banking77", "sample-en", "sample-zh"}
    assert {unit.ranges.gap for unit in units} == {7}


def test_how_the_hub_is_asked_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ReadingParams] = []

    def refused(self: HubSource, *, limit: int | None, reading: ReadingParams) -> None:
        asked.append(reading)
        raise SourceError("stop here")

    monkeypatch.setattr(HubSource, "__init__", refused)
    command = parse(["--category=banking77", "--source=hub", "--set=reading.hub.row_bytes=7"])
    for action in (lambda: plan(command, Workplace(str(tmp_path), None)), lambda: dry_run(command)):
        with pytest.raises(SourceError, match="stop here"):
            action()
    assert [reading.hub.row_bytes for reading in asked] == [7, 7]


def test_a_shown_configuration_gives_the_same_stages(tmp_path: Path) -> None:
    """What ``kalm config`` prints is a file whose run has the digests of the run that it was printed for."""
    flags = ["--category=banking77", "--limit=20", "--set=near.jaccard=0.9", "--set=datasets.banking77.cap=9"]
    path = tmp_path / "shown.yaml"
    path.write_text(as_file(parse(flags).configuration), "utf-8")
    runs = [plan(parse(words), Workplace(str(tmp_path), None))[0] for words in (flags, [f"--config={path}"], flags[:1])]
    manifest = {"key": "k", "keys": {}, "counts": {}, "files": {}}
    keys = [[prepare_job(each).folder.key, mine_job(each, prepare_job(each), manifest).folder.key] for each in runs]
    assert keys[0] == keys[1]
    assert keys[0][0] != keys[2][0]
