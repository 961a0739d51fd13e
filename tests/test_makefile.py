"""make explains its targets and passes on only what is set."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def make(*arguments: str, path: str = "") -> str:
    """What `make` prints, with none of the interface's variables set from outside."""
    outside = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    outside |= {"PATH": path} if path else {}
    run = subprocess.run(["make", *arguments], cwd=ROOT, env=outside, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_make_alone_explains_every_target() -> None:
    rules = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", rules, flags=re.MULTILINE)
    shown = make()
    assert [name for name in phony.split() if not re.search(rf"^  {name} +\w", shown, flags=re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["curate"], ["curate"]),
        (["curate", "CATEGORY=mt*", "LIMIT=9"], ["curate", "--category=mt*", "--limit=9"]),
        (
            ["curate", "RUNNER=flink", "WORKERS=2", "ARGS=--parallelism=2 -q"],
            ["--args=--parallelism=2 -q", "curate", "--runner=flink", "--workers=2"],
        ),
        (
            ["curate", "SOURCE=my hub", "OUT=o", "TEACHER=t", "CATALOG=c", "CONFIG=my.yaml"],
            ["curate", "--config=my.yaml", "--catalog=c", "--source=my hub", "--teacher=t", "--out=o"],
        ),
        (
            ["curate", "CATEGORY=all", "LICENSES=permissive,other", "LANGUAGES=zh", "DRY_RUN=1"],
            ["curate", "--category=all", "--licenses=permissive,other", "--languages=zh", "--dry_run"],
        ),
        (
            ["dataflow", "CATEGORY=sts", "SOURCE=hub", "PROJECT=p", "REGION=r", "BUCKET=b", "IMAGE=i:1"],
            [
                *("curate", "--category=sts", "--source=hub", "--runner=dataflow", "--project=p", "--region=r"),
                *("--temp_location=gs://b/tmp", "--sdk_container_image=i:1", "--out=gs://b/out"),
            ],
        ),
        (
            ["dataflow", "OUT=gs://c/o", "ACCELERATOR=nvidia-l4"],
            ["curate", "--runner=dataflow", "--accelerator=nvidia-l4", "--out=gs://c/o"],
        ),
        (["catalog"], ["catalog"]),
        (["catalog", "LANGUAGES=ja", "CATALOG=c"], ["catalog", "--languages=ja", "--catalog=c"]),
        (["curate", "SOURCE=m", "FOLLOW_LINKS=1"], ["curate", "--source=m", "--follow_links=true"]),
        (["config", "CONFIG=kalm", "LIMIT=3"], ["config", "--config=kalm", "--limit=3"]),
        (["plan"], ["plan"]),
        (
            ["plan", "ROWS=9", "WORKERS=2", "CORES=4", "STAGE=pretrain", "RUNNER=flink", "GPUS=1"],
            ["plan", "--rows=9", "--stage=pretrain", "--runner=flink", "--workers=2", "--cores=4", "--gpus=1"],
        ),
        (["plan", "LIKE=o", "ROWS=9"], ["plan", "--like=o", "--rows=9"]),
        (["train"], ["train", "--manifest=out/manifest.json"]),
        (["train", "OUT=o", "MODEL=m"], ["train", "--manifest=o/manifest.json", "--model=m"]),
        (["evaluate"], ["evaluate", "out/model", "./catalog/sample/eval"]),
        (["evaluate", "SETS=a b"], ["evaluate", "out/model", "a", "b"]),
        (["evaluate", "SETS=a", "MODEL=m n"], ["evaluate", "m n", "a"]),
        (["evaluate", "MTEB=MTEB(eng, v2)"], ["evaluate", "out/model", "--mteb=MTEB(eng, v2)"]),
        (["evaluate", "SETS=a", "THROUGH=mteb"], ["evaluate", "out/model", "a", "--through=mteb"]),
        (["regenerate"], ["regenerate"]),
        (["regenerate", "ACCEPT=1"], ["regenerate", "--update"]),
        (["regenerate", "CONFIG=c", "OUT=o"], ["regenerate", "--config=c", "--out=o"]),
        (["card", "OUT=o"], ["card", "o"]),
        (["croissant", "OUT=o"], ["croissant", "o"]),
        (["report"], ["report", "out"]),
        (["diff", "OUT=o", "OTHER=p q"], ["diff", "o", "p q"]),
        (["curate", "AGAINST=a b,c"], ["curate", "--against=a b,c"]),
        (["curate", "READMIT=my list.txt"], ["curate", "--readmit=my list.txt"]),
        (["readmit", "IDS=a,b", "OUT=o"], ["readmit", "o", "--ids=a,b"]),
        (
            ["readmit", "REASON=TOO_SHORT", "DATASET=fever", "TO=f"],
            ["readmit", "out", "--reason=TOO_SHORT", "--dataset=fever", "--to=f"],
        ),
        (["publish", "HUB_REPO=me/data", "OUT=o"], ["publish", "o", "--repo=me/data"]),
        (["export"], ["export", "out", "--format=tuples"]),
        (
            ["export", "OUT=o", "FORMAT=kalm", "TO=my dir", "CATEGORY=sts"],
            ["export", "o", "--format=kalm", "--to=my dir", "--category=sts"],
        ),
        (["flink-up"], ["flink", "up"]),
        (
            ["flink-up", "TASK_MANAGERS=3", "SLOTS=4", "MEMORY=4g"],
            ["flink", "up", "--taskmanagers=3", "--slots=4", "--memory=4g"],
        ),
        (
            ["curate", "RUNNER=flink", "FLINK_MASTER=h:8081", "FLINK_JOB_SERVER_JAR=a b.jar"],
            ["curate", "--runner=flink", "--flink_master=h:8081", "--flink_job_server_jar=a b.jar"],
        ),
        (["train", "STAGE=distill"], ["train", "--manifest=out/manifest.json", "--stage=distill"]),
    ],
)
def test_make_passes_only_what_is_set(arguments: list[str], words: list[str], venv: Path) -> None:
    assert given(venv, *arguments) == words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--target", "cpu", "--tag", "localhost/kalm-curation:cpu", "."]),
        (
            ["TARGET=gpu", "IMAGE=r/i:1", "ARGS=--build-arg BASE=b"],
            ["--target", "gpu", "--tag", "r/i:1", "--build-arg", "BASE=b", "."],
        ),
    ],
)
@pytest.mark.parametrize("daemon", [True, False])
def test_an_image_is_built_by_docker_or_else_by_buildah(
    arguments: list[str], words: list[str], daemon: bool, tmp_path: Path
) -> None:
    """Builders that only write down the words that they were given; docker answers where its daemon does."""
    for name in ("docker", "buildah"):
        script = tmp_path / name
        code = int(name == "docker" and not daemon)
        lines = ["import sys", f"if sys.argv[1] == 'info': sys.exit({code})", f"print('{name}', sys.argv[1:])"]
        script.write_text("\n".join([f"#!{sys.executable}", *lines]))
        script.chmod(0o755)
    said = make("--silent", "image", *arguments, path=f"{tmp_path}:{os.environ['PATH']}")
    given = ["build", "--file", "Dockerfile", *words]
    assert said.splitlines()[-1] == f"{'docker' if daemon else 'buildah'} {given}"


@pytest.mark.parametrize(
    "value", ["it's", "$(shell touch made)", "$$HOME", "`touch made`", "$(touch made)", 'a "b" \\c']
)
def test_values_reach_the_command_as_they_are(value: str, venv: Path) -> None:
    words = given(venv, "curate", f"OUT={value}", f"SOURCE={value}", f"ARGS={value}")
    assert words == [f"--args={value}", "curate", f"--source={value}", f"--out={value}"]
    assert not (ROOT / "made").exists()


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment that is ready, whose ``kalm`` only writes down the words that it was given."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "kalm"
    script.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    script.chmod(0o755)
    (tmp_path / ".ready").touch()
    return tmp_path


def given(venv: Path, *arguments: str) -> list[str]:
    """The words that make gives to the command."""
    words: list[str] = json.loads(make("--silent", f"VENV={venv}", *arguments).splitlines()[-1])
    return words
