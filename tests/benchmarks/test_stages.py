"""The benchmark of the stages, whole, on a few rows of the sample and with a tiny teacher."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _inputs, _peers, _stage, stages
from tests.e2e.teacher import save_tiny_teacher

MAINS = {"benchmarks._stage": _stage.main, "benchmarks._inputs": _inputs.main, "benchmarks._peers": _peers.main}


def run_here(module: str, *arguments: str) -> dict[str, Any]:
    """The same work in this process, which has imported everything once."""
    with warnings.catch_warnings(action="ignore"):
        return MAINS[module](arguments) | {"peak_mib": 1}


@pytest.mark.slow
def test_stages_and_peers_are_measured_on_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stages, "run_module", run_here)
    document = tmp_path / "measured.md"
    document.write_text("<!-- bench:stages -->\n<!-- /bench -->\n", "utf-8")
    teacher = save_tiny_teacher(tmp_path)
    flags = ["--category=all-nli,waimai", "--limit=20", "--peer_rows=30", f"--teacher={teacher}"]
    assert stages.main([*flags, f"--folder={tmp_path}", f"--write={document}"]) == 0
    lines = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    counts = [line[1] for line in lines]
    assert [line[0].split(",")[0].split(":")[0] for line in lines] == [
        "**prepare**",
        "script",
        "**embed**",
        "`SentenceTransformer.encode`",
        "**mine**",
        "**pack**",
        "**mine**",
        "`mine_hard_negatives`",
    ]
    assert counts[0] == "131 rows"  # 63 and 68: catalog/sample/README.md
    assert counts[2] == counts[3]
    assert counts[6] == counts[7]
    assert document.read_text("utf-8").count("| **mine**") == 2


def cells(line: str) -> list[str]:
    """The cells of a Markdown table's line."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_command_is_shown_without_the_names_of_folders() -> None:
    arguments = stages.build_parser().parse_args(["--source=/a/b", "--evaluation=/c", "--limit=5"])
    assert stages.command_of(arguments) == (
        "python -m benchmarks.stages --source=DIR --evaluation=DIR --category=all --limit=5 --peer_rows=20000"
    )


def test_a_line_counts_texts_where_there_are_texts() -> None:
    told = {"rows": 10, "texts": 4000, "seconds": 8.0, "peak_mib": 1234}
    assert stages.line("embed", told) == ("embed", "4,000 texts", "8.0", "500", "1,234")
    assert stages.line("pack", told | {"texts": 0, "rows": 5000})[1:4] == ("5,000 rows", "8.0", "625")


def test_help_says_what_each_flag_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        stages.main(["--help"])
    assert "rows per dataset after prepare" in capsys.readouterr().out
