"""What a run says of its time and memory before it starts, and of the error at its end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import forecast
from pipelines.costs.cluster import Cluster, plan_run
from pipelines.costs.measured import measured
from pipelines.curate import plan
from pipelines.curate_command import main
from pipelines.engines import flink
from pipelines.engines.flink_params import FlinkParams
from pipelines.forecast import Forecast
from pipelines.options import parse
from pipelines.plan import size
from pipelines.steps import spoken
from pipelines.workplace import Workplace
from tests.e2e.generated import SLUG, write_source
from transforms.sources.opening import SAMPLE_ROOT

Lines = list[str]


def forecast_of(out: Path, *flags: str) -> Forecast:
    """The forecast of a run on the bundled sample, or on other sources that flags name."""
    command = parse([*flags, f"--out={out}"])
    run, _ = plan(command, Workplace(command.config.out, command.config.work))
    return Forecast(run, command)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short runs are told of too."""
    monkeypatch.setattr(forecast, "LEAST_SECONDS", 0.0)


def test_nothing_is_said_of_a_short_run(tmp_path: Path) -> None:
    assert forecast_of(tmp_path, "--category=onlineshopping").before("prepare") is None


@pytest.mark.usefixtures("always")
def test_it_is_said_once(tmp_path: Path) -> None:
    found = forecast_of(tmp_path, "--category=onlineshopping")
    said = found.before("prepare")
    assert said is not None
    assert said.startswith("plan: about ")
    assert found.before("embed") is None


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "flags",
    [
        ["--category=banking77"],
        ["--category=onlineshopping", "--limit=3"],
        ["--category=onlineshopping", "--runner=flink"],
        ["--category=onlineshopping", "--runner=prism"],
    ],
    ids=["rows that only reading tells", "limit", "no cluster", "runner"],
)
def test_nothing_is_said_of_what_is_not_known(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALM_ENGINES", str(tmp_path / "engines"))
    assert forecast_of(tmp_path, *flags).before("prepare") is None


def local_cluster(monkeypatch: pytest.MonkeyPatch, cores: int, managers: int, slots: int) -> FlinkParams:
    """A local cluster that runs, and the cores of this machine."""
    params = FlinkParams.of_size(num_taskmanagers=managers, slots=slots)
    monkeypatch.setattr(flink, "running", lambda: params)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    return params


@pytest.mark.usefixtures("always")
def test_on_flink_it_is_what_a_plan_for_such_a_cluster_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_cluster(monkeypatch, cores=6, managers=3, slots=2)
    found = forecast_of(tmp_path, "--category=onlineshopping", "--runner=flink", "--parallelism=6")
    said, work = found.before("prepare"), found._work()
    assert said is not None
    assert work is not None
    pace = measured().tokens_per_second["minilm"]
    stages = plan_run(work, Cluster(workers=3, cores=2, flink=True, tokens_per_second=pace), measured())
    assert list(found._stages.values()) == stages
    seconds, memory = sum(each.seconds for each in stages), max(each.memory_bytes for each in stages)
    assert said == (
        f"plan: about {spoken(seconds)} on 3 TaskManagers of 2 slots, which share 6 cores; {size(memory)} of memory "
        "for the Python workers of each TaskManager; the rows are cut into 4 ranges, so a higher parallelism gains "
        "nothing"
    )
    for name in ("prepare", "mine"):
        found.after(name, (1.5 if name == "mine" else 0.75) * found._stages[name].seconds)
    told = found.line()
    assert told is not None
    assert told.endswith("(prepare 25% less, mine 50% more)")
    assert "memory" not in told, "workers are other processes"


def test_nothing_is_said_of_a_run_on_flink_that_is_mostly_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_cluster(monkeypatch, cores=2, managers=2, slots=1)
    found = forecast_of(tmp_path, "--category=onlineshopping", "--runner=flink")
    monkeypatch.setattr(forecast, "LEAST_SECONDS", 10.0)
    assert found.before("prepare") is None
    monkeypatch.setattr(forecast, "LEAST_SECONDS", 0.0)
    said = found.before("prepare")
    assert said is not None
    assert sum(stage.seconds for stage in found._stages.values()) > 10


@pytest.mark.usefixtures("always")
def test_slots_that_share_cores_take_longer_and_their_memory_adds_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = []
    for cores in (4, 2):
        local_cluster(monkeypatch, cores=cores, managers=4, slots=1)
        found = forecast_of(tmp_path, "--category=onlineshopping", "--runner=flink", "--parallelism=4")
        assert found.before("prepare") is not None
        seconds.append(sum(stage.seconds for stage in found._stages.values()))
    assert seconds[1] == pytest.approx(2 * seconds[0])
    params = local_cluster(monkeypatch, cores=4, managers=4, slots=1)
    there = SimpleNamespace(total=(params.total_memory << 20) + (1 << 30))
    monkeypatch.setattr(forecast.psutil, "virtual_memory", lambda: there)
    said = forecast_of(tmp_path, "--category=onlineshopping", "--runner=flink").before("prepare")
    assert said is not None
    assert f"for Java that is more than this machine's {size(there.total)}: fewer TaskManagers" in said


@pytest.mark.usefixtures("always")
def test_rows_are_known_once_prepare_is_there(tmp_path: Path) -> None:
    found = forecast_of(tmp_path, "--category=banking77")
    found.prepared({"counts": {"banking77": {"read": 80, "kept": 60}}})
    assert found.before("embed") is not None
    work = found._work()
    assert work is not None
    (path,) = (SAMPLE_ROOT / "datasets/mteb/banking77").rglob("*.csv.gz")
    assert work.datasets[0].rows == 60
    assert work.datasets[0].text_bytes == pytest.approx(4 * path.stat().st_size / 80)


@pytest.mark.usefixtures("always")
def test_under_a_limit_the_bytes_of_a_row_are_those_of_the_whole_source(tmp_path: Path) -> None:
    counts = {"counts": {name: {"read": 3, "kept": 3} for name in ("onlineshopping", "banking77")}}
    told = forecast_of(tmp_path, "--category=onlineshopping", "--limit=3")
    told.prepared(counts)
    work = told._work()
    assert work is not None
    assert work.datasets[0].text_bytes < 1_000
    silent = forecast_of(tmp_path, "--category=banking77", "--limit=3")  # how many rows its files have is not known
    silent.prepared(counts)
    assert silent.before("embed") is None


@pytest.mark.usefixtures("always")
def test_the_error_is_that_of_the_stages_that_ran(tmp_path: Path) -> None:
    found = forecast_of(tmp_path, "--category=onlineshopping")
    found.before("prepare")
    assert found.line() is None
    seconds = {name: found._stages[name].seconds for name in ("prepare", "pack")}
    for name, number in seconds.items():
        found.after(name, 1.5 * number)
    told = found.line()
    assert told is not None
    assert "for prepare, pack, which took" in told
    assert "50% more" in told


@pytest.mark.usefixtures("always")
def test_a_teacher_of_unknown_pace_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = forecast_of(tmp_path, "--category=onlineshopping")
    monkeypatch.setattr(Forecast, "_pace", lambda _: None)
    said = found.before("prepare")
    assert said is not None
    assert "besides the teacher" in said
    assert set(found._stages) == {"prepare", "mine", "pack"}


@pytest.mark.usefixtures("always")
def test_texts_are_measured_by_footers(tmp_path: Path) -> None:
    """Generated texts repeat so seldom that what a footer states is within a fifth of them."""
    rows, found = 2_000, generated(tmp_path, 2_000)
    work = found._work()
    assert work is not None
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    (path,) = (tmp_path / "hub").rglob("*.parquet")
    whole = sum(pc.sum(pc.binary_length(column)).as_py() for column in pq.read_table(path).columns)
    assert work.rows == rows
    assert work.datasets[0].text_bytes == pytest.approx(whole / rows, rel=0.2)
    assert work.kept == measured().kept


def generated(folder: Path, rows: int) -> Forecast:
    """The forecast of a run on generated rows."""
    return forecast_of(folder / "out", *generated_flags(folder, rows))


def generated_flags(folder: Path, rows: int) -> Lines:
    """The flags of such a run."""
    source, catalog = write_source(folder, rows)
    return [f"--category={SLUG}", f"--source={source}", f"--catalog={catalog}", "--evaluation=none"]


@pytest.mark.slow
@pytest.mark.usefixtures("always")
def test_a_run_says_it_first_and_its_error_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags: Any = [*generated_flags(tmp_path, 60), f"--out={tmp_path / 'out'}", "--allow_alarms"]
    assert main(flags) == 0
    said = capsys.readouterr().err.splitlines()
    of_plan = [number for number, line in enumerate(said) if line.startswith("plan: ")]
    (begins, ends) = of_plan
    prepare = next(number for number, line in enumerate(said) if line.startswith("prepare "))
    kept = next(number for number, line in enumerate(said) if line.startswith("kept "))
    assert begins < prepare < kept < ends
    assert "for prepare, embed, mine, pack, which took" in said[ends]
    manifest = (tmp_path / "out" / "manifest.json").read_bytes()
    assert main(flags) == 0
    assert "plan: " not in capsys.readouterr().err  # nothing ran
    assert (tmp_path / "out" / "manifest.json").read_bytes() == manifest
