"""make explains its targets and passes on only what is set."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def make(*arguments: str) -> str:
    """What `make` prints, with none of the interface's variables set from outside."""
    outside = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    run = subprocess.run(["make", *arguments], cwd=ROOT, env=outside, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_make_alone_explains_every_target() -> None:
    rules = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", rules, flags=re.MULTILINE)
    shown = make()
    assert [name for name in phony.split() if not re.search(rf"^  {name} +\w", shown, flags=re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["curate"], "-m pipelines.curate "),
        (["curate", "CATEGORY=mt*", "LIMIT=9"], "-m pipelines.curate --category='mt*' --limit='9'"),
        (
            ["curate", "RUNNER=flink", "WORKERS=2", "ARGS=--parallelism=2 -q"],
            "-m pipelines.curate --runner='flink' --workers='2' --parallelism=2 -q",
        ),
        (
            ["curate", "SOURCE=my hub", "OUT=o", "TEACHER=t", "CATALOG=c"],
            "-m pipelines.curate --catalog='c' --source='my hub' --out='o' --teacher='t'",
        ),
        (
            ["curate", "CATEGORY=all", "LICENSES=permissive,other", "LANGUAGES=zh", "DRY_RUN=1"],
            "-m pipelines.curate --category='all' --licenses='permissive,other' --languages='zh' --dry_run",
        ),
        (["catalog"], "-m catalog.table "),
        (["catalog", "LANGUAGES=ja", "CATALOG=c"], "-m catalog.table --languages='ja' --catalog='c'"),
        (["train"], "-m trainer.train --manifest='out/manifest.json' --model='tiny' "),
        (["train", "OUT=o", "MODEL=m"], "-m trainer.train --manifest='o/manifest.json' --model='m' "),
    ],
)
def test_make_passes_only_what_is_set(arguments: list[str], command: str) -> None:
    assert make("-n", *arguments).splitlines()[-1] == f".venv/bin/python {command}"
