"""The benchmark of the join, whole, on a small collection."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import _stage, join


@pytest.mark.slow
def test_a_collection_is_written_read_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_here(module: str, *arguments: str) -> dict[str, Any]:
        assert module == "benchmarks._stage"
        return _stage.main(arguments) | {"peak_mib": 7}

    monkeypatch.setattr(join, "run_module", run_here)
    monkeypatch.setattr(join, "FILE_ROWS", 400)
    monkeypatch.setattr(join, "GROUP_ROWS", 200)
    assert join.main(["--passages=900", "--queries=30", f"--folder={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "| 900 | 60 |" in out
    assert "1.00 times the memory" in out


def test_a_collection_is_the_same_each_time(tmp_path: Path) -> None:
    for name in "ab":
        join.write_collection(tmp_path / name, 300, 20)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.parquet"))
    assert len(files) == 3
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
