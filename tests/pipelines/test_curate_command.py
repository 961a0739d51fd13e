"""The verb ``curate``: how far it goes."""

import json
from pathlib import Path

import pytest

from pipelines.curate_command import run_command
from pipelines.options import parse

FLAGS = ["--category=csl-*", "--limit=5", "--evaluation=none", "--allow_alarms"]


def stages_in(work: Path) -> list[str]:
    return sorted(path.parent.name.partition("-")[0] for path in work.glob("*/manifest.json"))


@pytest.mark.slow
def test_it_goes_no_further_than_told_and_later_goes_on_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*FLAGS, f"--out={tmp_path}/out", f"--work={tmp_path}/work"]
    run_command(parse([*flags, "--until=prepare"]))
    assert stages_in(tmp_path / "work") == ["prepare"]
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert "prepare is there; the same command without --until goes on from it" in capsys.readouterr().err
    (prepared,) = (tmp_path / "work").glob("prepare-*/manifest.json")
    before = prepared.stat().st_mtime_ns
    run_command(parse([*flags, "-q"]))
    assert stages_in(tmp_path / "work") == ["embed", "mine", "pack", "prepare"]
    assert prepared.stat().st_mtime_ns == before
    assert json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))["datasets"]
