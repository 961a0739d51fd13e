"""The engines' folder and the end of a log."""

from pathlib import Path

import pytest

from pipelines.engines.errors import log_tail
from pipelines.engines.home import HOME_VARIABLE, engines_home


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    assert engines_home().root == tmp_path.resolve() / ".engines"
    monkeypatch.setenv(HOME_VARIABLE, "elsewhere")
    home = engines_home()
    assert home.root == tmp_path.resolve() / "elsewhere"
    rooms = [home.dist, home.conf, home.logs, home.pids, home.tmp, home.record, home.log("x")]
    assert len(set(rooms)) == len(rooms)
    assert all(room.is_relative_to(home.root) for room in rooms)


def test_log_tail_shows_the_last_lines_under_the_logs_name(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    assert log_tail(log) == f"No log was written to {log}."
    log.write_bytes(b"\n".join(b"line %d" % n for n in range(100)) + b"\n\xff")
    tail = log_tail(log, 3).splitlines()
    assert tail[0] == f"The end of {log}:"
    assert [line.strip() for line in tail[1:]] == ["line 98", "line 99", "\ufffd"]
