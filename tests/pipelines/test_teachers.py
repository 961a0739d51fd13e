"""Which teacher has which rows of which dataset, by what the catalog says of its languages."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from pipelines.curate import plan
from pipelines.curate_command import main
from pipelines.graphs import encode_of
from pipelines.jobs import Run, StageJob, embed_job, mine_job, prepare_job
from pipelines.options import parse
from pipelines.reuse import Reused
from pipelines.teachers import TeacherGroup
from pipelines.workplace import Workplace
from schemas.errors import ConfigError
from tests.e2e.teacher import save_table_teacher
from transforms.vectors.row_share import RowShare


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three tables of words, of different widths."""
    folder = tmp_path_factory.mktemp("tables")
    return {name: str(save_table_teacher(folder / name, 8 * n)) for n, name in enumerate("abc", 1)}


def _run(out: Path, category: str, *settings: str) -> Run:
    flags = [f"--category={category}", *(f"--set=teacher.{setting}" for setting in settings)]
    return plan(parse([*flags, "--evaluation=none"]), Workplace(str(out), None))[0]


def _groups(run: Run) -> dict[str, tuple[str, list[str]]]:
    return {group.words: (Path(group.teacher.name).name, sorted(group.datasets)) for group in run.teachers}


def _manifest(*names: str) -> dict[str, Any]:
    counts = {name: {"read": 3, "kept": 3} for name in names}
    files = [{"path": f"kept/{n:016x}.parquet", "rows": 3, "dataset": name} for n, name in enumerate(names)]
    return {"key": "k", "keys": {}, "counts": counts, "files": {"kept": files}}


def _jobs(job: StageJob) -> Any:
    """What each teacher's branch is built from, by label; by "" where there is one alone."""
    keywords = job.make(Reused()).keywords  # type: ignore[attr-defined]
    return keywords.get("jobs") or {"": keywords["job"]}


def test_datasets_go_to_the_teachers_of_their_languages(tmp_path: Path, tables: dict[str, str]) -> None:
    """Of PAWS-X the sample has German, French, Japanese and Korean alone."""
    run = _run(tmp_path, "afqmc,scifact,paws-x,csl-pretrain", f"zh={tables['a']}", f"ja={tables['b']}", "en=minilm")
    assert _groups(run) == {
        "ja": ("b", ["paws-x"]),
        "zh": ("a", ["afqmc"]),
        "en and others": ("minilm", ["paws-x", "scifact"]),
    }
    assert [group.knows for group in run.teachers] == [None, None, {"en"}]
    assert [group.share for group in run.teachers] == [
        RowShare(languages=frozenset({"ja"})),
        RowShare(languages=frozenset({"zh"})),
        RowShare(languages=frozenset({"ja", "zh"}), is_rest=True),
    ]
    assert run.teachers_of("csl-pretrain") == []


def test_a_teacher_that_no_row_may_have_is_not_looked_for(tmp_path: Path, tables: dict[str, str]) -> None:
    run = _run(tmp_path, "afqmc,scifact", f"zh={tables['a']}", f"en={tables['b']}", "name=/no/such", "fr=/no/such")
    assert _groups(run) == {"en": ("b", ["scifact"]), "zh": ("a", ["afqmc"])}
    with pytest.raises(ConfigError, match="teacher '/no/such' is not on this machine"):
        _run(tmp_path, "afqmc,paws-x", f"zh={tables['a']}", "name=/no/such")


def test_a_language_column_may_say_any_language(tmp_path: Path, tables: dict[str, str]) -> None:
    run = _run(tmp_path, "aya-dataset", f"zh={tables['a']}", f"pt={tables['b']}")
    names = ["aya-dataset"]
    assert _groups(run) == {"pt": ("b", names), "zh": ("a", names), "others": ("minilm", names)}


def test_languages_of_one_teacher_are_one_group(tmp_path: Path, tables: dict[str, str]) -> None:
    run = _run(tmp_path, "afqmc,scifact,paws-x", f"zh={tables['a']}", f"ja={tables['a']}", f"en={tables['b']}")
    assert _groups(run) == {
        "en": ("b", ["scifact"]),
        "ja, zh": ("a", ["afqmc", "paws-x"]),
        "others": ("minilm", ["paws-x"]),
    }
    run = _run(tmp_path, "afqmc,scifact,paws-x", f"zh={tables['a']}", "en=minilm")
    (other, rest) = run.teachers
    assert (other.words, rest.words, rest.knows) == ("zh", "en and others", {"en"})
    assert rest.share == RowShare(languages=frozenset({"zh"}), is_rest=True)
    run = _run(tmp_path, "paws-x", f"ja={tables['a']}", "de=minilm")
    assert run.teachers[1].knows == {"en", "de"}


def test_the_same_weights_asked_otherwise_are_another_teacher(tmp_path: Path, tables: dict[str, str]) -> None:
    run = _run(tmp_path, "afqmc,scifact", f"zh={tables['a']}", f"en={tables['a']}", "en.instructions=always")
    assert [group.words for group in run.teachers] == ["en", "zh"]
    assert len(run.stores) == 1


def test_one_teacher_is_a_run_as_if_it_were_the_plain_one(tmp_path: Path, tables: dict[str, str]) -> None:
    names = ("afqmc", "csl-clustering")
    one = _run(tmp_path, ",".join(names), f"zh={tables['a']}")
    plain = _run(tmp_path, ",".join(names), f"name={tables['a']}")
    for job in (embed_job, mine_job):
        keys = [job(run, prepare_job(run), _manifest(*names)).folder.key for run in (one, plain)]
        assert keys[0] == keys[1]
    assert one.vectors == one.stores[0]
    assert list(_jobs(mine_job(one, prepare_job(one), _manifest(*names)))) == [""]


def test_the_keys_of_mining_follow_from_the_teachers_that_a_datasets_rows_may_have(
    tmp_path: Path, tables: dict[str, str]
) -> None:
    names = ("afqmc", "scifact", "paws-x", "csl-pretrain")

    def keys(*settings: str) -> dict[str, str]:
        run = _run(tmp_path, ",".join(names), *settings)
        return dict(mine_job(run, prepare_job(run), _manifest(*names)).keys)

    first = keys(f"zh={tables['a']}", f"ja={tables['b']}")
    other = keys(f"zh={tables['c']}", f"ja={tables['b']}")
    assert {name for name in names if first[name] != other[name]} == {"afqmc"}
    plain = keys(f"zh={tables['a']}", f"ja={tables['b']}", f"name={tables['c']}")
    assert {name for name in names if first[name] != plain[name]} == {"paws-x", "scifact"}
    more = keys(f"zh={tables['a']}", f"ja={tables['b']}", f"fr={tables['c']}")
    assert {name for name in names if first[name] != more[name]} == {"paws-x"}
    alone = keys(f"name={tables['a']}")
    assert first["afqmc"] == alone["afqmc"], "what one teacher alone mined is taken over"


def test_each_branch_reads_only_what_may_be_its_own(tmp_path: Path, tables: dict[str, str]) -> None:
    names = ("afqmc", "csl-pretrain", "paws-x", "scifact")
    run = _run(tmp_path, ",".join(names), f"zh={tables['a']}", f"ja={tables['b']}")
    for job in (embed_job, mine_job):
        branches = _jobs(job(run, prepare_job(run), _manifest(*names)))
        assert {
            label: [names[int(part.split("\t")[1])] for part in each.parts] for label, each in branches.items()
        } == {
            "Teacher 1 of 3, ja": ["csl-pretrain", "paws-x"],
            "Teacher 2 of 3, zh": ["afqmc"],
            "Teacher 3 of 3, others": ["paws-x", "scifact"],
        }
        specs = [each.texts if job is embed_job else each.pools.texts for each in branches.values()]
        assert [spec.dims for spec in specs] == [16, 8, 384]
        assert len({spec.store for spec in specs}) == 3
        assert [spec.prefix for spec in specs] == [f"{Path(spec.store).name}/" for spec in specs]
    assert run.vectors == str(Path(run.stores[0]).parent)


@pytest.mark.parametrize(("runner", "alone"), [("direct", True), ("prism", False)])
def test_a_worker_lets_go_of_a_teacher_only_where_steps_take_turns(
    runner: str, alone: bool, tmp_path: Path, tables: dict[str, str]
) -> None:
    settings = [f"--set=teacher.{language}={tables[name]}" for language, name in (("zh", "a"), ("en", "b"))]
    command = parse(["--category=afqmc,scifact", f"--runner={runner}", "--evaluation=none", *settings])
    run = plan(command, Workplace(str(tmp_path), None))[0]
    assert [encode_of(run, group).alone for group in run.teachers] == [alone, alone]
    assert not encode_of(_run(tmp_path, "afqmc"), _run(tmp_path, "afqmc").teachers[0]).alone


def test_languages_in_words() -> None:
    model: Any = None
    facts = {"teacher": model, "knows": None, "datasets": frozenset[str]()}
    found = [
        TeacherGroup(languages=frozenset(names.split()), is_rest=rest, **facts).words
        for names, rest in (("zh", False), ("zh de", True), ("", True))
    ]
    assert found == ["zh", "de, zh and others", "others"]


def test_a_teacher_that_is_not_there_is_told_with_its_language(tmp_path: Path, tables: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.by_language\.zh: teacher '.*absent' is not on this machine"):
        _run(tmp_path, "afqmc,scifact", f"zh={tmp_path / 'absent'}", f"en={tables['a']}")
    with pytest.raises(ConfigError, match=r"^\W*\d+ teacher '.*absent' is not"):
        _run(tmp_path, "afqmc,scifact", f"zh={tables['a']}", f"name={tmp_path / 'absent'}")


def test_a_teacher_that_cannot_be_loaded_is_told_with_its_language_before_any_row_is_read(
    tmp_path: Path, tables: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(tables["a"], tmp_path / "broken"))
    (weights,) = broken.rglob("*.safetensors")
    whole = load_file(weights)
    save_file({f"other.{name}": values for name, values in whole.items()}, weights)
    flags = ["--category=afqmc,scifact", "--evaluation=none", f"--teacher={tables['b']}", f"--set=teacher.zh={broken}"]
    assert main([*flags, f"--out={tmp_path / 'out'}", "-q"]) == ConfigError.exit_code
    assert "error: teacher.by_language.zh: teacher" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("kept"))
